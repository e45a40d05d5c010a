//! What a verified repository of Notary v1 says about one image, for every identity that signs so.

use super::trace::{Attempt, Refused, Route, Step};
use super::{Examined, IdentityError, Verifier, judged};
use crate::notary::{NotaryError, NotaryTrust, Repository, VerifiedTarget};
use crate::revocation;
use crate::signature::{SignatureForm, Subject, VerifiedSignature};
use crate::trust_store::Identity;
use crate::{json, limits};

/// Why it does not count for one identity.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("identity `{identity}`: metadata is of `{seen}`, for this repository it must be of `{expected}`")]
    Gun { identity: String, expected: String, seen: String },
    #[error("identity `{identity}`: metadata was verified under another pin")]
    Pin { identity: String },
    #[error("identity `{identity}`: {error}")]
    Notary { identity: String, error: NotaryError },
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let step = match refusal {
            Refusal::Gun { .. } => Step::Repository,
            Refusal::Pin { .. } => Step::Identity,
            Refusal::Notary { .. } => Step::Digest,
            Refusal::Identity(_) => Step::Revocation,
        };
        Self::at(step, refusal)
    }
}

impl Verifier<'_> {
    /// Takes in what `repository` says about the subject. `candidate` names the collection in the trace. It counts for
    /// the identities of Notary v1 whose pin and whose name for the subject's repository it was verified under, and for
    /// no others.
    pub fn examine_repository(&mut self, candidate: &str, repository: &Repository) -> Examined {
        let attempt = |&(identity, trust): &(&Identity, &NotaryTrust)| Attempt {
            route: Route::Notary,
            identity: Some(identity.name.clone()),
            unasked: Vec::new(),
            recorded: Vec::new(),
            result: self.by_repository((identity, trust), repository).map_err(Refused::from),
        };
        let mut attempts: Vec<Attempt> = self.signers.notary().iter().map(attempt).collect();
        if attempts.is_empty() {
            let reason = "metadata of Notary v1, by which no identity of the policy signs";
            attempts.push(Attempt::refused(Route::Notary, None, Refused::at(Step::Path, reason)));
        }
        self.explain(json::quote(candidate), SignatureForm::Notary, &attempts);
        match judged(attempts) {
            Ok(verified) => {
                self.count(verified);
                Examined::Good
            }
            Err(reason) => {
                self.refuse(json::quote(candidate), reason.clone());
                Examined::Refused { reason, lasting: false }
            }
        }
    }

    fn by_repository(
        &self,
        (identity, trust): (&Identity, &NotaryTrust),
        repository: &Repository,
    ) -> Result<VerifiedSignature, Refusal> {
        let name = || identity.name.clone();
        let expected = trust.gun.of(self.subject.repository).unwrap_or_default();
        if repository.gun() != expected {
            return Err(Refusal::Gun { identity: name(), expected, seen: repository.gun().to_owned() });
        }
        if repository.pin() != trust.pin.fingerprint() {
            return Err(Refusal::Pin { identity: name() });
        }
        let mut targets = repository
            .naming(self.subject.digest, &trust.lookup, self.now)
            .map_err(|error| Refusal::Notary { identity: name(), error })?;
        targets.truncate(limits::NOTARY_TARGETS_TOLD_MAX);
        let keys = targets.iter().flat_map(VerifiedTarget::keys);
        for key in keys {
            let key_ids = [key.public_key.as_str(), key.id.as_str()];
            for key_id in key_ids {
                let signed =
                    revocation::Signed { identity: &identity.name, key_id, build_run: None, times: &[] };
                if let Some(revocation) = self.signers.revocations().of_signature(signed) {
                    return Err(IdentityError::Revoked(Box::new(revocation.clone())).into());
                }
            }
        }
        Ok(signature(identity, self.subject, targets))
    }
}

fn signature(identity: &Identity, subject: Subject<'_>, targets: Vec<VerifiedTarget>) -> VerifiedSignature {
    // Any one of the tags suffices, so the last that ends tells until when.
    let ends = targets.iter().map(|target| target.expires.saturating_sub(1)).max();
    // Whoever holds the root could make all delegations below it, so two identities under one root are one signer
    // (connaisseur#2150), whatever certificates its key has.
    let root = targets.iter().flat_map(|target| &target.root_signed_by).map(|key| &key.public_key).min();
    let tags: Vec<&str> = targets.iter().map(|target| target.tag.as_str()).collect();
    let gun = targets.first().map(|target| target.gun.as_str()).unwrap_or_default();
    VerifiedSignature {
        identity: identity.name.clone(),
        principal: identity.principal().to_owned(),
        form: SignatureForm::Notary,
        subject_digest: subject.digest.to_owned(),
        key_id: root.cloned().unwrap_or_default(),
        signer: format!("the signers of `{gun}` as {}", json::quote(&tags.join(", "))),
        valid_until: ends,
        certificate: None,
        notation: None,
        notary: targets,
    }
}
