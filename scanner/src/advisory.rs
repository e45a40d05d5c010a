//! The advisory snapshot: compiled once from public sources, then only read.
//!
//! [`Builder`] makes the file, [`Advisories`] reads it. Reading allocates little, copies nothing and trusts nothing:
//! the digest is checked when the file is opened, and every offset is checked when it is followed.

mod builder;
mod debian;
mod ecosystem;
mod feed;
mod format;
mod npm;
mod osv;
mod range;
mod secdb;
mod severity;

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

use crate::finding::Severity;
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
    /// Which distributions' releases and language ecosystems it covers. Sorted.
    pub coverage: Vec<Coverage>,
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
    /// One line.
    pub summary: Option<&'a str>,
    /// Which feed says so: `debian`, `alpine`, `osv`.
    pub source: &'a str,
    /// Affected spans of versions.
    pub ranges: Vec<Range<&'a str>>,
    /// Affected versions beyond the spans.
    pub versions: Vec<&'a str>,
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
        AdvisoryRevision {
            digest: hex::encode(self.header.body_sha256),
            // Undated sources count as infinitely old: an age limit then refuses them instead of trusting them.
            newest: self.sources.iter().filter_map(|source| source.newest).max().unwrap_or(0),
            built: self.header.built,
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
