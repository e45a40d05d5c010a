//! The decision log: what was asked, by whom, and what the answer was, each row chained to the one before.
//!
//! `hash = SHA-256(previous hash ‖ entry)`, in bytes, where the first row's previous hash is 32 zero bytes and `entry`
//! is the row's canonical JSON: the exact bytes stored, fields in the order of [`Entry`]. Whoever edits a row or deletes
//! one from the middle breaks the chain; whoever rewrites all rows after one, or cuts off the end, is found by comparing
//! with a head that was remembered elsewhere. This file is pure: `records` stores the rows, in the same transaction as
//! the change that they tell of.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::gate::Checkpoint;
use crate::gate::verdict::{Reason, Verdict};

/// One decision, before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// Seconds since 1970-01-01 UTC.
    pub at: i64,
    /// The account that asked.
    pub caller: String,
    /// The door it came through: `registry`, `kubernetes`, `docker`, `gateway` for what nobody asked for.
    pub door: String,
    /// The question.
    pub checkpoint: Checkpoint,
    /// `host/path`.
    pub repository: String,
    /// The tag asked by, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tag: Option<String>,
    /// Digest of the manifest.
    pub digest: String,
    /// The answer.
    pub outcome: Outcome,
    /// The first [`REASONS_LOGGED_MAX`] reasons: of a denial what refused; of an allowance what warned or was only
    /// logged (`enforce = "shadow"`).
    pub reasons: Vec<LoggedReason>,
    /// How many more there were.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub reasons_omitted: u64,
    /// Digest of the policy in force.
    pub policy: String,
    /// Digest of the advisory snapshot in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advisories: Option<String>,
    /// Digests of what was weighed beside the manifest: configuration, layers, signatures.
    pub evidence: Vec<String>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Yes.
    Allowed,
    /// No.
    Denied,
}

/// A reason as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoggedReason {
    /// Which check.
    pub check: String,
    /// Which policy rule.
    pub rule: String,
    /// The finding's id, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finding: Option<String>,
    /// In words, cut at [`MESSAGE_CHARACTERS_MAX`].
    pub message: String,
}

/// Reasons kept in one row; the refusal's own record holds the others.
pub const REASONS_LOGGED_MAX: usize = 50;
/// Length of a message in the log.
pub const MESSAGE_CHARACTERS_MAX: usize = 300;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Decision {
    /// A row about `verdict`; everything else is for the caller to fill in.
    pub fn new(at: i64, checkpoint: Checkpoint, repository: &str, digest: &str, verdict: &Verdict) -> Self {
        let (outcome, reasons): (_, Vec<&Reason>) = match verdict {
            Verdict::Allow(admitted) => {
                (Outcome::Allowed, admitted.warnings().iter().chain(admitted.shadowed()).collect())
            }
            Verdict::Deny(denial) => (Outcome::Denied, denial.reasons.iter().collect()),
        };
        let omitted = reasons.len().saturating_sub(REASONS_LOGGED_MAX);
        let more = match verdict {
            Verdict::Allow(_) => 0,
            Verdict::Deny(denial) => denial.omitted,
        };
        Self {
            at,
            caller: String::new(),
            door: "gateway".to_owned(),
            checkpoint,
            repository: repository.to_owned(),
            tag: None,
            digest: digest.to_owned(),
            outcome,
            reasons: reasons.into_iter().take(REASONS_LOGGED_MAX).map(LoggedReason::from).collect(),
            reasons_omitted: u64::try_from(omitted.saturating_add(more)).unwrap_or(u64::MAX),
            policy: String::new(),
            advisories: None,
            evidence: Vec::new(),
        }
    }
}

impl From<&Reason> for LoggedReason {
    fn from(reason: &Reason) -> Self {
        Self {
            check: reason.check.clone(),
            rule: reason.rule.clone(),
            finding: reason.finding.clone(),
            message: crate::gate::words::printable(&reason.message, MESSAGE_CHARACTERS_MAX),
        }
    }
}

/// A decision with its place: what is stored, and what is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 1, without gaps.
    pub seq: u64,
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
}

/// The end of the chain: worth remembering in another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of the last row.
    pub seq: u64,
    /// Of the last row, hex.
    pub hash: String,
}

/// A row ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its number.
    pub seq: u64,
    /// Canonical JSON.
    pub entry: Vec<u8>,
    /// Hex.
    pub hash: String,
}

/// Gives a decision its place after `previous`, the log's head; `None` for an empty log. The head must be read in the
/// transaction that stores the row, or two rows could take one place.
///
/// # Errors
/// When the head's hash is not one, or the numbers are used up.
pub fn seal(previous: Option<&Head>, decision: Decision) -> Result<Sealed, ChainError> {
    let (seq, previous) = match previous {
        Some(head) => {
            let seq = head.seq.checked_add(1).ok_or(ChainError::Malformed { seq: head.seq })?;
            (seq, parse_hash(&head.hash).ok_or(ChainError::Malformed { seq: head.seq })?)
        }
        None => (1, GENESIS),
    };
    let entry = serde_json::to_vec(&Entry { seq, decision }).map_err(|_| ChainError::Malformed { seq })?;
    let hash = hex::encode(chain_hash(&previous, &entry));
    Ok(Sealed { seq, entry, hash })
}

type Hash = [u8; 32];
const GENESIS: Hash = [0; 32];

fn chain_hash(previous: &Hash, entry: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(entry).finalize().into()
}

fn parse_hash(text: &str) -> Option<Hash> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Where and how a log is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The hash does not follow from the row before and the entry: this row, or the one before, was changed.
    #[error("row {seq} was edited: its hash should be `{computed}`, stored is `{stored}`")]
    Edited {
        /// The first bad row.
        seq: u64,
        /// What follows from the rows before.
        computed: String,
        /// What stands there.
        stored: String,
    },
    /// Rows are missing, or stand twice.
    #[error("row {expected} is missing: the next row is {found}")]
    Gap {
        /// Which should be next.
        expected: u64,
        /// Which is.
        found: u64,
    },
    /// The entry is no entry, or gives itself another number.
    #[error("row {seq} is malformed")]
    Malformed {
        /// Which.
        seq: u64,
    },
    /// The remembered head's row has another hash: the log was written anew.
    #[error("row {seq} is not the remembered one: remembered `{remembered}`, stored is `{stored}`")]
    Rewritten {
        /// The remembered row.
        seq: u64,
        /// What was remembered.
        remembered: String,
        /// What stands there.
        stored: String,
    },
    /// The log ends before the remembered head.
    #[error("the log was cut off: it ends at row {last}, row {remembered} was remembered")]
    Truncated {
        /// Last row; 0 for an empty log.
        last: u64,
        /// Remembered row.
        remembered: u64,
    },
}

/// Follows a log row by row, in constant memory.
#[derive(Clone, Debug)]
pub struct Chain {
    last_seq: u64,
    last_hash: Hash,
    remembered: Option<Head>,
}

impl Chain {
    /// Before the first row. `remembered` is a head that was noted earlier, if any.
    pub fn new(remembered: Option<Head>) -> Self {
        Self { last_seq: 0, last_hash: GENESIS, remembered }
    }

    /// The next row, as stored.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn follow(&mut self, seq: u64, entry: &[u8], hash: &str) -> Result<Entry, ChainError> {
        let expected = self.last_seq.saturating_add(1);
        if seq != expected {
            return Err(ChainError::Gap { expected, found: seq });
        }
        let computed = chain_hash(&self.last_hash, entry);
        if parse_hash(hash) != Some(computed) {
            return Err(ChainError::Edited { seq, computed: hex::encode(computed), stored: hash.to_owned() });
        }
        let parsed: Entry = serde_json::from_slice(entry).map_err(|_| ChainError::Malformed { seq })?;
        if parsed.seq != seq {
            return Err(ChainError::Malformed { seq });
        }
        if let Some(remembered) = self.remembered.as_ref().filter(|remembered| remembered.seq == seq)
            && parse_hash(&remembered.hash) != Some(computed)
        {
            let (remembered, stored) = (remembered.hash.clone(), hash.to_owned());
            return Err(ChainError::Rewritten { seq, remembered, stored });
        }
        (self.last_seq, self.last_hash) = (seq, computed);
        Ok(parsed)
    }

    /// After the last row: the head, `None` for an empty log.
    ///
    /// # Errors
    /// When the log ends before the remembered head.
    pub fn finish(self) -> Result<Option<Head>, ChainError> {
        match self.remembered {
            Some(remembered) if remembered.seq > self.last_seq => {
                Err(ChainError::Truncated { last: self.last_seq, remembered: remembered.seq })
            }
            _ if self.last_seq == 0 => Ok(None),
            _ => Ok(Some(Head { seq: self.last_seq, hash: hex::encode(self.last_hash) })),
        }
    }
}

#[cfg(test)]
mod tests;
