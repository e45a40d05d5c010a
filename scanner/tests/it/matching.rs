//! Packages matched against public advisories give the findings that were worked out independently.

#![expect(clippy::unwrap_used, reason = "a test and its helpers fail loudly")]

use std::collections::BTreeSet;
use std::sync::Arc;

use scanner::advisory::{Advisories, Builder};
use scanner::finding::Finding;
use scanner::image::scan;
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::{ImagePackage, Unknown};
use serde_json::Value;

use crate::build::{Walked, images, test_data};
use crate::skipped;

/// 2026-11-23.
const NOW: i64 = 1_795_392_000;

const FEEDS: [&str; 11] = [
    "alpine-secdb.jsonl.zst",
    "debian/changelog-fixes-bookworm.jsonl.zst",
    "debian/changelog-fixes-bullseye.jsonl.zst",
    "debian/changelog-fixes-trixie.jsonl.zst",
    "nodejs-security-wg-npm.jsonl.zst",
    "osv-almalinux.jsonl.zst",
    "osv-go.jsonl.zst",
    "osv-harvest.jsonl.zst",
    "osv-pypa.jsonl.zst",
    "osv-rustsec.jsonl.zst",
    "retirejs.json.zst",
];

pub(crate) fn advisories(data: &std::path::Path) -> Advisories {
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

/// Every expected finding is there, by any of its names, and no other but those of the `also` packages and ids.
#[track_caller]
fn check(expected: &Value, found: &[Finding], also: &[&str]) {
    let mut missed = Vec::new();
    let mut explained = BTreeSet::new();
    for wanted in expected.as_array().unwrap() {
        let mut names: BTreeSet<&str> =
            wanted["aliases"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        names.extend(wanted["id"].as_str());
        let same = |finding: &Finding| {
            let known =
                std::iter::once(&finding.id).chain(&finding.aliases).any(|it| names.contains(it.as_str()));
            known
                && wanted["package"] == *finding.package.name
                && wanted["installed"] == *finding.package.version
        };
        match found.iter().position(same) {
            Some(index) => drop(explained.insert(index)),
            None => missed.push(wanted.to_string()),
        }
    }
    let expected_too =
        |it: &Finding| also.iter().any(|also| it.package.name == *also || it.id.starts_with(also));
    let extra =
        found.iter().enumerate().filter(|(index, it)| !explained.contains(index) && !expected_too(it));
    let extra: Vec<String> = extra
        .map(|(_, it)| {
            format!("{} {:?} {} {} by {}", it.id, it.aliases, it.package.name, it.package.version, it.source)
        })
        .collect();
    assert!(missed.is_empty() && extra.is_empty(), "missed {missed:#?}\nextra {extra:#?}");
}

#[test]
fn real_images_give_the_expected_findings() {
    let test = "real_images_give_the_expected_findings";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let advisories = advisories(&data);
    const IMAGES: [&str; 8] = [
        "alpine-3.9",
        "alpine-3.10",
        "app-go-scratch",
        "app-java",
        "app-node",
        "app-python",
        "app-rust-scratch",
        "debian-11.11-unpatched",
    ];
    for stem in IMAGES {
        let expected = std::fs::read(data.join(format!("images/expected/{stem}.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let file =
            [".oci.tar", ".tar.gz", ".tar"].iter().map(|end| data.join(format!("images/files/{stem}{end}")));
        for image in images(&file.into_iter().find(|file| file.is_file()).unwrap()) {
            let report = scan(&Walked::new(&image).layers(), &image.config, Some(&advisories));
            let expected = expected.get(&image.name).unwrap_or(&expected);
            // The expectation looked RetireJS libraries up by their own names, not by npm's (`moment.js` is `moment`),
            // and left out problems that have neither CVE nor GHSA id. All of these are open in what is installed.
            let also: &[&str] = if stem == "app-node" { &["moment", "RETIREJS-"] } else { &[] };
            let expected = &expected["vulnerabilities"];
            println!("{stem} {}: {} expected", image.name, expected.as_array().unwrap().len());
            check(expected, &report.findings, also);
            assert_eq!(report.unknown, [], "{stem}");
        }
    }
}

#[test]
fn a_release_without_data_is_unknown_and_not_clean() {
    let test = "a_release_without_data_is_unknown_and_not_clean";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let advisories = advisories(&data);
    let image = images(&data.join("images/files/alpine-3.15.0.tar.gz")).remove(0);
    let report = scan(&Walked::new(&image).layers(), &image.config, Some(&advisories));
    assert_eq!(report.findings, []);
    let uncovered = Unknown::NoAdvisories { ecosystem: "alpine 3.15.0".to_owned(), packages: 14 };
    assert_eq!(report.unknown, [uncovered]);
}

fn deb(name: &str, version: &str, source: &str, source_version: &str) -> ImagePackage {
    let source = Some(SourcePackage { name: source.to_owned(), version: source_version.to_owned() });
    let package = Package {
        kind: PackageKind::Deb,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        source,
        module: None,
        vendor: None,
    };
    ImagePackage { package, path: "var/lib/dpkg/status".to_owned(), layer: 0, owned: false }
}

fn module(kind: PackageKind, name: &str, version: &str, path: &str, layer: usize) -> ImagePackage {
    let (name, version) = (name.to_owned(), version.to_owned());
    let package =
        Package { kind, name, version, architecture: None, source: None, module: None, vendor: None };
    ImagePackage { package, path: path.to_owned(), layer, owned: false }
}

fn distribution(id: &str, version: &str) -> Distribution {
    Distribution {
        id: id.to_owned(),
        version_id: Some(version.to_owned()),
        codename: None,
        pretty_name: None,
        repositories: Vec::new(),
    }
}

const TRACKER: &str = r#"{
    "openssl":{"CVE-2026-0001":{"releases":{"bookworm":{"status":"resolved","fixed_version":"3.0.2-1"}}}},
    "linux":{"CVE-2026-0003":{"releases":{"bookworm":{"status":"open"}}}},
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
    // Enough packages for the index to count as covered.
    for number in 0..50 {
        let document = PYSEC
            .replace("requests", &format!("other-{number}"))
            .replace("PYSEC-1", &format!("PYSEC-2-{number}"))
            .replace("GHSA-aaaa", &format!("GHSA-b-{number}"));
        builder.add("test", None, document.as_bytes()).unwrap();
    }
    Advisories::open(Arc::new(builder.finish(NOW).unwrap())).unwrap()
}

/// `id package version -> fix`, a line for each finding.
#[track_caller]
fn check_small(id: &str, packages: &[ImagePackage], expected: &[&str], unknown: &[Unknown]) {
    let release = distribution(id, "12");
    let matched = match_packages(Some(&release), packages, Some(&small()));
    let line = |it: &Finding| {
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
fn headers_of_a_kernel_do_not_inherit_what_was_wrong_in_its_code() {
    let of_kernel = |name: &str| deb(name, "6.1.140-1", "linux", "6.1.140-1");
    let packages =
        ["linux-libc-dev", "linux-headers-6.1.0-37-amd64", "linux-image-6.1.0-37-amd64"].map(of_kernel);
    check_small("debian", &packages, &["CVE-2026-0003 linux-image-6.1.0-37-amd64 6.1.140-1 -> none"], &[]);
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
