//! Compiles feeds into the advisory file.

mod sections;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::aliases::{Names, is_record};
use super::feed::{self, Advisory, is_cve};
use super::format::{Header, hash};
use super::severity::Grade;
use super::{Coverage, Ecosystem, FeedError, FeedKind, Source};
use crate::finding::{Epss, Exploited};
use sections::{RecordEntry, Sections, hash_table};

/// A release or a language counts as covered by single documents (OSV, DSA, changelogs) when at least this many of its
/// packages have an advisory. Real feeds have hundreds; a stray document must not make an ecosystem look judged.
const COVERED_PACKAGES_MIN: usize = 50;

/// Collects advisories and writes them as one file. The same documents and time give the same bytes, in whatever order
/// they are added.
#[derive(Debug, Default)]
pub struct Builder {
    /// By source, feed, id and bulletin.
    advisories: BTreeMap<Key, Advisory>,
    /// The newest state of each document that is all there is to say about its advisory.
    documents: HashMap<FeedKind, HashMap<String, DocumentState>>,
    exploited: HashMap<String, Exploited>,
    scores: HashMap<String, Epss>,
    /// Red Hat's repositories, and their channels.
    repositories: BTreeMap<String, BTreeSet<Ecosystem>>,
    sources: BTreeMap<String, SourceState>,
}

type Key = (String, FeedKind, String, Option<String>);

/// When a document was last modified, and whether it was taken back then. Of two at one moment, taking back stands.
type DocumentState = (Option<i64>, bool);

#[derive(Debug, Default)]
struct SourceState {
    kinds: BTreeSet<FeedKind>,
    newest: Option<i64>,
    /// Of what says nothing about packages.
    newest_auxiliary: Option<i64>,
    skipped: u64,
    exploited: u64,
    scored: u64,
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
        let kind = parsed.kind;
        let count = parsed.advisories.len() as u64;
        // A feed whose documents bear dates has none to tell when all of a document is left out.
        let carrier = dated.filter(|_| kind.is_undated() || (kind.is_auxiliary() && parsed.dated.is_none()));
        let newest = parsed.advisories.iter().filter_map(|advisory| advisory.modified).max();
        let newest = newest.max(parsed.dated).or(carrier);
        let known = if kind.is_auxiliary() { &mut state.newest_auxiliary } else { &mut state.newest };
        *known = (*known).max(newest);
        state.kinds.insert(kind);
        state.skipped += parsed.skipped;
        state.exploited += parsed.exploited.len() as u64;
        state.scored += parsed.scores.len() as u64;
        for ecosystem in parsed.covers {
            *state.covers.entry(ecosystem).or_default() |= parsed.whole;
        }
        // Of two catalogues, the first day on which one knew, and the worse of two predictions.
        for (cve, exploited) in parsed.exploited {
            let known = self.exploited.entry(cve).or_insert(exploited);
            *known = worse_exploited(*known, exploited);
        }
        for (cve, epss) in parsed.scores {
            let known = self.scores.entry(cve).or_insert(epss);
            *known = (*known).max(epss);
        }
        for (repository, channels) in parsed.repositories {
            self.repositories.entry(repository).or_default().extend(channels);
        }
        for (document, modified) in parsed.withdrawn {
            self.note_document(kind, &document, (modified, true));
        }
        for advisory in parsed.advisories {
            if kind.replaces() {
                self.note_document(kind, document_of(&advisory), (advisory.modified, false));
            }
            let key = (source.to_owned(), kind, advisory.id.clone(), advisory.bulletin.clone());
            match self.advisories.get_mut(&key) {
                None => {
                    self.advisories.insert(key, advisory);
                }
                // Such a document is the whole of its advisory: of two with one id, the newer one stands. The others
                // say one part each.
                Some(known) if kind.replaces() => {
                    if (advisory.modified, &advisory.affected) > (known.modified, &known.affected) {
                        *known = advisory;
                    }
                }
                Some(known) => {
                    if advisory.grade.severity > known.grade.severity {
                        known.grade = advisory.grade;
                    }
                    known.summary = known.summary.take().max(advisory.summary);
                    known.affected.extend(advisory.affected);
                }
            }
        }
        Ok(Added { kind: parsed.kind, advisories: count, skipped: parsed.skipped })
    }

    fn note_document(&mut self, kind: FeedKind, document: &str, state: DocumentState) {
        let documents = self.documents.entry(kind).or_default();
        match documents.get_mut(document) {
            Some(known) => *known = (*known).max(state),
            None => drop(documents.insert(document.to_owned(), state)),
        }
    }

    /// What an older state of a document said, or one that was taken back since, does not stand, whichever source has it.
    fn drop_replaced(&mut self) {
        let documents = std::mem::take(&mut self.documents);
        self.advisories.retain(|(_, kind, ..), advisory| {
            let newest = documents.get(kind).and_then(|documents| documents.get(document_of(advisory)));
            newest.is_none_or(|(modified, withdrawn)| !withdrawn && *modified == advisory.modified)
        });
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
        self.drop_replaced();
        let problems = self.problems();
        for (advisory, problem) in self.advisories.values_mut().zip(problems) {
            advisory.aliases = problem.aliases.unwrap_or_else(|| std::mem::take(&mut advisory.aliases));
            advisory.grade = problem.grade.unwrap_or_else(|| std::mem::take(&mut advisory.grade));
        }
        let sources = serde_json::to_vec(&self.describe_sources(now)).map_err(BuildError::Sources)?;
        let mut sections = Sections::default();
        let mut packages: BTreeMap<(&str, &str), Vec<RecordEntry<'_>>> = BTreeMap::new();
        for advisory in self.advisories.values() {
            let offset =
                sections.add_advisory(advisory, self.exploited_by(advisory), self.score_of(advisory))?;
            for affected in &advisory.affected {
                let key = (affected.ecosystem.as_str(), affected.package.as_str());
                packages.entry(key).or_default().push((offset, advisory, affected));
            }
        }
        let mut hashes = Vec::with_capacity(packages.len());
        for ((ecosystem, package), entries) in &packages {
            hashes.push((hash(ecosystem, package), sections.add_record(ecosystem, package, entries)?));
        }
        let table = Ecosystem::red_hat_repositories();
        for (repository, channels) in &self.repositories {
            let offset = sections.add_repository(table.as_str(), repository, channels)?;
            hashes.push((hash(table.as_str(), repository), offset));
        }
        let slots = hash_table(&hashes);
        let Sections { records, advisories, grades, texts, .. } = &sections;
        let parts = [&sources[..], &slots, records, advisories, grades, texts];
        let mut file = Header::new(now, parts).encode().to_vec();
        parts.iter().for_each(|part| file.extend_from_slice(part));
        Ok(file)
    }

    /// For each advisory, in their order: all names of its problem but its own, and where it states no grade, the worst that
    /// anybody gives the problem. Distributions often leave the grade to others.
    fn problems(&self) -> Vec<Problem> {
        let mut names = Names::new(self.advisories.values());
        let mut grades: HashMap<&str, &Grade> = HashMap::new();
        for advisory in self.advisories.values() {
            let own = || std::iter::once(&advisory.id).chain(&advisory.aliases);
            let all = own().map(String::as_str).chain(names.of(&advisory.id).iter().copied());
            for name in all {
                let known = grades.entry(name).or_insert(&advisory.grade);
                if advisory.grade.severity > known.severity {
                    *known = &advisory.grade;
                }
            }
        }
        let problem = |advisory: &Advisory| {
            let all = names.of(&advisory.id);
            let aliases = (!all.is_empty()).then(|| {
                let others = all.iter().filter(|name| !is_record(name)).map(|name| (*name).to_owned());
                let mut aliases: BTreeSet<String> = others.chain(advisory.aliases.iter().cloned()).collect();
                aliases.remove(&advisory.id);
                aliases.into_iter().collect::<Vec<_>>()
            });
            let grade = advisory.grade.is_none().then(|| {
                let all = std::iter::once(&advisory.id).chain(aliases.as_ref().unwrap_or(&advisory.aliases));
                let known = all.filter_map(|name| grades.get(name.as_str()));
                known.max_by_key(|grade| grade.severity).map_or_else(Grade::none, |grade| (*grade).clone())
            });
            Problem { aliases, grade }
        };
        self.advisories.values().map(problem).collect()
    }

    /// What the catalogues say about any of an advisory's CVEs.
    fn exploited_by(&self, advisory: &Advisory) -> Option<Exploited> {
        cves(advisory).filter_map(|cve| self.exploited.get(cve)).copied().reduce(worse_exploited)
    }

    fn score_of(&self, advisory: &Advisory) -> Option<Epss> {
        cves(advisory).filter_map(|cve| self.scores.get(cve)).copied().max()
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
            let told = state.kinds.iter().any(|kind| !kind.is_auxiliary());
            let newest = if told { state.newest } else { state.newest_auxiliary };
            Source {
                name: name.clone(),
                kinds: state.kinds.iter().copied().collect(),
                newest: newest.map(|newest| newest.min(now)),
                exploited: state.exploited,
                scored: state.scored,
                advisories: counts.get(name.as_str()).copied().unwrap_or(0),
                skipped: state.skipped,
                coverage: coverage.collect(),
            }
        };
        self.sources.iter().map(describe).collect()
    }
}

/// What all advisories together add to what one says about its problem.
struct Problem {
    aliases: Option<Vec<String>>,
    grade: Option<Grade>,
}

/// The document that an advisory was read from.
fn document_of(advisory: &Advisory) -> &str {
    advisory.bulletin.as_deref().unwrap_or(&advisory.id)
}

fn cves(advisory: &Advisory) -> impl Iterator<Item = &String> {
    std::iter::once(&advisory.id).chain(&advisory.aliases).filter(|name| is_cve(name))
}

fn worse_exploited(a: Exploited, b: Exploited) -> Exploited {
    Exploited { since: a.since.min(b.since), ransomware: a.ransomware || b.ransomware }
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
