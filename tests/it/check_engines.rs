//! Images in podman and containerd: the same answer as for the file that they were loaded from.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::check_folder::{CheckFolder, POLICY};
use tests::clients::{Outcome, skip};
use tests::containerd_engine::Containerd;
use tests::image_builder::{Blob, Image, alpine_image, media_type};
use tests::podman_engine::Podman;

const SECDB: &str = r#"{
  "distroversion": "v3.20", "reponame": "main",
  "packages": [{ "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["CVE-2026-9001"] } } }]
}"#;
const NAME: &str = "registry.example/team/app:1";

fn folder() -> CheckFolder {
    CheckFolder::new(POLICY, &[("alpine.json", SECDB)])
}

fn report(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.shown))
}

/// Platforms and findings of all scans.
fn findings(report: &Value) -> Vec<(String, usize)> {
    let scans = report["scans"].as_array().expect("a list").iter();
    let of_one = |scan: &Value| {
        let found = scan["scan"]["findings"].as_array().expect("a list").len();
        (scan["platform"].as_str().unwrap_or("-").to_owned(), found)
    };
    scans.map(of_one).collect()
}

#[test]
fn an_image_in_podman_is_read_from_its_service_or_from_its_program() {
    let test = "an_image_in_podman_is_read_from_its_service_or_from_its_program";
    let Some(mut podman) = Podman::start_or_skip(test) else { return };
    let folder = folder();
    let archive = podman.folder().join("image.tar");
    let image = alpine_image("hello", &[("badlib", "1.2.3-r0")]);
    fs::write(&archive, image.docker_archive(NAME)).expect("the archive is written");
    let loaded = podman.run(&["load", "--input", &archive.display().to_string()]);
    if loaded.code != 0 {
        return skip(test, &format!("podman cannot load an image here: {}", loaded.shown.trim()));
    }
    let image = format!("podman:{NAME}");
    let expected = [("-".to_owned(), 1)];
    if Path::new("/run/podman/podman.sock").exists() {
        skip(test, "a service of the machine listens; `podman save` is not tried");
    } else {
        let check =
            |name: &str| folder.check_with(name, &["--output", "json"], |command| podman.configure(command));
        assert_eq!(findings(&report(&check(&image))), expected);
        let absent = check("podman:registry.example/absent:1");
        assert_eq!(absent.code, 3, "{}", absent.shown);
        assert!(absent.shown.contains("podman save"), "{}", absent.shown);
    }
    let host = podman.serve();
    let check = |name: &str, host: &str| folder.check(name, &["--podman-host", host, "--output", "json"]);
    let of_service = report(&check(&image, &host));
    assert_eq!(findings(&of_service), expected);
    assert_eq!(of_service["digest"], Value::Null);
    assert_eq!(of_service["scans"][0]["scan"]["layers"].as_array().map(Vec::len), Some(2));
    for (name, host, code) in [
        ("podman:registry.example/absent:1", host.as_str(), 3),
        (image.as_str(), "unix:///nowhere.sock", 3),
        (image.as_str(), "tcp://engine.example:8080", 2),
        ("podman:--help", host.as_str(), 3),
        ("podman:../containers/json", host.as_str(), 3),
    ] {
        let outcome = check(name, host);
        assert_eq!(outcome.code, code, "{name} at {host}: {}", outcome.shown);
    }
}

/// An index of two platforms, as an archive of a layout; only one of them is vulnerable.
fn two_platforms(engine: &Containerd) -> (String, [Image; 2]) {
    let images = [("amd64", "1.2.3-r0"), ("arm64", "1.2.4-r0")].map(|(architecture, version)| {
        let image = alpine_image(architecture, &[("badlib", version)]);
        image.config(&json!({ "architecture": architecture })).build()
    });
    let entries: Vec<Value> = images
        .iter()
        .zip(["amd64", "arm64"])
        .map(|(image, architecture)| {
            let mut entry = image.manifest.descriptor();
            entry["platform"] = json!({ "os": "linux", "architecture": architecture });
            entry
        })
        .collect();
    let index = Blob::json(
        media_type::INDEX,
        &json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": entries }),
    );
    let mut blobs: Vec<Blob> =
        images.iter().flat_map(|image| image.blobs.iter().chain([&image.manifest])).cloned().collect();
    blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    blobs.dedup_by(|one, other| one.digest == other.digest);
    let whole = Image { manifest: index, blobs };
    let layout = engine.folder().join("layout");
    whole.write_oci_layout(&layout, "1").expect("the layout is written");
    let archive = engine.folder().join("layout.tar").display().to_string();
    let tar = ["-C", &layout.display().to_string(), "-cf", &archive, "."];
    tests::clients::run(Path::new("tar"), &tar, |_| {}).succeeded("tar");
    (archive, images)
}

#[test]
fn an_image_in_containerd_is_read_with_all_its_platforms_or_with_one() {
    let test = "an_image_in_containerd_is_read_with_all_its_platforms_or_with_one";
    let Some(engine) = Containerd::start_or_skip(test) else { return };
    let folder = folder();
    let (archive, images) = two_platforms(&engine);
    let import = [
        "images",
        "import",
        "--all-platforms",
        "--no-unpack",
        "--base-name",
        "registry.example/team/app",
        &archive,
    ];
    engine.ctr(&import).succeeded("ctr images import");
    let address = engine.address();
    let check = |name: &str, more: &[&str]| {
        let usual = ["--output", "json", "--containerd-address", &address, "--containerd-namespace", "test"];
        folder.check(name, &[&usual, more].concat())
    };
    let image = format!("containerd:{NAME}");
    let whole = report(&check(&image, &[]));
    assert_eq!(findings(&whole), [("linux/amd64".to_owned(), 1), ("linux/arm64".to_owned(), 0)]);
    assert!(whole["digest"].is_string(), "an index has a digest of its own");
    let one = |platform: &str| report(&check(&image, &["--containerd-platform", platform]));
    for (platform, image, found) in [("linux/amd64", &images[0], 1), ("linux/arm64", &images[1], 0)] {
        let report = one(platform);
        assert_eq!(report["digest"], image.manifest.digest.as_str(), "{platform}");
        assert_eq!(findings(&report), [("-".to_owned(), found)]);
    }
    for (name, more, code) in [
        ("containerd:registry.example/absent:1", &[][..], 3),
        (image.as_str(), &["--containerd-platform", "linux/s390x"], 3),
        (image.as_str(), &["--containerd-platform", "--help"], 2),
        ("containerd:--help", &[], 3),
    ] {
        let outcome = check(name, more);
        assert_eq!(outcome.code, code, "{name} {more:?}: {}", outcome.shown);
    }
    // As a node has it that pulled for itself: the other platform is missing, which is told and never left out in silence.
    for blob in images[1].blobs.iter().chain([&images[1].manifest]) {
        if !images[0].blobs.iter().any(|other| other.digest == blob.digest) {
            engine.ctr(&["content", "delete", &blob.digest]).succeeded("ctr content delete");
        }
    }
    let partial = check(&image, &[]);
    assert_eq!(partial.code, 3, "{}", partial.shown);
    assert!(partial.shown.contains("--containerd-platform"), "{}", partial.shown);
    assert_eq!(findings(&one("linux/amd64")), [("-".to_owned(), 1)]);
}
