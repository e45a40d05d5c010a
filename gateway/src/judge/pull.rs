//! Asks about what is stored already, for those who want to pull or run it.

use std::sync::Arc;

use rusqlite::Connection;

use super::log::{self, Asked};
use super::{Basis, Judge, JudgeError, denial_of};
use crate::decisions::Decision;
use crate::gate::evidence::{Content, Evidence, Runtime, State};
use crate::gate::verdict::Verdict;
use crate::gate::{Checkpoint, decide, newly_refused};
use crate::records::manifests::ManifestRow;
use crate::records::verdicts::{self, VerdictRow};
use crate::records::{RecordError, notary as seen, refused_since, withdrawals};

/// Who wants to run an image.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The account.
    pub caller: &'a str,
    /// `kubernetes` or `docker`.
    pub door: &'a str,
}

/// A verdict, and how long it may be repeated without asking.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// From this moment on it must be asked for again, seconds since 1970-01-01 UTC; `None`: only when the policy or the
    /// repository changes.
    pub until: Option<i64>,
}

impl Judge {
    /// Asks `pull` for a consumer. A release verdict under the policy in force is not found again; under another policy
    /// the image is weighed anew.
    ///
    /// # Errors
    /// When no answer could be found.
    pub async fn pull(
        self: &Arc<Self>,
        repository: &str,
        tag: Option<&str>,
        row: &ManifestRow,
    ) -> Result<Answer, JudgeError> {
        self.ask(Checkpoint::Pull, repository, tag, row, Runtime::default(), &self.basis()).await
    }

    /// Asks `admit` about a stored manifest, for `caller` by way of `door`, and logs the answer.
    ///
    /// # Errors
    /// When no answer could be found, or it could not be logged: what nobody can look up later is not admitted.
    pub async fn admit(
        self: &Arc<Self>,
        asker: Asker<'_>,
        repository: &str,
        tag: Option<&str>,
        row: &ManifestRow,
        runtime: Runtime,
    ) -> Result<Verdict, JudgeError> {
        let basis = self.basis();
        let Answer { verdict, .. } =
            self.ask(Checkpoint::Admit, repository, tag, row, runtime, &basis).await?;
        let entry = Decision {
            caller: asker.caller.to_owned(),
            door: asker.door.to_owned(),
            tag: tag.map(str::to_owned),
            policy: basis.policy.digest().to_owned(),
            advisories: basis.revision(),
            ..Decision::new(
                self.clock.now(),
                Checkpoint::Admit,
                &self.full_name(repository),
                &row.digest,
                &verdict,
            )
        };
        if self.admissions.is_news(&entry) {
            let written = entry.clone();
            self.records
                .write(repository, move |connection| -> Result<(), RecordError> {
                    log::append(connection, written)
                })
                .await?;
            // Only now: had the write failed, the next answer would be given unlogged.
            self.admissions.remember(entry);
        }
        Ok(verdict)
    }

    async fn ask(
        self: &Arc<Self>,
        checkpoint: Checkpoint,
        repository: &str,
        tag: Option<&str>,
        row: &ManifestRow,
        runtime: Runtime,
        basis: &Basis,
    ) -> Result<Answer, JudgeError> {
        let mut said_until = None;
        if let Some(image) = self.receipt_subject(repository, row)? {
            let about =
                Box::pin(self.ask(Checkpoint::Pull, repository, None, &image, Runtime::default(), basis));
            let answer = about.await?;
            if matches!(answer.verdict, Verdict::Deny(_)) {
                return Ok(answer);
            }
            said_until = answer.until;
        }
        let (policy, now) = (basis.policy.epoch(), self.clock.now());
        let judged = self
            .records
            .read(|connection| verdicts::find(connection, repository, &row.digest, policy, now))?;
        let mut until = judged.as_ref().and_then(|judged| judged.until);
        let mut evidence = match judged {
            // Not released: the state alone refuses it, no facts are needed.
            _ if row.state != State::Released => self.unreleased(repository, row)?,
            Some(VerdictRow { denial: None, .. }) => self.judged(repository, &row.digest),
            // Refused before, with the same knowledge: asking again and again must not cost a scan each time.
            Some(VerdictRow { denial: Some(text), advisories, .. }) if advisories == basis.revision() => {
                let denial =
                    serde_json::from_str(&text).map_err(|_| RecordError::Malformed { what: "denial" })?;
                return Ok(Answer { verdict: Verdict::Deny(denial), until });
            }
            Some(_) | None => self.weigh_released(repository, row, basis).await?,
        };
        let weighed = !matches!(evidence.content, Content::Judged);
        evidence.tag = tag.map(str::to_owned);
        evidence.tag_is_signed = self.is_tag_signed(repository, &evidence, basis).await?;
        evidence.state = row.state;
        evidence.runtime = runtime;
        let verdict = decide(checkpoint, &evidence, &basis.policy);
        self.count(checkpoint, denial_of(&verdict));
        if weighed {
            until = self.keep_verdict(repository, &evidence, basis).await?.until;
            self.renew_in_background(repository, evidence, basis);
        }
        // What we say of an image is asked for again when the image is.
        let until = [until, said_until].into_iter().flatten().min();
        Ok(Answer { verdict, until })
    }

    /// Weighs what is released. What it is refused for from now on is dated now, where the rule gives a grace.
    pub(super) async fn weigh_released(
        self: &Arc<Self>,
        repository: &str,
        row: &ManifestRow,
        basis: &Basis,
    ) -> Result<Evidence, JudgeError> {
        let mut evidence = self.weigh(repository, row, basis).await?;
        let known = |connection: &Connection| refused_since::of(connection, repository, &row.digest);
        evidence.refused_since = self.records.read(known)?;
        let new = newly_refused(&evidence, &basis.policy);
        evidence.refused_since.extend(new.into_iter().map(|finding| (finding, evidence.as_of)));
        Ok(evidence)
    }

    /// Keeps the release verdict of an image that is released, and logs it where it says something new.
    pub(super) async fn keep_verdict(
        &self,
        repository: &str,
        evidence: &Evidence,
        basis: &Basis,
    ) -> Result<VerdictRow, JudgeError> {
        let verdict = decide(Checkpoint::Release, evidence, &basis.policy);
        let asked = Asked { caller: "policy", checkpoint: Checkpoint::Release };
        let entry = Self::entry(asked, evidence, &verdict, basis);
        let denial = denial_of(&verdict).and_then(|denial| serde_json::to_string(denial).ok());
        let (held, digest, now) = (repository.to_owned(), evidence.digest.clone(), self.clock.now());
        let kept = VerdictRow { denial, ..basis.verdict_row(evidence) };
        let answer = kept.clone();
        let learned = evidence.learned.clone();
        let since = now_refused(evidence);
        self.records
            .write(repository, move |connection| -> Result<(), JudgeError> {
                if !seen::remember(connection, &learned)? {
                    return Err(JudgeError::Unsettled(digest));
                }
                let before = verdicts::find(connection, &held, &digest, &kept.policy, now)?;
                verdicts::put(connection, &held, &digest, &kept, now)?;
                refused_since::remember(connection, &held, &digest, &since, entry.at)?;
                // Said before: a denial that is asked for again and again must not swell the log.
                let is_said = before.is_some_and(|before| before.denial == kept.denial) && since.is_empty();
                if is_said { Ok(()) } else { Ok(log::append(connection, entry)?) }
            })
            .await?;
        Ok(answer)
    }

    /// A receipt names the policy that its image was judged by, and that has just changed.
    pub(super) fn renew_in_background(self: &Arc<Self>, repository: &str, evidence: Evidence, basis: &Basis) {
        if self.issuer.is_some()
            && matches!(decide(Checkpoint::Release, &evidence, &basis.policy), Verdict::Allow(_))
        {
            let (judge, repository, basis) = (Arc::clone(self), repository.to_owned(), basis.clone());
            tokio::spawn(async move { judge.give_receipts(&repository, &evidence, &basis).await });
        }
    }

    /// What is to be known about a manifest that is not released: where it stands, and why if it was withdrawn.
    fn unreleased(&self, repository: &str, row: &ManifestRow) -> Result<Evidence, JudgeError> {
        let mut evidence = self.judged(repository, &row.digest);
        if row.state == State::Withdrawn {
            let why = |connection: &Connection| withdrawals::find(connection, repository, &row.digest);
            evidence.withdrawn_because = self.records.read(why)?.map(|row| row.reason);
        }
        Ok(evidence)
    }
}

/// What the image is refused for since the moment it was weighed at.
fn now_refused(evidence: &Evidence) -> Vec<String> {
    let now = evidence.refused_since.iter().filter(|(_, since)| **since == evidence.as_of);
    now.map(|(finding, _)| finding.clone()).collect()
}
