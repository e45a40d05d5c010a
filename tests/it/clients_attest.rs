//! cosign 2 and 3 attest what a rule asks for, each in its own form, and the gate releases the image; and they verify what
//! we attested.

use std::fs;
use std::path::Path;

use tests::clients::{self, Outcome, find_or_skip};
use tests::image_builder::{Image, alpine_image};
use tests::test_gateway::{FIXED, PASSWORD, POLICY_STRICT, TestGateway, push};

/// How each version attests without a transparency log, in the form that it has by default or that we ask for.
const FORMS: [(&str, &str, &[&str]); 3] = [
    ("cosign2", "the `.att` tag", &["attest", "--tlog-upload=false", "--yes"]),
    (
        "cosign3",
        "a bundle as referrer",
        &["attest", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=true", "--yes"],
    ),
    (
        "cosign3",
        "the `.att` tag",
        &[
            "attest",
            "--use-signing-config=false",
            "--tlog-upload=false",
            "--new-bundle-format=false",
            "--yes",
        ],
    ),
];

const ASKED: &str = "attestation = [{ predicate = \"https://review.example/v1\", from = \"release\", where = \"predicate.approved && predicate.by.size() >= 2\" }]";

/// The strict gateway, whose rule also asks for a review.
fn gateway_asking() -> TestGateway {
    let policy = POLICY_STRICT.replacen("signatures = ", &format!("{ASKED}\nsignatures = "), 1);
    assert!(policy.contains(ASKED), "{policy}");
    let gateway = TestGateway::start(&policy, "");
    fs::write(gateway.folder().join("good.json"), r#"{"approved": true, "by": ["ada", "grace"]}"#).unwrap();
    fs::write(gateway.folder().join("bad.json"), r#"{"approved": true, "by": ["ada"]}"#).unwrap();
    gateway
}

fn signed(gateway: &TestGateway, repository: &str) -> (Image, String) {
    let image = alpine_image(repository, FIXED).build();
    let answer = push(&gateway.caller("builder"), repository, "1.0", &image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let reference = gateway.reference(&format!("{repository}@{}", image.manifest.digest));
    ours(gateway, &["sign", &reference, "--key", "release.key"]).succeeded("portcullis sign");
    (image, reference)
}

fn ours(gateway: &TestGateway, arguments: &[&str]) -> Outcome {
    let config = gateway.docker_config("signer");
    gateway.command_with(arguments, |command| {
        command.env("DOCKER_CONFIG", &config);
    })
}

fn cosign(program: &Path, gateway: &TestGateway, arguments: &[&str], last: &[&str]) -> Outcome {
    let config = gateway.docker_config("signer");
    let all: Vec<&str> =
        arguments.iter().copied().chain(["--allow-insecure-registry"]).chain(last.iter().copied()).collect();
    clients::run(program, &all, |command| {
        command
            .current_dir(gateway.folder())
            .env("COSIGN_PASSWORD", PASSWORD)
            .env("DOCKER_CONFIG", config)
            .env("HOME", gateway.folder());
    })
}

fn status(gateway: &TestGateway, repository: &str, image: &Image) -> (u16, String) {
    let digest = &image.manifest.digest;
    let answer = gateway.caller("consumer").get(&format!("/v2/{repository}/manifests/{digest}"));
    (answer.status, answer.text())
}

/// Whether the pipeline's door misses the attestation. It is asked without advisories, and denies for that.
fn is_missed_by_check(gateway: &TestGateway, reference: &str) -> bool {
    let checked = ours(gateway, &["check", reference, "--policy", "policy.toml", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).expect(&checked.shown);
    let reasons = report["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason["check"] == "unknown"), "{report}");
    reasons.iter().any(|reason| reason["check"] == "attestation")
}

#[test]
fn what_cosign_attests_releases_the_image_when_it_says_what_the_rule_asks_for() {
    for (number, (client, form, arguments)) in FORMS.iter().enumerate() {
        let test = format!("what_cosign_attests_releases_the_image ({client}, {form})");
        let Some(program) = find_or_skip(&test, client) else { continue };
        let gateway = gateway_asking();
        let repository = format!("attested/app{number}");
        let (image, reference) = signed(&gateway, &repository);
        let (code, text) = status(&gateway, &repository, &image);
        assert!(code == 403 && text.contains("no attestation"), "{test}: {code} {text}");
        let attest = |predicate| {
            let last = [
                "--key",
                "release.key",
                "--type",
                "https://review.example/v1",
                "--predicate",
                predicate,
                &reference,
            ];
            cosign(&program, &gateway, arguments, &last).succeeded(&test);
        };
        attest("bad.json");
        let (code, text) = status(&gateway, &repository, &image);
        assert!(code == 403 && text.contains("its condition is false"), "{test}: {code} {text}");
        assert!(is_missed_by_check(&gateway, &reference), "{test}");
        attest("good.json");
        let (code, text) = status(&gateway, &repository, &image);
        assert_eq!(code, 200, "{test}: {text}");
        let asked =
            ["verify", &reference, "--key", "release.pub", "--attestation", "https://review.example/v1"];
        ours(&gateway, &asked).succeeded(&format!("portcullis verify --attestation after {test}"));
        assert!(!is_missed_by_check(&gateway, &reference), "{test}");
    }
}

#[test]
fn cosign_verifies_what_portcullis_attested() {
    let test = "cosign_verifies_what_portcullis_attested";
    for (client, form, verify) in [
        ("cosign2", "envelope", &["verify-attestation", "--insecure-ignore-tlog=true"][..]),
        (
            "cosign3",
            "bundle",
            &["verify-attestation", "--insecure-ignore-tlog=true", "--new-bundle-format=true"][..],
        ),
    ] {
        let Some(program) = find_or_skip(test, client) else { continue };
        let gateway = gateway_asking();
        let (image, reference) = signed(&gateway, "attested/ours");
        let attested = ours(
            &gateway,
            &[
                "attest",
                &reference,
                "--key",
                "release.key",
                "--type",
                "https://review.example/v1",
                "--predicate",
                "good.json",
                "--form",
                form,
            ],
        );
        attested.succeeded("portcullis attest");
        assert_eq!(status(&gateway, "attested/ours", &image).0, 200);
        let last = ["--key", "release.pub", "--type", "https://review.example/v1", &reference];
        cosign(&program, &gateway, verify, &last).succeeded(&format!("{client} verify-attestation"));
        let other = ["--key", "release.pub", "--type", "https://other.example/v1", &reference];
        let refused = cosign(&program, &gateway, verify, &other);
        assert_ne!(refused.code, 0, "{client} accepts another type");
    }
}
