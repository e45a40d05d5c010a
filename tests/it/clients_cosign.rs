//! cosign 2 and 3 sign a staged image, each in its own form, and the signature releases it: the engine pulls it by
//! digest and runs it.

use std::path::Path;

use tests::clients::{self, Outcome, find_or_skip};
use tests::docker_engine::DockerEngine;
use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{FIXED, PASSWORD, TestGateway, push};

/// How each version signs without a transparency log, in the form that it has by default or that we ask for.
const FORMS: [(&str, &str, &[&str]); 3] = [
    ("cosign2", "the `.sig` tag", &["sign", "--tlog-upload=false", "--yes"]),
    (
        "cosign3",
        "a bundle as referrer",
        &["sign", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=true", "--yes"],
    ),
    (
        "cosign3",
        "the `.sig` tag",
        &["sign", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false", "--yes"],
    ),
];

fn cosign(program: &Path, gateway: &TestGateway, arguments: &[&str], reference: &str) -> Outcome {
    let config = gateway.docker_config("signer");
    let all: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--key", "release.key", "--allow-insecure-registry", reference])
        .collect();
    clients::run(program, &all, |command| {
        command
            .current_dir(gateway.folder())
            .env("COSIGN_PASSWORD", PASSWORD)
            .env("DOCKER_CONFIG", config)
            .env("HOME", gateway.folder());
    })
}

fn staged(gateway: &TestGateway, repository: &str, message: &str) -> Image {
    let image = alpine_image(message, FIXED).build();
    let answer = push(&gateway.caller("builder"), repository, "1.0", &image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    gateway.assert_hidden(repository, &["1.0"], &image);
    image
}

#[test]
fn each_form_that_cosign_writes_releases_the_staged_image() {
    for (number, (client, form, arguments)) in FORMS.iter().enumerate() {
        let test = format!("each_form_that_cosign_writes_releases_the_staged_image ({client}, {form})");
        let Some(program) = find_or_skip(&test, client) else { continue };
        let gateway = TestGateway::strict();
        let repository = format!("signed/app{number}");
        let image = staged(&gateway, &repository, &format!("hello {number}"));
        let digest = &image.manifest.digest;
        let reference = gateway.reference(&format!("{repository}@{digest}"));
        cosign(&program, &gateway, arguments, &reference).succeeded(&test);
        let answer = gateway.caller("consumer").get(&format!("/v2/{repository}/manifests/{digest}"));
        assert_eq!(answer.status, 200, "{test}: {}", answer.text());
        assert_eq!(answer.body, image.manifest.bytes, "{test}");

        let verified = gateway.command(&["verify", &reference, "--key", "release.pub"]);
        verified.succeeded(&format!("portcullis verify after {test}"));
    }
}

#[test]
fn cosign_verifies_what_portcullis_signed() {
    let test = "cosign_verifies_what_portcullis_signed";
    for (client, arguments) in [
        ("cosign2", &["verify", "--insecure-ignore-tlog=true"][..]),
        ("cosign3", &["verify", "--insecure-ignore-tlog=true", "--new-bundle-format=true"][..]),
    ] {
        let Some(program) = find_or_skip(test, client) else { continue };
        let gateway = TestGateway::strict();
        let image = staged(&gateway, "signed/ours", "hello ours");
        let reference = gateway.reference(&format!("signed/ours@{}", image.manifest.digest));
        let config = gateway.docker_config("signer");
        let signed = gateway.command_with(&["sign", &reference, "--key", "release.key"], |command| {
            command.env("DOCKER_CONFIG", &config);
        });
        signed.succeeded("portcullis sign");
        let all: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(["--key", "release.pub", "--allow-insecure-registry", &reference])
            .collect();
        let verified = clients::run(&program, &all, |command| {
            command
                .current_dir(gateway.folder())
                .env("DOCKER_CONFIG", gateway.docker_config("consumer"))
                .env("HOME", gateway.folder());
        });
        verified.succeeded(&format!("{client} verify"));
    }
}

#[test]
fn what_cosign_signed_in_both_forms_the_engine_pulls_by_digest_and_runs() {
    let test = "what_cosign_signed_in_both_forms_the_engine_pulls_by_digest_and_runs";
    let Some(engine) = DockerEngine::start_or_skip(test, &[]) else { return };
    let gateway = TestGateway::strict();
    let image = staged(&gateway, "signed/both", "hello from both forms");
    let reference = gateway.reference(&format!("signed/both@{}", image.manifest.digest));
    for (client, form, arguments) in &FORMS[..2] {
        let Some(program) = find_or_skip(test, client) else { return };
        cosign(&program, &gateway, arguments, &reference).succeeded(&format!("{client} sign, {form}"));
    }
    let consumer = gateway.docker_config("consumer");
    engine.docker_as(&consumer, &["pull", &reference]).succeeded("docker pull by digest");
    let ran = engine.docker(&["run", "--rm", "--network", "none", &reference]).succeeded("docker run");
    assert_eq!(ran.stdout.trim(), "hello from both forms");
}
