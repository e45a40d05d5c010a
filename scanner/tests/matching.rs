//! Packages matched against public advisories give the findings that were worked out independently.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test and its helpers fail loudly")]

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

fn deb(name: &str, version: &str, source: &str, source_version: &str) -> ImagePackage {
    let source = Some(SourcePackage { name: source.to_owned(), version: source_version.to_owned() });
    let package = Package {
        kind: PackageKind::Deb,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        source,
    };
    ImagePackage { package, path: "var/lib/dpkg/status".to_owned(), layer: 0 }
}

fn module(kind: PackageKind, name: &str, version: &str, path: &str, layer: usize) -> ImagePackage {
    let (name, version) = (name.to_owned(), version.to_owned());
    let package = Package { kind, name, version, architecture: None, source: None };
    ImagePackage { package, path: path.to_owned(), layer }
}

fn distribution(id: &str, version: &str) -> Distribution {
    Distribution {
        id: id.to_owned(),
        version_id: Some(version.to_owned()),
        codename: None,
        pretty_name: None,
    }
}

const TRACKER: &str = r#"{
    "openssl":{"CVE-2026-0001":{"releases":{"bookworm":{"status":"resolved","fixed_version":"3.0.2-1"}}}},
    "python-requests":{"CVE-2026-0002":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.28.1-1+deb12u1"}}}}}"#;
const GHSA: &str = r#"{"id":"GHSA-aaaa","aliases":["CVE-2026-0002"],"modified":"2026-01-01","affected":[{"package":
    {"ecosystem":"PyPI","name":"requests"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.31.0"}]}]}]}"#;
const PYSEC: &str = r#"{"id":"PYSEC-1","aliases":["GHSA-aaaa"],"modified":"2026-01-01","affected":[{"package":
    {"ecosystem":"PyPI","name":"requests"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.31.1"}]}],
    "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}]}"#;

fn small() -> Advisories {
    let mut builder = Builder::new();
    for document in [TRACKER, GHSA, PYSEC] {
        builder.add("test", None, document.as_bytes()).unwrap();
    }
    Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap()
}

/// `id package version -> fix`, a line for each finding.
#[track_caller]
fn check_small(id: &str, packages: &[ImagePackage], expected: &[&str], unknown: &[Unknown]) {
    let release = distribution(id, "12");
    let matched = match_packages(Some(&release), packages, Some(&small()));
    let line = |it: &scanner::finding::Finding| {
        let fix = it.fixed_version.as_deref().unwrap_or("none");
        format!("{} {} {} -> {fix}", it.id, it.package.name, it.package.version)
    };
    assert_eq!(matched.findings.iter().map(line).collect::<Vec<_>>(), expected);
    assert_eq!(matched.unknown, unknown);
}

#[test]
fn a_binary_rebuild_is_judged_by_its_sources_name_and_version() {
    let open = deb("libssl3", "3.0.9+b1", "openssl", "3.0.1-1");
    let fixed = deb("openssl", "3.0.1-1+b9", "openssl", "3.0.2-1");
    check_small("debian", &[open, fixed], &["CVE-2026-0001 libssl3 3.0.9+b1 -> 3.0.2-1"], &[]);
}

#[test]
fn names_of_one_problem_are_one_finding_with_the_worst_grade_and_the_last_fix() {
    let package =
        module(PackageKind::Python, "requests", "2.30.0", "opt/app/requests-2.30.0.dist-info/METADATA", 3);
    let again =
        module(PackageKind::Python, "requests", "2.30.0", "opt/other/requests-2.30.0.dist-info/METADATA", 1);
    let matched = match_packages(None, &[package, again], Some(&small()));
    let [finding] = &matched.findings[..] else { panic!("{:#?}", matched.findings) };
    assert_eq!(finding.id, "CVE-2026-0002");
    assert_eq!(finding.aliases, ["GHSA-aaaa", "PYSEC-1"]);
    assert_eq!(finding.fixed_version.as_deref(), Some("2.31.1"));
    assert_eq!(finding.severity, scanner::finding::Severity::Critical);
    assert_eq!(finding.layer, 1, "the layer that brought it first");
    assert_eq!(finding.source, "osv");
}

#[test]
fn a_module_that_the_distribution_installed_is_judged_by_the_distribution() {
    let owner = || deb("python3-requests", "2.28.1-1+deb12u1", "python-requests", "2.28.1-1+deb12u1");
    let place = "usr/lib/python3/dist-packages/requests-2.28.1.dist-info/METADATA";
    let owned = || module(PackageKind::Python, "requests", "2.28.1", place, 0);
    check_small("debian", &[owner(), owned()], &[], &[]);
    let found = ["CVE-2026-0002 requests 2.28.1 -> 2.31.1"];
    // Nobody claims it; or it was installed beside the packaged one.
    check_small("debian", &[owned()], &found, &[]);
    let place = "usr/local/lib/python3.11/dist-packages/requests-2.28.1.dist-info/METADATA";
    let beside = module(PackageKind::Python, "requests", "2.28.1", place, 0);
    check_small("debian", &[owner(), beside], &found, &[]);
}

#[test]
fn what_cannot_be_judged_is_unknown() {
    let package = || deb("openssl", "3.0.1-1", "openssl", "3.0.1-1");
    let uncovered = |ecosystem: &str| Unknown::NoAdvisories { ecosystem: ecosystem.to_owned(), packages: 1 };
    check_small("raspbian", &[package()], &[], &[uncovered("raspbian 12")]);
    let npm = module(PackageKind::Npm, "left-pad", "1.0.0", "node_modules/left-pad/package.json", 0);
    check_small("debian", &[npm], &[], &[uncovered("npm")]);
    let odd = module(PackageKind::Python, "requests", "whatever", "opt/METADATA", 0);
    let unorderable = Unknown::UnorderableVersion { package: "requests whatever".to_owned() };
    check_small("debian", &[odd], &[], &[unorderable]);
    // A dpkg database in an image that says it is Alpine belongs to nobody's advisories.
    check_small("alpine", &[package()], &[], &[uncovered("alpine 12")]);

    let matched = match_packages(None, &[package()], Some(&small()));
    assert_eq!((matched.findings, matched.unknown), (Vec::new(), vec![Unknown::NoDistribution]));
    let matched = match_packages(Some(&distribution("debian", "12")), &[package()], None);
    assert_eq!((matched.findings, matched.unknown), (Vec::new(), vec![Unknown::NoAdvisoryData]));
}
