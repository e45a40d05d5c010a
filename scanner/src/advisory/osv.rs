//! OSV documents (ossf.github.io/osv-schema 1.7).

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve, parse_date, summarise};
use super::range::{self, Event};
use super::{Ecosystem, RangeEnd, severity};
use crate::finding::Severity;
use crate::versions::Scheme;

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
            let stream = document.summary.as_deref().and_then(module_stream);
            let read = read_affected(&ecosystem, &name.name, package, stream);
            if let (Some(read), "maven", Some((_, artifact))) =
                (&read, ecosystem.as_str(), name.name.split_once(':'))
            {
                affected.push(Affected { package: Ecosystem::of_any_group(artifact), ..read.clone() });
            }
            affected.extend(read);
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
        bulletin: None,
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
    let bulletin = BULLETINS.iter().any(|prefix| document.id.starts_with(prefix));
    let listed = document.upstream.iter().chain(&document.related).flatten().chain(&aliases);
    let mut cves: Vec<&String> = listed.filter(|id| is_cve(id)).collect();
    cves.sort_unstable();
    cves.dedup();
    if cves.is_empty() && BUG_FIXES.iter().any(|prefix| document.id.starts_with(prefix)) {
        return Vec::new();
    }
    if bulletin && !cves.is_empty() {
        return cves
            .into_iter()
            .map(|cve| Advisory { bulletin: Some(document.id.clone()), ..advisory(cve, Vec::new()) })
            .collect();
    }
    if !named
        && let [cve] = document.upstream.as_deref().unwrap_or_default()
        && is_cve(cve)
    {
        return vec![advisory(&document.id, vec![cve.clone()])];
    }
    vec![advisory(&document.id, aliases)]
}

/// Ids of bulletins, each of which may fix several problems.
const BULLETINS: [&str; 18] = [
    "ALAS",
    "ALBA-",
    "ALEA-",
    "ALSA-",
    "DLA-",
    "DSA-",
    "ELSA-",
    "LSN-",
    "MGASA-",
    "RHBA-",
    "RHEA-",
    "RHSA-",
    "RLSA-",
    "RXSA-",
    "SUSE-RU-",
    "SUSE-SU-",
    "USN-",
    "openSUSE-SU-",
];

/// Ids of bulletins that need not be about security at all.
const BUG_FIXES: [&str; 6] = ["ALBA-", "ALEA-", "RHBA-", "RHEA-", "SUSE-FU-", "SUSE-RU-"];

/// `nodejs:16` out of `Important: nodejs:16 security update`.
fn module_stream(summary: &str) -> Option<&str> {
    summary.split(' ').find(|word| {
        word.split_once(':').is_some_and(|(module, stream)| !module.is_empty() && !stream.is_empty())
    })
}

/// Packages of a module bear it in their release: `.module_el8.6.0+2880+7d9e3703`, `.module+el8.10.0+21142+453d2b75`.
pub(crate) fn is_modular(version: &str) -> bool {
    version.contains(".module_") || version.contains(".module+")
}

fn read_affected(
    ecosystem: &Ecosystem,
    name: &str,
    package: &AffectedPackage,
    stream: Option<&str>,
) -> Option<Affected> {
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
    let modular = scheme == Scheme::Rpm
        && ranges.iter().any(|range| matches!(&range.end, RangeEnd::Fixed(fixed) if is_modular(fixed)));
    Some(Affected {
        ecosystem: ecosystem.clone(),
        package: if modular { Ecosystem::in_module(stream, name) } else { ecosystem.normalise(name) },
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
    // `Important: curl security update`: the rpm family grades in words, and only here.
    let first =
        document.summary.as_deref().and_then(|summary| summary.split_once(": ")).map(|(word, _)| word);
    worst(document.severity.as_deref())
        .or_else(|| word.and_then(severity::from_word))
        .or_else(|| first.and_then(severity::from_word))
        .unwrap_or_default()
}
