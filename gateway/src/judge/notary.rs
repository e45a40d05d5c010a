//! A repository's collection of Notary v1: found under its tag, verified once, held against what was seen before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use keys::notary::{
    COLLECTION_TAG, Collection, Gun, NotaryError, NotaryTrust, Repository, Seen, collection_files,
};
use keys::signature::{Subject, VerifiedSignature};
use keys::trust_store::Vouches;
use keys::verify::{Rejection, Verifier};
use rusqlite::Connection;

use super::{Basis, Judge, JudgeError};
use crate::gate::evidence::{Evidence, Standing, State};
use crate::gate::policy::{Pin, Policy};
use crate::records::manifests;
use crate::records::notary::{self, Learned};

/// Verified and refused collections kept.
const KEPT_MAX: usize = 256;
/// Bytes of the verified ones together, as pushed; in memory they are some three times as large.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// How long a refusal is believed, in seconds: a certificate may only become valid.
const REFUSAL_SECONDS: i64 = 60;

/// Repository here, digest of the collection's manifest, the signers' name, fingerprint of the pin.
type Place = (String, String, String, String);

/// Verified repositories, so that one of a thousand images is not verified a thousand times.
#[derive(Debug, Default)]
pub(super) struct Collections(Mutex<VecDeque<Kept>>);

#[derive(Clone, Debug)]
struct Kept {
    place: Place,
    before: Seen,
    at: i64,
    bytes: usize,
    outcome: Result<(Arc<Repository>, Seen), NotaryError>,
}

impl Kept {
    /// Whether verifying again now, against `seen`, would come to the same.
    fn holds(&self, seen: &Seen, now: i64) -> bool {
        match &self.outcome {
            Ok((repository, after)) => after.covers(seen) && (self.at..repository.expires()).contains(&now),
            Err(_) => {
                self.before == *seen && (self.at..self.at.saturating_add(REFUSAL_SECONDS)).contains(&now)
            }
        }
    }
}

impl Collections {
    fn find(&self, place: &Place, seen: &Seen, now: i64) -> Option<Kept> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|kept| kept.place == *place && kept.holds(seen, now)).cloned()
    }

    fn keep(&self, new: Kept) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|old| old.place != new.place);
        kept.push_back(new);
        let bytes = |kept: &VecDeque<Kept>| kept.iter().map(|kept| kept.bytes).fold(0, usize::saturating_add);
        while kept.len() > KEPT_MAX || kept.len() > 1 && bytes(&kept) > KEPT_BYTES_MAX {
            kept.pop_front();
        }
    }
}

/// What the collections of one repository come to under a policy.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// By name and pin the newest, with the digest of its manifest.
    pub(super) repositories: Vec<(String, Arc<Repository>)>,
    pub(super) refused: Vec<Rejection>,
    pub(super) learned: Vec<Learned>,
}

impl Judge {
    /// Verifies the collection under the tag, as producers see it and as consumers do: what was pushed over a good one
    /// and is no good does not hide it.
    pub(super) fn tagged_collections(
        &self,
        connection: &Connection,
        repository: &str,
        policy: &Policy,
        now: i64,
    ) -> Result<Verified, JudgeError> {
        if trusted(policy).next().is_none() {
            return Ok(Verified::default());
        }
        let row = manifests::tag(connection, repository, COLLECTION_TAG)?;
        let mut candidates: Vec<String> =
            row.into_iter().flat_map(|row| row.staged.into_iter().chain(row.released)).collect();
        candidates.dedup();
        // What was taken back vouches no longer, whoever signed it.
        let mut standing = Vec::new();
        for candidate in candidates {
            let row = manifests::find(connection, repository, &candidate)?;
            let is_revoked = policy.trust_store().revocations.of_digest(&candidate).is_some();
            if !is_revoked && row.is_some_and(|row| row.state != State::Withdrawn) {
                standing.push(candidate);
            }
        }
        let candidates = standing;
        self.collections(connection, repository, &candidates, policy, now)
    }

    /// Verifies these manifests as collections, under every pin of the policy that is for this repository.
    pub(super) fn collections(
        &self,
        connection: &Connection,
        repository: &str,
        candidates: &[String],
        policy: &Policy,
        now: i64,
    ) -> Result<Verified, JudgeError> {
        let mut all = Verified::default();
        let mut done: Vec<(String, String)> = Vec::new();
        let name = self.full_name(repository);
        for trust in trusted(policy) {
            let Some(gun) = trust.gun.of(&name) else { continue };
            let pin = trust.pin.fingerprint();
            if done.contains(&(gun.clone(), pin.clone())) {
                continue;
            }
            done.push((gun.clone(), pin.clone()));
            let seen = notary::seen(connection, repository, &gun, &pin)?;
            let mut newest: Option<(&String, Arc<Repository>, Seen)> = None;
            for candidate in candidates {
                let place = (repository.to_owned(), candidate.clone(), gun.clone(), pin.clone());
                match self.collection(connection, place, trust, &seen, now)? {
                    Ok((verified, after)) => {
                        if newest.as_ref().is_none_or(|(_, _, other)| other.newness() < after.newness()) {
                            newest = Some((candidate, verified, after));
                        }
                    }
                    Err(reason) => all.refused.push(Rejection { candidate: candidate.clone(), reason }),
                }
            }
            if let Some((candidate, verified, seen)) = newest {
                all.repositories.push((candidate.clone(), verified));
                all.learned.push(Learned { repository: repository.to_owned(), gun, pin, seen });
            }
        }
        Ok(all)
    }

    /// The repository here that signers call `gun`, as far as the registry's name and the policy tell.
    pub fn repository_of(&self, gun: &str) -> Option<String> {
        let own = |name: &str| name.strip_prefix(&format!("{}/", self.registry)).map(str::to_owned);
        let policy = self.policy.load();
        let remapped = trusted(&policy).find_map(|trust| match &trust.gun {
            Gun::Remap { prefix, signed_prefix } => {
                let remap = Gun::Remap { prefix: signed_prefix.clone(), signed_prefix: prefix.clone() };
                remap.of(gun).as_deref().and_then(own)
            }
            Gun::Is(_) | Gun::Own => None,
        });
        own(gun).or(remapped)
    }

    /// Whether somebody whom the rule names bound the tag that was asked for to this digest, by Notary v1. Not asked, and
    /// `false`, where the rule does not care.
    pub(super) async fn is_tag_signed(
        self: &Arc<Self>,
        repository: &str,
        evidence: &Evidence,
        basis: &Basis,
    ) -> Result<bool, JudgeError> {
        let rule = basis.policy.rule_for(&evidence.repository);
        let (Some(tag), Some(rule)) =
            (evidence.tag.clone(), rule.filter(|rule| rule.pin.pull == Pin::SignedTag))
        else {
            return Ok(false);
        };
        let names: Vec<String> = rule.signatures.require.iter().flatten().cloned().collect();
        let (judge, held, basis) = (Arc::clone(self), repository.to_owned(), basis.clone());
        let (digest, name, now) = (evidence.digest.clone(), evidence.repository.clone(), evidence.as_of);
        tokio::task::spawn_blocking(move || {
            judge.records.read(|connection| {
                let found = judge.tagged_collections(connection, &held, &basis.policy, now)?;
                let subject = Subject { digest: &digest, repository: &name };
                let mut verifier = Verifier::new(subject, basis.policy.trust_store(), now);
                for (candidate, verified) in &found.repositories {
                    verifier.examine_repository(candidate, verified);
                }
                let verified = verifier.finish().verified;
                let meant =
                    verified.iter().filter(|signature| names.iter().any(|name| name == signature.identity()));
                Ok(meant.flat_map(VerifiedSignature::notary).any(|target| target.tag == tag))
            })
        })
        .await?
    }

    /// Weighs a manifest that is itself a collection.
    pub(super) fn judge_collection(
        &self,
        connection: &Connection,
        repository: &str,
        evidence: &mut Evidence,
        basis: &Basis,
    ) -> Result<(), JudgeError> {
        let digest = std::slice::from_ref(&evidence.digest);
        let verified = self.collections(connection, repository, digest, &basis.policy, evidence.as_of)?;
        let mut reasons: Vec<String> = verified.refused.into_iter().map(|refused| refused.reason).collect();
        let mut until = None;
        for ((_, collection), new) in verified.repositories.iter().zip(verified.learned) {
            let is_same = |known: &Learned| known.gun == new.gun && known.pin == new.pin;
            // The one under the tag may be newer than what the records remember: a policy may just have come to pin it.
            match evidence.learned.iter_mut().find(|known| is_same(known)) {
                Some(known) if !new.seen.covers(&known.seen) => {
                    reasons.push(format!("the collection under the tag `{COLLECTION_TAG}` is newer"));
                    continue;
                }
                Some(known) => *known = new,
                None => evidence.learned.push(new),
            }
            until = until.max(Some(collection.expires()));
        }
        evidence.collection = Some(until.map_or(Standing::Refused(reasons), Standing::Verified));
        Ok(())
    }

    /// One manifest under one pin; the inner error is in words.
    fn collection(
        &self,
        connection: &Connection,
        place: Place,
        trust: &NotaryTrust,
        seen: &Seen,
        now: i64,
    ) -> Result<Result<(Arc<Repository>, Seen), String>, JudgeError> {
        let words = |error: &NotaryError| format!("metadata of Notary v1: {error}");
        if let Some(kept) = self.notary.find(&place, seen, now) {
            return Ok(kept.outcome.map_err(|error| words(&error)));
        }
        let collection = match self.stored_collection(connection, &place.0, &place.1)? {
            Ok(collection) => collection,
            Err(reason) => return Ok(Err(reason)),
        };
        let verified = collection.verify(&place.2, &trust.pin, seen.clone(), now);
        let bytes = if verified.is_ok() { collection.bytes() } else { 0 };
        let outcome = verified.map(|(repository, seen)| (Arc::new(repository), seen));
        self.notary.keep(Kept { place, before: seen.clone(), at: now, bytes, outcome: outcome.clone() });
        Ok(outcome.map_err(|error| words(&error)))
    }

    /// The files of a stored collection, unverified; the inner error is in words.
    fn stored_collection(
        &self,
        connection: &Connection,
        repository: &str,
        digest: &str,
    ) -> Result<Result<Collection, String>, JudgeError> {
        let Some(bytes) = manifests::bytes(connection, digest)? else {
            return Ok(Err("the collection's manifest is not there".to_owned()));
        };
        let files = match collection_files(&bytes) {
            Ok(Some(files)) => files,
            Ok(None) => {
                return Ok(Err(format!("the tag `{COLLECTION_TAG}` holds no collection of Notary v1")));
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut collection = Collection::default();
        for file in files {
            let Some(bytes) = self.payload(connection, repository, &file.digest, file.size) else {
                return Ok(Err(format!("`{}` of the collection cannot be read", file.document)));
            };
            collection.insert(file.document, bytes);
        }
        Ok(Ok(collection))
    }
}

/// The pins of the policy, in its order.
fn trusted(policy: &Policy) -> impl Iterator<Item = &NotaryTrust> {
    policy.trust_store().identities.iter().filter_map(|identity| match &identity.vouches {
        Vouches::Notary(trust) => Some(trust.as_ref()),
        _ => None,
    })
}
