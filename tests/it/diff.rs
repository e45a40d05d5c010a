//! `portcullis diff`: what a person sees between two images, and what a script can fail on.

use insta::assert_snapshot;
use serde_json::Value;
use tests::check_folder::{CheckFolder, POLICY};
use tests::image_builder::{Archive, Compression, ImageBuilder, Layer};

const SECDB: &str = r#"{
  "distroversion": "v3.20", "reponame": "main",
  "packages": [
    { "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["CVE-2026-9001"] } } },
    { "pkg": { "name": "newlib", "secfixes": { "3.1-r0": ["CVE-2026-9002"] } } },
    { "pkg": { "name": "samelib", "secfixes": { "9-r0": ["CVE-2026-9003"] } } }
  ]
}"#;

/// What looks like a private key, so that there is a secret to find.
fn secret() -> String {
    let body = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2
"
    .repeat(12);
    format!(
        "-----BEGIN RSA PRIVATE KEY-----
{body}-----END RSA PRIVATE KEY-----
"
    )
}

fn base() -> Layer {
    Archive::new().file("etc/motd", 0o644, b"hello").layer(Compression::Plain)
}

fn folder() -> CheckFolder {
    let folder = CheckFolder::new(POLICY, &[("alpine.json", SECDB)]);
    let system = |packages| Archive::new().alpine("3.20", packages).layer(Compression::Plain);
    let old = ImageBuilder::new()
        .layer(base(), "ADD rootfs.tar /")
        .layer(system(&[("badlib", "1.2.3-r0"), ("gone", "1-r0"), ("samelib", "8-r0")]), "RUN apk upgrade");
    let app = Archive::new()
        .file("app/data", 0o644, &[7; 5000])
        .file("app/key.pem", 0o600, secret().as_bytes())
        .layer(Compression::Plain);
    let new = ImageBuilder::new()
        .layer(base(), "ADD rootfs.tar /")
        .layer(
            system(&[("badlib", "1.2.4-r0"), ("newlib", "3.0-r0"), ("samelib", "8-r1")]),
            "RUN apk upgrade",
        )
        .layer(app, "COPY app /app");
    folder.image("old", old);
    folder.image("new", new);
    folder
}

fn diff(folder: &CheckFolder, more: &[&str]) -> tests::clients::Outcome {
    folder.run(&[&["diff", "oci:old", "oci:new", "--advisories", "advisories.bin"], more].concat())
}

#[test]
fn a_person_sees_packages_vulnerabilities_secrets_and_growth() {
    let folder = folder();
    let shown = diff(&folder, &[]).succeeded("portcullis diff");
    assert_snapshot!("diff", shown.stdout);
    let same = folder.run(&["diff", "oci:old", "oci:old"]).succeeded("portcullis diff of the same");
    assert_snapshot!("diff_of_the_same", same.stdout);
}

#[test]
fn json_tells_the_same() {
    let told = diff(&folder(), &["--output", "json"]).succeeded("portcullis diff");
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["schema"], "portcullis-diff/1");
    let platform = &told["platforms"][0];
    let ids = |key: &str| -> Vec<&str> {
        platform[key].as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect()
    };
    assert_eq!((ids("new_findings"), ids("fixed_findings")), (vec!["CVE-2026-9002"], vec!["CVE-2026-9001"]));
    assert_eq!((&platform["kept_findings"], &platform["layers"]["shared"]), (&1.into(), &1.into()));
    let names: Vec<_> =
        platform["packages"].as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["badlib", "gone", "newlib", "samelib"]);
}

#[test]
fn the_exit_code_is_one_only_for_what_fail_on_names() {
    let folder = folder();
    for (more, code) in
        [(&[][..], 0), (&["--fail-on", "new-findings"], 1), (&["--fail-on", "new-secrets"], 1)]
    {
        assert_eq!(diff(&folder, more).code, code, "{more:?}");
    }
    let backwards = |more: &[&str]| {
        let usual = ["diff", "oci:new", "oci:old", "--advisories", "advisories.bin"];
        folder.run(&[&usual[..], more].concat()).code
    };
    assert_eq!(backwards(&["--fail-on", "new-secrets"]), 0, "a secret that went is no new one");
    assert_eq!(backwards(&["--fail-on", "new-findings"]), 1, "badlib is vulnerable again");
    let blind = folder.run(&["diff", "oci:old", "oci:new", "--fail-on", "new-findings"]);
    assert_eq!(blind.code, 2, "{}", blind.shown);
    let absent = folder.run(&["diff", "oci:old", "oci:absent"]);
    assert_eq!(absent.code, 3, "{}", absent.shown);
}

#[test]
fn what_cannot_be_judged_any_more_counts_as_new() {
    let folder = folder();
    let broken = Archive::new().file("lib/apk/db/installed", 0o644, b"nonsense").layer(Compression::Plain);
    folder.image("broken", ImageBuilder::new().layer(base(), "ADD").layer(broken, "RUN break"));
    let usual = ["diff", "oci:old", "oci:broken", "--advisories", "advisories.bin"];
    let outcome = folder.run(&[&usual[..], &["--fail-on", "new-findings"]].concat());
    assert_eq!(outcome.code, 1, "{}", outcome.shown);
    assert!(outcome.stdout.contains("unknown now, and not before"), "{}", outcome.shown);
}
