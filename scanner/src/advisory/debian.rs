//! Debian's security tracker, its DSA and DLA lists, and what source packages' changelogs say.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed, parse_date, summarise};
use super::range;
use super::severity::{self, Grade};
use super::{Ecosystem, RangeEnd, Remedy};
use crate::versions::{Scheme, compare};

const SOURCE: &str = "debian";

#[derive(Deserialize)]
struct TrackerProblem {
    #[serde(default)]
    description: Option<String>,
    releases: BTreeMap<String, TrackerRelease>,
}

#[derive(Deserialize)]
struct TrackerRelease {
    /// `open`, `resolved` or `undetermined`.
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: Option<String>,
    /// `ignored`, `postponed`, or empty.
    #[serde(default)]
    nodsa_reason: Option<String>,
}

/// security-tracker.debian.org/tracker/data/json: source package → problem → release → state.
pub(super) fn parse_tracker(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let packages: BTreeMap<String, BTreeMap<String, TrackerProblem>> = serde_json::from_slice(json)?;
    let mut covers = BTreeSet::new();
    let mut advisories = Vec::new();
    for (package, problems) in packages {
        for (id, problem) in problems {
            covers.extend(problem.releases.keys().filter_map(|codename| Ecosystem::debian(codename)));
            let releases = problem.releases.iter();
            let affected: Vec<Affected> = releases
                .filter_map(|(codename, release)| tracker_release(&package, codename, release))
                .collect();
            if !affected.is_empty() {
                let summary = problem.description.as_deref().and_then(summarise);
                advisories.push(advisory(id, summary, None, affected));
            }
        }
    }
    let covers = covers.into_iter().collect();
    Ok(Parsed { advisories, covers, whole: true, ..Parsed::new(FeedKind::DebianTracker) })
}

fn tracker_release(package: &str, codename: &str, release: &TrackerRelease) -> Option<Affected> {
    let ecosystem = Ecosystem::debian(codename)?;
    let ranges = match (release.status.as_str(), release.fixed_version.as_deref()) {
        // "Fixed in version 0" is how the tracker writes "never affected in this release".
        ("resolved", Some("0")) => return None,
        ("resolved", Some(fixed)) => vec![range::before(Scheme::Dpkg, fixed)],
        // `open` and `undetermined`; and `resolved` without a version, which promises nothing. What was removed from
        // the archive is still installed in the image.
        _ => vec![range::everything()],
    };
    let severity = release.urgency.as_deref().and_then(severity::from_word);
    let open = ranges.iter().all(|range| range.end == RangeEnd::Open);
    Some(Affected {
        grade: severity.map(|severity| Box::new(Grade::stated(Some(severity), None, SOURCE))),
        remedy: tracker_remedy(release).filter(|_| open),
        ranges,
        ..Affected::new(ecosystem, package)
    })
}

/// Why nobody fixes it: `end-of-life` stands where an urgency should, `nodsa` says that no bulletin is due.
fn tracker_remedy(release: &TrackerRelease) -> Option<Remedy<'static>> {
    if release.urgency.as_deref() == Some("end-of-life") {
        return Some(Remedy::OutOfSupport);
    }
    match release.nodsa_reason.as_deref() {
        Some("ignored") => Some(Remedy::WillNotFix),
        Some("postponed") => Some(Remedy::Deferred),
        _ if release.status == "undetermined" => Some(Remedy::UnderInvestigation),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Bulletin {
    id: String,
    #[serde(default)]
    date: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    cves: Vec<String>,
    #[serde(default)]
    fixed: Vec<BulletinFix>,
}

#[derive(Deserialize)]
struct BulletinFix {
    release: String,
    source: String,
    fixed: String,
}

/// One DSA or DLA: it becomes one advisory for each CVE, since its CVEs are different problems.
pub(super) fn parse_bulletin(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let bulletin: Bulletin = serde_json::from_slice(json)?;
    let modified = bulletin.date.as_deref().and_then(parse_date);
    let affected: Vec<Affected> = bulletin.fixed.iter().filter_map(bulletin_fix).collect();
    let covers: Vec<Ecosystem> =
        bulletin.fixed.iter().filter_map(|fix| Ecosystem::debian(&fix.release)).collect();
    let summary = bulletin.title.as_deref().and_then(|title| summarise(&format!("{}: {title}", bulletin.id)));
    let ids = if bulletin.cves.is_empty() { vec![bulletin.id] } else { bulletin.cves };
    let skipped = u64::from(affected.is_empty());
    let ids = ids.into_iter().filter(|_| !affected.is_empty());
    let advisories = ids.map(|id| advisory(id, summary.clone(), modified, affected.clone())).collect();
    Ok(Parsed { advisories, covers, skipped, ..Parsed::new(FeedKind::DebianBulletin) })
}

fn bulletin_fix(fix: &BulletinFix) -> Option<Affected> {
    // `<not-affected>`; `<end-of-life>` and `<unfixed>` say that no fix will come.
    if fix.fixed == "<not-affected>" {
        return None;
    }
    let ecosystem = Ecosystem::debian(&fix.release)?;
    let ranges = vec![range::before(Scheme::Dpkg, &fix.fixed)];
    Some(Affected { ranges, ..Affected::new(ecosystem, &fix.source) })
}

#[derive(Deserialize)]
struct Changelog {
    release: String,
    source: String,
    current: String,
    fixes: Vec<ChangelogEntry>,
}

#[derive(Deserialize)]
struct ChangelogEntry {
    version: String,
    #[serde(default)]
    date: Option<String>,
    cves: Vec<String>,
}

/// The changelog of one source package in one release. The oldest entry that names a CVE is its fix, as in the tracker:
/// later entries that name it again mend the fix, not the problem.
pub(super) fn parse_changelog(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let changelog: Changelog = serde_json::from_slice(json)?;
    let covers: Vec<Ecosystem> = Ecosystem::debian(&changelog.release).into_iter().collect();
    let mut fixes: BTreeMap<&str, &ChangelogEntry> = BTreeMap::new();
    for entry in &changelog.fixes {
        for cve in &entry.cves {
            let known = fixes.entry(cve).or_insert(entry);
            if compare(Scheme::Dpkg, &entry.version, &known.version).is_ok_and(std::cmp::Ordering::is_lt) {
                *known = entry;
            }
        }
    }
    let mut advisories = Vec::new();
    for (cve, entry) in fixes {
        let affected = covers.iter().map(|ecosystem| Affected {
            ranges: vec![range::before(Scheme::Dpkg, &contained_since(&entry.version, &changelog))],
            ..Affected::new(ecosystem.clone(), &changelog.source)
        });
        let modified = entry.date.as_deref().and_then(parse_date);
        advisories.push(advisory(cve.to_owned(), None, modified, affected.collect()));
    }
    let skipped = u64::from(covers.is_empty());
    Ok(Parsed { advisories, covers, skipped, ..Parsed::new(FeedKind::DebianChangelog) })
}

/// A rebuild for a stable release (`2.9.0-1~deb13u1`) contains all of `2.9.0-1`, but sorts before it. Its entries are
/// therefore reached at `2.9.0-1~`, which sorts before every such rebuild.
fn contained_since(version: &str, changelog: &Changelog) -> String {
    let rebuilt = compare(Scheme::Dpkg, &changelog.current, version).is_ok_and(std::cmp::Ordering::is_lt);
    if rebuilt { format!("{version}~") } else { version.to_owned() }
}

fn advisory(id: String, summary: Option<String>, modified: Option<i64>, affected: Vec<Affected>) -> Advisory {
    Advisory {
        bulletin: None,
        id,
        aliases: Vec::new(),
        grade: Grade::none(),
        summary,
        source: SOURCE.to_owned(),
        modified,
        affected,
    }
}
