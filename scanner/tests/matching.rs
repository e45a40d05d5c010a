//! Packages matched against public advisories give the findings that were worked out independently.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use scanner::advisory::{Advisories, Builder};
use scanner::matcher::{Matched, match_packages};
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::{ImagePackage, Unknown};
use serde_json::Value;

/// 2026-11-23.
const NOW: i64 = 1_795_392_000;

#[expect(clippy::disallowed_methods, reason = "the test data lies outside the repository")]
fn data(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PORTCULLIS_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    if !path.join("vuln").is_dir() {
        println!("SKIPPED: {test}: no test data at {}", path.display());
        return None;
    }
    Some(path)
}

const FEEDS: [&str; 10] = [
    "alpine-secdb.jsonl.zst",
    "debian/changelog-fixes-bookworm.jsonl.zst",
    "debian/changelog-fixes-bullseye.jsonl.zst",
    "debian/changelog-fixes-trixie.jsonl.zst",
    "nodejs-security-wg-npm.jsonl.zst",
    "osv-almalinux.jsonl.zst",
    "osv-go.jsonl.zst",
    "osv-harvest.jsonl.zst",
    "osv-pypa.jsonl.zst",
    "retirejs.json.zst",
];

fn advisories(data: &std::path::Path) -> Advisories {
    let mut builder = Builder::new();
    for feed in FEEDS {
        let packed = std::fs::read(data.join("vuln").join(feed)).unwrap();
        let plain = zstd::decode_all(packed.as_slice()).unwrap();
        let source = feed.split('.').next().unwrap();
        if feed.ends_with(".json.zst") {
            builder.add(source, None, &plain).unwrap();
        } else {
            let lines = builder.add_lines(source, None, &plain).unwrap();
            println!("{source}: {lines:?}");
        }
    }
    let file = builder.finish(NOW).unwrap();
    println!("{} bytes", file.len());
    Advisories::open(Arc::new(file)).unwrap()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn image(expected: &Value) -> (Option<Distribution>, Vec<ImagePackage>) {
    let distro = &expected["distro"];
    let distribution = text(&distro["id"]).map(|id| Distribution {
        id,
        version_id: text(&distro["versionID"]),
        codename: None,
        pretty_name: text(&distro["prettyName"]),
    });
    let packages = expected["packages"].as_array().unwrap().iter().filter_map(package).collect();
    (distribution, packages)
}

fn package(value: &Value) -> Option<ImagePackage> {
    let kind = match value["type"].as_str()? {
        "apk" => PackageKind::Apk,
        "deb" => PackageKind::Deb,
        "npm" => PackageKind::Npm,
        "python" => PackageKind::Python,
        _ => return None,
    };
    let version = text(&value["version"])?;
    let source = text(&value["source"]).or_else(|| text(&value["origin"])).map(|name| SourcePackage {
        name,
        version: text(&value["sourceVersion"]).unwrap_or_else(|| version.clone()),
    });
    let package = Package { kind, name: text(&value["name"])?, version, architecture: None, source };
    Some(ImagePackage { package, path: text(&value["locations"][0]).unwrap_or_default(), layer: 0 })
}

/// Every expected finding is there, by any of its names, and no other but those of the `also` packages and ids.
#[track_caller]
fn check(expected: &Value, advisories: &Advisories, also: &[&str]) -> Matched {
    let (distribution, packages) = image(expected);
    let matched = match_packages(distribution.as_ref(), &packages, Some(advisories));
    let mut missed = Vec::new();
    let mut explained = BTreeSet::new();
    for wanted in expected["vulnerabilities"].as_array().unwrap() {
        let mut names: BTreeSet<&str> =
            wanted["aliases"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        names.extend(wanted["id"].as_str());
        let found = matched.findings.iter().position(|finding| {
            let known = names.contains(finding.id.as_str())
                || finding.aliases.iter().any(|it| names.contains(it.as_str()));
            known
                && wanted["package"] == *finding.package.name
                && wanted["installed"] == *finding.package.version
        });
        match found {
            Some(index) => drop(explained.insert(index)),
            None => missed.push(wanted.to_string()),
        }
    }
    let extra: Vec<String> = matched
        .findings
        .iter()
        .enumerate()
        .filter(|(index, it)| {
            !explained.contains(index)
                && !also.iter().any(|also| it.package.name == *also || it.id.starts_with(also))
        })
        .map(|(_, it)| {
            format!("{} {:?} {} {} by {}", it.id, it.aliases, it.package.name, it.package.version, it.source)
        })
        .collect();
    println!(
        "{} expected, {} found",
        expected["vulnerabilities"].as_array().unwrap().len(),
        matched.findings.len()
    );
    assert!(missed.is_empty() && extra.is_empty(), "missed {missed:#?}\nextra {extra:#?}");
    matched
}

fn expectation(data: &std::path::Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(data.join("images/expected").join(name)).unwrap()).unwrap()
}

#[test]
fn real_images_give_the_expected_findings() {
    let Some(data) = data("real_images_give_the_expected_findings") else { return };
    let advisories = advisories(&data);
    for source in advisories.sources() {
        println!("{source:?}");
    }
    for name in ["alpine-3.9.json", "alpine-3.10.json", "debian-11.11-unpatched.json", "app-python.json"] {
        println!("{name}");
        let matched = check(&expectation(&data, name), &advisories, &[]);
        assert_eq!(matched.unknown, [], "{name}");
    }
    let node = expectation(&data, "app-node.json");
    for tag in ["node", "node-fixed"] {
        println!("app-node {tag}");
        // The expectation looked RetireJS libraries up by their own names, not by npm's (`moment.js` is `moment`), and
        // left out problems that have neither CVE nor GHSA id. All of these are open in the installed versions.
        assert_eq!(check(&node[tag], &advisories, &["moment", "RETIREJS-"]).unknown, []);
    }
}

#[test]
fn a_release_without_data_is_unknown_and_not_clean() {
    let Some(data) = data("a_release_without_data_is_unknown_and_not_clean") else { return };
    let matched = check(&expectation(&data, "alpine-3.15.0.json"), &advisories(&data), &[]);
    assert_eq!(matched.findings, []);
    assert_eq!(
        matched.unknown,
        [Unknown::NoAdvisories { ecosystem: "alpine 3.15.0".to_owned(), packages: 14 }]
    );
}
