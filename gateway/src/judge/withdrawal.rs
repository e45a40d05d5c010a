//! Takes a released image away, and gives it back to be judged anew; both with a row in the decision log.

use std::sync::Arc;

use keys::notary::COLLECTION_TAG;

use super::{Judge, JudgeError, log, receipts};
use crate::decisions::{Decision, LoggedReason, Outcome};
use crate::gate::Checkpoint;
use crate::gate::evidence::{Content, Evidence};
use crate::gate::verdict::{Denial, Verdict};
use crate::records::withdrawals::WithdrawalRow;
use crate::records::{manifests, verdicts};
use crate::staging::{self, StagingError};

impl Judge {
    /// Withdraws a manifest, and of an index what no other index lists. Consumers are refused from the moment this
    /// returns; pushing or signing it again does not bring it back.
    ///
    /// # Errors
    /// When it is not there, or the records fail.
    pub async fn withdraw(
        self: &Arc<Self>,
        repository: &str,
        digest: &str,
        caller: &str,
        reason: String,
    ) -> Result<(), JudgeError> {
        let now = self.clock.now();
        let row = WithdrawalRow {
            cause: digest.to_owned(),
            reason,
            withdrawn_by: caller.to_owned(),
            withdrawn_at: now,
        };
        let entry = self.withdrawal_entry(repository, &row);
        let held = repository.to_owned();
        self.records
            .write(repository, move |connection| -> Result<(), JudgeError> {
                let collection = manifests::tag(connection, &held, COLLECTION_TAG)?;
                if collection.is_some_and(|tag| [tag.staged, tag.released].contains(&Some(row.cause.clone())))
                {
                    // What it vouched for is asked about again.
                    verdicts::forget_all(connection, &held)?;
                }
                for digest in staging::withdraw(connection, &held, &row)? {
                    receipts::take_away(connection, &held, &digest)?;
                }
                Ok(log::append(connection, entry)?)
            })
            .await
    }

    /// Withdrawn → staged, for a digest that was withdrawn by its own name, and asks for its release. `false`: it is not
    /// withdrawn.
    ///
    /// # Errors
    /// When the records fail, or no answer could be found; it stays staged then.
    pub async fn restore(
        self: &Arc<Self>,
        repository: &str,
        digest: &str,
        caller: &str,
    ) -> Result<bool, JudgeError> {
        let (held, cause) = (repository.to_owned(), digest.to_owned());
        let restored = self
            .records
            .write(repository, move |connection| -> Result<Vec<String>, StagingError> {
                staging::restore(connection, &held, &cause)
            })
            .await?;
        for digest in &restored {
            self.try_release(repository, digest, caller).await?;
        }
        Ok(!restored.is_empty())
    }

    fn withdrawal_entry(&self, repository: &str, row: &WithdrawalRow) -> Decision {
        let basis = self.basis();
        let name = self.full_name(repository);
        let evidence = Evidence::new(name, row.cause.clone(), row.withdrawn_at, Content::Judged);
        let denial = Denial::new(evidence.reference(), Checkpoint::Release, Vec::new());
        let reason = LoggedReason {
            check: "state".to_owned(),
            rule: String::new(),
            finding: None,
            message: format!("withdrawn: {}", row.reason),
        };
        Decision {
            caller: row.withdrawn_by.clone(),
            door: "registry".to_owned(),
            outcome: Outcome::Denied,
            reasons: vec![reason],
            policy: basis.policy.digest().to_owned(),
            advisories: basis.revision(),
            ..Decision::new(
                row.withdrawn_at,
                Checkpoint::Release,
                &evidence.repository,
                &row.cause,
                &Verdict::Deny(denial),
            )
        }
    }
}
