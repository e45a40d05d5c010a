//! The advisory snapshot: compiled once from public sources, then only read.
//!
//! [`Builder`] makes the file, [`Advisories`] reads it. Reading allocates little, copies nothing and trusts nothing:
//! the digest is checked when the file is opened, and every offset is checked when it is followed.

mod aliases;
mod builder;
mod constraint;
mod csaf;
mod debian;
pub mod delta;
mod ecosystem;
mod feed;
mod format;
mod grype;
mod npm;
mod osv;
mod photon;
mod range;
mod secdb;
mod severity;
mod signals;
mod trivy;
mod updateinfo;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use builder::{Added, BuildError, Builder, Lines};
pub use ecosystem::Ecosystem;
pub(crate) use feed::parse_date;
pub use feed::{FeedError, FeedKind};
pub use format::Entries;
use format::{Header, Section};
pub(crate) use osv::is_modular;
pub use range::Place;

use crate::finding::{Decimal, Epss, Exploited, Severity};
use crate::report::AdvisoryRevision;

/// A compiled snapshot, opened over bytes that the caller owns (a mapped file, a buffer).
#[derive(Clone)]
pub struct Advisories {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    header: Header,
    sources: Arc<[Source]>,
}

/// Where advisories came from, and what they cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The operator's name for it.
    pub name: String,
    /// Which feed formats it held.
    pub kinds: Vec<FeedKind>,
    /// Seconds since 1970-01-01 UTC: its newest modification; `None` when nothing in it tells.
    pub newest: Option<i64>,
    /// How many advisories of it are kept.
    pub advisories: u64,
    /// Advisories left out because they speak of ecosystems that are not judged, or were withdrawn.
    pub skipped: u64,
    /// How many problems it says are used in attacks.
    #[serde(default)]
    pub exploited: u64,
    /// How many problems it says how likely they are to be used.
    #[serde(default)]
    pub scored: u64,
    /// Which distributions' releases and language ecosystems it covers. Sorted.
    pub coverage: Vec<Coverage>,
}

impl Source {
    /// Does it say anything about packages? How new the others are, is no age of advisories.
    fn has_advisories(&self) -> bool {
        self.kinds.iter().any(|kind| !kind.is_auxiliary())
    }
}

/// What one source knows about one ecosystem. Listed even when no package is affected: "no data" must be told apart
/// from "nothing wrong".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// `debian:12`, `alpine:3.20`, `npm`.
    pub ecosystem: Ecosystem,
    /// How many packages have at least one advisory.
    pub packages: u64,
    /// The source speaks about the whole ecosystem. A few stray documents about a release must not make its images look
    /// clean.
    pub whole: bool,
}

/// Under what the advisories about a package stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `debian:12`, `npm`.
    pub ecosystem: Ecosystem,
    /// Name of the package as the ecosystem normalises it, with the module's stream where it has one.
    pub name: String,
}

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvisoryError {
    /// An offset or a length points outside, or text is not UTF-8.
    #[error("advisory file is corrupt: {what} at byte {offset} of its section")]
    Corrupt {
        /// What was read.
        what: &'static str,
        /// Where, counted from the start of the section.
        offset: usize,
    },
    /// The bytes are not those that were written.
    #[error("advisory file is damaged: its {part} has digest `{computed}`, written was `{expected}`")]
    DigestMismatch {
        /// `header` or `body`.
        part: &'static str,
        /// Hex SHA-256 in the file.
        expected: String,
        /// Hex SHA-256 of what is there.
        computed: String,
    },
    /// Written by another version of this program.
    #[error("advisory file has format {found}, this program reads format {expected}; build it again")]
    Format {
        /// In the file.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The file ends early, or goes on after its end.
    #[error("advisory file has {found} bytes, its header promises {expected}")]
    Length {
        /// Really there.
        found: usize,
        /// Promised.
        expected: u64,
    },
    /// Something else entirely.
    #[error("not an advisory file")]
    NotAdvisories,
    /// The list of sources cannot be read.
    #[error("advisory file is corrupt: the list of sources: {problem}")]
    Sources {
        /// What the JSON parser says.
        problem: String,
    },
}

/// One advisory that names the package asked for. Whether the installed version is affected is the matcher's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The advisory's own id, or the CVE where the feed speaks of CVEs.
    pub id: &'a str,
    /// Other names of the same problem.
    pub aliases: Vec<&'a str>,
    /// How bad it is for this package.
    pub severity: Severity,
    /// Who says so: an advisory's id or a feed's name.
    pub severity_source: Option<&'a str>,
    /// Score and vector that the severity rests on.
    pub cvss: Option<(Decimal, &'a str)>,
    /// The problem is used in attacks.
    pub exploited: Option<Exploited>,
    /// How likely that is.
    pub epss: Option<Epss>,
    /// One line.
    pub summary: Option<&'a str>,
    /// Which feed says so: `debian`, `alpine`, `osv`.
    pub source: &'a str,
    /// What its vendor says about a fix that not everyone can install.
    pub remedy: Option<Remedy<'a>>,
    /// Affected spans of versions.
    pub ranges: Vec<Range<&'a str>>,
    /// Affected versions beyond the spans.
    pub versions: Vec<&'a str>,
}

/// Why affected versions have no fix that everyone can install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy<'a> {
    /// It is put off.
    Deferred,
    /// The end of the span is a version that only this channel has.
    Elsewhere {
        /// Its name.
        channel: &'a str,
    },
    /// The release gets no such fixes any more.
    OutOfSupport,
    /// Whether it is affected at all is not known yet.
    UnderInvestigation,
    /// There will be none.
    WillNotFix,
}

/// A span of affected versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range<Text> {
    /// First affected version; `None` for "from the beginning".
    pub introduced: Option<Text>,
    /// Where it ends.
    pub end: RangeEnd<Text>,
}

/// Where a span of affected versions ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeEnd<Text> {
    /// This version and later ones are not affected.
    Fixed(Text),
    /// This version is the last affected one; no fixed version is named.
    LastAffected(Text),
    /// Nobody has fixed it yet.
    Open,
}

impl Advisories {
    /// Checks header, digest and length.
    ///
    /// # Errors
    ///
    /// When the bytes are no snapshot of this format, damaged or cut short.
    pub fn open(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Result<Self, AdvisoryError> {
        let header = Header::read((*bytes).as_ref())?;
        let sources = header.section((*bytes).as_ref(), Section::Sources)?;
        let sources: Vec<Source> = serde_json::from_slice(sources.bytes())
            .map_err(|error| AdvisoryError::Sources { problem: error.to_string() })?;
        Ok(Self { bytes, header, sources: sources.into() })
    }

    /// Names this snapshot. The digest does not change when the same sources are built again later.
    pub fn revision(&self) -> AdvisoryRevision {
        let newest = |wanted: &dyn Fn(&Source) -> bool| {
            self.sources.iter().filter(|source| wanted(source)).map(|source| source.newest.unwrap_or(0)).max()
        };
        AdvisoryRevision {
            digest: hex::encode(self.header.body_sha256),
            // Undated sources count as infinitely old: an age limit then refuses them instead of trusting them.
            newest: newest(&Source::has_advisories).unwrap_or(0),
            built: self.header.built,
            exploited: newest(&|source| source.exploited > 0),
            scored: newest(&|source| source.scored > 0),
        }
    }

    /// What it was built from. Sorted by name.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Does any source speak about the whole of this ecosystem?
    pub fn covers(&self, ecosystem: &Ecosystem) -> bool {
        let mut coverage = self.sources.iter().flat_map(|source| &source.coverage);
        coverage.any(|coverage| coverage.whole && coverage.ecosystem == *ecosystem)
    }

    /// The advisories that name a package, in a stable order. Names are as the ecosystem normalises them.
    ///
    /// # Errors
    ///
    /// When the file is corrupt in a way that its digest does not show, which only a faulty builder can cause.
    pub fn lookup(&self, ecosystem: &Ecosystem, package: &str) -> Result<Entries<'_>, AdvisoryError> {
        format::lookup(self.header, (*self.bytes).as_ref(), ecosystem.as_str(), package)
    }

    /// Visits every advisory of every package, with the ecosystem and the package that it stands under. Reads the whole
    /// file: for questions that people ask, not for the matcher.
    ///
    /// # Errors
    ///
    /// As [`Advisories::lookup`].
    pub fn for_each<'a>(
        &'a self,
        mut visit: impl FnMut(&'a str, &'a str, Entry<'a>),
    ) -> Result<(), AdvisoryError> {
        format::records(self.header, (*self.bytes).as_ref(), &mut |ecosystem, package, entries| {
            for entry in entries {
                visit(ecosystem, package, entry?);
            }
            Ok(())
        })
    }

    /// Do both snapshots say the same about a package? `ecosystem` and `package` as in a [`Key`]. What cannot be read
    /// never says the same.
    pub fn agrees(&self, other: &Self, ecosystem: &str, package: &str) -> bool {
        let ours = format::lookup(self.header, (*self.bytes).as_ref(), ecosystem, package);
        let theirs = format::lookup(other.header, (*other.bytes).as_ref(), ecosystem, package);
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return false };
        let both = ours.collect::<Result<Vec<_>, _>>().ok().zip(theirs.collect::<Result<Vec<_>, _>>().ok());
        // A repository of another channel than the release: what is said in that channel is not among the keys.
        let beside = ecosystem == Ecosystem::red_hat_repositories().as_str() && self.is_beside(package);
        both.is_some_and(|(ours, theirs)| ours == theirs) && !beside
    }

    /// Does an advisory about this package bear this name? `ecosystem` and `package` as in a [`Key`].
    ///
    /// # Errors
    ///
    /// When the file is corrupt in a way that its digest does not show.
    pub fn speaks_of(&self, ecosystem: &str, package: &str, id: &str) -> Result<bool, AdvisoryError> {
        // What is said in another channel than the release's is not among the keys: it may well be spoken of there.
        if ecosystem == Ecosystem::red_hat_repositories().as_str() && self.is_beside(package) {
            return Ok(true);
        }
        let mut entries = format::lookup(self.header, (*self.bytes).as_ref(), ecosystem, package)?;
        entries.try_fold(false, |known, entry| {
            let entry = entry?;
            let mut names = std::iter::once(entry.id).chain(entry.aliases);
            Ok(known || names.any(|name| name.eq_ignore_ascii_case(id)))
        })
    }

    /// Do both snapshots speak about the whole of the same ecosystems?
    pub fn covers_same(&self, other: &Self) -> bool {
        let whole = |advisories: &Self| -> std::collections::BTreeSet<Ecosystem> {
            let coverage = advisories.sources.iter().flat_map(|source| &source.coverage);
            coverage.filter(|coverage| coverage.whole).map(|coverage| coverage.ecosystem.clone()).collect()
        };
        // Without a catalogue of what is exploited, a rule that asks for it is answered otherwise.
        let told = |advisories: &Self| {
            let revision = advisories.revision();
            (revision.exploited.is_some(), revision.scored.is_some())
        };
        whole(self) == whole(other) && told(self) == told(other)
    }

    /// Does a repository carry any other channel than a release's own, as far as it is known here?
    fn is_beside(&self, repository: &str) -> bool {
        let known = self.channels(repository).unwrap_or_default();
        known.iter().any(|channel| !channel.is_main_of_red_hat())
            || Ecosystem::of_red_hat_repository(repository).is_some()
    }

    /// The channels that a Red Hat repository carries; empty for one that is not known.
    pub(crate) fn channels(&self, repository: &str) -> Result<Vec<Ecosystem>, AdvisoryError> {
        let mut channels = Vec::new();
        for entry in self.lookup(&Ecosystem::red_hat_repositories(), repository)? {
            channels.extend(entry?.versions.into_iter().map(Ecosystem::of_written));
        }
        Ok(channels)
    }

    /// The same snapshot with a newer build time: its sources were asked again at `now` and had nothing new.
    pub fn restamped(&self, now: i64) -> Vec<u8> {
        let mut bytes = (*self.bytes).as_ref().to_vec();
        self.header.with_built(now).write(&mut bytes);
        bytes
    }
}

impl std::fmt::Debug for Advisories {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Advisories").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
