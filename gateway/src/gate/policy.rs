//! Rules from a file, parsed once into a form that cannot be wrong, or refused with every mistake at once.
//!
//! The first `[[rule]]` in file order whose `images` match decides; no match means deny. Whatever lets an image pass
//! unjudged has to be written out in a word that ends in `-unsafe`.

mod attestation;
mod exception;
mod identity;
mod keyless;
mod known_bad;
mod notary;
mod notation;
mod pattern;
mod reader;
mod register;
mod revocation;
mod rule;
mod signatures;
mod starter;
mod trust_root;
mod values;
mod vex;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use keys::revocation::Revocations;
use keys::sigstore::TrustRoot;
use keys::trust_store::{Identity, TrustStore, Vouches};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use toml::de::DeTable;

pub use attestation::AttestationRule;
pub use exception::{Exception, Waives};
pub use identity::IdentitySummary;
pub use known_bad::KnownBad;
pub use pattern::{Pattern, PatternError};
pub use reader::Mistake;
use reader::{Mistakes, Place, Section};
pub use register::ApprovedBase;
pub use rule::{
    BaseRule, ImageRule, Mark, Pin, PinRule, Rule, RuntimeRule, ScanRule, Unexplained, User, Worst,
};
pub use signatures::{ServedForm, SignatureRule, When};
pub use starter::{STARTER_KEY_PATH, starter};
pub use trust_root::{FetchedRoot, RootSource};
pub use values::{Enforcement, Level, Share, format_bytes};
pub use vex::exceptions as exceptions_of;

/// A parsed policy.
#[derive(Clone, Debug)]
pub struct Policy {
    digest: String,
    epoch: String,
    root_sources: Vec<RootSource>,
    roots: BTreeMap<String, FetchedRoot>,
    trust_store: TrustStore,
    identities: Vec<IdentitySummary>,
    rules: Vec<Rule>,
    exceptions: Vec<Exception>,
    bases: Vec<ApprovedBase>,
    /// What VEX documents state; kept apart, for there may be thousands.
    statements: Vec<Exception>,
}

/// Every mistake of a policy file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyErrors(pub Vec<Mistake>);

impl fmt::Display for PolicyErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(formatter, "the policy has {count} {}", if count == 1 { "mistake" } else { "mistakes" })?;
        self.0.iter().try_for_each(|mistake| write!(formatter, "\n{mistake}"))
    }
}

/// Reads a file that the policy names, relative to the policy file's own folder. A path that ends in a slash asks for the
/// names of the files in a folder instead, sorted, one a line.
pub type ReadFile<'a> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'a;

/// A policy is written by people; more than this is not.
const POLICY_BYTES_MAX: usize = 1 << 20;

impl Policy {
    /// Parses a policy file. `read_file` fetches the keys and roots it names, and nothing else.
    ///
    /// # Errors
    /// All mistakes, each with line, key, what is wrong and what would be right.
    pub fn parse(text: &str, read_file: &ReadFile<'_>) -> Result<Self, PolicyErrors> {
        let mut mistakes = Mistakes::new(text);
        if text.len() > POLICY_BYTES_MAX {
            let problem = format!("the file has {} bytes, more than {POLICY_BYTES_MAX}", text.len());
            mistakes.note(&Place::whole_file(), problem, "split the rules by registry");
            return Err(PolicyErrors(mistakes.into_sorted()));
        }
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            for error in &syntax_errors {
                mistakes.note(&Place::at(error.span()), format!("no TOML: {}", error.message()), "");
            }
            return Err(PolicyErrors(mistakes.into_sorted()));
        }
        let mut key_files = KeyFiles {
            read_file,
            digest: Sha256::new(),
            trust_roots: BTreeMap::new(),
            root_sources: Vec::new(),
        };
        let policy = parse_document(document.get_ref(), &mut key_files, &mut mistakes);
        let mistakes = mistakes.into_sorted();
        if !mistakes.is_empty() {
            return Err(PolicyErrors(mistakes));
        }
        key_files.absorb(text.as_bytes());
        let digest = format!("sha256:{}", hex::encode(key_files.digest.finalize()));
        Ok(Self { epoch: digest.clone(), digest, ..policy })
    }

    /// `sha256:…` over the file and every key file it names: what receipts and the log call it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The digest, and each root that was put in with [`Self::with_roots`]: part of every kept verdict's key, so that none
    /// outlives a root that it may rest on.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The trusted roots that are to be fetched.
    pub fn root_sources(&self) -> &[RootSource] {
        &self.root_sources
    }

    /// Those of them that are there.
    pub fn roots(&self) -> &BTreeMap<String, FetchedRoot> {
        &self.roots
    }

    /// The same policy with the roots as they are kept, by name. A root that is not there vouches for nobody.
    #[must_use]
    pub fn with_roots(&self, roots: BTreeMap<String, FetchedRoot>) -> Self {
        let mut policy = self.clone();
        if self.root_sources.is_empty() {
            return policy;
        }
        for (identity, summary) in policy.trust_store.identities.iter_mut().zip(&policy.identities) {
            if let (Vouches::Certificate(trust), Some(rests_on)) = (&mut identity.vouches, &summary.rests_on)
            {
                trust.anchors = rests_on.anchors(roots.get(&rests_on.source));
            }
        }
        let mut epoch = Sha256::new();
        epoch.update(&self.digest);
        for source in &self.root_sources {
            // A digest has no blank, so no two lists of roots give the same bytes.
            let kept = roots.get(&source.name);
            epoch.update(
                kept.map_or(" none".to_owned(), |kept| format!(" {} {}", kept.root.digest(), kept.since)),
            );
        }
        policy.epoch = format!("sha256:{}", hex::encode(epoch.finalize()));
        policy.roots = roots;
        policy
    }

    /// Who may vouch; what [`keys::verify::verify`] asks for.
    pub fn trust_store(&self) -> &TrustStore {
        &self.trust_store
    }

    /// The rules in file order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The exceptions in file order.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// The register of approved bases, in file order.
    pub fn bases(&self) -> &[ApprovedBase] {
        &self.bases
    }

    /// What VEX documents state, as exceptions, in file order.
    pub fn statements(&self) -> &[Exception] {
        &self.statements
    }

    /// Adds what documents state that the policy does not name. The policy's digest stays: it is not the policy's word.
    pub fn state(&mut self, statements: Vec<Exception>) {
        self.statements.extend(statements);
    }

    /// The first rule for a repository (`host/path`), if any.
    pub fn rule_for(&self, repository: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.images.iter().any(|pattern| pattern.matches(repository)))
    }

    /// The first rule that asks the gate to sign with a key of its own, if any.
    pub fn needs_key(&self) -> Option<&Rule> {
        self.rules.iter().find(|rule| !rule.signatures.serve_as.is_empty())
    }

    /// The next moment after `now` at which this policy may answer differently about the same evidence, because a key's
    /// window opens or ends or an exception ends; `None`: never. Both in seconds since 1970-01-01 UTC.
    pub fn changes_after(&self, now: i64) -> Option<i64> {
        let keys = self.trust_store.identities.iter().flat_map(Identity::keys);
        let windows = keys.flat_map(|key| [key.not_before, key.not_after.map(|end| end.saturating_add(1))]);
        let exceptions = self.exceptions.iter().chain(&self.statements);
        let exceptions = exceptions.flat_map(|exception| [exception.begins_at(), Some(exception.ends_at())]);
        windows.chain(exceptions).flatten().filter(|&moment| moment > now).min()
    }

    /// What is in force, defaults filled in, for `policy check` and `config check`.
    pub fn effective(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Effective<'a> {
            digest: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            trust_roots: &'a [RootSource],
            identities: &'a [IdentitySummary],
            rules: &'a [Rule],
            exceptions: &'a [Exception],
            #[serde(skip_serializing_if = "<[ApprovedBase]>::is_empty")]
            bases: &'a [ApprovedBase],
            #[serde(skip_serializing_if = "<[Exception]>::is_empty")]
            statements: &'a [Exception],
            revocations: &'a Revocations,
        }
        let Self { digest, root_sources: trust_roots, trust_store, identities, rules, exceptions, .. } = self;
        let (bases, statements) = (&self.bases, &self.statements);
        let revocations = &trust_store.revocations;
        Effective { digest, trust_roots, identities, rules, exceptions, bases, statements, revocations }
    }
}

/// The files that a policy names, hashed as they are read: the same name with other bytes is another policy.
struct KeyFiles<'a> {
    read_file: &'a ReadFile<'a>,
    digest: Sha256,
    /// Parsed already, by path.
    trust_roots: BTreeMap<String, Arc<TrustRoot>>,
    /// What identities may refer to.
    root_sources: Vec<RootSource>,
}

impl KeyFiles<'_> {
    fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let bytes = (self.read_file)(Path::new(path))?;
        self.absorb(path.as_bytes());
        self.absorb(&bytes);
        Ok(bytes)
    }

    /// Length first, so that no two lists of files give the same bytes.
    fn absorb(&mut self, bytes: &[u8]) {
        self.digest.update(bytes.len().to_be_bytes());
        self.digest.update(bytes);
    }
}

fn parse_document(
    document: &DeTable<'_>,
    key_files: &mut KeyFiles<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Policy {
    let mut root = Section::new(Place::whole_file(), document);
    let source_sections = sections(&mut root, "trust-root", mistakes);
    key_files.root_sources = trust_root::parse_all(source_sections, key_files, mistakes);
    let (mut identities, mut trust_store) = (Vec::new(), TrustStore::default());
    for section in sections(&mut root, "identity", mistakes) {
        if let Some((identity, summary)) = identity::parse(section, key_files, mistakes) {
            trust_store.identities.push(identity);
            identities.push(summary);
        }
    }
    // Names are collected from broken identities too, so that one bad key file is not followed by false complaints.
    let identity_sections = sections(&mut root, "identity", &mut Mistakes::new(""));
    let names = identity::names(&identity_sections, mistakes);
    let mut rules: Vec<Rule> = Vec::new();
    let rule_sections = sections(&mut root, "rule", mistakes);
    if rule_sections.is_empty() {
        let hint = "a policy without rules refuses every image; add `[[rule]]` with `images = [\"registry.example/**\"]`";
        mistakes.note(&Place::whole_file(), "there is no `[[rule]]`", hint);
    }
    for section in rule_sections {
        let place = section.place.clone();
        let Some(rule) = rule::parse(section, &names, key_files, mistakes) else { continue };
        rule::refuse_hidden(&rule, &rules, &place, mistakes);
        rules.push(rule);
    }
    let revocations = sections(&mut root, "revocation", mistakes);
    let revocations =
        revocations.into_iter().filter_map(|section| revocation::parse(section, &names, mistakes)).collect();
    trust_store.revocations = Revocations::new(revocations);
    let exceptions = sections(&mut root, "exception", mistakes);
    let exceptions =
        exceptions.into_iter().filter_map(|section| exception::parse(section, mistakes)).collect();
    let bases = sections(&mut root, "base", mistakes);
    let bases = bases.into_iter().filter_map(|section| register::parse(section, mistakes)).collect();
    let documents = sections(&mut root, "vex", mistakes);
    let documents = documents.into_iter().filter_map(|section| vex::parse(section, key_files, mistakes));
    let statements = documents.flatten().collect();
    root.finish(mistakes);
    let root_sources = std::mem::take(&mut key_files.root_sources);
    let (digest, epoch) = (String::new(), String::new());
    let roots = BTreeMap::new();
    Policy {
        digest,
        epoch,
        root_sources,
        roots,
        trust_store,
        identities,
        rules,
        exceptions,
        bases,
        statements,
    }
}

/// The tables of `[[key]]`.
fn sections<'a>(root: &mut Section<'a>, key: &'static str, mistakes: &mut Mistakes<'_>) -> Vec<Section<'a>> {
    let entries = root.take(key).and_then(|entry| entry.list(mistakes)).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.section(mistakes)).collect()
}

/// A list of image patterns, at least one.
fn patterns(section: &mut Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<Pattern>> {
    let hint = "say which: `images = [\"registry.example/prod/**\"]`, or `[\"**\"]` for every image";
    let entry = section.require("images", hint, mistakes)?;
    let entries = entry.list(mistakes)?;
    if entries.is_empty() {
        mistakes.note(&entry.place, "an empty list names no image", hint);
        return None;
    }
    let mut patterns = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Some(text) = entry.text(mistakes) else { continue };
        match Pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let (problem, hint) = error.to_string().split_once("; ").map_or_else(
                    || (error.to_string(), String::new()),
                    |(problem, hint)| (problem.to_owned(), hint.to_owned()),
                );
                mistakes.note(&entry.place, format!("`{text}` {problem}"), hint);
            }
        }
    }
    (patterns.len() == entries.len()).then_some(patterns)
}

#[cfg(test)]
mod tests;
