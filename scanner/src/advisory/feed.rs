//! What kind of feed a document is, found from its content, and what all feeds are turned into.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::severity::Grade;
use super::{
    Ecosystem, Range, Remedy, csaf, debian, grype, npm, osv, photon, secdb, signals, trivy, updateinfo,
};
use crate::finding::{Epss, Exploited};

/// A format that advisories are published in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedKind {
    /// Alpine's security database, and Wolfi's and Chainguard's in the same form.
    AlpineSecdb,
    /// One DSA or DLA with its fixed versions.
    DebianBulletin,
    /// The CVEs that one source package's changelog says are fixed.
    DebianChangelog,
    /// The security tracker's JSON, all packages and releases.
    DebianTracker,
    /// FIRST's exploit predictions, as CSV or as its API answers.
    Epss,
    /// The database of Grype.
    GrypeDb,
    /// CISA's catalogue of known exploited vulnerabilities, or one entry of it.
    Kev,
    /// One advisory of the former Node.js security working group.
    NodejsSecurityWg,
    /// One OSV document.
    Osv,
    /// Photon's list of problems of one release.
    PhotonCves,
    /// Red Hat's table of repositories and the products (CPE) that they belong to.
    RedHatRepositories,
    /// One CSAF VEX document of Red Hat.
    RedHatVex,
    /// The RetireJS repository.
    RetireJs,
    /// The database of Trivy.
    TrivyDb,
    /// `updateinfo.xml` of a yum repository: Amazon, Oracle, Rocky, AlmaLinux, openSUSE.
    UpdateInfo,
}

impl FeedKind {
    /// Do its documents tell no date of their own?
    pub(super) fn is_undated(self) -> bool {
        matches!(
            self,
            Self::AlpineSecdb | Self::DebianTracker | Self::PhotonCves | Self::RetireJs | Self::TrivyDb
        )
    }

    /// Is a document all that there is to say about its advisory, so that of two with one id the newer one stands?
    pub(super) fn replaces(self) -> bool {
        matches!(self, Self::Osv | Self::RedHatVex)
    }

    /// Does it say nothing about packages? How new it is, is no age of advisories then.
    pub(super) fn is_auxiliary(self) -> bool {
        matches!(self, Self::Epss | Self::Kev | Self::RedHatRepositories)
    }
}

/// Why a document gives no advisories.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Not JSON: cut short, or something else.
    #[error("the document is not JSON")]
    Json(#[source] serde_json::Error),
    /// It looks like a feed, but a part is not as that feed's format wants it.
    #[error("the document looks like {kind:?}, but cannot be read")]
    Malformed {
        /// Which format.
        kind: FeedKind,
        /// What the parser met.
        #[source]
        source: serde_json::Error,
    },
    /// Text of no format known here.
    #[error("the document has the form of no known advisory feed")]
    Unrecognised,
    /// XML, or a list of values, that is broken.
    #[error("the document looks like {kind:?}, but is broken: {problem}")]
    Broken {
        /// Which format.
        kind: FeedKind,
        /// What is wrong.
        problem: String,
    },
}

/// One document, in the form that all feeds share.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) kind: FeedKind,
    /// When the document was modified, where its advisories do not tell.
    pub(super) dated: Option<i64>,
    pub(super) advisories: Vec<Advisory>,
    /// Ids of advisories that were taken back, and when.
    pub(super) withdrawn: Vec<(String, Option<i64>)>,
    /// Problems that are used in attacks.
    pub(super) exploited: Vec<(String, Exploited)>,
    /// How likely problems are to be used.
    pub(super) scores: Vec<(String, Epss)>,
    /// Names of repositories, and the channels that they carry.
    pub(super) repositories: Vec<(String, Vec<Ecosystem>)>,
    /// Ecosystems that the document speaks about, even if nothing in them is affected.
    pub(super) covers: Vec<Ecosystem>,
    /// The document is all there is to say about them.
    pub(super) whole: bool,
    /// Advisories without any part that is judged here, or withdrawn.
    pub(super) skipped: u64,
}

impl Parsed {
    /// Nothing yet.
    pub(super) fn new(kind: FeedKind) -> Self {
        Self {
            kind,
            dated: None,
            advisories: Vec::new(),
            withdrawn: Vec::new(),
            exploited: Vec::new(),
            scores: Vec::new(),
            repositories: Vec::new(),
            covers: Vec::new(),
            whole: false,
            skipped: 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advisory {
    /// The bulletin that says this, where one speaks of several problems: others may say more about the same one.
    pub(super) bulletin: Option<String>,
    pub(super) id: String,
    pub(super) aliases: Vec<String>,
    pub(super) grade: Grade,
    pub(super) summary: Option<String>,
    /// `osv`, `debian`, `alpine`: what a finding names as its source.
    pub(super) source: String,
    pub(super) modified: Option<i64>,
    pub(super) affected: Vec<Affected>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Affected {
    pub(super) ecosystem: Ecosystem,
    pub(super) package: String,
    /// Where a feed grades per release; else the advisory's. Boxed, because few do and there are millions.
    pub(super) grade: Option<Box<Grade>>,
    pub(super) remedy: Option<Remedy<'static>>,
    pub(super) ranges: Vec<Range<String>>,
    pub(super) versions: Vec<String>,
}

impl Affected {
    /// A package of which no affected version is known yet.
    pub(super) fn new(ecosystem: Ecosystem, package: &str) -> Self {
        Self {
            ecosystem,
            package: package.to_owned(),
            grade: None,
            remedy: None,
            ranges: Vec::new(),
            versions: Vec::new(),
        }
    }
}

/// The keys that tell the formats apart.
#[derive(Deserialize)]
struct Probe {
    affected: Option<IgnoredAny>,
    apkurl: Option<IgnoredAny>,
    #[serde(rename = "catalogVersion")]
    catalog_version: Option<IgnoredAny>,
    #[serde(rename = "cveID")]
    cve_id: Option<IgnoredAny>,
    data: Option<IgnoredAny>,
    #[serde(rename = "dateAdded")]
    date_added: Option<IgnoredAny>,
    document: Option<IgnoredAny>,
    #[serde(rename = "status-code")]
    epss_status: Option<IgnoredAny>,
    fixed: Option<IgnoredAny>,
    fixes: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
    modified: Option<IgnoredAny>,
    module_name: Option<IgnoredAny>,
    packages: Option<IgnoredAny>,
    reponame: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
    vulnerabilities: Option<IgnoredAny>,
    vulnerable_versions: Option<IgnoredAny>,
}

pub(super) fn parse(document: &[u8]) -> Result<Parsed, FeedError> {
    let kind = recognise(document)?;
    let broken = |problem| FeedError::Broken { kind, problem };
    let parsed = match kind {
        FeedKind::AlpineSecdb => secdb::parse(document),
        FeedKind::DebianBulletin => debian::parse_bulletin(document),
        FeedKind::DebianChangelog => debian::parse_changelog(document),
        FeedKind::DebianTracker => debian::parse_tracker(document),
        FeedKind::Epss if is_epss_csv(document) => return signals::parse_epss_csv(document).map_err(broken),
        FeedKind::Epss => signals::parse_epss_answer(document),
        FeedKind::GrypeDb => return grype::parse(document).map_err(broken),
        FeedKind::Kev => signals::parse_kev(document),
        FeedKind::NodejsSecurityWg => npm::parse_security_wg(document),
        FeedKind::Osv => osv::parse(document),
        FeedKind::PhotonCves => photon::parse(document),
        FeedKind::RedHatRepositories => csaf::parse_repositories(document),
        FeedKind::RedHatVex => csaf::parse(document),
        FeedKind::RetireJs => npm::parse_retire_js(document),
        FeedKind::TrivyDb => return trivy::parse(document).map_err(broken),
        FeedKind::UpdateInfo => return updateinfo::parse(document).map_err(broken),
    };
    parsed.map_err(|source| FeedError::Malformed { kind, source })
}

/// FIRST's file begins with its model, or with the names of its columns.
fn is_epss_csv(document: &[u8]) -> bool {
    document.starts_with(b"#model_version:") || document.starts_with(b"cve,epss,percentile")
}

fn recognise(document: &[u8]) -> Result<FeedKind, FeedError> {
    if is_epss_csv(document) {
        return Ok(FeedKind::Epss);
    }
    if grype::recognises(document) {
        return Ok(FeedKind::GrypeDb);
    }
    if trivy::bolt::recognises(document) {
        return Ok(FeedKind::TrivyDb);
    }
    match document.trim_ascii_start().first() {
        Some(b'<') if updateinfo::recognises(document) => return Ok(FeedKind::UpdateInfo),
        Some(b'[') if photon::recognises(document) => return Ok(FeedKind::PhotonCves),
        _ => {}
    }
    let probe: Probe = match serde_json::from_slice(document) {
        Ok(probe) => probe,
        Err(error) if error.is_data() => return Err(FeedError::Unrecognised),
        Err(error) => return Err(FeedError::Json(error)),
    };
    let has = |fields: &[&Option<IgnoredAny>]| fields.iter().all(|field| field.is_some());
    // A branch without advisories has `packages: null`.
    if has(&[&probe.packages, &probe.reponame]) || has(&[&probe.apkurl, &probe.reponame]) {
        Ok(FeedKind::AlpineSecdb)
    } else if has(&[&probe.source, &probe.fixes]) {
        Ok(FeedKind::DebianChangelog)
    } else if has(&[&probe.id, &probe.source, &probe.fixed]) {
        Ok(FeedKind::DebianBulletin)
    } else if has(&[&probe.module_name, &probe.vulnerable_versions]) {
        Ok(FeedKind::NodejsSecurityWg)
    } else if has(&[&probe.document, &probe.vulnerabilities]) {
        Ok(FeedKind::RedHatVex)
    } else if has(&[&probe.catalog_version, &probe.vulnerabilities])
        || has(&[&probe.cve_id, &probe.date_added])
    {
        Ok(FeedKind::Kev)
    } else if has(&[&probe.epss_status, &probe.data]) {
        Ok(FeedKind::Epss)
    } else if probe.data.is_some() && csaf::is_repositories(document) {
        Ok(FeedKind::RedHatRepositories)
    } else if has(&[&probe.id, &probe.modified]) || has(&[&probe.id, &probe.affected]) {
        Ok(FeedKind::Osv)
    } else {
        recognise_nested(document)
    }
}

/// Two feeds are one object keyed by package, and differ only one level down.
fn recognise_nested(document: &[u8]) -> Result<FeedKind, FeedError> {
    type Nested = BTreeMap<String, BTreeMap<String, IgnoredAny>>;
    let packages: Nested = serde_json::from_slice(document).map_err(|_| FeedError::Unrecognised)?;
    let problem = |key: &String| key.starts_with("CVE-") || key.starts_with("TEMP-");
    if packages.values().any(|package| package.keys().any(problem)) {
        Ok(FeedKind::DebianTracker)
    } else if packages.values().any(|library| library.contains_key("vulnerabilities")) {
        Ok(FeedKind::RetireJs)
    } else {
        Err(FeedError::Unrecognised)
    }
}

/// The first line, at most 200 characters: enough to recognise a problem, bounded for the file and for terminals.
pub(super) fn summarise(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let short: String = line.chars().filter(|character| !character.is_control()).take(200).collect();
    Some(short)
}

/// Is this `CVE-` with year and number (cve.org)?
pub(super) fn is_cve(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    id.strip_prefix("CVE-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(year, number)| year.len() == 4 && digits(year) && digits(number) && number.len() >= 4)
}

/// Seconds since 1970-01-01 UTC of the day at the start of an RFC 3339 time (`2026-08-05T…`) or of the day in a
/// bulletin's or changelog's date (`[Wed, ]05 Aug 2026…`). The age of advisories is judged in days, so the time of day
/// is not read, except RFC 3339's hours, minutes and seconds, by which `modified` picks the newer of two documents.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let number = |text: &str| text.parse::<i64>().ok();
    if text.len() >= 10 && text.as_bytes()[4] == b'-' {
        let mut parts = text.get(..10)?.split('-').map(number);
        let day = days_from_civil(parts.next()??, parts.next()??, parts.next()??)?;
        let field = |at: usize| text.get(at..at + 2).and_then(number).unwrap_or(0);
        return Some(day * 86_400 + field(11) * 3_600 + field(14) * 60 + field(17));
    }
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
    words.next_if(|word| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let day = words.next().and_then(number)?;
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = words.next()?;
    let month = MONTHS.iter().zip(1..).find(|(name, _)| **name == month).map(|(_, number)| number)?;
    Some(days_from_civil(words.next().and_then(number)?, month, day)? * 86_400)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; `None` for a date that is none, or before that day.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years counted from March put the leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(days - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_feeds_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T12:30:05.123Z", Some(1_709_209_805)),
            ("2026-11-23", Some(1_795_392_000)),
            ("29 Mar 2023", Some(1_680_048_000)),
            ("Wed, 05 Aug 2026 12:05:58 +0200", Some(1_785_888_000)),
            ("0001-01-01T00:00:00Z", None),
            ("2026-13-01", None),
            ("yesterday", None),
            ("", None),
            ("20\u{e9}6-01-01x", None),
        ] {
            assert_eq!(parse_date(text), expected, "{text}");
        }
    }

    #[test]
    fn only_numbered_cves_are_cves() {
        for (id, expected) in
            [("CVE-2019-1547", true), ("CVE-????-?????", false), ("CVE-2019", false), ("XSA-207", false)]
        {
            assert_eq!(is_cve(id), expected, "{id}");
        }
    }
}
