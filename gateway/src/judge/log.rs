//! Rows of the decision log: who asked what, and what the answer was, written with the change that they tell of.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use crate::decisions::{Decision, Head, seal};
use crate::gate::Checkpoint;
use crate::gate::evidence::{Content, Evidence};
use crate::gate::verdict::Verdict;
use crate::records::{RecordError, decisions};

/// For how long the same admission is told once: a crash-looping container asks every few seconds.
const ADMISSION_REPEATED_SECONDS: i64 = 3600;
/// Admissions remembered for that.
const ADMISSIONS_MAX: usize = 4096;

/// The admissions told lately, and when.
#[derive(Debug, Default)]
pub(super) struct Admissions(Mutex<HashMap<Decision, i64>>);

impl Admissions {
    /// Whether the log does not say this yet.
    pub(super) fn is_news(&self, entry: &Decision) -> bool {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told_at = told.get(&Decision { at: 0, ..entry.clone() });
        told_at.is_none_or(|&at| entry.at - at >= ADMISSION_REPEATED_SECONDS)
    }

    /// The log says it now.
    pub(super) fn remember(&self, entry: Decision) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= ADMISSIONS_MAX {
            told.clear();
        }
        let at = entry.at;
        told.insert(Decision { at: 0, ..entry }, at);
    }
}

/// Who asks, at which question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a str,
    pub(super) checkpoint: Checkpoint,
}

/// A row about `verdict`, but for its place in the chain.
pub(super) fn decision(
    asked: Asked<'_>,
    evidence: &Evidence,
    verdict: &Verdict,
    policy: &str,
    advisories: Option<String>,
) -> Decision {
    Decision {
        caller: asked.caller.to_owned(),
        door: "registry".to_owned(),
        tag: evidence.tag.clone(),
        policy: policy.to_owned(),
        advisories,
        evidence: digests(evidence),
        ..Decision::new(evidence.as_of, asked.checkpoint, &evidence.repository, &evidence.digest, verdict)
    }
}

/// What was weighed: the layers of an image, the manifests of an index, the keys that vouched, and what was stated.
fn digests(evidence: &Evidence) -> Vec<String> {
    weighed(&evidence.content, evidence)
}

/// What was weighed of one image in the evidence: itself, or a platform of the index that was asked about.
pub(super) fn weighed(content: &Content, evidence: &Evidence) -> Vec<String> {
    let mut all: Vec<String> = match content {
        Content::Image(facts) => facts.scan.layers.iter().map(|layer| layer.digest.clone()).collect(),
        Content::Index(children) => children.iter().map(|child| child.digest.clone()).collect(),
        Content::Artifact { .. } | Content::Judged => Vec::new(),
    };
    all.extend(evidence.signatures.verified.iter().map(|signature| format!("key:{}", signature.key_id())));
    all.extend(evidence.attestations.verified.iter().map(|one| format!("attestation:{}", one.digest())));
    all
}

/// Appends a row to the chain. The head is read in the same transaction, and there is one writer: two rows never take
/// one place.
pub(super) fn append(connection: &Connection, decision: Decision) -> Result<(), RecordError> {
    let head = decisions::head(connection)?.map(|(seq, hash)| Head { seq, hash });
    let sealed =
        seal(head.as_ref(), decision).map_err(|_| RecordError::Malformed { what: "decision log" })?;
    decisions::append(connection, sealed.seq, &sealed.entry, &sealed.hash)
}
