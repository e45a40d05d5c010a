//! Verdict receipts: signs what was released, renews each receipt before it ends, takes it away with the release.
//!
//! A receipt is given after the release is durable, in a step of its own: a crash between the two leaves an image that
//! is served and has no receipt, never the reverse.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keys::receipt::{PREDICATE_TYPE, Receipt};
use keys::signer::{ImageDescriptor, SignError, SignedArtifact, Signer};
use rusqlite::Connection;

use super::{Basis, Judge, JudgeError, bridge, log};
use crate::gate::evidence::{Content, Evidence, State};
use crate::gate::verdict::Verdict;
use crate::ingest::{Ingest, IngestError};
use crate::manifest::{self, Manifest};
use crate::records::manifests::{self, ManifestRow};
use crate::records::receipts::ReceiptRow;
use crate::records::{RecordError, blobs, counter_signatures, receipts};

/// Who pushed a receipt, as the records say; no account may be named so, for it has spaces.
pub(super) const ISSUER: &str = "the gateway's receipts";
/// Receipts renewed in one step.
const STEP: u32 = 500;
/// Longest pause between two looks at which receipts end.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// What receipts are made with.
#[derive(Debug)]
pub struct ReceiptConfig {
    /// The gate's own key.
    pub signer: Arc<Signer>,
    /// What receipts call the gate: `https://registry.example`.
    pub verifier: String,
    /// How long a receipt is good, in seconds.
    pub valid_seconds: i64,
}

/// Makes receipts and stores them.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) config: ReceiptConfig,
    pub(crate) ingest: Arc<Ingest>,
}

/// Why an image got no receipt. It is served all the same.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiptFailure {
    #[error("cannot store the receipt")]
    Ingest(#[from] IngestError),
    #[error("cannot ask about the image")]
    Judge(#[from] JudgeError),
    #[error("our own receipt is no manifest")]
    Manifest(#[from] manifest::ManifestError),
    #[error(transparent)]
    Records(#[from] RecordError),
    #[error("cannot sign the receipt")]
    Sign(#[from] SignError),
}

impl Judge {
    /// Gives a receipt to each image that a release verdict was about, and signs it again where the rule says so.
    pub(super) async fn give_receipts(&self, repository: &str, evidence: &Evidence, basis: &Basis) {
        let Some(issuer) = &self.issuer else { return };
        let mut images = vec![(&evidence.digest, &evidence.content)];
        match &evidence.content {
            Content::Image(_) => {}
            Content::Index(children) => {
                let run = children.iter().filter(|child| matches!(child.content, Content::Image(_)));
                images.extend(run.map(|child| (&child.digest, &child.content)));
            }
            Content::Artifact { .. } | Content::Judged => return,
        }
        let receipt = |content: &Content| Receipt {
            repository: evidence.repository.clone(),
            verifier: issuer.config.verifier.clone(),
            policy: basis.policy.digest().to_owned(),
            advisories: basis.revision(),
            evidence: log::weighed(content, evidence),
            time_verified: evidence.as_of,
            expires: evidence.as_of.saturating_add(issuer.config.valid_seconds),
        };
        for (digest, content) in images {
            let given = self.give_receipt(issuer, repository, digest, &receipt(content)).await;
            self.told(repository, digest, given);
            let signed = self.counter_sign(issuer, repository, digest, evidence, basis).await;
            self.told(repository, digest, signed);
        }
    }

    fn told(&self, repository: &str, digest: &str, given: Result<(), ReceiptFailure>) {
        if let Err(error) = given {
            tracing::error!(
                repository,
                digest,
                error = &error as &dyn std::error::Error,
                "could not sign what was released"
            );
            self.metrics.error("receipt");
        }
    }

    async fn give_receipt(
        &self,
        issuer: &Issuer,
        repository: &str,
        digest: &str,
        receipt: &Receipt,
    ) -> Result<(), ReceiptFailure> {
        let find = |connection: &Connection| -> Result<_, RecordError> {
            let kept = receipts::find(connection, repository, digest)?;
            Ok((manifests::find(connection, repository, digest)?, kept))
        };
        let (Some(row), kept) = self.records.read(find)? else { return Ok(()) };
        let half = issuer.config.valid_seconds / 2;
        if kept.is_some_and(|kept| is_fresh(&kept.receipt, receipt, half)) {
            return Ok(());
        }
        // The statement's subject is named by SHA-256; what was pushed under another name has no receipt.
        if row.state != State::Released || !digest.starts_with("sha256:") {
            return Ok(());
        }
        let image = ImageDescriptor { digest, media_type: &row.media_type, size: row.size };
        let now = self.clock.now();
        let SignedArtifact { blobs: made, manifest, media_type, .. } =
            issuer.config.signer.attest_bundle(image, PREDICATE_TYPE, &receipt.predicate(), now)?;
        let manifest = manifest::classify(Bytes::from(manifest.bytes), Some(media_type))?;
        for blob in made {
            issuer.ingest.keep(blob.bytes, repository).await?;
        }
        let (held, digest, receipt) = (repository.to_owned(), digest.to_owned(), receipt.clone());
        self.records
            .write(repository, move |connection| store(connection, &held, &digest, &manifest, &receipt, half))
            .await?;
        Ok(())
    }

    /// The image whose receipt or counter-signature `row` is: what we say of an image is served only while the image is.
    pub(super) fn receipt_subject(
        &self,
        repository: &str,
        row: &ManifestRow,
    ) -> Result<Option<ManifestRow>, RecordError> {
        self.records.read(|connection| {
            let subject = match receipts::subject(connection, repository, &row.digest)? {
                Some(subject) => Some(subject),
                None => counter_signatures::subject(connection, repository, &row.digest)?,
            };
            match subject {
                Some(subject) => manifests::find(connection, repository, &subject),
                None => Ok(None),
            }
        })
    }

    /// Renews receipts in their second half, until the task is stopped.
    pub(crate) async fn renew_forever(self: Arc<Self>) {
        let Some(issuer) = &self.issuer else { return std::future::pending().await };
        let quarter = u64::try_from(issuer.config.valid_seconds / 4).unwrap_or(0).max(1);
        let pause = Duration::from_secs(quarter).min(PAUSE_MAX);
        loop {
            self.renew_receipts().await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Renews the receipts that end soon and whose images are still served; takes the others away.
    pub(crate) async fn renew_receipts(self: &Arc<Self>) {
        let Some(issuer) = &self.issuer else { return };
        let before = self.clock.now().saturating_add(issuer.config.valid_seconds / 2);
        let ending = match self.records.read(|connection| receipts::ending(connection, before, STEP)) {
            Ok(ending) => ending,
            Err(error) => {
                tracing::error!(%error, "cannot list the receipts that end");
                self.metrics.error("receipt");
                return;
            }
        };
        for (repository, digest, receipt) in ending {
            let renewed = self.renew(issuer, &repository, &digest, receipt).await;
            self.told(&repository, &digest, renewed);
        }
    }

    async fn renew(
        self: &Arc<Self>,
        issuer: &Issuer,
        repository: &str,
        digest: &str,
        receipt: Receipt,
    ) -> Result<(), ReceiptFailure> {
        let find = |connection: &Connection| manifests::find(connection, repository, digest);
        let Some(row) = self.records.read(find)? else { return Ok(()) };
        let now = self.clock.now();
        let policy = self.policy.load().digest().to_owned();
        let answer = self.pull(repository, None, &row).await?;
        if matches!(answer.verdict, Verdict::Allow(_)) {
            let verifier = issuer.config.verifier.clone();
            let expires = now.saturating_add(issuer.config.valid_seconds);
            let receipt = Receipt { verifier, policy, time_verified: now, expires, ..receipt };
            return self.give_receipt(issuer, repository, digest, &receipt).await;
        }
        let (held, digest) = (repository.to_owned(), digest.to_owned());
        self.records.write(repository, move |connection| take_away(connection, &held, &digest)).await?;
        Ok(())
    }
}

/// Puts a receipt beside its image, in place of the one before.
fn store(
    connection: &Connection,
    repository: &str,
    digest: &str,
    manifest: &Manifest,
    receipt: &Receipt,
    half: i64,
) -> Result<(), RecordError> {
    let now = receipt.time_verified;
    let image = manifests::find(connection, repository, digest)?;
    if image.is_none_or(|row| row.state != State::Released) {
        return Ok(());
    }
    let before = receipts::find(connection, repository, digest)?;
    // Another question about the same image may have been quicker.
    if before.as_ref().is_some_and(|before| is_fresh(&before.receipt, receipt, half)) {
        return Ok(());
    }
    for blob in manifest.blobs() {
        blobs::link(connection, repository, &blob.digest, now)?;
    }
    manifests::insert(connection, repository, &manifest.digest, manifest, ISSUER, now)?;
    manifests::set_state(connection, repository, &manifest.digest, State::Released)?;
    let (previous, oldest) = before.map_or((None, None), |row| (Some(row.manifest), row.previous));
    if let Some(oldest) = oldest {
        manifests::remove(connection, repository, &oldest)?;
    }
    let row = ReceiptRow { manifest: manifest.digest.clone(), previous, receipt: receipt.clone() };
    receipts::put(connection, repository, digest, &row)
}

/// Whether a receipt that is there says the same as a new one would, and is in its first half.
fn is_fresh(kept: &Receipt, new: &Receipt, half: i64) -> bool {
    let same = Receipt { time_verified: new.time_verified, expires: new.expires, ..kept.clone() };
    same == *new && new.time_verified <= kept.time_verified.saturating_add(half)
}

/// Removes what we said of an image: its receipts, and our signatures.
pub(crate) fn take_away(connection: &Connection, repository: &str, digest: &str) -> Result<(), RecordError> {
    if let Some(row) = receipts::take(connection, repository, digest)? {
        for manifest in row.manifests() {
            manifests::remove(connection, repository, &manifest)?;
        }
    }
    bridge::take_away(connection, repository, digest)
}
