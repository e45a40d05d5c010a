//! The effect of a release verdict on the records, inside the transaction of its decision.

use rusqlite::Connection;

use super::{Basis, JudgeError};
use crate::gate::evidence::Evidence;
use crate::gate::verdict::Verdict;
use crate::records::notary::Learned;
use crate::records::verdicts::VerdictRow;
use crate::records::{RecordError, manifests, verdicts};
use crate::staging::{self, StagingError};

/// A release verdict on its way into the records.
pub(super) struct Taken {
    verdict: Verdict,
    kept: VerdictRow,
    pub(super) learned: Vec<Learned>,
    /// It is about the metadata that the verdicts about the other manifests of the repository may rest on.
    is_collection: bool,
}

impl Taken {
    pub(super) fn new(verdict: &Verdict, evidence: &Evidence, basis: &Basis) -> Self {
        Self {
            verdict: verdict.clone(),
            kept: basis.verdict_row(evidence),
            learned: evidence.learned.clone(),
            is_collection: evidence.collection.is_some(),
        }
    }

    /// The effect of the verdict: the move, or the reason to wait. A withdrawn manifest stays so.
    pub(super) fn apply(
        &self,
        connection: &Connection,
        repository: &str,
        digest: &str,
        now: i64,
    ) -> Result<(), JudgeError> {
        let proof = match &self.verdict {
            Verdict::Allow(proof) => proof,
            Verdict::Deny(denial) => {
                let text =
                    serde_json::to_string(denial).map_err(|_| RecordError::Malformed { what: "denial" })?;
                manifests::set_waiting(connection, repository, digest, &text)?;
                return Ok(());
            }
        };
        match staging::release(connection, repository, proof) {
            Err(StagingError::Withdrawn { .. }) => return Ok(()),
            other => other?,
        };
        if self.is_collection {
            // A tag that is no longer in it vouches no longer, and one that is new in it does.
            verdicts::forget_all(connection, repository)?;
        }
        let mut names = manifests::children(connection, repository, digest)?;
        names.push(digest.to_owned());
        for name in names {
            verdicts::put(connection, repository, &name, &self.kept, now)?;
        }
        Ok(())
    }
}
