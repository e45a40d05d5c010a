//! The database of Trivy (a bbolt file, `trivy.db`), for sites that mirror it already.
//!
//! A bucket for each platform or language holds one for each package, and that an advisory for each problem. Two others
//! hold the details of problems, and the products (CPE) of Red Hat by number.

pub(super) mod bolt;

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::feed::{Advisory, Affected, FeedKind, Parsed, summarise};
use super::range::{self, Event};
use super::severity::{self, Grade};
use super::{Ecosystem, Range, Remedy, constraint};
use crate::finding::Severity;
use crate::versions::Scheme;
use bolt::{Bolt, Bucket, Item};

const SOURCE: &str = "trivy-db";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default, rename = "CVSS")]
    cvss: Option<BTreeMap<String, Vectors>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vectors {
    #[serde(default)]
    v3_vector: Option<String>,
    #[serde(default)]
    v40_vector: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    fixed_version: Option<String>,
    status: Option<u64>,
    #[serde(rename = "VendorIDs")]
    vendor_ids: Option<Vec<String>>,
    vulnerable_versions: Option<Vec<String>>,
    patched_versions: Option<Vec<String>>,
    unaffected_versions: Option<Vec<String>>,
    /// By architecture, and for Red Hat by product.
    entries: Option<Vec<Entry>>,
    /// Numbers of Red Hat's products.
    affected: Option<Vec<u64>>,
    cves: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default, rename = "ID")]
    id: Option<String>,
}

/// What is known about a problem, whoever is affected.
struct Known {
    grade: Grade,
    summary: Option<String>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let bolt = Bolt::open(bytes)?;
    let mut parsed = Parsed::new(FeedKind::TrivyDb);
    let details = details(&bolt)?;
    let products = products(&bolt)?;
    parsed.repositories = repositories(&bolt, &products)?;
    parsed.whole = true;
    bolt.for_each(bolt.root(), &mut |name, item| {
        let (Item::Bucket(bucket), Ok(name)) = (item, std::str::from_utf8(name)) else { return Ok(()) };
        let ecosystem = ecosystem(name);
        if ecosystem.is_none() && name != "Red Hat" {
            return Ok(());
        }
        parsed.covers.extend(ecosystem.clone());
        bolt.for_each(bucket, &mut |package, item| {
            let (Item::Bucket(bucket), Ok(package)) = (item, std::str::from_utf8(package)) else {
                return Ok(());
            };
            bolt.for_each(bucket, &mut |id, item| {
                let (Item::Value(value), Ok(id)) = (item, std::str::from_utf8(id)) else { return Ok(()) };
                // A problem of which nothing but its name is known.
                let entry: Entry = match value {
                    b"" | b"null" => Entry::default(),
                    value => {
                        serde_json::from_slice(value).map_err(|error| format!("{package} {id}: {error}"))?
                    }
                };
                let read = match &ecosystem {
                    Some(ecosystem) => of_release(ecosystem, package, id, &entry),
                    None => of_red_hat(&products, package, id, &entry),
                };
                parsed.skipped += u64::from(read.is_empty());
                for (id, aliases, affected) in read {
                    parsed.covers.push(affected.ecosystem.clone());
                    let known = details.get(&id);
                    parsed.advisories.push(Advisory {
                        bulletin: None,
                        aliases,
                        grade: known.map_or_else(Grade::none, |known| known.grade.clone()),
                        summary: known.and_then(|known| known.summary.clone()),
                        source: SOURCE.to_owned(),
                        modified: None,
                        affected: vec![affected],
                        id,
                    });
                }
                Ok(())
            })
        })
    })?;
    parsed.covers.sort();
    parsed.covers.dedup();
    Ok(parsed)
}

fn details(bolt: &Bolt<'_>) -> Result<HashMap<String, Known>, String> {
    let mut details = HashMap::new();
    let Some(bucket) = bolt.find(bolt.root(), b"vulnerability")? else { return Ok(details) };
    for_each_value(bolt, bucket, &mut |id, value| {
        let detail: Detail = serde_json::from_slice(value).map_err(|error| format!("{id}: {error}"))?;
        let vectors = detail.cvss.iter().flat_map(BTreeMap::values);
        let vectors = vectors.flat_map(|vectors| [&vectors.v3_vector, &vectors.v40_vector]).flatten();
        let cvss = vectors.filter_map(|vector| severity::read_vector(vector)).max();
        let word = detail.severity.as_deref().and_then(severity::from_word);
        let grade = Grade::stated(word.filter(|it| *it != Severity::Unknown), cvss, SOURCE);
        details.insert(id.to_owned(), Known { grade, summary: detail.title.as_deref().and_then(summarise) });
        Ok(())
    })?;
    Ok(details)
}

/// Channels of Red Hat by number.
fn products(bolt: &Bolt<'_>) -> Result<HashMap<u64, Ecosystem>, String> {
    let mut products = HashMap::new();
    let Some(tables) = bolt.find(bolt.root(), b"Red Hat CPE")? else { return Ok(products) };
    let Some(table) = bolt.find(tables, b"cpe")? else { return Ok(products) };
    for_each_value(bolt, table, &mut |number, value| {
        let cpe: String = serde_json::from_slice(value).map_err(|error| format!("CPE {number}: {error}"))?;
        products.extend(number.parse().ok().zip(Ecosystem::of_cpe(&cpe)));
        Ok(())
    })?;
    Ok(products)
}

/// Which channels each repository carries.
fn repositories(
    bolt: &Bolt<'_>,
    products: &HashMap<u64, Ecosystem>,
) -> Result<Vec<(String, Vec<Ecosystem>)>, String> {
    let mut repositories = Vec::new();
    let Some(tables) = bolt.find(bolt.root(), b"Red Hat CPE")? else { return Ok(repositories) };
    let Some(table) = bolt.find(tables, b"repository")? else { return Ok(repositories) };
    for_each_value(bolt, table, &mut |name, value| {
        let numbers: Vec<u64> = serde_json::from_slice(value).map_err(|error| format!("{name}: {error}"))?;
        let channels = numbers.iter().filter_map(|number| products.get(number)).cloned().collect();
        repositories.push((name.to_owned(), channels));
        Ok(())
    })?;
    Ok(repositories)
}

type VisitValue<'v> = &'v mut dyn FnMut(&str, &[u8]) -> Result<(), String>;

fn for_each_value<'a>(bolt: &Bolt<'a>, bucket: Bucket<'a>, visit: VisitValue<'_>) -> Result<(), String> {
    bolt.for_each(bucket, &mut |key, item| match (item, std::str::from_utf8(key)) {
        (Item::Value(value), Ok(key)) => visit(key, value),
        _ => Ok(()),
    })
}

/// Trivy's name of a platform, or of a language and its source (`npm::GitHub Security Advisory npm`).
fn ecosystem(bucket: &str) -> Option<Ecosystem> {
    const PLATFORMS: [(&str, &str); 13] = [
        ("alma ", "AlmaLinux:"),
        ("amazon linux ", "Amazon Linux:"),
        ("Azure Linux ", "Azure Linux:"),
        ("CBL-Mariner ", "Azure Linux:"),
        ("debian ", "Debian:"),
        ("openSUSE Leap ", "openSUSE:Leap "),
        ("Oracle Linux ", "Oracle Linux:"),
        ("Photon OS ", "Photon OS:"),
        ("rocky ", "Rocky Linux:"),
        ("SUSE Linux Enterprise Micro ", "SUSE:Linux Enterprise Micro "),
        ("SUSE Linux Enterprise ", "SUSE:Linux Enterprise Server "),
        ("ubuntu ", "Ubuntu:"),
        ("openSUSE Tumbleweed", "openSUSE:Tumbleweed"),
    ];
    const LANGUAGES: [(&str, &str); 8] = [
        ("cargo", "crates.io"),
        ("composer", "Packagist"),
        ("go", "Go"),
        ("maven", "Maven"),
        ("npm", "npm"),
        ("nuget", "NuGet"),
        ("pip", "PyPI"),
        ("rubygems", "RubyGems"),
    ];
    if let Some((language, _)) = bucket.split_once("::") {
        let (_, osv) = LANGUAGES.iter().find(|(trivy, _)| *trivy == language)?;
        return Ecosystem::from_osv(osv);
    }
    match bucket {
        "chainguard" | "minimos" | "wolfi" => return Some(Ecosystem::rolling(bucket)),
        _ => {}
    }
    if let Some(branch) = bucket.strip_prefix("alpine ") {
        return Some(Ecosystem::alpine(branch));
    }
    let (trivy, osv) = PLATFORMS.iter().find(|(trivy, _)| bucket.starts_with(trivy))?;
    // `3.0` of Azure Linux is its `3`, and `15-SP3` of SUSE its `15 SP3`.
    let release = bucket.strip_prefix(trivy)?.replace('-', " ");
    let release = if osv.starts_with("Azure") { release.split('.').next()?.to_owned() } else { release };
    Ecosystem::from_osv(&format!("{osv}{release}"))
}

type Read = (String, Vec<String>, Affected);

fn of_release(ecosystem: &Ecosystem, package: &str, id: &str, entry: &Entry) -> Vec<Read> {
    let aliases = |entry: &Entry| -> Vec<String> {
        let ids = entry.vendor_ids.iter().flatten();
        ids.filter(|id| id.starts_with("GHSA-") || id.starts_with("RUSTSEC-")).cloned().collect()
    };
    if !ecosystem.is_distribution() {
        let affected = Affected { ranges: spans(ecosystem.scheme(), entry), ..named(ecosystem, package, "") };
        return vec![(id.to_owned(), aliases(entry), affected)];
    }
    let parts: Vec<&Entry> = match &entry.entries {
        Some(entries) if !entries.is_empty() => entries.iter().collect(),
        _ => vec![entry],
    };
    let read = |part: &&Entry| {
        let affected = system(ecosystem, package, part)?;
        Some((id.to_owned(), aliases(part), affected))
    };
    parts.iter().filter_map(read).collect()
}

fn of_red_hat(products: &HashMap<u64, Ecosystem>, package: &str, id: &str, entry: &Entry) -> Vec<Read> {
    let mut read = Vec::new();
    for part in entry.entries.iter().flatten() {
        let channels: std::collections::BTreeSet<&Ecosystem> =
            part.affected.iter().flatten().filter_map(|number| products.get(number)).collect();
        for affected in channels.into_iter().filter_map(|channel| system(channel, package, part)) {
            for cve in part.cves.iter().flatten() {
                let id = cve.id.as_deref().filter(|id| !id.is_empty()).unwrap_or(id);
                read.push((id.to_owned(), Vec::new(), affected.clone()));
            }
        }
    }
    read
}

/// Status 1 is "not affected"; the others are those that have a reason.
fn system(ecosystem: &Ecosystem, package: &str, entry: &Entry) -> Option<Affected> {
    let fixed = entry.fixed_version.as_deref().filter(|version| !version.is_empty());
    let remedy = match entry.status {
        Some(1) => return None,
        Some(4) => Some(Remedy::UnderInvestigation),
        Some(5) => Some(Remedy::WillNotFix),
        Some(6) => Some(Remedy::Deferred),
        Some(7) => Some(Remedy::OutOfSupport),
        _ => None,
    };
    let span = fixed.map_or_else(range::everything, |fixed| range::before(ecosystem.scheme(), fixed));
    let remedy = remedy.filter(|_| fixed.is_none());
    Some(Affected { remedy, ranges: vec![span], ..named(ecosystem, package, fixed.unwrap_or_default()) })
}

/// Packages of modules are written as they are here: `nodejs:16::npm`.
fn named(ecosystem: &Ecosystem, package: &str, version: &str) -> Affected {
    let name = if package.contains("::") {
        package.to_owned()
    } else {
        ecosystem.name_of_build(package, version, None)
    };
    Affected::new(ecosystem.clone(), &name)
}

/// What is affected: where that is listed, that; else what lies between the versions that are not. What is not understood
/// affects everything.
fn spans(scheme: Scheme, entry: &Entry) -> Vec<Range<String>> {
    let affected: Vec<&String> = entry.vulnerable_versions.iter().flatten().collect();
    if !affected.is_empty() {
        return affected.iter().flat_map(|text| constraint::spans(scheme, text)).collect();
    }
    let mut events = vec![Event::Introduced("0".to_owned())];
    let safe = entry.patched_versions.iter().chain(&entry.unaffected_versions).flatten();
    for text in safe.flat_map(|text| text.split("||")) {
        let Some(bounds) = constraint::bounds(text) else { continue };
        // Turned around: where safety begins, affection ends.
        events.extend(bounds.into_iter().filter_map(|bound| match bound {
            Event::Introduced(version) => Some(Event::Fixed(version)),
            Event::Fixed(version) => Some(Event::Introduced(version)),
            Event::LastAffected(_) => None,
        }));
    }
    range::from_events(scheme, events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_what_their_text_says() {
        let check = |vulnerable: &[&str], patched: &[&str], affected: &[&str], safe: &[&str]| {
            let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
            let entry = Entry {
                vulnerable_versions: texts(vulnerable),
                patched_versions: texts(patched),
                ..Entry::default()
            };
            let spans = spans(Scheme::Rubygems, &entry);
            let holds = |version: &&&str| {
                spans.iter().any(|span| span.contains(Scheme::Rubygems, version).expect("a version"))
            };
            assert_eq!(affected.iter().filter(holds).count(), affected.len(), "{vulnerable:?} {patched:?}");
            assert_eq!(safe.iter().filter(holds).count(), 0, "{vulnerable:?} {patched:?}");
        };
        check(&[">= 2.0.0, <= 2.9.10.3"], &[], &["2.0.0", "2.9.10.3"], &["1.9", "2.9.10.4"]);
        check(&["[2.9.0,2.9.10.7)"], &[], &["2.9.0", "2.9.10.6"], &["2.8", "2.9.10.7"]);
        check(&["(,1.5]"], &[], &["0.1", "1.5"], &["1.6"]);
        check(&["<1.0||>=2.0 <2.3"], &[], &["0.9", "2.1"], &["1.0", "2.3"]);
        check(&["= 1.2.3"], &[], &["1.2.3"], &["1.2.2", "1.2.4"]);
        check(&["< v2.8.0"], &[], &["2.7"], &["2.8.0"]);
        check(&["^1.0"], &[], &["0.1", "9.0"], &[]);
        check(&[], &["~> 4.1.11", ">= 4.2.2"], &["4.1.10", "4.2.1"], &["4.1.11", "4.1.99", "4.2.2", "5.0"]);
        check(&[], &[">= 3.1.0", ">= 2.1.3, < 3.0.0"], &["2.1.2", "3.0.5"], &["2.1.3", "2.9", "3.1.0"]);
        check(&[], &[], &["0.1", "9.0"], &[]);
    }

    #[test]
    fn platforms_are_found_by_trivys_names() {
        for (bucket, expected) in [
            ("alpine 3.20", Some("alpine:3.20")),
            ("alpine edge", Some("alpine:edge")),
            ("debian 12", Some("debian:12")),
            ("ubuntu 22.04", Some("ubuntu:22.04")),
            ("ubuntu 22.04-ESM", None),
            ("rocky 9", Some("rocky:9")),
            ("SUSE Linux Enterprise 15-SP3", Some("suse:15.3")),
            ("SUSE Linux Enterprise Micro 5.3", Some("suse-micro:5.3")),
            ("openSUSE Tumbleweed", Some("opensuse:tumbleweed")),
            ("CBL-Mariner 2.0", Some("azurelinux:2")),
            ("Photon OS 3.0", Some("photon:3.0")),
            ("wolfi", Some("wolfi")),
            ("pip::GitHub Security Advisory Pip", Some("pypi")),
            ("pub::GitHub Security Advisory Pub", None),
            ("data-source", None),
            ("vulnerability", None),
        ] {
            assert_eq!(ecosystem(bucket).as_ref().map(Ecosystem::as_str), expected, "{bucket}");
        }
    }
}
