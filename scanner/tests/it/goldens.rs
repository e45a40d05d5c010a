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
const JOINED: [(&str, &str, &str, &str, PackageKind); 7] = [
    ("alpine-310", "alpine-310", "alpine", "3.10.2", PackageKind::Apk),
    ("amazon-2", "amazon-2", "amzn", "2", PackageKind::Rpm),
    ("debian-buster", "debian-buster", "debian", "10", PackageKind::Deb),
    ("gcr.io-distroless-base-latest", "distroless-base", "debian", "9", PackageKind::Deb),
    ("opensuse-leap-151", "opensuse-leap-151", "opensuse-leap", "15.1", PackageKind::Rpm),
    ("oraclelinux-8-slim", "oraclelinux-8", "ol", "8.0", PackageKind::Rpm),
    ("ubi-7", "ubi-7", "rhel", "7.7", PackageKind::Rpm),
];

/// The ecosystem, as OSV writes it, of one of Trivy's buckets.
pub(crate) fn ecosystem(bucket: &str) -> Option<String> {
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
    if let Some(release) = after("CBL-Mariner ") {
        return Some(format!("Azure Linux:{}", release.split('.').next()?));
    }
    if bucket == "openSUSE Tumbleweed" {
        return Some("openSUSE:Tumbleweed".to_owned());
    }
    let languages = [
        ("cargo", "crates.io"),
        ("composer", "Packagist"),
        ("go", "Go"),
        ("maven", "Maven"),
        ("npm", "npm"),
        ("nuget", "NuGet"),
        ("pip", "PyPI"),
        ("rubygems", "RubyGems"),
    ];
    let (language, _) = bucket.split_once("::")?;
    languages.iter().find(|(known, _)| *known == language).map(|(_, osv)| (*osv).to_owned())
}

/// One of Trivy's advisories as an OSV document.
pub(crate) fn document(ecosystem: &str, package: &str, id: &str, value: &Value) -> Value {
    let texts = |key: &str| -> Vec<String> {
        let texts = value[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let ranges: Vec<Value> = match (value["FixedVersion"].as_str(), texts("VulnerableVersions")) {
        (Some(fixed), _) if !fixed.is_empty() => vec![json!([{ "introduced": "0" }, { "fixed": fixed }])],
        (_, affected) if !affected.is_empty() => affected.iter().map(|text| span(text)).collect(),
        _ => vec![unpatched(&texts("PatchedVersions"))],
    };
    let ranges = ranges.into_iter().map(|events| json!({ "type": "ECOSYSTEM", "events": events }));
    json!({
        "id": id, "modified": "2026-01-01T00:00:00Z",
        "affected": [{
            "package": { "ecosystem": ecosystem, "name": package },
            "ranges": ranges.collect::<Vec<_>>(),
        }],
    })
}

/// `>= 2.0.0, <= 2.9.10.3` or `[2.9.0,2.9.10.7)`, as events.
fn span(text: &str) -> Value {
    let mut events = vec![];
    let mut introduced = json!("0");
    for part in text.split(',').map(str::trim) {
        let end = part.ends_with(')') || part.ends_with(']');
        let version = part.trim_matches(|it: char| " <>=[]()".contains(it)).trim_start_matches('v');
        if part.starts_with('>') || part.starts_with('[') {
            introduced = json!(version);
        } else if part.starts_with("<=") || part.ends_with(']') {
            events.push(json!({ "last_affected": version }));
        } else if part.starts_with('<') || end {
            events.push(json!({ "fixed": version }));
        }
    }
    events.insert(0, json!({ "introduced": introduced }));
    json!(events)
}

/// What lies between versions that are told to be patched: `>= 3.1.0` and `>= 2.1.3, < 3.0.0`.
fn unpatched(patched: &[String]) -> Value {
    let mut events = vec![json!({ "introduced": "0" })];
    for part in patched.iter().flat_map(|text| text.split(',')) {
        let version = part.trim_matches(|it: char| " <>=".contains(it));
        let event = if part.trim().starts_with('<') { "introduced" } else { "fixed" };
        events.push(json!({ event: version }));
    }
    json!(events)
}

/// One of Red Hat's as a VEX document about one CVE.
fn vex(cpe: &str, package: &str, cve: &str, entry: &Value) -> Value {
    let fixed = entry["FixedVersion"].as_str();
    let (epoch, version) = fixed.map_or(("0", ""), |fixed| fixed.split_once(':').unwrap_or(("0", fixed)));
    let purl = match fixed {
        Some(_) => {
            format!("pkg:rpm/redhat/{package}@{}?arch=x86_64&epoch={epoch}", version.replace('+', "%2B"))
        }
        None => format!("pkg:rpm/redhat/{package}?arch=src"),
    };
    let details = match entry["Status"].as_u64() {
        Some(5) => "Will not fix",
        Some(6) => "Fix deferred",
        Some(7) => "Out of support scope",
        _ => "Affected",
    };
    let status = if fixed.is_some() { "fixed" } else { "known_affected" };
    json!({
        "document": { "tracking": { "current_release_date": "2026-01-01T00:00:00Z" } },
        "product_tree": {
            "branches": [
                { "product": { "product_id": "P", "product_identification_helper": { "cpe": cpe } } },
                { "product": { "product_id": "C", "product_identification_helper": { "purl": purl } } },
            ],
            "relationships": [{ "product_reference": "C", "relates_to_product_reference": "P",
                "full_product_name": { "product_id": "P:C" } }],
        },
        "vulnerabilities": [{
            "cve": cve, "product_status": { status: ["P:C"] },
            "remediations": [{ "category": "none_available", "details": details, "product_ids": ["P:C"] }],
        }],
    })
}

fn list(value: &Value) -> Vec<Value> {
    value["pairs"].as_array().cloned().unwrap_or_default()
}

/// All buckets of all of Trivy's fixtures.
fn buckets(data: &Path) -> Vec<Value> {
    let packed = std::fs::read(data.join("vuln/trivy-fixture-db.jsonl.zst")).expect("the fixtures");
    let plain = zstd::decode_all(&packed[..]).expect("zstd");
    let lines = plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let files = lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
    files.flat_map(|file| file["buckets"].as_array().cloned().expect("buckets")).collect()
}

/// Red Hat's documents: those of the products that the fixture names by CPE.
fn red_hat(buckets: &[Value]) -> Vec<Value> {
    let named = |name: &'static str| buckets.iter().filter(move |bucket| bucket["bucket"] == name);
    let tables = named("Red Hat CPE").flat_map(list).filter(|table| table["bucket"] == "cpe");
    let cpes: Vec<(u64, String)> = tables
        .flat_map(|table| list(&table))
        .map(|pair| {
            let number = pair["key"].as_str().expect("a key").parse().expect("a number");
            (number, pair["value"].as_str().expect("a CPE").to_owned())
        })
        .collect();
    let mut documents = Vec::new();
    for package in named("Red Hat").flat_map(list) {
        let name = package["bucket"].as_str().expect("a name").to_owned();
        for advisory in list(&package) {
            let key = advisory["key"].as_str().expect("an id");
            for entry in advisory["value"]["Entries"].as_array().into_iter().flatten() {
                let affected = entry["Affected"].as_array().into_iter().flatten().filter_map(Value::as_u64);
                let affected: Vec<u64> = affected.collect();
                for (_, cpe) in cpes.iter().filter(|(number, _)| affected.contains(number)) {
                    for cve in entry["Cves"].as_array().into_iter().flatten() {
                        documents.push(vex(cpe, &name, cve["ID"].as_str().unwrap_or(key), entry));
                    }
                }
            }
        }
    }
    documents
}

/// The fixtures as a snapshot, and the packages that each id is about.
pub(crate) fn advisories(data: &Path) -> (Advisories, BTreeSet<(String, String)>) {
    let buckets = buckets(data);
    // A source for each advisory: Trivy's fixtures name one problem for several packages, in a document each.
    let mut builder = Builder::new();
    let mut number = 0;
    let mut add = |document: &Value| {
        number += 1;
        builder.add(&format!("{number}"), None, document.to_string().as_bytes()).expect("a known form");
    };
    let mut about = BTreeSet::new();
    for bucket in &buckets {
        let Some(ecosystem) = ecosystem(bucket["bucket"].as_str().expect("a name")) else { continue };
        for package in list(bucket) {
            let Some(name) = package["bucket"].as_str() else { continue };
            for advisory in list(&package) {
                let id = advisory["key"].as_str().expect("an id");
                add(&document(&ecosystem, name, id, &advisory["value"]));
                about.insert((id.to_owned(), name.to_owned()));
            }
        }
    }
    red_hat(&buckets).iter().for_each(&mut add);
    let file = builder.finish(1_800_000_000).expect("a file");
    (Advisories::open(Arc::new(file)).expect("a good file"), about)
}

pub(crate) fn goldens(data: &Path, archive: &str, name: &str) -> Vec<u8> {
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
    let (known, _) = advisories(&data);
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
    println!("Trivy's inventories: {right} of {all} findings over {} lists", JOINED.len());
}

#[test]
fn files_of_composer_and_dotnet_give_trivys_findings() {
    let test = "files_of_composer_and_dotnet_give_trivys_findings";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let (known, _) = advisories(&data);
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
