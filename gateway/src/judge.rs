//! Asks the gate about what is stored: gathers the evidence, and takes the answer into the state, in one transaction.

mod attestations;
mod bridge;
mod evidence;
pub(crate) mod inventories;
mod log;
mod notary;
mod previous;
mod pull;
mod receipts;
mod refused;
mod rejudge;
mod related;
mod signatures;
mod taken;
mod withdrawal;

use std::sync::Arc;

use arc_swap::ArcSwap;
use keys::signature::VerifiedSignature;
use rusqlite::Connection;
use scanner::advisory::Advisories;
use scanner::yara::RuleSet;
use tokio::sync::Semaphore;

use crate::advisories::AdvisoryStore;
use crate::blobs::{BlobError, Blobs};
use crate::clock::Clock;
use crate::decisions::Decision;
use crate::gate::assemble::AssembleError;
use crate::gate::evidence::{Content, Evidence, Standing, State};
use crate::gate::policy::Policy;
use crate::gate::verdict::{Admitted, Denial, Reason, Verdict};
use crate::gate::{Checkpoint, decide, grace_until, stated_until};
use crate::ingest::{Ingest, Pending};
use crate::malware::RuleStore;
use crate::manifest::ManifestError;
use crate::records::manifests::ManifestRow;
use crate::records::verdicts::VerdictRow;
use crate::records::{RecordError, Records, manifests, notary as seen};
use crate::staging::{self, Push, StagingError};
use crate::telemetry::Metrics;
use evidence::FactsCache;
use log::{Admissions, Asked};
pub use pull::{Answer, Asker};
pub use receipts::ReceiptConfig;
pub(crate) use receipts::{Issuer, take_away};
use refused::RefusedCandidates;
pub use rejudge::Rejudged;
use taken::Taken;

/// How often a question is asked anew because policy or advisories changed while it was weighed.
const CHANGES_MAX: usize = 4;
/// Images weighed at the same moment; each may hold its whole inventory in memory.
const WEIGHED_AT_ONCE: usize = 2;
/// Staged manifests looked at in one sweep step.
const SWEEP_STEP: u32 = 500;

/// The caller of what nobody asked for; no account may be named so, for it has a space.
const SWEEP: &str = "the gateway";

/// The policy in force; swapped whole.
pub type PolicyHandle = Arc<ArcSwap<Policy>>;

/// Why a question has no answer. Fails closed: nothing is stored, released or served.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The facts do not belong together.
    #[error("cannot assemble the facts of `{digest}`")]
    Assemble {
        /// Which manifest.
        digest: String,
        /// Why.
        #[source]
        source: AssembleError,
    },
    /// A blob that the records know cannot be read, or is no longer what its name says.
    #[error("blob `{0}` is missing from the store, too large, or damaged")]
    Damaged(String),
    /// The blob store failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A layer could not be walked again.
    #[error("cannot read `{digest}`")]
    Layer {
        /// Which.
        digest: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A stored manifest is no longer one.
    #[error("stored manifest `{digest}` is malformed")]
    Manifest {
        /// Which.
        digest: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Policy or advisories keep changing while we weigh.
    #[error("policy or advisories changed {CHANGES_MAX} times while `{0}` was weighed")]
    Unsettled(String),
    /// The step was not possible.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The records failed.
    #[error("the records failed")]
    Records(#[from] RecordError),
    /// A thread of ours died while it weighed.
    #[error("a worker failed")]
    Worker(#[from] tokio::task::JoinError),
}

/// What a push came to.
#[derive(Debug)]
pub enum PushAnswer {
    /// Nothing is stored but the refusal.
    Refused(Denial),
    /// Stored: released already, or waiting.
    Stored {
        /// Why it waits; `None`: it is released.
        waiting: Option<Denial>,
        /// What the producer should be told.
        warnings: Vec<Reason>,
    },
}

/// The gate's view of the store. One for the process.
#[derive(Debug)]
pub struct Judge {
    blobs: Arc<Blobs>,
    records: Arc<Records>,
    pending: Arc<Pending>,
    policy: PolicyHandle,
    advisories: Arc<AdvisoryStore>,
    rules: Arc<RuleStore>,
    registry: String,
    facts: FactsCache,
    inventories: inventories::Made,
    refused: RefusedCandidates,
    notary: notary::Collections,
    admissions: Admissions,
    weighing: Semaphore,
    clock: Clock,
    metrics: Arc<Metrics>,
    issuer: Option<Issuer>,
}

/// Policy, advisories and YARA rules as they stood when a question was asked: all of it is weighed against the same.
#[derive(Clone)]
struct Basis {
    policy: Arc<Policy>,
    advisories: Option<Arc<Advisories>>,
    rules: Option<Arc<RuleSet>>,
}

impl Basis {
    /// Digest of the YARA rules.
    fn rules(&self) -> Option<&str> {
        self.rules.as_ref().map(|rules| rules.digest())
    }

    fn revision(&self) -> Option<String> {
        self.advisories.as_ref().map(|advisories| advisories.revision().digest.clone())
    }

    /// A verdict about this evidence, to be kept; allowed unless a denial is put in. It holds until a key's window, a
    /// certificate or an exception that it may rest on ends.
    fn verdict_row(&self, evidence: &Evidence) -> VerdictRow {
        let signatures = evidence.signatures.verified.iter().filter_map(VerifiedSignature::valid_until);
        let ends = signatures.map(|last| last.saturating_add(1));
        let collection = match evidence.collection {
            Some(Standing::Verified(until)) => Some(until),
            Some(Standing::Refused(_)) | None => None,
        };
        let stated = stated_until(evidence, &self.policy);
        let grace = grace_until(evidence, &self.policy);
        let changes = self.policy.changes_after(evidence.as_of);
        let until = ends.chain(collection).chain(stated).chain(grace).chain(changes).min();
        let (policy, said) = (self.policy.epoch().to_owned(), rejudge::said(&evidence.content));
        VerdictRow { policy, advisories: self.revision(), said, denial: None, until }
    }
}

impl Judge {
    /// Of what `ingest` stores. `registry`: the name that policy patterns begin with.
    pub fn new(
        ingest: &Ingest,
        policy: PolicyHandle,
        advisories: Arc<AdvisoryStore>,
        registry: String,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let weighing = Semaphore::new(WEIGHED_AT_ONCE);
        Self {
            blobs: Arc::clone(ingest.blobs()),
            records: Arc::clone(ingest.records()),
            pending: Arc::clone(ingest.pending()),
            policy,
            advisories,
            rules: RuleStore::none(),
            registry,
            facts: FactsCache::default(),
            inventories: inventories::Made::default(),
            refused: RefusedCandidates::default(),
            notary: notary::Collections::default(),
            admissions: Admissions::default(),
            weighing,
            clock,
            metrics,
            issuer: None,
        }
    }

    /// The same, with YARA rules.
    pub(crate) fn with_rules(self, rules: Arc<RuleStore>) -> Self {
        Self { rules, ..self }
    }

    /// The same, giving receipts for what it releases.
    pub(crate) fn with_issuer(self, issuer: Option<Issuer>) -> Self {
        Self { issuer, ..self }
    }

    /// Under what answers are given now: the policy, and the roots that were fetched for it.
    pub fn epoch(&self) -> Arc<str> {
        Arc::from(self.policy.load().epoch())
    }

    /// Whether an answer that was given under `epoch`, to hold until `until`, still does.
    pub(crate) fn holds(&self, epoch: &str, until: Option<i64>) -> bool {
        self.policy.load().epoch() == epoch && until.is_none_or(|until| self.clock.now() < until)
    }

    fn basis(&self) -> Basis {
        let (policy, advisories) = (self.policy.load_full(), self.advisories.current());
        Basis { policy, advisories, rules: self.rules.current() }
    }

    fn is_current(&self, basis: &Basis) -> bool {
        let same_advisories = match (&self.advisories.current(), &basis.advisories) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            (None, None) => true,
            _ => false,
        };
        let same_rules = self.rules.current().as_ref().map(|rules| rules.digest()) == basis.rules();
        same_advisories && same_rules && Arc::ptr_eq(&self.policy.load(), &basis.policy)
    }

    /// Asks `push` and `release` about a manifest whose bytes have arrived, and stores what the answers allow. What the
    /// push may release besides itself (the subject of a signature) is asked next.
    ///
    /// # Errors
    /// When no answer could be found, or the manifest is not complete; nothing is stored then.
    pub async fn push(self: &Arc<Self>, push: Push) -> Result<PushAnswer, JudgeError> {
        let push = Arc::new(push);
        self.pending.settled(push.manifest.blobs().map(|blob| blob.digest.as_str())).await;
        for _ in 0..CHANGES_MAX {
            let basis = self.basis();
            let evidence = self.weigh_push(&push, &basis).await?;
            let first = decide(Checkpoint::Push, &evidence, &basis.policy);
            let answer = match first {
                Verdict::Deny(denial) => self.refuse(&push, denial, &evidence, basis).await?,
                Verdict::Allow(proof) => {
                    let second = decide(Checkpoint::Release, &evidence, &basis.policy);
                    self.store(&push, proof, second, &evidence, basis).await?
                }
            };
            let Some(answer) = answer else { continue };
            if matches!(answer, PushAnswer::Stored { .. }) {
                self.release_related(&push).await;
            }
            return Ok(answer);
        }
        Err(JudgeError::Unsettled(push.digest.clone()))
    }

    async fn weigh_push(self: &Arc<Self>, push: &Arc<Push>, basis: &Basis) -> Result<Evidence, JudgeError> {
        let (push, basis) = (Arc::clone(push), basis.clone());
        let first_tag = push.tags.first().cloned();
        self.in_turn(move |judge, connection| {
            let Push { repository, digest, manifest, tags, .. } = &*push;
            staging::check_complete(connection, repository, manifest)?;
            let evidence = judge.evidence(connection, repository, digest, manifest, &basis)?;
            let previous = judge.previous(connection, repository, &evidence, tags, &basis)?;
            Ok(Evidence { previous, ..evidence })
        })
        .await
        .map(|evidence| Evidence { tag: first_tag, ..evidence })
    }

    /// Stores a refusal, and nothing else. `None`: ask again, the basis is no longer in force.
    async fn refuse(
        &self,
        push: &Arc<Push>,
        denial: Denial,
        evidence: &Evidence,
        basis: Basis,
    ) -> Result<Option<PushAnswer>, JudgeError> {
        self.count(Checkpoint::Push, Some(&denial));
        let text = serde_json::to_string(&denial).map_err(|_| RecordError::Malformed { what: "denial" })?;
        let verdict = Verdict::Deny(denial.clone());
        let asked = Asked { caller: &push.pushed_by, checkpoint: Checkpoint::Push };
        let entry = Self::entry(asked, evidence, &verdict, &basis);
        let learned = evidence.learned.clone();
        let (held, now) = (Arc::clone(push), self.clock.now());
        let current = self
            .records
            .write(&push.repository, move |connection| -> Result<bool, RecordError> {
                if !seen::remember(connection, &learned)? {
                    return Ok(false);
                }
                for reference in held.tags.iter().chain([&held.digest]) {
                    manifests::put_refusal(
                        connection,
                        &held.repository,
                        reference,
                        &held.digest,
                        &text,
                        now,
                    )?;
                }
                log::append(connection, entry)?;
                Ok(true)
            })
            .await?;
        Ok(current.then_some(PushAnswer::Refused(denial)))
    }

    /// Stages, and releases if that is allowed already, in one transaction. `None`: ask again.
    async fn store(
        self: &Arc<Self>,
        push: &Arc<Push>,
        proof: Admitted,
        release: Verdict,
        evidence: &Evidence,
        basis: Basis,
    ) -> Result<Option<PushAnswer>, JudgeError> {
        let mut warnings = proof.warnings().to_vec();
        let waiting = match &release {
            Verdict::Allow(proof) => {
                warnings = proof.warnings().to_vec();
                None
            }
            Verdict::Deny(denial) => Some(denial.clone()),
        };
        self.count(Checkpoint::Push, None);
        self.count(Checkpoint::Release, waiting.as_ref());
        let asked = |checkpoint| Asked { caller: &push.pushed_by, checkpoint };
        let allowed = Verdict::Allow(proof.clone());
        let entries = [
            Self::entry(asked(Checkpoint::Push), evidence, &allowed, &basis),
            Self::entry(asked(Checkpoint::Release), evidence, &release, &basis),
        ];
        let taken = Taken::new(&release, evidence, &basis);
        let given_under = basis.clone();
        let (judge, held, now) = (Arc::clone(self), Arc::clone(push), self.clock.now());
        let stored = self
            .records
            .write(&push.repository, move |connection| -> Result<bool, JudgeError> {
                // Asked about under a policy or advisories that are no longer in force: not an answer any more.
                if !judge.is_current(&basis) || !seen::remember(connection, &taken.learned)? {
                    return Ok(false);
                }
                staging::stage(connection, &held, &proof, now)?;
                for entry in entries {
                    log::append(connection, entry)?;
                }
                taken.apply(connection, &held.repository, &held.digest, now)?;
                Ok(true)
            })
            .await?;
        if stored {
            self.keep_pushed(&push.digest, &push.manifest);
        }
        if stored && waiting.is_none() {
            self.give_receipts(&push.repository, evidence, &given_under).await;
        }
        Ok(stored.then_some(PushAnswer::Stored { waiting, warnings }))
    }

    /// Asks `release` about a staged manifest, and releases it if the answer is yes. What is not there, or not staged,
    /// is left alone.
    ///
    /// # Errors
    /// When no answer could be found; the manifest stays staged.
    pub async fn try_release(
        self: &Arc<Self>,
        repository: &str,
        digest: &str,
        caller: &str,
    ) -> Result<(), JudgeError> {
        for _ in 0..CHANGES_MAX {
            let row = self.records.read(|connection| manifests::find(connection, repository, digest))?;
            let Some(row) = row.filter(|row| row.state == State::Staged) else { return Ok(()) };
            let basis = self.basis();
            let evidence = self.weigh_staged(repository, &row, &basis).await?;
            let verdict = decide(Checkpoint::Release, &evidence, &basis.policy);
            self.count(Checkpoint::Release, denial_of(&verdict));
            let asked = Asked { caller, checkpoint: Checkpoint::Release };
            let entry = Self::entry(asked, &evidence, &verdict, &basis);
            let swept = caller == SWEEP;
            let taken = Taken::new(&verdict, &evidence, &basis);
            let released = matches!(verdict, Verdict::Allow(_)).then(|| basis.clone());
            let (judge, name, held, now) =
                (Arc::clone(self), digest.to_owned(), repository.to_owned(), self.clock.now());
            let settled = self
                .records
                .write(repository, move |connection| -> Result<bool, JudgeError> {
                    if !judge.is_current(&basis) || !seen::remember(connection, &taken.learned)? {
                        return Ok(false);
                    }
                    // A sweep that changes nothing says nothing new, at each start and each update.
                    if !swept || matches!(verdict, Verdict::Allow(_)) {
                        log::append(connection, entry)?;
                    }
                    taken.apply(connection, &held, &name, now)?;
                    Ok(true)
                })
                .await?;
            if settled {
                if let Some(basis) = released {
                    self.give_receipts(repository, &evidence, &basis).await;
                }
                return Ok(());
            }
        }
        Err(JudgeError::Unsettled(digest.to_owned()))
    }

    /// Asks `release` about everything staged: after a start (a crash may have come between a signature and its effect),
    /// and after policy or advisories changed.
    pub async fn sweep(self: &Arc<Self>) {
        let now = self.clock.now().saturating_add(1);
        let staged = match self.records.read(|connection| manifests::staged(connection, now, SWEEP_STEP)) {
            Ok(staged) => staged,
            Err(error) => {
                tracing::error!(%error, "cannot list what is staged");
                return;
            }
        };
        for (repository, digest) in staged {
            if let Err(error) = self.try_release(&repository, &digest, SWEEP).await {
                tracing::error!(repository, digest, %error, "could not ask for a release");
                self.metrics.error("release");
            }
        }
    }

    async fn weigh(
        self: &Arc<Self>,
        repository: &str,
        row: &ManifestRow,
        basis: &Basis,
    ) -> Result<Evidence, JudgeError> {
        let (repository, row, basis) = (repository.to_owned(), row.clone(), basis.clone());
        self.in_turn(move |judge, connection| judge.stored_evidence(connection, &repository, &row, &basis))
            .await
    }

    /// The same of what is not released yet, with the release whose place it would take.
    async fn weigh_staged(
        self: &Arc<Self>,
        repository: &str,
        row: &ManifestRow,
        basis: &Basis,
    ) -> Result<Evidence, JudgeError> {
        let (repository, row, basis) = (repository.to_owned(), row.clone(), basis.clone());
        self.in_turn(move |judge, connection| {
            let evidence = judge.stored_evidence(connection, &repository, &row, &basis)?;
            let tags = manifests::staged_tags(connection, &repository, &row.digest)?;
            let previous = judge.previous(connection, &repository, &evidence, &tags, &basis)?;
            Ok(Evidence { previous, ..evidence })
        })
        .await
    }

    /// Reads off the asynchronous threads, and so many at once as memory allows.
    async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self, &Connection) -> Result<T, JudgeError> + Send + 'static,
    ) -> Result<T, JudgeError> {
        let _turn = self.weighing.acquire().await;
        let judge = Arc::clone(self);
        tokio::task::spawn_blocking(move || judge.records.read(|connection| read(&judge, connection))).await?
    }

    fn stored_evidence(
        &self,
        connection: &Connection,
        repository: &str,
        row: &ManifestRow,
        basis: &Basis,
    ) -> Result<Evidence, JudgeError> {
        let manifest = self.stored_manifest(connection, &row.digest, &row.media_type)?;
        self.evidence(connection, repository, &row.digest, &manifest, basis)
    }

    /// The name that policy patterns match.
    pub fn full_name(&self, repository: &str) -> String {
        format!("{}/{repository}", self.registry)
    }

    fn judged(&self, repository: &str, digest: &str) -> Evidence {
        Evidence::new(self.full_name(repository), digest, self.clock.now(), Content::Judged)
    }

    fn count(&self, checkpoint: Checkpoint, denial: Option<&Denial>) {
        let checks = denial.map(|denial| denial.reasons.as_slice()).unwrap_or_default();
        self.metrics.verdict(checkpoint, denial.is_none(), checks.iter().map(|reason| reason.check.as_str()));
    }

    fn entry(asked: Asked<'_>, evidence: &Evidence, verdict: &Verdict, basis: &Basis) -> Decision {
        log::decision(asked, evidence, verdict, basis.policy.digest(), basis.revision())
    }
}

fn denial_of(verdict: &Verdict) -> Option<&Denial> {
    match verdict {
        Verdict::Allow(_) => None,
        Verdict::Deny(denial) => Some(denial),
    }
}
