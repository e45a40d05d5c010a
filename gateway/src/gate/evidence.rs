//! The facts weighed: no opinions here.

use std::collections::BTreeMap;
use std::sync::Arc;

use keys::attestation::{Attestations, VerifiedAttestation};
use keys::verify::Verification;
use scanner::finding::Finding;
use scanner::report::ScanReport;

use crate::records::notary::Learned;

/// What is known about one image at one moment.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Registry name and repository: `registry.example/prod/app`. Policy rules match on it.
    pub repository: String,
    /// The tag it was asked by, if any.
    pub tag: Option<String>,
    /// Digest of the exact manifest bytes.
    pub digest: String,
    /// Seconds since 1970-01-01 UTC: the moment these facts are weighed at (exceptions expire, advisories age).
    pub as_of: i64,
    /// What the manifest is.
    pub content: Content,
    /// Signatures found for this digest, or for one of [`Evidence::parents`].
    pub signatures: Verification,
    /// Whether signers that the rule names bound [`Evidence::tag`] to this digest (Notary v1); only looked at where the rule
    /// asks for it.
    pub tag_is_signed: bool,
    /// What was stated about this digest or one of [`Evidence::parents`], of the types that the rule asks for.
    pub attestations: Attestations,
    /// What the rule's conditions say of those statements, as far as they were asked already.
    pub conditions: ConditionAnswers,
    /// What a collection of Notary v1 comes to, where the manifest is one.
    pub collection: Option<Standing>,
    /// What the records are to remember together with a verdict about this.
    pub learned: Vec<Learned>,
    /// Digests of indexes in this repository that list this manifest: a signature on one of them vouches for it too.
    pub parents: Vec<String>,
    /// Since when, as a released image, it is refused for a finding, by [`finding_key`]; seconds since 1970-01-01 UTC. Only
    /// gathered where the rule gives a grace.
    pub refused_since: BTreeMap<String, i64>,
    /// The release whose place it is to take, as far as the rule limits growth; `None`: it is the first, or nobody said which.
    pub previous: Option<Previous>,
    /// Where it stands; [`State::Unknown`] for doors that ask without a store.
    pub state: State,
    /// Why it was withdrawn, where that is known.
    pub withdrawn_because: Option<String>,
    /// What the caller asks to do with it (admission only).
    pub runtime: Runtime,
}

impl Evidence {
    /// Evidence with nothing in favour: no signature, no parent, no state, no tag.
    pub fn new(
        repository: impl Into<String>,
        digest: impl Into<String>,
        as_of: i64,
        content: Content,
    ) -> Self {
        Self {
            repository: repository.into(),
            tag: None,
            digest: digest.into(),
            as_of,
            content,
            signatures: Verification::default(),
            tag_is_signed: false,
            attestations: Attestations::default(),
            conditions: ConditionAnswers::default(),
            collection: None,
            learned: Vec::new(),
            parents: Vec::new(),
            refused_since: BTreeMap::new(),
            previous: None,
            state: State::Unknown,
            withdrawn_because: None,
            runtime: Runtime::default(),
        }
    }

    /// `registry.example/prod/app:1.2@sha256:…`, for people.
    pub fn reference(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}:{tag}@{}", self.repository, self.digest),
            None => format!("{}@{}", self.repository, self.digest),
        }
    }
}

/// By what a finding is remembered: one problem in one version of one package.
pub fn finding_key(finding: &Finding) -> String {
    format!("{} {} {}", finding.id, finding.package.name, finding.package.version)
}

/// Answers of conditions about statements. A condition may take its time, and one question after another asks for the same:
/// it is asked once, where that harms nobody ([`super::ask_conditions`]).
#[derive(Clone, Debug, Default)]
pub struct ConditionAnswers(BTreeMap<(String, String, String), Result<(), String>>);

impl ConditionAnswers {
    /// What the condition `source` said of a statement; `None`: it was not asked. A condition sees nothing of an image but
    /// its repository, which is one and the same here, and the digest that the statement is about.
    pub(super) fn find(&self, source: &str, about: &VerifiedAttestation) -> Option<&Result<(), String>> {
        self.0.get(&Self::key(source, about))
    }

    pub(super) fn keep(&mut self, source: &str, about: &VerifiedAttestation, answer: Result<(), String>) {
        self.0.insert(Self::key(source, about), answer);
    }

    fn key(source: &str, about: &VerifiedAttestation) -> (String, String, String) {
        (source.to_owned(), about.digest().to_owned(), about.subject_digest().to_owned())
    }
}

/// Whether a collection of Notary v1 verified for somebody whom the policy trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody's, and why, for each pin.
    Refused(Vec<String>),
    /// Somebody's, until this moment (exclusive), seconds since 1970-01-01 UTC.
    Verified(i64),
}

/// What a manifest is, for the gate.
#[derive(Clone, Debug)]
pub enum Content {
    /// It can run: one platform's image.
    Image(ImageFacts),
    /// Several platforms; each child's facts, in order.
    Index(Vec<IndexChild>),
    /// It cannot run: no image configuration, no file-system layer, small (signature, SBOM, attestation, chart).
    Artifact {
        /// `artifactType`, else the config's media type.
        artifact_type: String,
        /// Sum of blob sizes in bytes.
        size: u64,
    },
    /// Weighed before: the records say that `release` was allowed under the policy and trust in force. Its facts are
    /// not gathered again, so [`super::decide`] asks only what depends on the caller (state, pin, runtime), and only
    /// at `pull` and `admit`.
    Judged,
}

/// One platform of an index.
#[derive(Clone, Debug)]
pub struct IndexChild {
    /// Digest of the child manifest.
    pub digest: String,
    /// `linux/amd64`, `linux/arm64/v8`; `unknown/unknown` for attestations.
    pub platform: String,
    /// Image or artifact; an index inside an index is refused when it is classified.
    pub content: Content,
}

/// The facts of one runnable image.
#[derive(Clone, Debug)]
pub struct ImageFacts {
    /// The scanner's answer; shared, because it is large and cached.
    pub scan: Arc<ScanReport>,
    /// `config.User` as written; empty means root.
    pub user: String,
    /// Sum of compressed layer sizes in bytes.
    pub size: u64,
    /// Base image named by `org.opencontainers.image.base.name` / `.digest`, as the producer claims it.
    pub base: Option<BaseImage>,
    /// `diff_ids` of the configuration, oldest first.
    pub diff_ids: Vec<String>,
    /// The document that lists the packages (`SPDX 2.3`), where no image was read: of all else nothing is known.
    pub from_document: Option<String>,
    /// What contradicts itself between manifest, configuration and layers; any entry refuses.
    pub problems: Vec<String>,
}

/// The image that another one is compared with.
#[derive(Clone, Debug)]
pub struct Previous {
    /// For people.
    pub name: String,
    /// What it is.
    pub content: Content,
}

/// A base image as annotations claim it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseImage {
    /// `docker.io/library/debian:12`.
    pub name: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

/// Where an image stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Visible to consumers.
    Released,
    /// Visible to producers only.
    Staged,
    /// Not in a store, or the door has none.
    Unknown,
    /// Released once, no longer.
    Withdrawn,
}

/// What an engine is about to do with the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// The container asks for `privileged`.
    pub privileged: bool,
    /// AppArmor is switched off for it (`unconfined`).
    pub apparmor_unconfined: bool,
    /// Host paths it binds.
    pub host_binds: Vec<String>,
    /// The reference in the request names a digest.
    pub pinned: bool,
}
