//! The Docker Engine as a client: a refusal is readable in its output, the fix passes under the same tag, and what is
//! signed can be pulled by digest and run.

use std::fs;

use tests::docker_engine::DockerEngine;
use tests::image_builder::{ImageBuilder, alpine_image};
use tests::test_gateway::{FIXED, TestGateway, VULNERABLE};

/// Loads an image into the engine under a name.
fn load(engine: &DockerEngine, image: &ImageBuilder, name: &str) {
    let file = engine.folder().join("image.tar");
    fs::write(&file, image.docker_archive(name)).expect("the archive is written");
    engine.docker(&["load", "--input", &file.display().to_string()]).succeeded("docker load");
}

/// The digest that `docker push` prints.
fn pushed_digest(shown: &str) -> String {
    let line =
        shown.lines().find(|line| line.contains("digest: sha256:")).expect("docker push prints the digest");
    let digest = line.split("digest: ").nth(1).and_then(|rest| rest.split(' ').next());
    digest.expect("the digest stands behind `digest: `").to_owned()
}

#[test]
fn docker_push_shows_why_then_the_fix_passes_and_once_signed_it_runs() {
    let test = "docker_push_shows_why_then_the_fix_passes_and_once_signed_it_runs";
    let Some(engine) = DockerEngine::start_or_skip(test, &[]) else { return };
    let gateway = TestGateway::strict();
    let builder = gateway.docker_config("builder");
    let consumer = gateway.docker_config("consumer");
    let name = gateway.reference("team-a/app:1.0");

    load(&engine, &alpine_image("hello from the bad one", VULNERABLE), &name);
    let refused = engine.docker_as(&builder, &["push", &name]);
    let words = ["badlib", "1.2.3-r0", "1.2.4-r0", "PORTCULLIS-TEST-0001", "https://help.example/portcullis"];
    refused.failed_showing("docker push of a vulnerable image", &words);
    let pulled = engine.docker_as(&consumer, &["pull", &name]);
    assert_ne!(pulled.code, 0, "a refused image was pulled: {}", pulled.shown);

    load(&engine, &alpine_image("hello from the good one", FIXED), &name);
    let pushed =
        engine.docker_as(&builder, &["push", &name]).succeeded("docker push of the fix over the same tag");
    let digest = pushed_digest(&pushed.shown);
    let by_digest = gateway.reference(&format!("team-a/app@{digest}"));
    engine.docker(&["rmi", "--force", &name]).succeeded("docker rmi");
    engine
        .docker_as(&consumer, &["pull", &by_digest])
        .failed_showing("docker pull of a staged image", &["denied"]);

    let config = gateway.docker_config("signer");
    let signed = gateway.command_with(&["sign", &by_digest, "--key", "release.key"], |command| {
        command.env("DOCKER_CONFIG", &config);
    });
    signed.succeeded("portcullis sign");
    engine.docker_as(&consumer, &["pull", &by_digest]).succeeded("docker pull by digest");
    let ran = engine.docker(&["run", "--rm", "--network", "none", &by_digest]).succeeded("docker run");
    assert_eq!(ran.stdout.trim(), "hello from the good one");
}
