//! Finds what was stated about one digest, where the rule asks for any, and has it verified.

use keys::attestation::predicate::is_of_type;
use keys::attestation::{Attestations, UnverifiedAttestation, Verifier};
use keys::cosign::{self, DiscoveryError};
use keys::limits;
use keys::signature::Subject;
use keys::verify::Examined;
use rusqlite::Connection;

use super::refused::Outcome;
use super::signatures::candidates;
use super::{Basis, Judge, JudgeError};
use crate::gate::evidence::Evidence;
use crate::gate::policy::Rule;
use crate::records::manifests;

/// Bytes of statements that are kept for one image: they are in memory at once, read into values, and a trusted signer
/// may have stated a great deal over the years.
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// What a candidate is examined with, and what comes of it.
struct Examination<'a, 'v> {
    connection: &'a Connection,
    repository: &'a str,
    rule: &'a Rule,
    verifier: &'a mut Verifier<'v>,
    outcome: Outcome,
    bytes_left: &'a mut u64,
}

impl Judge {
    /// Verifies every attestation of a type that the rule asks for, of the manifest and of the indexes that list it.
    pub(super) fn attestations(
        &self,
        connection: &Connection,
        repository: &str,
        evidence: &Evidence,
        basis: &Basis,
    ) -> Result<Attestations, JudgeError> {
        let mut all = Attestations::default();
        let policy = &basis.policy;
        let Some(rule) = policy.rule_for(&evidence.repository) else { return Ok(all) };
        if rule.attestations.is_empty() {
            return Ok(all);
        }
        let until = policy.changes_after(evidence.as_of);
        let mut bytes_left = KEPT_BYTES_MAX;
        for digest in std::iter::once(&evidence.digest).chain(&evidence.parents) {
            let subject = Subject { digest, repository: &evidence.repository };
            let mut verifier = Verifier::new(subject, policy.trust_store(), evidence.as_of);
            // What is no attestation may yet be a signature: the two are remembered apart.
            let place = (format!("{} attestation", policy.epoch()), repository.to_owned(), digest.clone());
            let manifests = candidates(connection, repository, digest, cosign::attestation_tag(digest))?;
            let (open, refused) = self.refused.sift(&place, manifests, evidence.as_of);
            for (manifest, reason) in refused.into_iter().filter(|(_, reason)| !reason.is_empty()) {
                verifier.refuse(manifest, reason);
            }
            for manifest in open {
                let mut examination = Examination {
                    connection,
                    repository,
                    rule,
                    verifier: &mut verifier,
                    outcome: Outcome::default(),
                    bytes_left: &mut bytes_left,
                };
                self.examine_attestations(&mut examination, &manifest)?;
                let outcome = examination.outcome;
                self.refused.remember(&place, manifest, &outcome, evidence.as_of, until);
            }
            let (one, own) = (verifier.finish(), self.own_keys(connection, repository, digest)?);
            let others =
                one.verified.into_iter().filter(|found| !own.iter().any(|key| key == found.key_id()));
            all.verified.extend(others);
            all.rejected.extend(one.rejected);
            all.incomplete |= one.incomplete;
        }
        all.rejected.truncate(limits::REJECTIONS_MAX);
        Ok(all)
    }

    fn examine_attestations(
        &self,
        examination: &mut Examination<'_, '_>,
        manifest: &str,
    ) -> Result<(), JudgeError> {
        let Some(bytes) = manifests::bytes(examination.connection, manifest)? else { return Ok(()) };
        match cosign::attestation_envelopes(&bytes) {
            Ok(envelopes) => {
                for skipped in envelopes.skipped {
                    examination.refuse(skipped.candidate, skipped.reason);
                }
                for layer in envelopes.layers {
                    let size = layer.size;
                    if let Some(envelope) = self.statement(examination, &layer.payload_digest, size) {
                        examination.examine(&layer.with_envelope(envelope), size);
                    }
                }
            }
            Err(error) => examination.refuse(manifest.to_owned(), error.to_string()),
        }
        match cosign::attestation_bundle_layers(&bytes) {
            Ok(bundles) => {
                for skipped in bundles.skipped {
                    examination.refuse(skipped.candidate, skipped.reason);
                }
                for layer in bundles.layers {
                    let size = layer.size;
                    if let Some(bundle) = self.statement(examination, &layer.digest, size) {
                        let subject = bundles.subject_digest.clone();
                        let candidate = layer.with_attestation(manifest.to_owned(), subject, bundle);
                        examination.examine(&candidate, size);
                    }
                }
            }
            // An `.att` manifest names no subject: the ordinary case.
            Err(DiscoveryError::NoSubject) => {}
            Err(error) => examination.refuse(manifest.to_owned(), error.to_string()),
        }
        Ok(())
    }

    fn statement(&self, examination: &mut Examination<'_, '_>, digest: &str, size: u64) -> Option<Vec<u8>> {
        if size > *examination.bytes_left {
            examination.miss(digest.to_owned(), "not read: there is too much stated already".to_owned());
            return None;
        }
        let read = self.payload(examination.connection, examination.repository, digest, size);
        if read.is_none() {
            examination.miss(digest.to_owned(), "it cannot be read".to_owned());
        }
        read
    }
}

impl Examination<'_, '_> {
    /// `size` is that of the blob in bytes.
    fn examine(&mut self, attestation: &UnverifiedAttestation, size: u64) {
        let asked = &self.rule.attestations;
        let wanted = |seen: &str| asked.iter().any(|rule| is_of_type(seen, &rule.predicate));
        let kept_before = self.verifier.kept();
        self.outcome.add(self.verifier.examine(attestation, &wanted));
        if self.verifier.kept() > kept_before {
            *self.bytes_left = self.bytes_left.saturating_sub(size);
        }
    }

    fn miss(&mut self, candidate: String, reason: String) {
        self.outcome.add(Examined::Not);
        self.verifier.miss(candidate, reason);
    }

    fn refuse(&mut self, candidate: String, reason: String) {
        self.outcome.unreadable(&reason);
        self.verifier.refuse(candidate, reason);
    }
}
