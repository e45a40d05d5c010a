//! OSV documents (ossf.github.io/osv-schema 1.7).

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve, parse_date, summarise};
use super::range::{self, Event};
use super::severity::{self, Grade};
use super::{Ecosystem, RangeEnd, Remedy};
use crate::finding::{Cvss, Severity};

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
    severity: Option<Vec<Grading>>,
    #[serde(default)]
    affected: Option<Vec<AffectedPackage>>,
    #[serde(default)]
    database_specific: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Grading {
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
    severity: Option<Vec<Grading>>,
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
    let mut parsed = Parsed::new(FeedKind::Osv);
    let (mut affected, mut offered) = (Vec::new(), Vec::new());
    let stream = document.summary.as_deref().and_then(module_stream);
    for package in document.affected.iter().flatten() {
        let Some(PackageName { ecosystem, name }) = &package.package else { continue };
        if let Some((ecosystem, channel)) = Ecosystem::offered_in_osv(ecosystem) {
            let read = read_affected(&document, &ecosystem, name, package, stream);
            offered.extend(read.map(|read| Affected { remedy: Some(Remedy::Elsewhere { channel }), ..read }));
            parsed.covers.push(ecosystem);
            continue;
        }
        let builds = Ecosystem::of_builds_in_osv(ecosystem);
        let of_builds = builds.is_some();
        let Some(ecosystem) = builds.or_else(|| Ecosystem::from_osv(ecosystem)) else { continue };
        let read = read_affected(&document, &ecosystem, name, package, stream);
        // Of a pocket of special builds, only what names such builds is meant.
        let read = read.filter(|read| !of_builds || read.package != *name);
        if let (Some(read), "maven", Some((_, artifact))) = (&read, ecosystem.as_str(), name.split_once(':'))
        {
            affected.push(Affected { package: Ecosystem::of_any_group(artifact), ..read.clone() });
        }
        affected.extend(read);
        parsed.covers.push(ecosystem);
    }
    offer(&mut affected, offered);
    let modified = document.modified.as_deref().and_then(parse_date);
    if let Some(withdrawn) = &document.withdrawn {
        parsed.withdrawn.push((document.id.clone(), modified.max(parse_date(withdrawn))));
    } else if !affected.is_empty() {
        parsed.advisories = name_problems(&document, modified, &affected);
    }
    parsed.skipped = u64::from(affected.is_empty() || document.withdrawn.is_some());
    Ok(parsed)
}

/// A fix that is sold stands only where nothing else is said, or where it is said that there is none: who has bought it is
/// not affected any more, and everyone else still is.
fn offer(affected: &mut Vec<Affected>, offered: Vec<Affected>) {
    for sold in offered {
        let same = |it: &&mut Affected| it.ecosystem == sold.ecosystem && it.package == sold.package;
        match affected.iter_mut().find(same) {
            None => affected.push(sold),
            Some(open) if open.ranges.iter().all(|range| range.end == RangeEnd::Open) => {
                if sold.ranges.iter().any(|range| matches!(range.end, RangeEnd::Fixed(_))) {
                    *open = sold;
                }
            }
            Some(_) => {}
        }
    }
}

/// One advisory for one problem. A distribution's bulletin (DSA, USN) speaks of several CVEs that are *not* the same
/// problem: it becomes one advisory for each, or merging by alias would make one finding of them.
fn name_problems(document: &Document, modified: Option<i64>, affected: &[Affected]) -> Vec<Advisory> {
    let aliases = document.aliases.clone().unwrap_or_default();
    let advisory = |id: &str, aliases: Vec<String>| Advisory {
        bulletin: Some(&document.id).filter(|own| *own != id).cloned(),
        id: id.to_owned(),
        aliases,
        grade: grade(document),
        summary: document
            .summary
            .as_deref()
            .and_then(summarise)
            .or_else(|| document.details.as_deref().and_then(summarise)),
        source: "osv".to_owned(),
        modified,
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
    document: &Document,
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
    let cvss = worst(package.severity.as_deref());
    let severity = word("urgency").or_else(|| word("severity")).filter(|_| cvss.is_none());
    let word = severity.or_else(|| worst_word(package.severity.as_deref()));
    let grade = Grade::stated(word, cvss, &document.id);
    // The builds that a version belongs to: a fix names it, a last affected version does too.
    let build = ranges.iter().find_map(|range| match &range.end {
        RangeEnd::Fixed(version) | RangeEnd::LastAffected(version) => Some(version.as_str()),
        RangeEnd::Open => None,
    });
    let package = ecosystem.name_of_build(name, build.unwrap_or_default(), stream);
    Some(Affected {
        grade: (!grade.is_none()).then(|| Box::new(grade)),
        ranges,
        versions,
        ..Affected::new(ecosystem.clone(), &package)
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

/// The worst of the vectors.
fn worst(grades: Option<&[Grading]>) -> Option<Cvss> {
    grades?.iter().filter_map(|grade| severity::read_vector(&grade.score)).max()
}

/// Ubuntu writes a word where a vector should stand.
fn worst_word(grades: Option<&[Grading]>) -> Option<Severity> {
    grades?.iter().filter_map(|grade| severity::from_word(&grade.score)).max()
}

fn grade(document: &Document) -> Grade {
    let word =
        document.database_specific.as_ref().and_then(|it| it.get("severity")).and_then(|it| it.as_str());
    // `Important: curl security update`: the rpm family grades in words, and only here.
    let first =
        document.summary.as_deref().and_then(|summary| summary.split_once(": ")).map(|(word, _)| word);
    let graded = document.severity.as_deref();
    let cvss = worst(graded);
    let named = || word.and_then(severity::from_word).or_else(|| first.and_then(severity::from_word));
    let word = if cvss.is_some() { None } else { worst_word(graded).or_else(named) };
    Grade::stated(word, cvss, &document.id)
}
