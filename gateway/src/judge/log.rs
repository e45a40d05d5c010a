//! Rows of the decision log: who asked what, and what the answer was, written with the change that they tell of.

use rusqlite::Connection;
use serde::Serialize;

use crate::digest::Digest;
use crate::gate::Checkpoint;
use crate::gate::evidence::{Content, Evidence, ImageFacts};
use crate::gate::verdict::{Reason, Verdict};
use crate::records::{RecordError, decisions};

/// Reasons kept in one row; the image's own records hold the rest.
const REASONS_MAX: usize = 50;

/// Who asks, at which question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a str,
    pub(super) checkpoint: Checkpoint,
}

/// One decision, but for its place in the chain.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Draft {
    at: i64,
    caller: String,
    door: &'static str,
    checkpoint: Checkpoint,
    repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    digest: String,
    verdict: &'static str,
    reasons: Vec<Reason>,
    policy: String,
    advisories: Option<String>,
    evidence: Vec<String>,
}

impl Draft {
    pub(super) fn new(
        asked: Asked<'_>,
        evidence: &Evidence,
        verdict: &Verdict,
        policy: &str,
        advisories: Option<String>,
    ) -> Self {
        let (name, reasons) = match verdict {
            Verdict::Allow(proof) => ("allow", proof.warnings().iter().chain(proof.shadowed())),
            Verdict::Deny(denial) => ("deny", denial.reasons.iter().chain(&[])),
        };
        Self {
            at: evidence.as_of,
            caller: asked.caller.to_owned(),
            door: "registry",
            checkpoint: asked.checkpoint,
            repository: evidence.repository.clone(),
            tag: evidence.tag.clone(),
            digest: evidence.digest.clone(),
            verdict: name,
            reasons: reasons.take(REASONS_MAX).cloned().collect(),
            policy: policy.to_owned(),
            advisories,
            evidence: digests(evidence),
        }
    }
}

/// What was weighed: layers of the images in question, and the keys that vouched.
fn digests(evidence: &Evidence) -> Vec<String> {
    let layers =
        |facts: &ImageFacts| facts.scan.layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>();
    let mut all = match &evidence.content {
        Content::Image(facts) => layers(facts),
        Content::Index(children) => children.iter().map(|child| child.digest.clone()).collect(),
        Content::Artifact { .. } | Content::Judged => Vec::new(),
    };
    all.extend(evidence.signatures.verified.iter().map(|signature| format!("key:{}", signature.key_id())));
    all
}

/// Appends a row to the chain: its hash covers the row before it.
pub(super) fn append(connection: &Connection, draft: &Draft) -> Result<(), RecordError> {
    let head = decisions::head(connection)?;
    let (seq, previous) = head.map_or((1, String::new()), |(seq, hash)| (seq + 1, hash));
    let entry = serde_json::to_vec(draft).map_err(|_| RecordError::Malformed { what: "decision" })?;
    let mut chained = previous.into_bytes();
    chained.extend_from_slice(&entry);
    decisions::append(connection, seq, &entry, Digest::sha256_of(&chained).hex())
}
