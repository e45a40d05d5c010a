//! The one entry: signatures, subject, trust store and `now` in; [`VerifiedSignature`]s and refusals out.

use serde::Serialize;
use serde_json::Value;

use crate::cosign::{Claims, bundle, simple};
use crate::moment::rfc3339;
use crate::signature::{SignatureForm, Subject, UnverifiedSignature, VerifiedSignature};
use crate::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey};
use crate::{digest, json, limits};

/// The answer about all signatures found for one subject.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Good ones; of several by one key for one identity in one form, the first.
    pub verified: Vec<VerifiedSignature>,
    /// The others, each with the check that failed: for the trace and the denial's text, never for the decision.
    pub rejected: Vec<Rejection>,
}

/// One signature that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Which candidate: a payload or manifest digest.
    pub candidate: String,
    /// The first check that failed, in words, with expected and seen.
    pub reason: String,
}

/// Checks every candidate against every identity, in the order of the format's own rules. `now` is seconds since
/// 1970-01-01 UTC. A candidate that fails never hides one that passes, as long as there are no more than
/// [`limits::CANDIDATES_MAX`] and they cost no more than [`limits::VERIFICATION_COST_MAX`].
pub fn verify(
    signatures: &[UnverifiedSignature],
    subject: Subject<'_>,
    trust_store: &TrustStore,
    now: i64,
) -> Verification {
    let mut verification = Verification::default();
    let mut signers = Signers::new(trust_store);
    let mut unlisted = 0usize;
    for signature in signatures.iter().take(limits::CANDIDATES_MAX) {
        match check(signature, subject, &mut signers, now) {
            Ok(found) => found.into_iter().for_each(|found| {
                if !verification.verified.contains(&found) {
                    verification.verified.push(found);
                }
            }),
            Err(reason) if verification.rejected.len() < limits::REJECTIONS_MAX => {
                verification.rejected.push(Rejection { candidate: candidate(signature), reason });
            }
            Err(_) => unlisted += 1,
        }
    }
    let unexamined = signatures.len().saturating_sub(limits::CANDIDATES_MAX);
    if unlisted > 0 || unexamined > 0 {
        let candidate = format!("{} more", unlisted + unexamined);
        let reason =
            format!("{unlisted} refused without being listed, {unexamined} beyond the limit not examined");
        verification.rejected.push(Rejection { candidate, reason });
    }
    verification
}

/// All checks of one candidate: integrity and path, then the signature, then what it claims, then whether that
/// satisfies an identity.
fn check(
    signature: &UnverifiedSignature,
    subject: Subject<'_>,
    signers: &mut Signers<'_>,
    now: i64,
) -> Result<Vec<VerifiedSignature>, String> {
    if digest::split(subject.digest).is_none() {
        return Err(format!("`{}` is not a digest", json::quote(subject.digest)));
    }
    let (form, signer, claims) = match signature {
        UnverifiedSignature::CosignSimple { payload_digest, payload_size, payload, annotations } => {
            let signature =
                simple::open(payload_digest, *payload_size, payload, annotations).map_err(words)?;
            let signer = signers.find(payload, &signature, None)?;
            let claims = simple::claims(payload, subject.digest).map_err(words)?;
            (SignatureForm::CosignSimple, signer, claims)
        }
        UnverifiedSignature::SigstoreBundle {
            subject_digest, bundle_digest, bundle_size, bundle, ..
        } => {
            let opened = bundle::open(bundle_digest, *bundle_size, bundle, subject_digest, subject.digest);
            let opened = opened.map_err(words)?;
            let signer = signers.find(&opened.message, &opened.signature, opened.hint.as_deref())?;
            let claims = bundle::claims(&opened.payload, subject.digest).map_err(words)?;
            (SignatureForm::SigstoreBundle, signer, claims)
        }
    };
    let mut verified = Vec::new();
    let mut refusals = Vec::new();
    for &(identity, key) in &signer.trusted_as {
        match accept(identity, key, &claims, subject, now) {
            Ok(()) => verified.push(VerifiedSignature {
                identity: identity.name.clone(),
                principal: identity.principal().to_owned(),
                form,
                subject_digest: subject.digest.to_owned(),
                key_id: signer.key_id.clone(),
                signer: format!("key {}", signer.key_id),
            }),
            Err(reason) => refusals.push(reason.to_string()),
        }
    }
    if verified.is_empty() { Err(refusals.join("; ")) } else { Ok(verified) }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Why a good signature for the right digest does not count for an identity.
#[derive(Debug, thiserror::Error)]
enum IdentityError {
    #[error("annotation `{name}` must be `{expected}` for identity `{identity}`, signed was {signed}")]
    Annotation { identity: String, name: String, expected: String, signed: String },
    #[error(
        "signed for repository `{signed}`, which identity `{identity}` does not accept for `{repository}`"
    )]
    Repository { identity: String, repository: String, signed: String },
    #[error("a bundle signs no repository, and identity `{identity}` requires one: sign in the `.sig` form")]
    RepositoryNotSigned { identity: String },
    #[error("the key of identity `{identity}` may vouch {window}, and it is {now}")]
    Window { identity: String, window: String, now: String },
}

/// The checks that depend on the identity: the key's time (12), the annotations (11c) and the repository (11d).
fn accept(
    identity: &Identity,
    key: &TrustedKey,
    claims: &Claims,
    subject: Subject<'_>,
    now: i64,
) -> Result<(), IdentityError> {
    let name = || identity.name.clone();
    if !key.is_valid_at(now) {
        return Err(IdentityError::Window { identity: name(), window: window(key), now: rfc3339(now) });
    }
    // Compared inside the signed bytes only: annotations of a manifest are anybody's.
    for (annotation, expected) in &identity.annotations {
        let signed = claims.annotations.get(annotation);
        if signed.and_then(Value::as_str) != Some(expected) {
            let signed =
                signed.map_or("none".to_owned(), |value| format!("`{}`", json::quote(&value.to_string())));
            let (name, expected) = (annotation.clone(), expected.clone());
            return Err(IdentityError::Annotation {
                identity: identity.name.clone(),
                name,
                expected,
                signed,
            });
        }
    }
    match &claims.repository {
        Some(signed) if !identity.repository_match.accepts(signed, subject) => {
            let (repository, signed) = (subject.repository.to_owned(), json::quote(signed));
            Err(IdentityError::Repository { identity: name(), repository, signed })
        }
        None if identity.repository_match != RepositoryMatch::Any => {
            Err(IdentityError::RepositoryNotSigned { identity: name() })
        }
        _ => Ok(()),
    }
}

fn window(key: &TrustedKey) -> String {
    let start = key.not_before.map(|start| format!("from {}", rfc3339(start)));
    let end = key.not_after.map(|end| format!("until {}", rfc3339(end)));
    [start, end].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn candidate(signature: &UnverifiedSignature) -> String {
    json::quote(match signature {
        UnverifiedSignature::CosignSimple { payload_digest, .. } => payload_digest,
        UnverifiedSignature::SigstoreBundle { manifest_digest, .. } => manifest_digest,
    })
}

/// Every key of the trust store once, whoever trusts it.
struct Signers<'a> {
    signers: Vec<Signer<'a>>,
    cost_left: u32,
}

struct Signer<'a> {
    key: &'a PublicKey,
    key_id: String,
    trusted_as: Vec<(&'a Identity, &'a TrustedKey)>,
}

impl<'a> Signers<'a> {
    fn new(trust_store: &'a TrustStore) -> Self {
        let mut signers: Vec<Signer<'a>> = Vec::new();
        for identity in &trust_store.identities {
            for trusted in identity.keys() {
                match signers.iter_mut().find(|signer| *signer.key == trusted.key) {
                    Some(signer) => signer.trusted_as.push((identity, trusted)),
                    None => signers.push(Signer {
                        key: &trusted.key,
                        key_id: trusted.key.key_id(),
                        trusted_as: vec![(identity, trusted)],
                    }),
                }
            }
        }
        Self { signers, cost_left: limits::VERIFICATION_COST_MAX }
    }

    /// 10. Whose signature it is. The algorithm is the key's; nothing in the signature chooses one.
    fn find(&mut self, message: &[u8], signature: &[u8], hint: Option<&str>) -> Result<&Signer<'a>, String> {
        let mut tried = 0usize;
        for signer in &self.signers {
            if hint.is_some_and(|hint| hint != signer.key_id) {
                continue;
            }
            let cost_left = self.cost_left.checked_sub(signer.key.verification_cost());
            self.cost_left =
                cost_left.ok_or("not examined: too many signatures on this digest; remove stale ones")?;
            if signer.key.verifies(message, signature) {
                return Ok(signer);
            }
            tried += 1;
        }
        Err(match (tried, hint) {
            (0, Some(hint)) => format!("made with key `{hint}`, which the trust store does not hold"),
            _ => format!("the signature verifies with none of the {tried} keys in the trust store"),
        })
    }
}

#[cfg(test)]
mod tests;
