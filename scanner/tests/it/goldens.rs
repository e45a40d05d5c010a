//! Package lists of real images against the findings that Trivy's own integration tests expect of them.
//!
//! Both sides are Trivy's: the lists, the small advisory fixtures, the reports. Only the matching is ours.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use scanner::advisory::{Advisories, Builder};
use scanner::extractors::{Extractor as _, composer::Composer, dotnet::Dotnet};
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::ImagePackage;
use serde_json::{Value, json};

use crate::build::test_data;
use crate::skipped;

/// Package list, report, how the image calls its system, and the kind of its packages.
const JOINED: [(&str, &str, &str, &str, PackageKind); 6] = [
    ("alpine-310", "alpine-310", "alpine", "3.10.2", PackageKind::Apk),
    ("amazon-2", "amazon-2", "amzn", "2", PackageKind::Rpm),
    ("debian-buster", "debian-buster", "debian", "10", PackageKind::Deb),
    ("gcr.io-distroless-base-latest", "distroless-base", "debian", "9", PackageKind::Deb),
    ("opensuse-leap-151", "opensuse-leap-151", "opensuse-leap", "15.1", PackageKind::Rpm),
    ("oraclelinux-8-slim", "oraclelinux-8", "ol", "8.0", PackageKind::Rpm),
];

/// What differs from a report, by cause:
/// `CPE`: Red Hat's fixture is keyed by product (CPE), which only its own feed has; OSV is keyed by release.
const MISSED: [(&str, &str); 1] = [("ubi-7", "CPE")];

/// The ecosystem, as OSV writes it, of one of Trivy's buckets.
fn ecosystem(bucket: &str) -> Option<String> {
    let after = |start: &str| bucket.strip_prefix(start);
    let named = [
        ("alma ", "AlmaLinux:"),
        ("alpine ", "Alpine:v"),
        ("amazon linux ", "Amazon Linux:"),
        ("debian ", "Debian:"),
        ("Oracle Linux ", "Oracle Linux:"),
        ("openSUSE Leap ", "openSUSE:Leap "),
        ("Photon OS ", "Photon OS:"),
        ("rocky ", "Rocky Linux:"),
        ("ubuntu ", "Ubuntu:"),
    ];
    if let Some((release, osv)) = named.iter().find_map(|(start, osv)| Some((after(start)?, osv))) {
        return (release != "edge").then(|| format!("{osv}{release}"));
    }
    match bucket.split("::").next()? {
        "composer" => Some("Packagist".to_owned()),
        "nuget" => Some("NuGet".to_owned()),
        _ => None,
    }
}

/// One of Trivy's advisories as an OSV document.
fn document(ecosystem: &str, package: &str, id: &str, value: &Value) -> Value {
    let event = |fixed: Option<&str>| match fixed.filter(|fixed| !fixed.is_empty()) {
        Some(fixed) => json!([{ "introduced": "0" }, { "fixed": fixed }]),
        None => json!([{ "introduced": "0" }]),
    };
    let patched = value["PatchedVersions"].as_array().and_then(|versions| versions.last());
    let fixed = value["FixedVersion"].as_str().or_else(|| patched.and_then(Value::as_str));
    json!({
        "id": id, "modified": "2026-01-01T00:00:00Z",
        "affected": [{
            "package": { "ecosystem": ecosystem, "name": package },
            "ranges": [{ "type": "ECOSYSTEM", "events": event(fixed) }],
        }],
    })
}

fn advisories(data: &Path) -> Advisories {
    let packed = std::fs::read(data.join("vuln/trivy-fixture-db.jsonl.zst")).expect("the fixtures");
    let plain = zstd::decode_all(&packed[..]).expect("zstd");
    // A source for each advisory: Trivy's fixtures name one problem for several packages, in a document each.
    let mut builder = Builder::new();
    let mut number = 0;
    let list = |value: &Value| value["pairs"].as_array().cloned().unwrap_or_default();
    for line in plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let file: Value = serde_json::from_slice(line).expect("JSON");
        for bucket in file["buckets"].as_array().expect("buckets") {
            let Some(ecosystem) = ecosystem(bucket["bucket"].as_str().expect("a name")) else { continue };
            for package in list(bucket) {
                let Some(name) = package["bucket"].as_str() else { continue };
                for advisory in list(&package) {
                    let id = advisory["key"].as_str().expect("an id");
                    let document = document(&ecosystem, name, id, &advisory["value"]).to_string();
                    number += 1;
                    builder.add(&format!("{number}"), None, document.as_bytes()).expect("OSV");
                }
            }
        }
    }
    Advisories::open(Arc::new(builder.finish(1_800_000_000).expect("a file"))).expect("a good file")
}

fn goldens(data: &Path, archive: &str, name: &str) -> Vec<u8> {
    let packed = std::fs::read(data.join(archive)).expect("the goldens");
    let plain = zstd::decode_all(&packed[..]).expect("zstd");
    for entry in tar::Archive::new(&plain[..]).entries().expect("tar") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path").ends_with(name) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("content");
            return bytes;
        }
    }
    unreachable!("the golden {name} is not in the archive")
}

/// `epoch:version-release`, as each package manager writes it.
fn version(package: &Value, prefix: &str) -> String {
    let part = |name: &str| package[format!("{prefix}{name}")].as_str().unwrap_or("").to_owned();
    let epoch = package[format!("{prefix}Epoch")].as_u64().filter(|epoch| *epoch > 0);
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let release = Some(part("Release")).filter(|release| !release.is_empty());
    format!("{epoch}{}{}", part("Version"), release.map(|it| format!("-{it}")).unwrap_or_default())
}

fn listed(package: &Value, kind: PackageKind) -> ImagePackage {
    let text = |key: &str| package[key].as_str().unwrap_or("").to_owned();
    let source = Some(SourcePackage { name: text("SrcName"), version: version(package, "Src") });
    let package = Package {
        source: source.filter(|source| !source.name.is_empty()),
        ..Package::new(kind, text("Name"), version(package, ""))
    };
    ImagePackage { package, path: "a database".to_owned(), layer: 0, owned: false }
}

/// `id package installed fixed` of a report.
fn expected(data: &Path, report: &str) -> BTreeSet<String> {
    let bytes = goldens(data, "lockfiles/trivy-goldens.tar.zst", &format!("{report}.json.golden"));
    let report: Value = serde_json::from_slice(&bytes).expect("JSON");
    let mut expected = BTreeSet::new();
    for result in report["Results"].as_array().into_iter().flatten() {
        for found in result["Vulnerabilities"].as_array().into_iter().flatten() {
            let text = |key: &str| found[key].as_str().unwrap_or("-").to_owned();
            let words = ["VulnerabilityID", "PkgName", "InstalledVersion", "FixedVersion"].map(text);
            expected.insert(words.join(" "));
        }
    }
    expected
}

fn found(packages: &[ImagePackage], system: Option<&Distribution>, known: &Advisories) -> BTreeSet<String> {
    let matched = match_packages(system, packages, Some(known));
    let line = |finding: &scanner::finding::Finding| {
        let fixed = finding.fixed_version.as_deref().unwrap_or("-");
        format!("{} {} {} {fixed}", finding.id, finding.package.name, finding.package.version)
    };
    matched.findings.iter().map(line).collect()
}

#[test]
fn package_lists_of_real_images_give_trivys_findings() {
    let test = "package_lists_of_real_images_give_trivys_findings";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let known = advisories(&data);
    let (mut right, mut all) = (0, 0);
    for (list, report, id, version, kind) in JOINED {
        let bytes = goldens(&data, "inventories/packages.tar.zst", &format!("{list}.json.golden"));
        let packages: Vec<Value> = serde_json::from_slice(&bytes).expect("JSON");
        let packages: Vec<_> = packages.iter().map(|package| listed(package, kind)).collect();
        let system = Distribution {
            id: id.to_owned(),
            version_id: Some(version.to_owned()),
            codename: None,
            pretty_name: None,
            repositories: Vec::new(),
        };
        let (expected, found) = (expected(&data, report), found(&packages, Some(&system), &known));
        println!(
            "{list}: {} packages, {} of {} findings",
            packages.len(),
            found.intersection(&expected).count(),
            expected.len()
        );
        (right, all) = (right + found.intersection(&expected).count(), all + expected.len());
        assert_eq!(found, expected, "{list}");
    }
    println!("Trivy's inventories: {right} of {all} findings; left out: {MISSED:?}");
}

#[test]
fn files_of_composer_and_dotnet_give_trivys_findings() {
    let test = "files_of_composer_and_dotnet_give_trivys_findings";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let known = advisories(&data);
    let read = |name: &str| goldens(&data, "lockfiles/trivy-goldens.tar.zst", name);
    let installed = Composer.extract(b"composer/installed.json", &read("composer-vendor/installed.json"));
    let dependencies = Dotnet.extract(b"datacollector.deps.json", &read("datacollector.deps.json"));
    for (report, packages) in [("composer.vendor", installed), ("dotnet", dependencies)] {
        let packages = packages.expect("packages").packages().expect("packages").to_vec();
        let packages = packages.into_iter().map(|package| ImagePackage {
            package,
            path: String::new(),
            layer: 0,
            owned: false,
        });
        let found = found(&packages.collect::<Vec<_>>(), None, &known);
        assert_eq!(found, expected(&data, report), "{report}");
    }
}
