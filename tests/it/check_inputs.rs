//! What `check` reads beside archives and registries: folders, documents that list packages, images in an engine.

use std::fs;
use std::os::unix::fs::symlink;

use insta::assert_snapshot;
use serde_json::{Value, json};
use tests::check_folder::{CheckFolder, POLICY};
use tests::clients::Outcome;
use tests::docker_engine::DockerEngine;
use tests::image_builder::alpine_image;

const SECDB: &str = r#"{
  "distroversion": "v3.20", "reponame": "main",
  "packages": [{ "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["CVE-2026-9001"] } } }]
}"#;

fn strict() -> String {
    POLICY.replace("accept-unsafe", "deny")
}

fn folder(policy: &str) -> CheckFolder {
    CheckFolder::new(policy, &[("alpine.json", SECDB)])
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.shown))
}

fn findings(report: &Value) -> Vec<String> {
    let found = report["scans"][0]["scan"]["findings"].as_array().expect("a list");
    found.iter().map(|finding| format!("{} {}", finding["id"], finding["package"]["name"])).collect()
}

/// A root file system of Alpine 3.20 with a vulnerable package.
fn root(folder: &CheckFolder) -> std::path::PathBuf {
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("lib/apk/db")).expect("folders");
    fs::create_dir_all(root.join("etc")).expect("folders");
    fs::write(root.join("etc/os-release"), "ID=alpine\nVERSION_ID=3.20.1\n").expect("written");
    let record = "P:badlib\nV:1.2.3-r0\nA:x86_64\nS:1\nI:1\nL:MIT\no:badlib\n\n";
    fs::write(root.join("lib/apk/db/installed"), record).expect("written");
    root
}

#[test]
fn a_folder_is_judged_as_a_layer_is() {
    let folder = folder(&strict());
    let root = root(&folder);
    fs::write(root.join("a"), vec![7; 5000]).expect("written");
    fs::hard_link(root.join("a"), root.join("b")).expect("linked");
    let outcome = folder.check("dir:root", &[]);
    assert_eq!(outcome.code, 1, "{}", outcome.shown);
    assert_snapshot!("folder", outcome.stdout);
    let report = json(&folder.check("dir:root", &["--output", "json"]));
    assert_eq!(report["digest"], Value::Null);
    assert_eq!(findings(&report), ["\"CVE-2026-9001\" \"badlib\""]);
    assert_eq!(report["scans"][0]["scan"]["waste"]["duplicate_bytes"], 0, "a hard link is no copy");
}

#[test]
fn nothing_leads_out_of_a_folder() {
    let folder = folder(&strict());
    let root = root(&folder);
    let secret = "-----BEGIN RSA PRIVATE KEY-----\n".to_owned()
        + &"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\n".repeat(12)
        + "-----END RSA PRIVATE KEY-----\n";
    folder.write("outside.pem", secret.as_bytes());
    symlink("../outside.pem", root.join("key.pem")).expect("linked");
    symlink(folder.path(), root.join("up")).expect("linked");
    symlink("loop", root.join("loop")).expect("linked");
    let report = json(&folder.check("dir:root", &["--output", "json"]));
    assert_eq!(report["scans"][0]["scan"]["secrets"], json!([]), "a link was followed out of the folder");
    fs::write(root.join("key2.pem"), &secret).expect("written");
    let report = json(&folder.check("dir:root", &["--output", "json"]));
    assert_eq!(report["scans"][0]["scan"]["secrets"].as_array().expect("a list").len(), 1);
    // The name itself may not be a link either: what it leads to would be read in its place.
    symlink("root", folder.path().join("link")).expect("linked");
    for (place, word) in [("dir:link", "link"), ("dir:absent", "absent"), ("dir:policy.toml", "policy.toml")]
    {
        let refused = folder.check(place, &[]);
        assert_eq!(refused.code, 3, "{place}: {}", refused.shown);
        assert!(refused.shown.contains(word), "{}", refused.shown);
    }
}

fn cyclonedx(version: &str, components: &Value) -> String {
    json!({"bomFormat": "CycloneDX", "specVersion": version, "version": 1, "components": components})
        .to_string()
}

fn spdx(version: &str, purl: &str) -> String {
    json!({
        "spdxVersion": version, "SPDXID": "SPDXRef-DOCUMENT", "name": "x", "dataLicense": "CC0-1.0",
        "documentDescribes": ["SPDXRef-image"],
        "packages": [
            {"SPDXID": "SPDXRef-image", "name": "app", "downloadLocation": "NOASSERTION"},
            {"SPDXID": "SPDXRef-1", "name": "badlib", "versionInfo": "1.2.3-r0", "downloadLocation": "NOASSERTION",
             "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]},
        ],
    })
    .to_string()
}

#[test]
fn documents_of_each_version_give_the_finding_that_the_image_gives() {
    let folder = folder(&strict());
    let purl = "pkg:apk/alpine/badlib-dev@1.2.3-r0?arch=x86_64&distro=alpine-3.20.1&upstream=badlib";
    let component = json!([{"type": "library", "name": "badlib-dev", "version": "1.2.3-r0", "purl": purl}]);
    let mut documents: Vec<String> =
        ["1.4", "1.5", "1.6"].iter().map(|it| cyclonedx(it, &component)).collect();
    documents.extend(["SPDX-2.2", "SPDX-2.3"].iter().map(|version| spdx(version, purl)));
    for document in documents {
        folder.write("sbom.json", document.as_bytes());
        let report = json(&folder.check("sbom:sbom.json", &["--output", "json"]));
        assert_eq!(findings(&report), ["\"CVE-2026-9001\" \"badlib-dev\""], "{document}");
        assert_eq!(report["scans"][0]["scan"]["unknown"], json!([]), "{document}");
    }
    assert_snapshot!("document", folder.check("sbom:sbom.json", &[]).stdout);
    let explained = folder.check("sbom:sbom.json", &["--explain", "CVE-2026-9001"]);
    assert!(
        explained.stdout.contains("asked       alpine:3.20 about badlib, version 1.2.3-r0"),
        "{}",
        explained.shown
    );
}

#[test]
fn what_a_document_leaves_out_is_unknown_and_never_clean() {
    let folder = folder(&strict());
    let fixed = "pkg:apk/alpine/badlib@1.2.4-r0";
    let component = |purl: &str| json!({"type": "library", "name": "badlib", "purl": purl});
    let whole = format!("{fixed}?distro=alpine-3.20&upstream=badlib");
    let system = json!({"type": "operating-system", "name": "alpine", "version": "3.20"});
    for (components, unknown) in [
        (json!([component(&whole)]), None),
        (json!([system.clone(), component(&format!("{fixed}?upstream=badlib"))]), None),
        (json!([component(&format!("{fixed}?upstream=badlib"))]), Some("no-distribution")),
        (json!([component(&format!("{fixed}?distro=alpine-3.20"))]), Some("no-source-packages")),
        (json!([component(&whole), component("pkg:generic/thing@1")]), Some("no-advisories")),
        (json!([component(&whole), {"type": "library", "name": "nameless"}]), Some("unidentified-package")),
        (
            json!([component(&whole), component("pkg:deb/debian/x@1?distro=debian-12&upstream=x")]),
            Some("incomplete-document"),
        ),
        (json!([]), Some("nothing-recognised")),
    ] {
        folder.write("sbom.json", cyclonedx("1.5", &components).as_bytes());
        let outcome = folder.check("sbom:sbom.json", &["--output", "json"]);
        let told = json(&outcome);
        let said = told["scans"][0]["scan"]["unknown"].to_string();
        match unknown {
            None => assert_eq!((outcome.code, said.as_str()), (0, "[]"), "{components}"),
            Some(what) => {
                assert_eq!(outcome.code, 1, "{components}: {said}");
                assert!(said.contains(what), "{components}: {said}");
            }
        }
    }
    let mut incomplete: Value =
        serde_json::from_str(&cyclonedx("1.6", &json!([component(&whole)]))).expect("JSON");
    incomplete["compositions"] = json!([{"aggregate": "incomplete"}]);
    folder.write("sbom.json", incomplete.to_string().as_bytes());
    assert_eq!(folder.check("sbom:sbom.json", &[]).code, 1);
}

#[test]
fn what_is_no_document_cannot_be_decided() {
    let folder = folder(&strict());
    let deep = "[".repeat(100_000);
    for text in [
        "",
        "{}",
        "[]",
        "nonsense",
        &deep,
        r#"{"bomFormat":"CycloneDX","specVersion":"1.3"}"#,
        r#"{"spdxVersion":"SPDX-3.0"}"#,
        r#"{"bomFormat":"CycloneDX","specVersion":"1.5","spdxVersion":"SPDX-2.3"}"#,
        r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[1]}"#,
        r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[],"components":[]}"#,
    ] {
        folder.write("sbom.json", text.as_bytes());
        let outcome = folder.check("sbom:sbom.json", &[]);
        assert_eq!(outcome.code, 3, "{}: {}", text.get(..40).unwrap_or(text), outcome.shown);
    }
}

#[test]
fn our_own_documents_give_the_same_findings_when_read_back() {
    let folder = folder(&strict());
    folder.image("image", alpine_image("hello", &[("badlib", "1.2.3-r0"), ("other", "1-r0")]));
    let of_image = findings(&json(&folder.check("oci:image", &["--output", "json"])));
    for form in ["cyclonedx", "spdx"] {
        folder.check("oci:image", &["--output", form, "--output-file", "sbom.json"]);
        let read_back = json(&folder.check("sbom:sbom.json", &["--output", "json"]));
        assert_eq!(findings(&read_back), of_image, "{form}");
        assert_eq!(read_back["scans"][0]["scan"]["distribution"]["id"], "alpine", "{form}");
    }
}

#[test]
fn an_image_in_a_docker_engine_is_read_from_its_socket() {
    let test = "an_image_in_a_docker_engine_is_read_from_its_socket";
    let Some(engine) = DockerEngine::start_or_skip(test, &[]) else { return };
    let folder = folder(POLICY);
    let image = alpine_image("hello", &[("badlib", "1.2.3-r0")]);
    let archive = engine.folder().join("image.tar");
    fs::write(&archive, image.docker_archive("app:1")).expect("the archive is written");
    engine.docker(&["load", "--input", &archive.display().to_string()]).succeeded("docker load");
    let host = format!("unix://{}", engine.folder().join("s").display());
    let check = |name: &str| folder.check(name, &["--docker-host", &host, "--output", "json"]);
    let report = json(&check("docker:app:1"));
    assert_eq!(findings(&report), ["\"CVE-2026-9001\" \"badlib\""]);
    assert_eq!(report["scans"][0]["scan"]["layers"].as_array().expect("a list").len(), 2);
    let absent = check("docker:absent:1");
    assert_eq!(absent.code, 3, "{}", absent.shown);
    assert!(absent.shown.contains("No such image") || absent.shown.contains("404"), "{}", absent.shown);
    let elsewhere = folder.check("docker:app:1", &["--docker-host", "tcp://engine.example:2375"]);
    assert_eq!(elsewhere.code, 2, "{}", elsewhere.shown);
    let nobody = folder.check("docker:app:1", &["--docker-host", "unix:///nowhere.sock"]);
    assert_eq!(nobody.code, 3, "{}", nobody.shown);
    let strange = folder.check("docker:../containers/json", &["--docker-host", &host]);
    assert_eq!(strange.code, 3, "{}", strange.shown);
}
