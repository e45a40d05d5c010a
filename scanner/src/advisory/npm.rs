//! Two older feeds about JavaScript packages: the Node.js security working group's, and RetireJS.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed, is_cve, parse_date, summarise};
use super::range::{self, Event};
use super::severity::{self, Grade};
use super::{Ecosystem, Range, RangeEnd};
use crate::finding::Decimal;
use crate::versions::{Scheme, compare};

#[derive(Deserialize)]
struct SecurityWg {
    id: serde_json::Value,
    module_name: String,
    vulnerable_versions: Option<String>,
    #[serde(default)]
    patched_versions: Option<String>,
    #[serde(default)]
    updated_at: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    cves: Option<Vec<String>>,
    #[serde(default)]
    cvss_vector: Option<String>,
    #[serde(default)]
    cvss_score: Option<f64>,
}

/// github.com/nodejs/security-wg, `vuln/npm`.
pub(super) fn parse_security_wg(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let document: SecurityWg = serde_json::from_slice(json)?;
    let mut ranges = npm_ranges(document.vulnerable_versions.as_deref().unwrap_or("*"));
    // `<=1.5.1` with `>=1.5.2` patched: the same span, but it names the fix.
    let patched = document.patched_versions.as_deref().and_then(|patched| patched.trim().strip_prefix(">="));
    if let (Some(patched), [Range { end: end @ RangeEnd::LastAffected(_), .. }]) = (patched, &mut ranges[..])
        && let [version] = patched.split_whitespace().collect::<Vec<_>>()[..]
    {
        *end = RangeEnd::Fixed(version.to_owned());
    }
    let id = document.id.as_str().map_or_else(|| document.id.to_string(), str::to_owned);
    let id = format!("NSWG-ECO-{id}");
    let cvss = document.cvss_vector.as_deref().and_then(severity::read_vector);
    let score = document.cvss_score.and_then(Decimal::new).filter(|_| cvss.is_none());
    let advisory = Advisory {
        bulletin: None,
        aliases: document.cves.unwrap_or_default().into_iter().filter(|id| is_cve(id)).collect(),
        grade: Grade::stated(score.map(severity::from_score), cvss, &id),
        id,
        summary: document.title.as_deref().and_then(summarise),
        source: "nodejs-security-wg".to_owned(),
        modified: document.updated_at.as_deref().and_then(parse_date),
        affected: vec![affected(&document.module_name, ranges)],
    };
    Ok(parsed(FeedKind::NodejsSecurityWg, vec![advisory]))
}

#[derive(Deserialize)]
struct Library {
    #[serde(default)]
    npmname: Option<String>,
    #[serde(default)]
    vulnerabilities: Vec<LibraryProblem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LibraryProblem {
    #[serde(default)]
    below: Option<String>,
    #[serde(default)]
    at_or_above: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    identifiers: LibraryIdentifiers,
}

#[derive(Default, Deserialize)]
struct LibraryIdentifiers {
    #[serde(default)]
    summary: Option<String>,
    #[serde(default, rename = "CVE")]
    cve: Vec<String>,
    #[serde(default, rename = "githubID")]
    github: Option<String>,
    #[serde(default)]
    retid: Option<String>,
}

/// The RetireJS repository, one object keyed by library.
pub(super) fn parse_retire_js(json: &[u8]) -> Result<Parsed, serde_json::Error> {
    let libraries: BTreeMap<String, Library> = serde_json::from_slice(json)?;
    let mut advisories = Vec::new();
    for (library, entry) in &libraries {
        let name = entry.npmname.as_ref().unwrap_or(library);
        for (number, problem) in entry.vulnerabilities.iter().enumerate() {
            advisories.push(library_problem(name, number, problem));
        }
    }
    Ok(parsed(FeedKind::RetireJs, advisories))
}

fn library_problem(name: &str, number: usize, problem: &LibraryProblem) -> Advisory {
    let ids = &problem.identifiers;
    let mut aliases: Vec<String> = ids.cve.iter().filter(|id| is_cve(id)).cloned().collect();
    let own = || format!("RETIREJS-{name}-{}", ids.retid.clone().unwrap_or_else(|| number.to_string()));
    let id = ids.github.clone().or_else(|| aliases.pop()).unwrap_or_else(own);
    let severity = problem.severity.as_deref().and_then(severity::from_word);
    let events = problem.at_or_above.clone().map_or(Event::Introduced("0".to_owned()), Event::Introduced);
    let events = [Some(events), problem.below.clone().map(Event::Fixed)].into_iter().flatten().collect();
    Advisory {
        bulletin: None,
        id,
        aliases,
        grade: Grade::stated(severity, None, "retirejs"),
        summary: ids.summary.as_deref().and_then(summarise),
        source: "retirejs".to_owned(),
        modified: None,
        affected: vec![affected(name, range::from_events(Scheme::Semver, events))],
    }
}

fn affected(package: &str, ranges: Vec<Range<String>>) -> Affected {
    Affected { ranges, ..Affected::new(Ecosystem::npm(), package) }
}

fn parsed(kind: FeedKind, advisories: Vec<Advisory>) -> Parsed {
    Parsed { advisories, covers: vec![Ecosystem::npm()], ..Parsed::new(kind) }
}

/// Spans of an npm range (`>=1.0.0 <1.2.3 || 2.x`, node-semver's grammar). What is not understood affects everything.
fn npm_ranges(text: &str) -> Vec<Range<String>> {
    text.split("||").map(|set| npm_set(set).unwrap_or_else(range::everything)).collect()
}

fn npm_set(set: &str) -> Option<Range<String>> {
    let mut range = range::everything();
    let mut words = set.split_whitespace();
    while let Some(word) = words.next() {
        let (operator, version) =
            word.split_at(word.find(|it: char| !"<>=^~".contains(it)).unwrap_or(word.len()));
        // `>= 1.0.0` is written with a space too.
        let version = if version.is_empty() { words.next()? } else { version };
        let version = version.trim_start_matches('v');
        let partial = upper_of_partial(version);
        if partial.is_none() && compare(Scheme::Semver, version, version).is_err() {
            return None;
        }
        let (lower, upper) = match (operator, partial) {
            ("<", _) => (None, RangeEnd::Fixed(version.to_owned())),
            ("<=", None) => (None, RangeEnd::LastAffected(version.to_owned())),
            // An open bound would need the version's successor: affecting it too is the careful reading.
            (">=" | ">", None) => (Some(version), RangeEnd::Open),
            ("" | "=", None) => (Some(version), RangeEnd::LastAffected(version.to_owned())),
            ("" | "=", Some(Partial::Everything)) => (None, RangeEnd::Open),
            ("" | "=", Some(Partial::Below { from, to })) => {
                range.introduced = Some(from);
                range.end = RangeEnd::Fixed(to);
                continue;
            }
            _ => return None,
        };
        if let Some(lower) = lower {
            range.introduced = Some(lower.to_owned());
        }
        if upper != RangeEnd::Open {
            range.end = upper;
        }
    }
    Some(range)
}

enum Partial {
    Everything,
    Below { from: String, to: String },
}

/// `*`, `1.x`, `1.2.x` and their kind; `None` for a full version.
fn upper_of_partial(version: &str) -> Option<Partial> {
    let wild = |part: &str| matches!(part, "x" | "X" | "*");
    let fixed: Vec<&str> = version.split('.').take_while(|part| !wild(part)).collect();
    match fixed[..] {
        [] => Some(Partial::Everything),
        [major] if version != major => {
            let next = major.parse::<u64>().ok()?.checked_add(1)?;
            Some(Partial::Below { from: format!("{major}.0.0"), to: format!("{next}.0.0") })
        }
        [major, minor] if version.split('.').count() > 2 => {
            let next = minor.parse::<u64>().ok()?.checked_add(1)?;
            Some(Partial::Below { from: format!("{major}.{minor}.0"), to: format!("{major}.{next}.0") })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, affected: &[&str], safe: &[&str]) {
        let ranges = npm_ranges(text);
        let holds =
            |version: &str| ranges.iter().any(|range| range.contains(Scheme::Semver, version).unwrap());
        for version in affected {
            assert!(holds(version), "{version} is in {text}");
        }
        for version in safe {
            assert!(!holds(version), "{version} is not in {text}");
        }
    }

    #[test]
    fn npm_ranges_hold_what_npm_says() {
        check("<=1.5.1", &["0.1.0", "1.5.1"], &["1.5.2"]);
        check(">= 2.0.1 <3.0.2", &["2.0.1", "3.0.1"], &["2.0.0", "3.0.2"]);
        check("<1.2.3 || >=2.0.0 <2.1.0", &["1.2.2", "2.0.5"], &["1.2.3", "2.1.0"]);
        check("*", &["0.0.1", "99.0.0"], &[]);
        check("1.x", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]);
        check("1.2.x", &["1.2.0", "1.2.9"], &["1.3.0"]);
        check("=1.2.3", &["1.2.3"], &["1.2.4", "1.2.2"]);
        check("<=v2.0.0-alpha7", &["2.0.0-alpha7", "1.0.0"], &["2.0.0"]);
    }

    #[test]
    fn a_range_that_is_not_understood_affects_everything() {
        check("^1.2.3", &["0.1.0", "9.0.0"], &[]);
        check("see the notes", &["1.0.0"], &[]);
    }
}
