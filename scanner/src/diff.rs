//! What changed from one image to the next; pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::finding::{Finding, Severity};
use crate::package::PackageKind;
use crate::report::{LayerSummary, ScanReport, SecretFinding, Unknown};

/// The difference between two images. Lists are sorted.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Packages of which versions came, went or changed.
    pub packages: Vec<PackageChange>,
    /// Problems that the newer image has and the older has not.
    pub new_findings: Vec<FindingChange>,
    /// Problems that the newer image has no more.
    pub fixed_findings: Vec<FindingChange>,
    /// How many problems both have.
    pub kept_findings: usize,
    /// Secrets by value: moving one is no news.
    pub new_secrets: Vec<SecretFinding>,
    /// Secrets that no layer of the newer image holds.
    pub gone_secrets: Vec<SecretFinding>,
    /// How many both hold.
    pub kept_secrets: usize,
    /// What could be judged before and cannot be any more: findings may hide there.
    pub new_unknown: Vec<Unknown>,
    /// Sizes, layer by layer.
    pub layers: Layers,
}

/// One package name and its versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageChange {
    /// Which package manager.
    pub kind: PackageKind,
    /// Name.
    pub name: String,
    /// Versions that only the older image has; empty: the package was added.
    pub from: Vec<String>,
    /// Versions that only the newer image has; empty: it was removed, or fewer versions of it are left.
    pub to: Vec<String>,
    /// Versions that both have.
    pub kept: Vec<String>,
}

/// One problem of one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingChange {
    /// See [`Finding::id`].
    pub id: String,
    /// See [`Finding::severity`].
    pub severity: Severity,
    /// Which package manager.
    pub kind: PackageKind,
    /// Name of the package.
    pub package: String,
    /// Its affected versions.
    pub versions: BTreeSet<String>,
    /// See [`Finding::fixed_version`].
    pub fixed_version: Option<String>,
}

/// The layers of both images: those they share, from the oldest on, and what stands above.
#[derive(Clone, Debug, Serialize)]
pub struct Layers {
    /// How many of the oldest layers are the same bytes.
    pub shared: usize,
    /// Above those, in the older image.
    pub removed: Vec<LayerSummary>,
    /// Above those, in the newer image.
    pub added: Vec<LayerSummary>,
    /// Bytes on the wire, older and newer.
    pub compressed_bytes: (u64, u64),
    /// Bytes of regular files, older and newer.
    pub file_bytes: (u64, u64),
    /// Bytes that later layers hide, older and newer.
    pub hidden_bytes: (u64, u64),
}

impl PackageChange {
    /// `added`, `removed` or `changed`.
    pub fn word(&self) -> &'static str {
        match (self.from.is_empty(), self.to.is_empty(), self.kept.is_empty()) {
            (true, _, true) => "added",
            (_, true, true) => "removed",
            _ => "changed",
        }
    }
}

/// Compares two reports, which must have been matched against the same advisories.
pub fn diff(older: &ScanReport, newer: &ScanReport) -> Difference {
    let (before, after) = (findings(older), findings(newer));
    let (secrets_before, secrets_after) = (secrets(older), secrets(newer));
    let known: BTreeSet<&Unknown> = older.unknown.iter().collect();
    Difference {
        packages: packages(older, newer),
        kept_findings: after.keys().filter(|key| before.contains_key(*key)).count(),
        new_findings: only_in(&after, &before),
        fixed_findings: only_in(&before, &after),
        kept_secrets: secrets_after.keys().filter(|key| secrets_before.contains_key(*key)).count(),
        new_secrets: only(&secrets_after, &secrets_before),
        gone_secrets: only(&secrets_before, &secrets_after),
        new_unknown: newer.unknown.iter().filter(|unknown| !known.contains(unknown)).cloned().collect(),
        layers: layers(older, newer),
    }
}

type Versions<'r> = BTreeMap<(PackageKind, &'r str), BTreeSet<&'r str>>;

fn versions(report: &ScanReport) -> Versions<'_> {
    let mut versions = Versions::new();
    for package in report.packages.iter().map(|found| &found.package) {
        versions.entry((package.kind, &package.name)).or_default().insert(&package.version);
    }
    versions
}

fn packages(older: &ScanReport, newer: &ScanReport) -> Vec<PackageChange> {
    let (before, after) = (versions(older), versions(newer));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
    let none = BTreeSet::new();
    let texts = |versions: &mut dyn Iterator<Item = &&str>| versions.map(|text| (*text).to_owned()).collect();
    let change = |key: (PackageKind, &str)| {
        let (from, to) = (before.get(&key).unwrap_or(&none), after.get(&key).unwrap_or(&none));
        (from != to).then(|| PackageChange {
            kind: key.0,
            name: key.1.to_owned(),
            from: texts(&mut from.difference(to)),
            to: texts(&mut to.difference(from)),
            kept: texts(&mut from.intersection(to)),
        })
    };
    names.into_iter().filter_map(change).collect()
}

type Findings<'r> = BTreeMap<(&'r str, PackageKind, &'r str), Vec<&'r Finding>>;

/// By problem and package: an update that does not fix it is the same problem.
fn findings(report: &ScanReport) -> Findings<'_> {
    let mut findings = Findings::new();
    for finding in &report.findings {
        let key = (finding.id.as_str(), finding.package.kind, finding.package.name.as_str());
        findings.entry(key).or_default().push(finding);
    }
    findings
}

fn only_in(these: &Findings<'_>, not_those: &Findings<'_>) -> Vec<FindingChange> {
    let change = |((id, kind, package), found): (&(&str, PackageKind, &str), &Vec<&Finding>)| FindingChange {
        id: (*id).to_owned(),
        severity: found.iter().map(|finding| finding.severity).max().unwrap_or_default(),
        kind: *kind,
        package: (*package).to_owned(),
        versions: found.iter().map(|finding| finding.package.version.clone()).collect(),
        fixed_version: found.iter().find_map(|finding| finding.fixed_version.clone()),
    };
    let mut changes: Vec<FindingChange> =
        these.iter().filter(|(key, _)| !not_those.contains_key(*key)).map(change).collect();
    changes.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| (&a.package, &a.id).cmp(&(&b.package, &b.id)))
    });
    changes
}

type Secrets<'r> = BTreeMap<(&'r str, &'r str), &'r SecretFinding>;

fn secrets(report: &ScanReport) -> Secrets<'_> {
    // The first place of each, in the order of the report.
    let keyed = report.secrets.iter().rev();
    keyed.map(|secret| ((secret.rule.as_str(), secret.value_sha256.as_str()), secret)).collect()
}

fn only(these: &Secrets<'_>, not_those: &Secrets<'_>) -> Vec<SecretFinding> {
    let mut only: Vec<SecretFinding> = these
        .iter()
        .filter(|(key, _)| !not_those.contains_key(*key))
        .map(|(_, secret)| (*secret).clone())
        .collect();
    only.sort();
    only
}

fn layers(older: &ScanReport, newer: &ScanReport) -> Layers {
    // The same bytes unpacked: a layer that was only packed again is the same layer.
    let same = |(a, b): &(&LayerSummary, &LayerSummary)| a.diff_id.is_some() && a.diff_id == b.diff_id;
    let shared = older.layers.iter().zip(&newer.layers).take_while(same).count();
    let both = |sum: fn(&ScanReport) -> u64| (sum(older), sum(newer));
    Layers {
        shared,
        removed: older.layers[shared..].to_vec(),
        added: newer.layers[shared..].to_vec(),
        compressed_bytes: both(|report| {
            report.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.compressed_bytes))
        }),
        file_bytes: both(|report| report.waste.total_bytes),
        hidden_bytes: both(|report| report.waste.hidden_bytes),
    }
}
