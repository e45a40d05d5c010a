//! Signs again, with the gate's own key, what verified in a form that some consumer cannot read. Only where the rule says
//! so, only what is released, and served only while the image is.
//!
//! The gate's own signature vouches for nothing here: it says what we found, and would otherwise outlive its reason.

use bytes::Bytes;
use keys::cosign;
use keys::signature::{SignatureForm, VerifiedSignature};
use keys::signer::{ImageDescriptor, SignedArtifact};
use rusqlite::Connection;

use super::receipts::{ISSUER, Issuer, ReceiptFailure};
use super::{Basis, Judge};
use crate::gate::evidence::{Evidence, State};
use crate::gate::policy::ServedForm;
use crate::manifest::{self, Manifest};
use crate::records::counter_signatures::{self, CounterSignature};
use crate::records::manifests::{self, ManifestRow};
use crate::records::{RecordError, blobs};

impl Judge {
    /// Makes the signatures of one released image that the rule asks for and nobody else made.
    pub(super) async fn counter_sign(
        &self,
        issuer: &Issuer,
        repository: &str,
        digest: &str,
        evidence: &Evidence,
        basis: &Basis,
    ) -> Result<(), ReceiptFailure> {
        let Some(rule) = basis.policy.rule_for(&evidence.repository) else { return Ok(()) };
        let asked = &rule.signatures.serve_as;
        let read = |connection: &Connection| -> Result<_, RecordError> {
            let made = counter_signatures::of_image(connection, repository, digest)?;
            Ok((manifests::find(connection, repository, digest)?, made))
        };
        let (Some(row), made) = self.records.read(read)? else { return Ok(()) };
        // Either form names an image by SHA-256 only.
        if row.state != State::Released || !digest.starts_with("sha256:") {
            return Ok(());
        }
        let key = issuer.config.signer.public_key().key_id();
        for form in [ServedForm::Bundle, ServedForm::Simple] {
            let is_asked = asked.contains(&form) && !is_there(evidence, digest, form);
            let before = made.iter().find(|made| made.form == form.name());
            match before {
                Some(before) if is_asked && before.key == key => {}
                Some(_) if !is_asked => self.take_form_away(repository, digest, form).await?,
                Some(_) | None if is_asked => {
                    self.make(issuer, repository, &row, form, &evidence.repository, &key).await?;
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    async fn make(
        &self,
        issuer: &Issuer,
        repository: &str,
        image: &ManifestRow,
        form: ServedForm,
        name: &str,
        key: &str,
    ) -> Result<(), ReceiptFailure> {
        let signer = &issuer.config.signer;
        let none = std::collections::BTreeMap::new();
        let signed = match form {
            ServedForm::Bundle => {
                let descriptor = ImageDescriptor {
                    digest: &image.digest,
                    media_type: &image.media_type,
                    size: image.size,
                };
                signer.sign_bundle(descriptor, &none, self.clock.now())?
            }
            ServedForm::Simple => {
                let existing = self.records.read(|connection| {
                    match under_tag(connection, repository, &image.digest)? {
                        Some(manifest) => manifests::bytes(connection, &manifest),
                        None => Ok(None),
                    }
                })?;
                signer.sign_simple(&image.digest, name, &none, existing.as_deref())?
            }
        };
        let SignedArtifact { blobs: made, manifest, media_type, tag } = signed;
        let manifest = manifest::classify(Bytes::from(manifest.bytes), Some(media_type))?;
        for blob in made {
            issuer.ingest.keep(blob.bytes, repository).await?;
        }
        let counter = CounterSignature {
            form: form.name().to_owned(),
            manifest: manifest.digest.clone(),
            key: key.to_owned(),
            previous: None,
        };
        let (held, digest, now) = (repository.to_owned(), image.digest.clone(), self.clock.now());
        self.records
            .write(repository, move |connection| {
                store(connection, (&held, &digest), &manifest, tag.as_deref(), &counter, now)
            })
            .await?;
        Ok(())
    }

    async fn take_form_away(
        &self,
        repository: &str,
        digest: &str,
        form: ServedForm,
    ) -> Result<(), RecordError> {
        let (held, digest) = (repository.to_owned(), digest.to_owned());
        self.records
            .write(repository, move |connection| -> Result<(), RecordError> {
                for made in counter_signatures::of_image(connection, &held, &digest)? {
                    if made.form == form.name() {
                        remove(connection, &held, &digest, &made)?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// The keys by which the gate itself signs, or signed this image before its key changed: what they say counts for
    /// nobody.
    pub(super) fn own_keys(
        &self,
        connection: &Connection,
        repository: &str,
        digest: &str,
    ) -> Result<Vec<String>, RecordError> {
        let made = counter_signatures::of_image(connection, repository, digest)?;
        let current = self.issuer.as_ref().map(|issuer| issuer.config.signer.public_key().key_id());
        Ok(made.into_iter().map(|made| made.key).chain(current).collect())
    }
}

/// Whether somebody whom the policy knows signed the image itself in this form already.
fn is_there(evidence: &Evidence, digest: &str, form: ServedForm) -> bool {
    let wanted = match form {
        ServedForm::Bundle => SignatureForm::SigstoreBundle,
        ServedForm::Simple => SignatureForm::CosignSimple,
    };
    let of_image = |found: &&VerifiedSignature| found.subject_digest() == digest;
    evidence.signatures.verified.iter().filter(of_image).any(|found| found.form() == wanted)
}

/// What others put under the image's `.sig` tag: a digest. What we put there before gives way to what was there then.
fn under_tag(connection: &Connection, repository: &str, digest: &str) -> Result<Option<String>, RecordError> {
    let Some(tag) = cosign::legacy_tag(digest) else { return Ok(None) };
    let row = manifests::tag(connection, repository, &tag)?;
    let Some(manifest) = row.and_then(|row| row.staged.or(row.released)) else { return Ok(None) };
    let made = counter_signatures::of_image(connection, repository, digest)?;
    Ok(match made.into_iter().find(|made| made.manifest == manifest) {
        Some(ours) => ours.previous,
        None => Some(manifest),
    })
}

fn store(
    connection: &Connection,
    (repository, digest): (&str, &str),
    manifest: &Manifest,
    tag: Option<&str>,
    counter: &CounterSignature,
    now: i64,
) -> Result<(), RecordError> {
    let image = manifests::find(connection, repository, digest)?;
    if image.is_none_or(|row| row.state != State::Released) {
        return Ok(());
    }
    let previous = match tag {
        Some(_) => under_tag(connection, repository, digest)?,
        None => None,
    };
    for made in counter_signatures::of_image(connection, repository, digest)? {
        if made.form == counter.form {
            remove(connection, repository, digest, &made)?;
        }
    }
    for blob in manifest.blobs() {
        blobs::link(connection, repository, &blob.digest, now)?;
    }
    manifests::insert(connection, repository, &manifest.digest, manifest, ISSUER, now)?;
    manifests::set_state(connection, repository, &manifest.digest, State::Released)?;
    if let Some(tag) = tag {
        manifests::set_staged_tag(connection, repository, tag, &manifest.digest)?;
        manifests::release_tags(connection, repository, &manifest.digest)?;
    }
    let counter = CounterSignature { previous, ..counter.clone() };
    counter_signatures::put(connection, repository, digest, &counter)
}

/// Others' signatures, which stand beside ours in one manifest, stay under the tag.
fn remove(
    connection: &Connection,
    repository: &str,
    digest: &str,
    made: &CounterSignature,
) -> Result<(), RecordError> {
    let tag = cosign::legacy_tag(digest).filter(|_| made.form == ServedForm::Simple.name());
    let stands = match &tag {
        Some(tag) => manifests::tag(connection, repository, tag)?.and_then(|row| row.staged),
        None => None,
    };
    manifests::remove(connection, repository, &made.manifest)?;
    if let (Some(tag), Some(previous)) = (tag, &made.previous)
        && stands.as_ref() == Some(&made.manifest)
        && let Some(row) = manifests::find(connection, repository, previous)?
    {
        manifests::set_staged_tag(connection, repository, &tag, previous)?;
        if row.state == State::Released {
            manifests::release_tags(connection, repository, previous)?;
        }
    }
    counter_signatures::forget(connection, repository, digest, &made.form)
}

/// Removes all of an image.
pub(super) fn take_away(connection: &Connection, repository: &str, digest: &str) -> Result<(), RecordError> {
    for made in counter_signatures::of_image(connection, repository, digest)? {
        remove(connection, repository, digest, &made)?;
    }
    Ok(())
}
