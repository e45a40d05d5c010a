//! Finds the signatures of one digest, in both storage forms, and has them verified.

use keys::cosign::{self, DiscoveryError};
use keys::limits;
use keys::signature::{Subject, UnverifiedSignature};
use keys::verify::{Rejection, Verification, verify};
use rusqlite::Connection;

use super::{Basis, Judge, JudgeError};
use crate::digest::Digest;
use crate::gate::evidence::Evidence;
use crate::records::{self, manifests, receipts};
use crate::staging::REFERRERS_MAX;

/// Candidates of one digest that are fetched. All candidates are in memory at once.
const CANDIDATES_MAX: usize = 1024;

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
        evidence: &Evidence,
        basis: &Basis,
    ) -> Result<Verification, JudgeError> {
        let mut all = Verification::default();
        for digest in std::iter::once(&evidence.digest).chain(&evidence.parents) {
            let found = self.candidates(connection, repository, digest, &mut all.rejected)?;
            let subject = Subject { digest, repository: &evidence.repository };
            let one = verify(&found, subject, basis.policy.trust_store(), evidence.as_of);
            all.verified.extend(one.verified);
            all.rejected.extend(one.rejected);
        }
        all.rejected.truncate(limits::REJECTIONS_MAX);
        Ok(all)
    }

    /// Whatever claims to sign `digest`. A candidate that cannot be read is told in `rejected` and hides no other.
    fn candidates(
        &self,
        connection: &Connection,
        repository: &str,
        digest: &str,
        rejected: &mut Vec<Rejection>,
    ) -> Result<Vec<UnverifiedSignature>, JudgeError> {
        let mut manifests_found = Vec::new();
        if let Some(tag) = cosign::legacy_tag(digest)
            && let Some(row) = manifests::tag(connection, repository, &tag)?
        {
            manifests_found.extend(row.staged.iter().chain(&row.released).cloned());
        }
        // A fallback-tag index adds nothing here: what it lists had to be pushed, and stands among the referrers if it
        // names the subject; if it does not, it is not about it.
        let limit = u32::try_from(REFERRERS_MAX).unwrap_or(u32::MAX);
        let referrers = manifests::referrers(connection, repository, digest, "", limit)?;
        manifests_found.extend(referrers.into_iter().map(|row| row.digest));
        // Our own receipts vouch for nothing: they say what we found.
        if let Some(row) = receipts::find(connection, repository, digest)? {
            let own: Vec<String> = row.manifests().collect();
            manifests_found.retain(|found| !own.contains(found));
        }
        manifests_found.sort();
        manifests_found.dedup();
        let mut found = Vec::new();
        for manifest in manifests_found {
            self.candidates_in(connection, repository, &manifest, &mut found, rejected)?;
        }
        Ok(found)
    }

    fn candidates_in(
        &self,
        connection: &Connection,
        repository: &str,
        manifest: &str,
        found: &mut Vec<UnverifiedSignature>,
        rejected: &mut Vec<Rejection>,
    ) -> Result<(), JudgeError> {
        let Some(bytes) = manifests::bytes(connection, manifest)? else { return Ok(()) };
        let mut reject = |candidate: &str, reason: String| {
            if rejected.len() < limits::REJECTIONS_MAX {
                rejected.push(Rejection { candidate: candidate.to_owned(), reason });
            }
        };
        match cosign::simple_signatures(&bytes) {
            Ok(simple) => {
                simple.skipped.into_iter().for_each(|skipped| reject(&skipped.candidate, skipped.reason));
                for layer in simple.layers {
                    if found.len() >= CANDIDATES_MAX {
                        reject(
                            manifest,
                            format!("more than {CANDIDATES_MAX} candidates; the rest is not read"),
                        );
                        break;
                    }
                    match self.payload(
                        connection,
                        repository,
                        &layer.payload_digest,
                        limits::SIMPLE_PAYLOAD_BYTES_MAX,
                    ) {
                        Some(payload) => found.push(layer.with_payload(payload)),
                        None => reject(&layer.payload_digest, "its payload cannot be read".to_owned()),
                    }
                }
            }
            Err(error) => reject(manifest, error.to_string()),
        }
        match cosign::bundle_layers(&bytes) {
            Ok(bundles) => {
                bundles.skipped.into_iter().for_each(|skipped| reject(&skipped.candidate, skipped.reason));
                for layer in bundles.layers {
                    if found.len() >= CANDIDATES_MAX {
                        reject(
                            manifest,
                            format!("more than {CANDIDATES_MAX} candidates; the rest is not read"),
                        );
                        break;
                    }
                    match self.payload(connection, repository, &layer.digest, limits::BUNDLE_BYTES_MAX) {
                        Some(bundle) => {
                            let subject = bundles.subject_digest.clone();
                            found.push(layer.with_bundle(manifest.to_owned(), subject, bundle));
                        }
                        None => reject(&layer.digest, "its bundle cannot be read".to_owned()),
                    }
                }
            }
            // A `.sig` manifest names no subject: the ordinary case.
            Err(DiscoveryError::NoSubject) => {}
            Err(error) => reject(manifest, error.to_string()),
        }
        Ok(())
    }

    /// A small blob of this repository. One that another repository holds does not count: whoever pushed here must have
    /// had the bytes.
    fn payload(
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
