//! oras and crane: artifacts with their referrers, images copied between repositories by mount.

use std::fs;
use std::path::Path;

use tests::clients::{self, Outcome, find_or_skip};
use tests::image_builder::alpine_image;
use tests::test_gateway::{FIXED, TestGateway, push};

/// A file with its type, as oras takes it.
const SBOM: &str = "sbom.json:application/vnd.cyclonedx+json";

fn run(program: &Path, gateway: &TestGateway, account: &str, arguments: &[&str]) -> Outcome {
    let config = gateway.docker_config(account);
    clients::run(program, arguments, |command| {
        command.current_dir(gateway.folder()).env("DOCKER_CONFIG", config).env("HOME", gateway.folder());
    })
}

#[test]
fn oras_attaches_discovers_and_pulls_artifacts() {
    let Some(oras) = find_or_skip("oras_attaches_discovers_and_pulls_artifacts", "oras") else { return };
    let gateway = TestGateway::open();
    let image = alpine_image("hello", FIXED).build();
    let answer = push(&gateway.caller("builder"), "team-a/app", "1.0", &image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    fs::write(gateway.folder().join("sbom.json"), r#"{"bomFormat":"CycloneDX"}"#)
        .expect("the file is written");

    let reference = gateway.reference(&format!("team-a/app@{}", image.manifest.digest));
    // Without a type, oras says that the file is a file system's layer; the gate takes it at its word and refuses what
    // it cannot read as one.
    let untyped =
        ["attach", "--plain-http", "--artifact-type", "application/spdx+json", &reference, "sbom.json"];
    run(&oras, &gateway, "builder", &untyped)
        .failed_showing("oras attach of an untyped file", &["not a tar archive"]);
    let attach =
        ["attach", "--plain-http", "--artifact-type", "application/vnd.cyclonedx+json", &reference, SBOM];
    run(&oras, &gateway, "builder", &attach).succeeded("oras attach");
    let discover = ["discover", "--plain-http", "--format", "json", &reference];
    let discovered = run(&oras, &gateway, "builder", &discover).succeeded("oras discover");
    assert!(discovered.stdout.contains("application/vnd.cyclonedx+json"), "{}", discovered.shown);

    let chart = gateway.reference("team-a/notes:1");
    let push = ["push", "--plain-http", "--artifact-type", "application/vnd.example.notes", &chart, SBOM];
    run(&oras, &gateway, "builder", &push).succeeded("oras push");
    let pull = ["pull", "--plain-http", "--output", "pulled", &chart];
    run(&oras, &gateway, "builder", &pull).succeeded("oras pull");
    let pulled = fs::read_to_string(gateway.folder().join("pulled/sbom.json")).expect("the artifact's file");
    assert_eq!(pulled, r#"{"bomFormat":"CycloneDX"}"#);
}

#[test]
fn crane_pushes_copies_and_pulls_images() {
    let Some(crane) = find_or_skip("crane_pushes_copies_and_pulls_images", "crane") else { return };
    let gateway = TestGateway::open();
    let image = alpine_image("hello", FIXED).build();
    let layout = gateway.folder().join("layout");
    image.write_oci_layout(&layout, "app").expect("the layout is written");
    let first = gateway.reference("team-a/app:1.0");
    let layout = layout.display().to_string();
    run(&crane, &gateway, "builder", &["push", "--insecure", &layout, &first]).succeeded("crane push");
    let digest =
        run(&crane, &gateway, "consumer", &["digest", "--insecure", &first]).succeeded("crane digest");
    assert_eq!(digest.stdout.trim(), image.manifest.digest);

    let second = gateway.reference("team-a/copy:1.0");
    run(&crane, &gateway, "builder", &["copy", "--insecure", &first, &second]).succeeded("crane copy");
    let file = gateway.folder().join("pulled.tar").display().to_string();
    run(&crane, &gateway, "consumer", &["pull", "--insecure", &second, &file]).succeeded("crane pull");
    let listed = run(&crane, &gateway, "consumer", &["ls", "--insecure", &gateway.reference("team-a/copy")]);
    assert_eq!(listed.succeeded("crane ls").stdout.trim(), "1.0");
}
