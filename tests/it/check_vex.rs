//! VEX statements as exceptions: by `--vex` and by the policy, told with author and end, and never silent when they fit
//! nothing.

use insta::assert_snapshot;
use serde_json::{Value, json};
use tests::check_folder::{CheckFolder, POLICY};
use tests::image_builder::alpine_image;

const ADVISORY: &str = r#"{ "id": "ALPINE-CVE-2026-9001", "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z",
  "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
  "affected": [{ "package": { "ecosystem": "Alpine:v3.20", "name": "badlib" },
    "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "1.2.4-r0" }] }] }] }"#;
const SECDB: &str = r#"{ "distroversion": "v3.20", "reponame": "main", "packages": [] }"#;
const PURL: &str = "pkg:apk/alpine/badlib@1.2.3-r0";

fn statement(product: &str, status: &str, at: &str) -> Value {
    json!({
        "vulnerability": {"name": "CVE-2026-9001"}, "products": [{"@id": product}], "status": status, "timestamp": at,
        "impact_statement": "the parser is never called",
    })
}

fn document(author: &str, statements: &[Value]) -> String {
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://vex.example/1", "author": author,
        "timestamp": "2026-01-01T00:00:00Z", "version": 1, "statements": statements,
    })
    .to_string()
}

fn folder(policy: &str) -> CheckFolder {
    let advisories = [("alpine.json", SECDB), ("CVE-2026-9001.json", ADVISORY)];
    let folder = CheckFolder::new(policy, &advisories);
    folder.image("image", alpine_image("hello", &[("badlib", "1.2.3-r0")]));
    folder
}

/// Seconds since 1970 in which every statement here is young enough; the test must not end with a year.
const AGE: &str = "3650d";

fn check(folder: &CheckFolder, files: &[&str]) -> tests::clients::Outcome {
    let files: Vec<&str> = files.iter().flat_map(|file| ["--vex", file]).collect();
    folder.check("oci:image", &[&files[..], &["--vex-max-age", AGE]].concat())
}

#[test]
fn a_statement_waives_with_its_authors_name_and_an_end_and_a_later_one_overrides() {
    let folder = folder(POLICY);
    let (old, new) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    folder.write("fine.json", document("Team A", &[statement(PURL, "not_affected", old)]).as_bytes());
    folder.write("bad.json", document("Team B", &[statement(PURL, "affected", new)]).as_bytes());
    folder.write(
        "older.json",
        document("Team B", &[statement(PURL, "affected", "2025-12-01T00:00:00Z")]).as_bytes(),
    );
    folder.write("same.json", document("Team B", &[statement(PURL, "affected", old)]).as_bytes());
    let both = [statement(PURL, "affected", old), statement(PURL, "not_affected", old)];
    folder.write("last.json", document("Team A", &both).as_bytes());
    for (files, code) in [
        (&[][..], 1),
        (&["fine.json"], 0),
        (&["fine.json", "bad.json"], 1),
        (&["bad.json", "fine.json"], 1),
        (&["fine.json", "older.json"], 0),
        (&["fine.json", "same.json"], 1),
        (&["last.json"], 0),
    ] {
        let outcome = check(&folder, files);
        assert_eq!(outcome.code, code, "{files:?}: {}", outcome.shown);
    }
    let waived = check(&folder, &["fine.json"]);
    assert_snapshot!("waived_by_vex", waived.stdout);
    let old = folder.check("oci:image", &["--vex", "fine.json", "--vex-max-age", "1d"]);
    assert_eq!(old.code, 1, "{}", old.shown);
    let json = folder.check("oci:image", &["--vex", "fine.json", "--vex-max-age", "1d", "--output", "json"]);
    assert!(json.stdout.contains("the exception by Team A ended on 2026-01-02"), "{}", json.shown);
}

#[test]
fn a_statement_that_fits_nothing_is_told() {
    let folder = folder(POLICY);
    let at = "2026-01-01T00:00:00Z";
    let elsewhere = json!({
        "vulnerability": {"name": "CVE-2020-1"}, "products": [{"@id": PURL}], "status": "not_affected",
        "justification": "component_not_present",
    });
    let unjustified = json!({
        "vulnerability": {"name": "CVE-2026-9001"}, "products": [{"@id": PURL}], "status": "not_affected",
    });
    let statements = [
        statement("pkg:apk/alpine/badlib@1.2.3-r0?arch=aarch64", "not_affected", at),
        statement(PURL, "not_affected", "2999-01-01T00:00:00Z"),
        elsewhere,
        unjustified,
    ];
    folder.write("beside.json", document("Team A", &statements).as_bytes());
    let outcome = check(&folder, &["beside.json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.shown);
    assert_snapshot!("fits_nothing", outcome.stdout);
}

#[test]
fn the_policy_names_documents_and_their_words_count_in_its_scope_alone() {
    let vex = "\n[[vex]]\nfile = \"vendor.json\"\nimages = [\"registry.example/team/*\"]\nauthor = \"Vendor\"\nmax-age = \"3650d\"\n";
    let folder = folder(POLICY);
    let csaf = json!({
        "document": {
            "category": "csaf_vex", "csaf_version": "2.0", "title": "x",
            "publisher": {"category": "vendor", "name": "Vendor", "namespace": "https://vendor.example"},
            "tracking": {"id": "1", "status": "final", "version": "1", "current_release_date": "2026-01-01T00:00:00Z"},
        },
        "product_tree": {"full_product_names": [
            {"name": "badlib", "product_id": "p", "product_identification_helper": {"purl": PURL}},
        ]},
        "vulnerabilities": [{
            "cve": "CVE-2026-9001", "product_status": {"known_not_affected": ["p"]},
            "flags": [{"label": "vulnerable_code_not_in_execute_path", "product_ids": ["p"]}],
        }],
    });
    folder.write("vendor.json", csaf.to_string().as_bytes());
    folder.write("policy.toml", format!("{POLICY}{vex}").as_bytes());
    let inside = folder.check("oci:image", &[]);
    assert_eq!(inside.code, 0, "{}", inside.shown);
    assert!(inside.stdout.contains("waived by Vendor until"), "{}", inside.shown);
    let outside = folder.run(&[
        "check",
        "oci:image",
        "--as",
        "registry.example/other/app:1",
        "--policy",
        "policy.toml",
        "--advisories",
        "advisories.bin",
    ]);
    assert_eq!(outside.code, 1, "{}", outside.shown);
    let shown = folder.run(&["policy", "explain", "policy.toml", "--image", "registry.example/team/app"]);
    assert!(shown.stdout.contains("vex: 1 statements of `vendor.json`, by Vendor"), "{}", shown.shown);
    // The document is a part of the policy: other words, another policy.
    let digest = |folder: &CheckFolder| folder.run(&["policy", "check", "policy.toml"]).stdout;
    let before = digest(&folder);
    folder.write("vendor.json", csaf.to_string().replace("execute_path", "control").as_bytes());
    assert_ne!(digest(&folder), before);
    for (from, to, expected) in [
        ("max-age = \"3650d\"", "", "`max-age` is missing"),
        ("author = \"Vendor\"", "author = \"Other\"", "the document is by `Vendor`"),
        ("vendor.json", "absent.json", "cannot use `absent.json`"),
    ] {
        folder.write("policy.toml", format!("{POLICY}{vex}").replace(from, to).as_bytes());
        let refused = folder.check("oci:image", &[]);
        assert_eq!(refused.code, 2, "{}", refused.shown);
        assert!(refused.shown.contains(expected), "{}", refused.shown);
    }
    folder.write("policy.toml", POLICY.as_bytes());
    let unreadable = folder.check("oci:image", &["--vex", "policy.toml"]);
    assert_eq!(unreadable.code, 2, "{}", unreadable.shown);
}
