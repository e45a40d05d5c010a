//! OSV documents (ossf.github.io/osv-schema 1.7).

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve, parse_date, summarise};
use super::range::{self, Event};
use super::{Ecosystem, severity};
use crate::finding::Severity;

#[derive(Deserialize)]
struct Document {
    id: String,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    #[serde(default)]
    upstream: Option<Vec<String>>,
    #[serde(default)]
    related: Option<Vec<String>>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    modified: Option<String>,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    severity: Option<Vec<Grade>>,
    #[serde(default)]
    affected: Option<Vec<AffectedPackage>>,
    #[serde(default)]
    database_specific: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Grade {
    #[serde(default)]
    score: String,
}

#[derive(Deserialize)]
struct AffectedPackage {
    #[serde(default)]
    package: Option<PackageName>,
    #[serde(default)]
    ranges: Option<Vec<VersionRange>>,
    #[serde(default)]
    versions: Option<Vec<String>>,
    #[serde(default)]
    severity: Option<Vec<Grade>>,
    #[serde(default)]
    ecosystem_specific: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct PackageName {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct VersionRange {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<RawEvent>,
}

#[derive(Deserialize)]
struct RawEvent {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

pub(super) fn parse(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let document: Document = serde_json::from_slice(json)?;
    let mut covers = Vec::new();
    let mut affected = Vec::new();
    for package in document.affected.iter().flatten() {
        let ecosystem = package.package.as_ref().and_then(|package| Ecosystem::from_osv(&package.ecosystem));
        if let (Some(ecosystem), Some(name)) = (ecosystem, &package.package) {
            affected.extend(read_affected(&ecosystem, &name.name, package));
            covers.push(ecosystem);
        }
    }
    let skipped = affected.is_empty() || document.withdrawn.is_some();
    let advisories = if skipped { Vec::new() } else { name_problems(&document, &affected) };
    Ok(Parsed { kind: FeedKind::Osv, advisories, covers, whole: false, skipped: u64::from(skipped) })
}

/// One advisory for one problem. A distribution's bulletin (DSA, USN) speaks of several CVEs that are *not* the same
/// problem: it becomes one advisory for each, or merging by alias would make one finding of them.
fn name_problems(document: &Document, affected: &[Affected]) -> Vec<Advisory> {
    let aliases = document.aliases.clone().unwrap_or_default();
    let advisory = |id: &str, aliases: Vec<String>| Advisory {
        id: id.to_owned(),
        aliases,
        severity: grade(document),
        summary: document
            .summary
            .as_deref()
            .and_then(summarise)
            .or_else(|| document.details.as_deref().and_then(summarise)),
        source: "osv".to_owned(),
        modified: document.modified.as_deref().and_then(parse_date),
        affected: affected.to_vec(),
    };
    // `DEBIAN-CVE-2024-1`, `UBUNTU-CVE-…`, `ALPINE-CVE-…`: the distribution's record of one CVE.
    if let Some((_, cve)) = document.id.split_once('-').filter(|(_, rest)| is_cve(rest)) {
        return vec![advisory(cve, vec![document.id.clone()])];
    }
    let named = aliases.iter().any(|alias| is_cve(alias)) || is_cve(&document.id);
    let bulletin = ["DSA-", "DLA-", "USN-", "LSN-"].iter().any(|prefix| document.id.starts_with(prefix));
    let listed = document.upstream.iter().chain(&document.related).flatten().chain(&aliases);
    let mut cves: Vec<&String> = listed.filter(|id| is_cve(id)).collect();
    cves.sort_unstable();
    cves.dedup();
    if bulletin && !cves.is_empty() {
        return cves.into_iter().map(|cve| advisory(cve, Vec::new())).collect();
    }
    if !named
        && let [cve] = document.upstream.as_deref().unwrap_or_default()
        && is_cve(cve)
    {
        return vec![advisory(&document.id, vec![cve.clone()])];
    }
    vec![advisory(&document.id, aliases)]
}

fn read_affected(ecosystem: &Ecosystem, name: &str, package: &AffectedPackage) -> Option<Affected> {
    let scheme = ecosystem.scheme();
    let written = package.ranges.as_deref().unwrap_or_default();
    let mut versions = package.versions.clone().unwrap_or_default();
    // A range over commits says nothing about the versions of a package.
    let comparable = || written.iter().filter(|range| range.kind != "GIT");
    let mut ranges: Vec<_> =
        comparable().flat_map(|range| range::from_events(scheme, read_events(&range.events))).collect();
    if ranges.is_empty() && versions.is_empty() {
        if !written.is_empty() {
            return None;
        }
        // Neither ranges nor versions: nothing is said to be safe.
        ranges.push(range::everything());
    }
    versions.retain(|version| !ranges.iter().any(|range| range.contains(scheme, version).unwrap_or(false)));
    let specific = package.ecosystem_specific.as_ref();
    let word = |key: &str| {
        specific.and_then(|it| it.get(key)).and_then(|it| it.as_str()).and_then(severity::from_word)
    };
    let severity =
        worst(package.severity.as_deref()).or_else(|| word("urgency")).or_else(|| word("severity"));
    Some(Affected {
        ecosystem: ecosystem.clone(),
        package: ecosystem.normalise(name),
        severity,
        ranges,
        versions,
    })
}

fn read_events(events: &[RawEvent]) -> Vec<Event> {
    let mut read = Vec::with_capacity(events.len());
    for event in events {
        read.extend(event.introduced.clone().map(Event::Introduced));
        read.extend(event.fixed.clone().map(Event::Fixed));
        read.extend(event.last_affected.clone().map(Event::LastAffected));
    }
    read
}

fn worst(grades: Option<&[Grade]>) -> Option<Severity> {
    let read =
        |grade: &Grade| severity::from_vector(&grade.score).or_else(|| severity::from_word(&grade.score));
    grades?.iter().filter_map(read).max()
}

fn grade(document: &Document) -> Severity {
    let word =
        document.database_specific.as_ref().and_then(|it| it.get("severity")).and_then(|it| it.as_str());
    worst(document.severity.as_deref()).or_else(|| word.and_then(severity::from_word)).unwrap_or_default()
}
