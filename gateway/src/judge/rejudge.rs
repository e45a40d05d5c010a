//! Asks again about what is released when advisories change, from kept inventories; when YARA rules change, from the stored
//! layers; and when an answer ends by time.
//!
//! What is released goes on being served by its old answer while this runs. The inverted index finds the images that hold
//! a package of which the new snapshot says something else; all others keep their answers, which then stand for the new
//! snapshot. After a start there is no old snapshot to compare with, so all are looked at whose answer rests on another.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use scanner::advisory::Advisories;
use scanner::finding::Finding;
use scanner::report::{Malware, Unknown};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::{Basis, Judge, JudgeError};
use crate::gate::evidence::{Content, ImageFacts, State};
use crate::records::verdicts::{self, KeptVerdict};
use crate::records::{RecordError, inventories, manifests};

/// Rows read at once.
const STEP: u32 = 500;
/// Images asked about at once; each of them may wait for a turn to be weighed.
const AT_ONCE: usize = 2;
/// How often answers that have ended are asked for again without anybody pulling.
const PAUSE: Duration = Duration::from_secs(60);

/// What one round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejudged {
    /// Kept their answer without being looked at.
    pub untouched: u64,
    /// Judged again; the advisories say the same as before.
    pub same: u64,
    /// Judged again; the answer was given anew.
    pub weighed: u64,
    /// No answer could be found; the old one stands, and the next round asks again.
    pub failed: u64,
}

/// What is to be done about one answer.
enum Step {
    Weighed,
    Same,
}

/// In short, what the advisories and the YARA rules say about the images in question. `None` for what cannot run.
pub(super) fn said(content: &Content) -> Option<String> {
    let images: Vec<&ImageFacts> = match content {
        Content::Image(facts) => vec![facts],
        Content::Index(children) => children
            .iter()
            .filter_map(|child| match &child.content {
                Content::Image(facts) => Some(facts),
                Content::Artifact { .. } | Content::Index(_) | Content::Judged => None,
            })
            .collect(),
        Content::Artifact { .. } | Content::Judged => return None,
    };
    let words: Vec<(&[Finding], &[Unknown])> =
        images.iter().map(|facts| (facts.scan.findings.as_slice(), facts.scan.unknown.as_slice())).collect();
    // Plain data; were it not, nothing would ever count as said before, which costs time and no safety.
    let mut words = serde_json::to_vec(&words).ok()?;
    // Where no rules were asked, nothing is said of them: what older versions said stays the same.
    for Malware { rules, matches, unsearched } in images.iter().map(|facts| &facts.scan.malware) {
        if rules.is_some() {
            words.extend(serde_json::to_vec(&(matches, unsearched)).ok()?);
        }
    }
    Some(hex::encode(Sha256::digest(words)))
}

impl Judge {
    /// Looks at everything once, then at what each change of the advisories concerns, at everything when the YARA rules
    /// change, and every minute at answers that have ended; until the task is stopped.
    pub(crate) async fn rejudge_forever(self: Arc<Self>, mut changed: watch::Receiver<Option<String>>) {
        let mut before = None;
        let mut rules = self.rules.subscribe();
        loop {
            changed.mark_unchanged();
            rules.mark_unchanged();
            // Read before the basis of the round is: a change between the two is looked at twice, and never missed.
            let now = self.advisories.current();
            let outcome = self.rejudge(before.as_deref()).await;
            self.tell(&outcome);
            before = now;
            loop {
                tokio::select! {
                    change = changed.changed() => match change {
                        Ok(()) => break,
                        Err(_) => return std::future::pending().await,
                    },
                    // The judge holds the sender, so that this fails never.
                    Ok(()) = rules.changed() => break,
                    () = tokio::time::sleep(PAUSE) => self.ask_about_ended().await,
                }
            }
        }
    }

    fn tell(&self, outcome: &Result<Rejudged, JudgeError>) {
        match outcome {
            Ok(Rejudged { untouched, same, weighed, failed }) => {
                tracing::info!(
                    untouched,
                    same,
                    weighed,
                    failed,
                    "released images judged by the advisories in force"
                );
            }
            Err(error) => {
                tracing::error!(%error, "cannot judge released images again; their old answers stand");
                self.metrics.error("rejudge");
            }
        }
    }

    /// Judges what is released by the advisories in force; `before`: the snapshot of the round before.
    ///
    /// # Errors
    /// When the records fail. What fails about one image is counted, and keeps no other waiting.
    pub async fn rejudge(self: &Arc<Self>, before: Option<&Advisories>) -> Result<Rejudged, JudgeError> {
        let basis = &self.basis();
        self.complete_inventories(basis).await?;
        let revision = basis.revision();
        let concerned = match (before, &basis.advisories) {
            (Some(before), Some(now)) if before.covers_same(now) => {
                Some((before.revision().digest, self.concerned(before, now)?))
            }
            _ => None,
        };
        let (mut rejudged, mut last) = (Rejudged::default(), (String::new(), String::new()));
        loop {
            let policy = basis.policy.epoch();
            let step = self
                .records
                .read(|connection| verdicts::released(connection, policy, (&last.0, &last.1), STEP))?;
            let Some(end) = step.last() else { return Ok(rejudged) };
            last = (end.digest.clone(), end.repository.clone());
            let (mut same, mut asked) = (Vec::new(), Vec::new());
            for kept in step.into_iter().filter(|kept| kept.verdict.advisories != revision) {
                let is_concerned = match &concerned {
                    Some((before, digests)) => {
                        kept.verdict.advisories.as_ref() != Some(before) || digests.contains(&kept.digest)
                    }
                    None => true,
                };
                if is_concerned { asked.push(kept) } else { same.push(kept) }
            }
            rejudged.untouched += same.len() as u64;
            self.ask_about(asked, basis, &mut same, &mut rejudged).await;
            self.restamp(same, revision.clone()).await?;
        }
    }

    /// Asks about some images, a few at a time. What is found to be said before is added to `same`.
    async fn ask_about(
        self: &Arc<Self>,
        asked: Vec<KeptVerdict>,
        basis: &Basis,
        same: &mut Vec<KeptVerdict>,
        rejudged: &mut Rejudged,
    ) {
        let mut running = tokio::task::JoinSet::new();
        let mut waiting = asked.into_iter();
        loop {
            while running.len() < AT_ONCE
                && let Some(kept) = waiting.next()
            {
                let (judge, basis) = (Arc::clone(self), basis.clone());
                running.spawn(async move {
                    let outcome = judge.ask_anew(&kept, &basis).await;
                    (kept, outcome)
                });
            }
            let Some(done) = running.join_next().await else { return };
            match done {
                Ok((_, Ok(Step::Weighed))) => rejudged.weighed += 1,
                Ok((kept, Ok(Step::Same))) => {
                    rejudged.same += 1;
                    same.push(kept);
                }
                Ok((KeptVerdict { repository, digest, .. }, Err(error))) => {
                    rejudged.failed += 1;
                    tracing::error!(repository, digest, %error, "could not judge a released image again");
                    self.metrics.error("rejudge");
                }
                Err(error) => {
                    rejudged.failed += 1;
                    tracing::error!(%error, "could not judge a released image again");
                    self.metrics.error("rejudge");
                }
            }
        }
    }

    async fn ask_anew(self: &Arc<Self>, kept: &KeptVerdict, basis: &Basis) -> Result<Step, JudgeError> {
        let (repository, digest) = (kept.repository.as_str(), kept.digest.as_str());
        let row = self.records.read(|connection| manifests::find(connection, repository, digest))?;
        let Some(row) = row.filter(|row| row.state == State::Released) else { return Ok(Step::Same) };
        let (judge, name, media_type) = (Arc::clone(self), row.digest.clone(), row.media_type.clone());
        let under = basis.clone();
        let content = tokio::task::spawn_blocking(move || {
            judge.records.read(|connection| {
                let manifest = judge.stored_manifest(connection, &name, &media_type)?;
                judge.content(connection, &manifest, &under)
            })
        });
        if said(&content.await??) == kept.verdict.said {
            return Ok(Step::Same);
        }
        self.weigh_anew(repository, &row, basis).await?;
        Ok(Step::Weighed)
    }

    async fn weigh_anew(
        self: &Arc<Self>,
        repository: &str,
        row: &manifests::ManifestRow,
        basis: &Basis,
    ) -> Result<(), JudgeError> {
        let evidence = self.weigh_released(repository, row, basis).await?;
        let kept = self.keep_verdict(repository, &evidence, basis).await?;
        let digest = &row.digest;
        if kept.denial.is_some() {
            tracing::warn!(
                repository,
                digest,
                "a released image is refused from now on; see the decision log"
            );
        } else if !evidence.refused_since.is_empty() {
            let until = kept.until.unwrap_or_default();
            tracing::warn!(repository, digest, until, "a released image is served for the rule's grace only");
        }
        self.renew_in_background(repository, evidence, basis);
        Ok(())
    }

    /// Answers that new advisories would have given too stand for those from now on.
    async fn restamp(&self, same: Vec<KeptVerdict>, revision: Option<String>) -> Result<(), JudgeError> {
        if same.is_empty() {
            return Ok(());
        }
        // It changes no answer, so no repository's warm answers are forgotten.
        let job = move |connection: &Connection| -> Result<(), RecordError> {
            same.iter().try_for_each(|kept| verdicts::restamp(connection, kept, revision.as_deref()))
        };
        Ok(self.records.write("", job).await?)
    }

    /// Digests of the images that hold a package of which both snapshots say different things, and of the indexes that
    /// list them.
    fn concerned(&self, before: &Advisories, now: &Advisories) -> Result<HashSet<String>, JudgeError> {
        let (mut digests, mut last) = (HashSet::new(), 0);
        loop {
            let keys = self.records.read(|connection| inventories::keys(connection, last, STEP))?;
            let Some(end) = keys.last() else { return Ok(digests) };
            last = end.id;
            for key in keys.iter().filter(|key| !before.agrees(now, &key.ecosystem, &key.name)) {
                let holders = |connection: &Connection| -> Result<Vec<String>, RecordError> {
                    let mut holders = inventories::holders(connection, key.id)?;
                    for digest in holders.clone() {
                        holders.extend(manifests::listed_by(connection, &digest)?);
                    }
                    Ok(holders)
                };
                digests.extend(self.records.read(holders)?);
            }
        }
    }

    /// Makes the inventories that are missing: of images that an older version of the program stored, that were searched
    /// by other YARA rules, and those that a crash lost. What this version finds in them may be something else, so that
    /// their answers are given anew.
    async fn complete_inventories(self: &Arc<Self>, basis: &Basis) -> Result<(), JudgeError> {
        let version = scanner::inventory::version(basis.rules());
        let mut last = (String::new(), String::new());
        loop {
            let missing = self
                .records
                .read(|connection| inventories::missing(connection, &version, (&last.0, &last.1), STEP))?;
            let Some((repository, digest)) = missing.last() else { return Ok(()) };
            last = (digest.clone(), repository.clone());
            for (repository, digest) in missing {
                if let Err(error) = self.complete(&repository, &digest, basis).await {
                    tracing::error!(repository, digest, %error, "could not make the inventory of a released image");
                    self.metrics.error("rejudge");
                }
            }
        }
    }

    async fn complete(
        self: &Arc<Self>,
        repository: &str,
        digest: &str,
        basis: &Basis,
    ) -> Result<(), JudgeError> {
        let row = self.records.read(|connection| manifests::find(connection, repository, digest))?;
        let Some(row) = row else { return Ok(()) };
        let (judge, under, row_of) = (Arc::clone(self), basis.clone(), row.clone());
        let content = tokio::task::spawn_blocking(move || {
            judge.records.read(|connection| {
                let manifest = judge.stored_manifest(connection, &row_of.digest, &row_of.media_type)?;
                judge.content(connection, &manifest, &under)
            })
        });
        let content = content.await??;
        let kept = |connection: &Connection| {
            verdicts::find(connection, repository, digest, basis.policy.epoch(), self.clock.now())
        };
        if !matches!(content, Content::Image(_)) {
            self.keep_looked_at(digest);
        }
        // Without an answer under the policy in force it is asked about when it is pulled.
        let answered = self.records.read(kept)?;
        if answered.is_some_and(|answered| answered.said != said(&content)) {
            self.weigh_anew(repository, &row, basis).await?;
        }
        Ok(())
    }

    /// Asks again about released images whose answers have ended: a grace, a key's window, an exception. Whoever watches the
    /// decision log need not wait for the next pull.
    pub(crate) async fn ask_about_ended(self: &Arc<Self>) {
        let basis = self.basis();
        let ended = self
            .records
            .read(|connection| verdicts::ended(connection, basis.policy.epoch(), self.clock.now(), STEP));
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => return self.tell(&Err(error.into())),
        };
        for (repository, digest) in ended {
            let asked = async {
                let find = |connection: &Connection| manifests::find(connection, &repository, &digest);
                match self.records.read(find)?.filter(|row| row.state == State::Released) {
                    Some(row) => self.weigh_anew(&repository, &row, &basis).await,
                    None => Ok(()),
                }
            };
            if let Err(error) = asked.await {
                tracing::error!(repository, digest, %error, "could not ask again about a released image");
                self.metrics.error("rejudge");
            }
        }
    }
}
