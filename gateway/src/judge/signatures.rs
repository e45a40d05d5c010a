//! Finds the signatures of one digest, in every storage form, and has them verified.

use keys::cosign::{self, DiscoveryError};
use keys::signature::Subject;
use keys::verify::{Rejection, Verification, Verifier};
use keys::{limits, notation};
use rusqlite::Connection;

use super::refused::Outcome;
use super::{Basis, Judge, JudgeError};
use crate::digest::Digest;
use crate::gate::evidence::Evidence;
use crate::gate::policy::ServedForm;
use crate::manifest::Manifest;
use crate::records::notary::Learned;
use crate::records::{self, counter_signatures, manifests, receipts};
use crate::staging::REFERRERS_MAX;

/// The digest whose signatures a tag holds: cosign's `sha256-<hex>.sig`, or the referrers fallback tag `sha256-<hex>`
/// (distribution-spec "Referrers Tag Schema").
pub(super) fn subject_of_tag(tag: &str) -> Option<String> {
    let (algorithm, rest) = tag.split_once('-')?;
    let hex = rest.split_once('.').map_or(rest, |(hex, _)| hex);
    Digest::parse(&format!("{algorithm}:{hex}")).ok().map(|digest| digest.to_string())
}

impl Judge {
    /// Verifies every signature found for the manifest, and for the indexes that list it.
    pub(super) fn verification(
        &self,
        connection: &Connection,
        repository: &str,
        (evidence, manifest): (&Evidence, &Manifest),
        basis: &Basis,
    ) -> Result<(Verification, Vec<Learned>), JudgeError> {
        let mut all = Verification::default();
        let policy = &basis.policy;
        let until = policy.changes_after(evidence.as_of);
        let collections = self.tagged_collections(connection, repository, policy, evidence.as_of)?;
        for digest in std::iter::once(&evidence.digest).chain(&evidence.parents) {
            let subject = Subject { digest, repository: &evidence.repository };
            let mut verifier = Verifier::new(subject, policy.trust_store(), evidence.as_of);
            let place = (policy.epoch().to_owned(), repository.to_owned(), digest.clone());
            let manifests = candidates(connection, repository, digest, cosign::legacy_tag(digest))?;
            let (open, refused) = self.refused.sift(&place, manifests, evidence.as_of);
            for (manifest, reason) in refused.into_iter().filter(|(_, reason)| !reason.is_empty()) {
                verifier.refuse(manifest, reason);
            }
            let described = match digest == &manifest.digest {
                true => Some((manifest.media_type.clone(), manifest.bytes.len() as u64)),
                false => {
                    manifests::find(connection, repository, digest)?.map(|row| (row.media_type, row.size))
                }
            };
            for candidate in open {
                let mut outcome = self.examine(connection, repository, &candidate, &mut verifier)?;
                if let Some(described) = &described {
                    let place = (repository, candidate.as_str());
                    self.examine_notation(connection, place, described, &mut verifier, &mut outcome)?;
                }
                self.refused.remember(&place, candidate, &outcome, evidence.as_of, until);
            }
            for (candidate, verified) in &collections.repositories {
                verifier.examine_repository(candidate, verified);
            }
            for Rejection { candidate, reason } in collections.refused.clone() {
                verifier.refuse(candidate, reason);
            }
            let (one, own) = (verifier.finish(), self.own_keys(connection, repository, digest)?);
            let others =
                one.verified.into_iter().filter(|found| !own.iter().any(|key| key == found.key_id()));
            all.verified.extend(others);
            all.rejected.extend(one.rejected);
        }
        all.rejected.truncate(limits::REJECTIONS_MAX);
        Ok((all, collections.learned))
    }

    /// Examines whatever claims to be a signature in one manifest. What cannot be read is told and hides no other.
    fn examine(
        &self,
        connection: &Connection,
        repository: &str,
        manifest: &str,
        verifier: &mut Verifier<'_>,
    ) -> Result<Outcome, JudgeError> {
        let mut outcome = Outcome::default();
        let Some(bytes) = manifests::bytes(connection, manifest)? else { return Ok(outcome) };
        let refuse =
            |outcome: &mut Outcome, verifier: &mut Verifier<'_>, candidate: String, reason: String| {
                outcome.unreadable(&reason);
                verifier.refuse(candidate, reason);
            };
        match cosign::simple_signatures(&bytes) {
            Ok(simple) => {
                for skipped in simple.skipped {
                    refuse(&mut outcome, verifier, skipped.candidate, skipped.reason);
                }
                for layer in simple.layers {
                    let (digest, bytes_max) =
                        (layer.payload_digest.clone(), limits::SIMPLE_PAYLOAD_BYTES_MAX);
                    match self.payload(connection, repository, &digest, bytes_max) {
                        Some(payload) => outcome.add(verifier.examine(&layer.with_payload(payload))),
                        None => {
                            refuse(&mut outcome, verifier, digest, "its payload cannot be read".to_owned());
                        }
                    }
                }
            }
            Err(error) => refuse(&mut outcome, verifier, manifest.to_owned(), error.to_string()),
        }
        match cosign::bundle_layers(&bytes) {
            Ok(bundles) => {
                for skipped in bundles.skipped {
                    refuse(&mut outcome, verifier, skipped.candidate, skipped.reason);
                }
                for layer in bundles.layers {
                    match self.payload(connection, repository, &layer.digest, limits::BUNDLE_BYTES_MAX) {
                        Some(bundle) => {
                            let subject = bundles.subject_digest.clone();
                            let candidate = layer.with_bundle(manifest.to_owned(), subject, bundle);
                            outcome.add(verifier.examine(&candidate));
                        }
                        None => {
                            let reason = "its bundle cannot be read".to_owned();
                            refuse(&mut outcome, verifier, layer.digest, reason);
                        }
                    }
                }
            }
            // A `.sig` manifest names no subject: the ordinary case.
            Err(DiscoveryError::NoSubject) => {}
            Err(error) => refuse(&mut outcome, verifier, manifest.to_owned(), error.to_string()),
        }
        Ok(outcome)
    }

    /// Examines the Notation signature that a manifest may be. `described` is the media type and the size in bytes of the
    /// manifest under test: notation signs them too.
    fn examine_notation(
        &self,
        connection: &Connection,
        (repository, manifest): (&str, &str),
        described: &(String, u64),
        verifier: &mut Verifier<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), JudgeError> {
        let Some(bytes) = manifests::bytes(connection, manifest)? else { return Ok(()) };
        let refuse =
            |outcome: &mut Outcome, verifier: &mut Verifier<'_>, candidate: String, reason: String| {
                outcome.unreadable(&reason);
                verifier.refuse(candidate, reason);
            };
        let envelopes = match notation::signature_layers(&bytes) {
            Ok(Some(envelopes)) => envelopes,
            Ok(None) => return Ok(()),
            Err(error) => {
                refuse(outcome, verifier, manifest.to_owned(), error.to_string());
                return Ok(());
            }
        };
        for skipped in envelopes.skipped {
            refuse(outcome, verifier, skipped.candidate, skipped.reason);
        }
        for layer in envelopes.layers {
            match self.payload(connection, repository, &layer.digest, layer.size) {
                Some(envelope) => {
                    let place = (manifest.to_owned(), envelopes.subject_digest.clone());
                    let candidate = layer.with_envelope(place, described.clone(), envelope);
                    outcome.add(verifier.examine(&candidate));
                }
                None => refuse(outcome, verifier, layer.digest, "its envelope cannot be read".to_owned()),
            }
        }
        Ok(())
    }

    /// A small blob of this repository. One that another repository holds does not count: whoever pushed here must have
    /// had the bytes.
    pub(super) fn payload(
        &self,
        connection: &Connection,
        repository: &str,
        digest: &str,
        bytes_max: u64,
    ) -> Option<Vec<u8>> {
        records::blobs::linked_size(connection, repository, digest).ok().flatten()?;
        self.read_blob(digest, bytes_max).ok()
    }
}

/// The manifests that may hold signatures or attestations of `digest`, each once: what stands under `tag`, and referrers.
pub(super) fn candidates(
    connection: &Connection,
    repository: &str,
    digest: &str,
    tag: Option<String>,
) -> Result<Vec<String>, JudgeError> {
    let mut found = Vec::new();
    if let Some(tag) = tag
        && let Some(row) = manifests::tag(connection, repository, &tag)?
    {
        found.extend(row.staged.into_iter().chain(row.released));
    }
    // A fallback-tag index adds nothing here: what it lists had to be pushed, and stands among the referrers if it
    // names the subject; if it does not, it is not about it.
    let limit = u32::try_from(REFERRERS_MAX).unwrap_or(u32::MAX);
    found.extend(manifests::referrer_digests(connection, repository, digest, limit)?);
    // Our own receipts and bundles vouch for nothing: they say what we found. A `.sig` manifest of ours may hold others'
    // signatures too.
    if let Some(row) = receipts::find(connection, repository, digest)? {
        let own: Vec<String> = row.manifests().collect();
        found.retain(|manifest| !own.contains(manifest));
    }
    for made in counter_signatures::of_image(connection, repository, digest)? {
        found.retain(|manifest| *manifest != made.manifest || made.form != ServedForm::Bundle.name());
    }
    found.sort();
    found.dedup();
    Ok(found)
}
