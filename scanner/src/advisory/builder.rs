//! Compiles feeds into the advisory file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::feed::{self, Advisory, Affected};
use super::format::{Header, NONE, SLOT_BYTES, hash, home, severity_number, tag};
use super::{Coverage, Ecosystem, FeedError, FeedKind, RangeEnd, Source};
use crate::finding::Severity;

/// A release or a language counts as covered by single documents (OSV, DSA, changelogs) when at least this many of its
/// packages have an advisory. Real feeds have hundreds; a stray document must not make an ecosystem look judged.
const COVERED_PACKAGES_MIN: usize = 50;

/// Collects advisories and writes them as one file. The same documents and time give the same bytes, in whatever order
/// they are added.
#[derive(Debug, Default)]
pub struct Builder {
    /// By source, feed, id and bulletin.
    advisories: BTreeMap<(String, FeedKind, String, Option<String>), Advisory>,
    sources: BTreeMap<String, SourceState>,
}

#[derive(Debug, Default)]
struct SourceState {
    kinds: BTreeSet<FeedKind>,
    newest: Option<i64>,
    skipped: u64,
    covers: BTreeMap<Ecosystem, bool>,
}

/// What one document brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its format.
    pub kind: FeedKind,
    /// Advisories in it that are judged here.
    pub advisories: u64,
    /// Advisories in it that are not: other ecosystems, withdrawn.
    pub skipped: u64,
}

/// Why no file can be written.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nothing was added.
    #[error("no advisories to write: no document of a known feed was added")]
    Empty,
    /// The list of sources does not serialise.
    #[error("the list of sources cannot be written")]
    Sources(#[source] serde_json::Error),
    /// Offsets have 32 bits.
    #[error("the {section} section grew beyond {max} bytes")]
    TooLarge {
        /// Which part of the file.
        section: &'static str,
        /// The bound.
        max: u32,
    },
}

impl Builder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one document of any known feed; its format is found from its content. `dated` is when the document was
    /// modified as far as its carrier tells (a file's or a response's time), for feeds that bear no date.
    ///
    /// # Errors
    ///
    /// When the document is not JSON, of no known feed, or breaks its feed's format. Nothing of it is kept then.
    pub fn add(&mut self, source: &str, dated: Option<i64>, document: &[u8]) -> Result<Added, FeedError> {
        let parsed = feed::parse(document)?;
        let state = self.sources.entry(source.to_owned()).or_default();
        let count = parsed.advisories.len() as u64;
        // A feed whose documents bear dates has none to tell when all of a document is left out.
        let carrier = dated.filter(|_| parsed.kind.is_undated());
        let newest = parsed.advisories.iter().filter_map(|advisory| advisory.modified).max().or(carrier);
        state.newest = state.newest.max(newest);
        state.kinds.insert(parsed.kind);
        state.skipped += parsed.skipped;
        for ecosystem in parsed.covers {
            *state.covers.entry(ecosystem).or_default() |= parsed.whole;
        }
        for advisory in parsed.advisories {
            let key = (source.to_owned(), parsed.kind, advisory.id.clone(), advisory.bulletin.clone());
            match self.advisories.get_mut(&key) {
                None => {
                    self.advisories.insert(key, advisory);
                }
                // An OSV document is the whole of its advisory: of two with one id, the newer one stands. The others
                // say one part each.
                Some(known) if parsed.kind == FeedKind::Osv => {
                    if (advisory.modified, &advisory.affected) > (known.modified, &known.affected) {
                        *known = advisory;
                    }
                }
                Some(known) => {
                    known.severity = known.severity.max(advisory.severity);
                    known.summary = known.summary.take().max(advisory.summary);
                    known.affected.extend(advisory.affected);
                }
            }
        }
        Ok(Added { kind: parsed.kind, advisories: count, skipped: parsed.skipped })
    }

    /// Adds a document a line, empty lines aside.
    ///
    /// # Errors
    ///
    /// The first line that [`Builder::add`] refuses, counted from 1. Lines before it are kept. Lines of no known feed
    /// are counted, not refused: collections mix formats.
    pub fn add_lines(
        &mut self,
        source: &str,
        dated: Option<i64>,
        lines: &[u8],
    ) -> Result<Lines, (usize, FeedError)> {
        let mut total = Lines::default();
        for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match self.add(source, dated, line) {
                Ok(added) => {
                    total.advisories += added.advisories;
                    total.skipped += added.skipped;
                    total.documents += 1;
                }
                Err(FeedError::Unrecognised) => total.unrecognised += 1,
                Err(error) => return Err((number + 1, error)),
            }
        }
        Ok(total)
    }

    /// The file. `now`, in seconds since 1970-01-01 UTC, is written as its build time, and no source counts as newer.
    ///
    /// # Errors
    ///
    /// When nothing was added, or a section outgrows its 32-bit offsets.
    pub fn finish(mut self, now: i64) -> Result<Vec<u8>, BuildError> {
        if self.sources.is_empty() {
            return Err(BuildError::Empty);
        }
        self.fill_severities();
        let sources = serde_json::to_vec(&self.describe_sources(now)).map_err(BuildError::Sources)?;
        let mut sections = Sections::default();
        let mut packages: BTreeMap<(&str, &str), Vec<RecordEntry<'_>>> = BTreeMap::new();
        for advisory in self.advisories.values() {
            let offset = sections.add_advisory(advisory)?;
            for affected in &advisory.affected {
                let key = (affected.ecosystem.as_str(), affected.package.as_str());
                packages.entry(key).or_default().push((offset, advisory, affected));
            }
        }
        let mut hashes = Vec::with_capacity(packages.len());
        for ((ecosystem, package), entries) in &packages {
            hashes.push((hash(ecosystem, package), sections.add_record(ecosystem, package, entries)?));
        }
        let slots = hash_table(&hashes);
        let parts = [&sources[..], &slots, &sections.records, &sections.advisories, &sections.texts];
        let mut file = Header::new(now, parts).encode().to_vec();
        parts.iter().for_each(|part| file.extend_from_slice(part));
        Ok(file)
    }

    /// Distributions often leave the grade to others. An advisory without one takes the worst that any advisory about
    /// the same problem states.
    fn fill_severities(&mut self) {
        let mut grades: HashMap<String, Severity> = HashMap::new();
        let names = |advisory: &Advisory| {
            std::iter::once(advisory.id.clone()).chain(advisory.aliases.clone()).collect::<Vec<_>>()
        };
        for advisory in self.advisories.values() {
            for name in names(advisory) {
                let grade = grades.entry(name).or_default();
                *grade = (*grade).max(advisory.severity);
            }
        }
        for advisory in self.advisories.values_mut().filter(|advisory| advisory.severity == Severity::Unknown)
        {
            let known = names(advisory).iter().filter_map(|name| grades.get(name)).copied().max();
            advisory.severity = known.unwrap_or_default();
        }
    }

    fn describe_sources(&self, now: i64) -> Vec<Source> {
        let mut packages: BTreeMap<(&str, &Ecosystem), BTreeSet<&str>> = BTreeMap::new();
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for ((source, ..), advisory) in &self.advisories {
            *counts.entry(source).or_default() += 1;
            // Those that stand under a second name are not counted twice.
            for affected in advisory.affected.iter().filter(|affected| !affected.package.starts_with('*')) {
                packages.entry((source, &affected.ecosystem)).or_default().insert(&affected.package);
            }
        }
        let describe = |(name, state): (&String, &SourceState)| {
            let coverage = state.covers.iter().map(|(ecosystem, whole)| {
                let packages = packages.get(&(name.as_str(), ecosystem)).map_or(0, BTreeSet::len);
                let whole = *whole || packages >= COVERED_PACKAGES_MIN;
                Coverage { ecosystem: ecosystem.clone(), packages: packages as u64, whole }
            });
            Source {
                name: name.clone(),
                kinds: state.kinds.iter().copied().collect(),
                newest: state.newest.map(|newest| newest.min(now)),
                advisories: counts.get(name.as_str()).copied().unwrap_or(0),
                skipped: state.skipped,
                coverage: coverage.collect(),
            }
        };
        self.sources.iter().map(describe).collect()
    }
}

/// What a file of lines brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Documents of known feeds.
    pub documents: u64,
    /// Documents of no known feed.
    pub unrecognised: u64,
    /// Advisories that are judged here.
    pub advisories: u64,
    /// Advisories that are not.
    pub skipped: u64,
}

/// Where the advisory stands in its section, the advisory, and its part about this package.
type RecordEntry<'a> = (u32, &'a Advisory, &'a Affected);

#[derive(Default)]
struct Sections {
    records: Vec<u8>,
    advisories: Vec<u8>,
    texts: Vec<u8>,
    interned: HashMap<String, u32>,
}

impl Sections {
    fn add_advisory(&mut self, advisory: &Advisory) -> Result<u32, BuildError> {
        let offset = position(&self.advisories, "advisories")?;
        let id = self.text(&advisory.id)?;
        let summary = advisory.summary.as_deref().map_or(Ok(NONE), |summary| self.text(summary))?;
        let source = self.text(&advisory.source)?;
        let aliases = advisory.aliases.iter().filter(|alias| **alias != advisory.id);
        let aliases = aliases.map(|alias| self.text(alias)).collect::<Result<Vec<u32>, _>>()?;
        let count = length(aliases.len(), "advisories")?;
        put(&mut self.advisories, &[id, summary, source, count]);
        put(&mut self.advisories, &aliases);
        Ok(offset)
    }

    fn add_record(
        &mut self,
        ecosystem: &str,
        package: &str,
        entries: &[RecordEntry<'_>],
    ) -> Result<u32, BuildError> {
        let offset = position(&self.records, "records")?;
        let head = [self.text(ecosystem)?, self.text(package)?, length(entries.len(), "records")?];
        put(&mut self.records, &head);
        for (advisory_offset, advisory, affected) in entries {
            let severity = affected.severity.unwrap_or(advisory.severity);
            let ranges = length(affected.ranges.len(), "records")?;
            put(&mut self.records, &[*advisory_offset, severity_number(severity), ranges]);
            for range in &affected.ranges {
                let introduced =
                    range.introduced.as_deref().map_or(Ok(NONE), |version| self.text(version))?;
                let (fixed, last) = match &range.end {
                    RangeEnd::Fixed(version) => (self.text(version)?, NONE),
                    RangeEnd::LastAffected(version) => (NONE, self.text(version)?),
                    RangeEnd::Open => (NONE, NONE),
                };
                put(&mut self.records, &[introduced, fixed, last]);
            }
            let versions = affected.versions.iter().map(|version| self.text(version));
            let versions = versions.collect::<Result<Vec<u32>, _>>()?;
            put(&mut self.records, &[length(versions.len(), "records")?]);
            put(&mut self.records, &versions);
        }
        Ok(offset)
    }

    fn text(&mut self, text: &str) -> Result<u32, BuildError> {
        if let Some(offset) = self.interned.get(text) {
            return Ok(*offset);
        }
        let offset = position(&self.texts, "texts")?;
        put(&mut self.texts, &[length(text.len(), "texts")?]);
        self.texts.extend_from_slice(text.as_bytes());
        self.interned.insert(text.to_owned(), offset);
        Ok(offset)
    }
}

/// Open addressing at a load of at most one half keeps the probes short.
fn hash_table(hashes: &[(u64, u32)]) -> Vec<u8> {
    let count = (hashes.len() * 2).next_power_of_two().max(2);
    let mut slots = vec![(0, NONE); count];
    for (hash, offset) in hashes {
        let free = (0..count).map(|probe| (home(*hash, count) + probe) & (count - 1));
        if let Some(index) = free.into_iter().find(|index| slots[*index].1 == NONE) {
            slots[index] = (tag(*hash), *offset);
        }
    }
    let mut bytes = Vec::with_capacity(count * SLOT_BYTES);
    slots.iter().for_each(|(tag, offset)| put(&mut bytes, &[*tag, *offset]));
    bytes
}

fn put(bytes: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

fn position(section: &[u8], name: &'static str) -> Result<u32, BuildError> {
    length(section.len(), name)
}

fn length(length: usize, section: &'static str) -> Result<u32, BuildError> {
    let short = u32::try_from(length).ok().filter(|length| *length < NONE);
    short.ok_or(BuildError::TooLarge { section, max: NONE })
}
