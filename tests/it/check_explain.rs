//! `check --explain`: a person sees which packages and advisories were asked, and what each comparison gave.

use insta::assert_snapshot;
use tests::check_folder::{CheckFolder, POLICY};
use tests::clients::Outcome;
use tests::image_builder::{Archive, Compression, ImageBuilder};

const SECDB: &str = r#"{
  "distroversion": "v3.20", "reponame": "main",
  "packages": [
    { "pkg": { "name": "badlib", "secfixes": { "1.2.4-r0": ["CVE-2026-9001"], "1.2.9-r0": ["CVE-2026-9002"] } } },
    { "pkg": { "name": "oldlib", "secfixes": { "1.9-r0": ["CVE-2026-9003"] } } },
    { "pkg": { "name": "absent", "secfixes": { "1.0-r0": ["CVE-2026-9004"] } } }
  ]
}"#;

fn osv(id: &str, more: &str) -> String {
    format!(
        r#"{{ "id": "{id}", "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z",
          "severity": [{{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }}], {more} }}"#
    )
}

fn folder() -> CheckFolder {
    let exception = "\n[[exception]]\nfinding = \"CVE-2026-9002\"\nimages = [\"**\"]\nreason = \"not reachable\"\n\
                     owner = \"a@example\"\nexpires = 2999-01-31\n";
    let severe = |id: &str, fixed: &str| {
        let affected = format!(
            r#""affected": [{{ "package": {{ "ecosystem": "Alpine:v3.20", "name": "badlib" }},
            "ranges": [{{ "type": "ECOSYSTEM", "events": [{{ "introduced": "0" }}, {{ "fixed": "{fixed}" }}] }}] }}]"#
        );
        osv(id, &affected)
    };
    let python = r#""aliases": ["CVE-2026-9005"], "affected": [{ "package": { "ecosystem": "PyPI", "name": "tool" },
        "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "2.0" }, { "fixed": "2.4" }] }],
        "versions": ["1.5"] }]"#;
    let withdrawn = r#""withdrawn": "2026-02-01T00:00:00Z",
        "affected": [{ "package": { "ecosystem": "Alpine:v3.20", "name": "badlib" } }]"#;
    let folder = CheckFolder::new(
        &format!("{POLICY}{exception}"),
        &[
            ("alpine.json", SECDB),
            ("CVE-2026-9001.json", &severe("ALPINE-CVE-2026-9001", "1.2.4-r0")),
            ("CVE-2026-9002.json", &severe("ALPINE-CVE-2026-9002", "1.2.9-r0")),
            ("GHSA-1111-2222-3333.json", &osv("GHSA-1111-2222-3333", python)),
            ("CVE-2026-9009.json", &osv("ALPINE-CVE-2026-9009", withdrawn)),
        ],
    );
    let record = |name: &str, version: &str, origin: &str, files: &str| {
        format!("P:{name}\nV:{version}\nA:x86_64\nS:1\nI:1\nL:MIT\no:{origin}\n{files}\n")
    };
    let owned = "F:usr/lib/python3.12/site-packages/helper-1.0.dist-info\nR:METADATA\n";
    let database = [
        record("badlib-dev", "1.2.3-r0", "badlib", ""),
        record("oldlib", "2.0-r0", "oldlib", ""),
        record("py3-helper", "1.0-r7", "py3-helper", owned),
    ];
    let metadata = |name: &str, version: &str| {
        let place = format!("usr/lib/python3.12/site-packages/{name}-{version}.dist-info/METADATA");
        (place, format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n"))
    };
    let (helper, helper_text) = metadata("helper", "1.0");
    let (tool, tool_text) = metadata("tool", "2.3");
    let base = Archive::new()
        .file("etc/os-release", 0o644, b"ID=alpine\nVERSION_ID=3.20.1\nPRETTY_NAME=\"Alpine Linux v3.20\"\n")
        .file("lib/apk/db/installed", 0o644, database.concat().as_bytes())
        .file(&helper, 0o644, helper_text.as_bytes())
        .layer(Compression::Gzip);
    let added = Archive::new().file(&tool, 0o644, tool_text.as_bytes()).layer(Compression::Gzip);
    let image =
        ImageBuilder::new().layer(base, "ADD rootfs.tar.gz /").layer(added, "RUN pip install tool==2.3");
    folder.image("image", image);
    folder
}

/// Advisories without a date of their own have their file's.
fn undated(text: &str) -> String {
    let line = |line: &str| match (line.strip_prefix("advisories  "), line.split_once("; ")) {
        (Some(_), Some((_, rest))) => format!("advisories  […]; {rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn each_answer_is_told_with_the_packages_the_advisories_and_both_versions_of_each_comparison() {
    let folder = folder();
    let explain = |query: &str| {
        let outcome = folder.check("oci:image", &["--explain", query]);
        Outcome { stdout: undated(&outcome.stdout), ..outcome }
    };
    let affected = explain("CVE-2026-9001");
    assert_eq!(affected.code, 1, "the verdict is the check's: {}", affected.shown);
    assert_snapshot!("affected", affected.stdout);
    assert_snapshot!("fixed", explain("cve-2026-9003").stdout);
    assert_snapshot!("not_installed", explain("CVE-2026-9004").stdout);
    assert_snapshot!("withdrawn", explain("CVE-2026-9009").stdout);
    assert_snapshot!("waived", explain("CVE-2026-9002").stdout);
    assert_snapshot!("by_another_name", explain("CVE-2026-9005").stdout);
    assert_snapshot!("owned", explain("helper").stdout);
    assert_snapshot!("package", explain("badlib").stdout);
    let same = |text: String| text.replace("CVE-2026-9005", "X").replace("GHSA-1111-2222-3333", "X");
    assert_eq!(same(explain("GHSA-1111-2222-3333").stdout), same(explain("CVE-2026-9005").stdout));
}

#[test]
fn the_json_form_says_the_same_and_agrees_with_the_scan() {
    let folder = folder();
    let outcome = folder.check("oci:image", &["--explain", "CVE-2026-9001", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(told["schema"], "portcullis-explain/1");
    let image = &told["images"][0];
    let package = &image["packages"][0];
    assert_eq!(package["outcome"], "affected");
    assert_eq!(
        package["asked"],
        serde_json::json!([{ "ecosystem": "alpine:3.20", "name": "badlib", "version": "1.2.3-r0" }])
    );
    assert_eq!(package["instruction"], "ADD rootfs.tar.gz /");
    for advisory in package["advisories"].as_array().expect("a list") {
        assert_eq!(advisory["affected"], true, "{advisory}");
        let range = &advisory["compared"][0];
        assert_eq!((&range["fixed"], &range["place"]), (&"1.2.4-r0".into(), &"inside".into()), "{range}");
    }
    assert_eq!(image["decisions"][0]["answer"], "refused");
    let scan: serde_json::Value =
        serde_json::from_str(&folder.check("oci:image", &["--output", "json"]).stdout).expect("JSON");
    let found = scan["scans"][0]["scan"]["findings"].as_array().expect("a list");
    let found = found.iter().find(|finding| finding["id"] == "CVE-2026-9001");
    assert_eq!(found, Some(&image["findings"][0]));
}

#[test]
fn other_forms_are_a_usage_mistake_and_no_advisories_means_unknown() {
    let folder = folder();
    let refused = folder.check("oci:image", &["--explain", "x", "--output", "sarif"]);
    assert_eq!(refused.code, 2, "{}", refused.shown);
    let blind = folder.run(&[
        "check",
        "oci:image",
        "--as",
        "registry.example/a:1",
        "--policy",
        "policy.toml",
        "--explain",
        "CVE-2026-9001",
    ]);
    assert!(blind.stdout.contains("CVE-2026-9001: unknown, for no advisories are loaded"), "{}", blind.shown);
}
