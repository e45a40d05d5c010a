//! Every report of Trivy's own integration tests, and human labels, against our matching: how many agree, and why not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use scanner::advisory::{Advisories, Builder, Ecosystem};
use scanner::finding::{Finding, Unfixed};
use scanner::matcher::match_packages;
use scanner::package::{Distribution, Package, PackageKind, SourcePackage};
use scanner::report::ImagePackage;
use serde_json::Value;

use crate::build::test_data;
use crate::{goldens, matching, skipped, trivy};

/// Why a report's finding is not ours: the type of its packages or the report, and the cause.
/// `ECOSYSTEM`: packages of that kind are not judged here. `EDGE`: the image says that it is 3.16 and installs from `edge`,
/// which only its list of repositories tells; it is judged as what it says it is.
const CAUSES: [(&str, &str); 7] = [
    ("alpine-distroless.json.golden", "EDGE"),
    ("cocoapods", "ECOSYSTEM"),
    ("conan", "ECOSYSTEM"),
    ("hex", "ECOSYSTEM"),
    ("kubernetes", "ECOSYSTEM"),
    ("pub", "ECOSYSTEM"),
    ("swift", "ECOSYSTEM"),
];

fn kind(of: &str) -> Option<PackageKind> {
    Some(match of {
        "alpine" => PackageKind::Apk,
        "debian" | "ubuntu" => PackageKind::Deb,
        "bun" | "npm" | "pnpm" | "yarn" => PackageKind::Npm,
        "cargo" => PackageKind::Cargo,
        "composer" | "composer-vendor" => PackageKind::Composer,
        "dotnet-core" | "nuget" | "packages-props" => PackageKind::Nuget,
        "gemspec" => PackageKind::Gem,
        "gomod" => PackageKind::Golang,
        "gradle" | "jar" | "pom" | "sbt" => PackageKind::Maven,
        "pip" | "pipenv" | "poetry" | "pylock" | "python-pkg" | "uv" => PackageKind::Python,
        "alma"
        | "amazon"
        | "cbl-mariner"
        | "centos"
        | "opensuse-leap"
        | "opensuse-tumbleweed"
        | "oracle"
        | "photon"
        | "redhat"
        | "rocky" => PackageKind::Rpm,
        _ => return None,
    })
}

/// What the image's `os-release` said, out of Trivy's own words for it.
fn system(report: &Value) -> Option<Distribution> {
    let family = report["Metadata"]["OS"]["Family"].as_str()?;
    let name = report["Metadata"]["OS"]["Name"].as_str()?;
    let ids = [
        ("alma", "almalinux"),
        ("amazon", "amzn"),
        ("cbl-mariner", "mariner"),
        ("oracle", "ol"),
        ("redhat", "rhel"),
    ];
    let id = ids.iter().find(|(trivy, _)| *trivy == family).map_or(family, |(_, id)| id);
    let version = name.split(' ').find(|word| word.starts_with(|it: char| it.is_ascii_digit()))?;
    Some(Distribution {
        id: id.to_owned(),
        version_id: Some(version.to_owned()),
        codename: None,
        pretty_name: None,
        repositories: Vec::new(),
    })
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("")
}

/// A result's packages: all where the report lists them, else those that it has findings of. Reports do not name sources;
/// the advisory does.
fn packages(result: &Value, kind: PackageKind, about: &BTreeSet<(String, String)>) -> Vec<ImagePackage> {
    let mut packages: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    for listed in result["Packages"].as_array().into_iter().flatten() {
        packages.insert((text(listed, "Name").to_owned(), text(listed, "Version").to_owned()), None);
    }
    for found in result["Vulnerabilities"].as_array().into_iter().flatten() {
        let (id, name) = (text(found, "VulnerabilityID"), text(found, "PkgName"));
        let named: Vec<&String> = about.iter().filter(|(of, _)| of == id).map(|(_, name)| name).collect();
        let source = if named.iter().any(|named| *named == name) { None } else { named.first() };
        let key = (name.to_owned(), text(found, "InstalledVersion").to_owned());
        packages.insert(key, source.map(|name| (*name).clone()));
    }
    let installed = |((name, version), source): ((String, String), Option<String>)| {
        let name = if kind == PackageKind::Python { name.to_lowercase() } else { name };
        let source = kind.is_system().then(|| SourcePackage {
            name: source.unwrap_or_else(|| name.clone()),
            version: version.clone(),
        });
        let package = Package { source, ..Package::new(kind, name, version) };
        ImagePackage { package, path: String::new(), layer: 0, owned: false }
    };
    packages.into_iter().map(installed).collect()
}

fn without_epoch(version: &str) -> &str {
    version.strip_prefix("0:").unwrap_or(version)
}

/// Trivy lists all versions that fix; ours is the one for the installed version, or why there is none.
fn agrees(expected: &Value, finding: &Finding) -> bool {
    let unfixed = match text(expected, "Status") {
        "will_not_fix" => finding.unfixed == Some(Unfixed::WillNotFix),
        "fix_deferred" => finding.unfixed == Some(Unfixed::Deferred),
        // Red Hat's; of Debian's, the fixture has the state alone and no OSV document could.
        "end_of_life" if finding.source == "redhat" => finding.unfixed == Some(Unfixed::OutOfSupport),
        _ => true,
    };
    let fixed = match (expected["FixedVersion"].as_str(), &finding.fixed_version) {
        (Some(versions), Some(version)) => versions.contains(without_epoch(version)),
        // A span that ends with its last affected version names no fix.
        (Some(_), None) => !finding.package.kind.is_system(),
        (None, version) => version.is_none(),
    };
    let name = text(expected, "PkgName");
    let same_name = finding.package.name == name || finding.package.name == name.to_lowercase();
    finding.id == text(expected, "VulnerabilityID")
        && same_name
        && finding.package.version == text(expected, "InstalledVersion")
        && fixed
        && unfixed
}

#[test]
fn every_report_of_trivys_agrees_or_tells_why_not() {
    let test = "every_report_of_trivys_agrees_or_tells_why_not";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let (known, about) = goldens::advisories(&data);
    compare("by feeds", &data, &known, &about);
    // The same once more out of the database that the reports were made with.
    let mut builder = Builder::new();
    builder.add("trivy", None, &trivy::fixtures(&data)).expect("a database");
    let file = builder.finish(1_800_000_000).expect("a file");
    let known = Advisories::open(std::sync::Arc::new(file)).expect("a good file");
    compare("by trivy.db", &data, &known, &about);
}

fn compare(way: &str, data: &std::path::Path, known: &Advisories, about: &BTreeSet<(String, String)>) {
    let packed = std::fs::read(data.join("lockfiles/trivy-goldens.tar.zst")).expect("the goldens");
    let plain = zstd::decode_all(&packed[..]).expect("zstd");
    let (mut reports, mut right, mut all) = (0, 0, 0);
    let mut explained: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut missed, mut extra) = (Vec::new(), Vec::new());
    for entry in tar::Archive::new(&plain[..]).entries().expect("tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("content");
        let report: Value = match serde_json::from_slice(&bytes) {
            Ok(report) if name.ends_with(".json.golden") => report,
            _ => continue,
        };
        reports += 1;
        for result in report["Results"].as_array().into_iter().flatten() {
            let of = text(result, "Type");
            let expected = result["Vulnerabilities"].as_array().cloned().unwrap_or_default();
            all += expected.len();
            let Some(kind) = kind(of) else {
                let cause = CAUSES.iter().find(|(known, _)| *known == of).map(|(_, cause)| *cause);
                match cause {
                    Some(cause) => *explained.entry(cause).or_default() += expected.len(),
                    None => missed.extend(expected.iter().map(|it| format!("{name}: {of} {it}"))),
                }
                continue;
            };
            let system = if kind.is_system() { system(&report) } else { None };
            let installed = packages(result, kind, about);
            let found = match_packages(system.as_ref(), &installed, Some(known)).findings;
            for wanted in &expected {
                let cause = CAUSES.iter().find(|(known, _)| *known == name).map(|(_, cause)| *cause);
                if found.iter().any(|finding| agrees(wanted, finding)) {
                    right += 1;
                } else if let Some(cause) = cause {
                    *explained.entry(cause).or_default() += 1;
                } else {
                    let (id, package) = (text(wanted, "VulnerabilityID"), text(wanted, "PkgName"));
                    missed.push(format!("{name}: {id} {package}"));
                }
            }
            // A report may be filtered (by severity, by VEX); what is listed whole and unfiltered must be all.
            let whole = result["Packages"].is_array();
            for finding in found.iter().filter(|_| whole) {
                if !expected.iter().any(|wanted| agrees(wanted, finding)) {
                    extra.push(format!("{name}: {} {}", finding.id, finding.package.name));
                }
            }
        }
    }
    println!(
        "Trivy's reports {way}: {reports} reports, {right} of {all} findings agree; not ours by cause: {explained:?}; \
         unexplained: {}; extra: {}",
        missed.len(),
        extra.len()
    );
    assert!(missed.is_empty() && extra.is_empty(), "missed {missed:#?}\nextra {extra:#?}");
    assert!(reports >= 60 && right >= 100, "{reports} {right}");
}

/// Ecosystems that a label may be about: it tells name and version, and not of what.
const LANGUAGES: [&str; 6] = ["Go", "Maven", "PyPI", "RubyGems", "crates.io", "npm"];

/// Whether the snapshot says that this version has this problem; `None` where it does not know the problem under this name.
fn judged(known: &Advisories, name: &str, version: &str, ids: &[&str]) -> Option<bool> {
    let mut judged = None;
    for language in LANGUAGES {
        let ecosystem = Ecosystem::from_osv(language).expect("known");
        let name = if language == "Maven" && !name.contains(':') {
            Ecosystem::of_any_group(name)
        } else {
            ecosystem.normalise(name)
        };
        for entry in known.lookup(&ecosystem, &name).expect("a good file") {
            let entry = entry.expect("a good file");
            if !std::iter::once(&entry.id).chain(&entry.aliases).any(|known| ids.contains(known)) {
                continue;
            }
            let spans = entry.ranges.iter().map(|range| range.contains(ecosystem.scheme(), version));
            let spans = spans.collect::<Result<Vec<bool>, _>>();
            let Ok(spans) = spans else { continue };
            let affected = spans.contains(&true) || entry.versions.contains(&version);
            judged = Some(judged.unwrap_or(false) || affected);
        }
    }
    judged
}

/// Packages that were labelled as affected, and that the advisory, as it is published by now, leaves out.
const REVISED: [(&str, &str); 8] = [
    ("Django", "1.11.29"),
    ("cryptiles", "2.0.5"),
    ("github.com/opencontainers/runc", "v0.1.1"),
    ("jackson-databind", "2.4.0"),
    ("jackson-databind", "2.6.7.3"),
    ("lodash", "2.4.2"),
    ("lodash", "3.10.1"),
    ("numpy", "1.21.2"),
];

#[test]
fn human_labels_agree_where_the_advisory_is_known() {
    let test = "human_labels_agree_where_the_advisory_is_known";
    let Some(data) = test_data() else { return skipped(test, "no test data") };
    let known = matching::advisories(&data);
    let packed = std::fs::read(data.join("vuln/match-labels.jsonl.zst")).expect("the labels");
    let plain = zstd::decode_all(&packed[..]).expect("zstd");
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut missed = BTreeSet::new();
    for line in plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let label: Value = serde_json::from_slice(line).expect("JSON");
        let verdict = match text(&label, "label") {
            "TP" => "true",
            "FP" => "false",
            _ => "undecided",
        };
        let (name, version) = (text(&label["package"], "name"), text(&label["package"], "version"));
        let ids = [text(&label, "vulnerability_id"), text(&label, "effective_cve")];
        let answer = match judged(&known, name, version, &ids) {
            Some(true) => "matched",
            Some(false) => "not matched",
            None => "no advisory",
        };
        *counts.entry((verdict, answer)).or_default() += 1;
        if (verdict, answer) == ("true", "not matched") && !REVISED.contains(&(name, version)) {
            missed.insert(format!("{name} {version} {}", ids[0]));
        }
    }
    let count = |verdict, answer| counts.get(&(verdict, answer)).copied().unwrap_or(0);
    let (right, revised) = (count("true", "matched"), count("true", "not matched") - missed.len());
    println!(
        "labels: {right} of {} true ones whose advisory is known are matched; not ours by cause: REVISED {revised}, \
         NO-ADVISORY {}; of those labelled false {} are matched (a label is about one image, which is not here: \
         IDENTITY), {} are not",
        right + revised + missed.len(),
        count("true", "no advisory"),
        count("false", "matched"),
        count("false", "not matched"),
    );
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(right >= 720, "{counts:?}");
}
