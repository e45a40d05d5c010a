//! The one entry: signatures, subject, trust store and `now` in; [`VerifiedSignature`]s and refusals out.

mod notary;
mod notation;
mod signers;

use serde::Serialize;
use serde_json::Value;

use crate::cosign::bundle::BundleError;
use crate::cosign::simple::SimpleError;
use crate::cosign::{Claims, bundle, simple};
use crate::moment::rfc3339;
use crate::revocation::Revocation;
use crate::signature::{SignatureForm, Subject, UnverifiedSignature, VerifiedSignature};
use crate::sigstore::{self, Artifact};
use crate::trust_store::{Identity, RepositoryMatch, TrustStore, TrustedKey};
use crate::{digest, json, limits};

pub(crate) use signers::{Signers, Voucher};

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
    let mut verifier = Verifier::new(subject, trust_store, now);
    for signature in signatures {
        verifier.examine(signature);
    }
    verifier.finish()
}

/// [`verify`] for a caller that fetches candidates one by one: all of them together are never in memory.
pub struct Verifier<'a> {
    subject: Subject<'a>,
    signers: Signers<'a>,
    now: i64,
    examined: usize,
    unlisted: usize,
    unexamined: usize,
    verification: Verification,
}

/// What became of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// It counts for somebody.
    Good,
    /// A limit was reached before it; nothing is known about it.
    Not,
    /// It does not count.
    Refused {
        /// The first check that failed, in words.
        reason: String,
        /// Whether that stays so as long as the trust store is the same and none of its windows opens or ends. What
        /// rests on a certificate may depend on the time in other ways.
        lasting: bool,
    },
}

impl<'a> Verifier<'a> {
    /// Begins with nobody vouching. `now` is seconds since 1970-01-01 UTC.
    pub fn new(subject: Subject<'a>, trust_store: &'a TrustStore, now: i64) -> Self {
        let (signers, verification) = (Signers::new(trust_store), Verification::default());
        Self { subject, signers, now, examined: 0, unlisted: 0, unexamined: 0, verification }
    }

    /// Checks one candidate.
    pub fn examine(&mut self, signature: &UnverifiedSignature) -> Examined {
        if self.examined >= limits::CANDIDATES_MAX {
            self.unexamined += 1;
            return Examined::Not;
        }
        self.examined += 1;
        let verified = &mut self.verification.verified;
        match check(signature, self.subject, &mut self.signers, self.now) {
            Ok(found) => {
                for found in found {
                    if !verified.contains(&found) {
                        verified.push(found);
                    }
                }
                Examined::Good
            }
            Err(reason) => {
                self.refuse(candidate(signature), reason.clone());
                if self.signers.is_exhausted() {
                    return Examined::Not;
                }
                Examined::Refused {
                    reason,
                    lasting: !self.signers.has_certificates() && self.signers.notation().is_empty(),
                }
            }
        }
    }

    /// Counts a candidate that does not count, for a reason that the caller knows.
    pub fn refuse(&mut self, candidate: String, reason: String) {
        if self.verification.rejected.len() < limits::REJECTIONS_MAX {
            self.verification.rejected.push(Rejection { candidate, reason });
        } else {
            self.unlisted += 1;
        }
    }

    /// The answer about all of them.
    pub fn finish(mut self) -> Verification {
        let (unlisted, unexamined) = (self.unlisted, self.unexamined);
        if unlisted > 0 || unexamined > 0 {
            let candidate = format!("{} more", unlisted + unexamined);
            let reason = format!(
                "{unlisted} refused without being listed, {unexamined} beyond the limit not examined"
            );
            self.verification.rejected.push(Rejection { candidate, reason });
        }
        self.verification
    }
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
    let (form, vouchers, claims) = match signature {
        UnverifiedSignature::CosignSimple { payload_digest, payload_size, payload, annotations } => {
            let opened = simple::open(payload_digest, *payload_size, payload, annotations).map_err(words)?;
            let vouchers = match opened.certificate {
                None => signers.by_key(payload, &opened.signature, None)?,
                Some(marker) if !signers.has_certificates() => {
                    return Err(SimpleError::Certificate(marker).to_string());
                }
                Some(_) => {
                    let bundle = sigstore::legacy::message(&opened.signature, annotations).map_err(words)?;
                    signers.by_certificate(&bundle, Artifact::Bytes(payload), now)?
                }
            };
            let claims = simple::claims(payload, subject.digest).map_err(words)?;
            (SignatureForm::CosignSimple, vouchers, claims)
        }
        UnverifiedSignature::Notation(candidate) => {
            return notation::check(candidate, subject, signers, now).map_err(words);
        }
        UnverifiedSignature::SigstoreBundle {
            subject_digest, bundle_digest, bundle_size, bundle, ..
        } => {
            let bytes_max = limits::BUNDLE_BYTES_MAX;
            let opened =
                bundle::open(bundle_digest, *bundle_size, bundle, subject_digest, subject.digest, bytes_max);
            let (vouchers, claims) = by_bundle(opened.map_err(words)?, bundle, subject, signers, now)?;
            (SignatureForm::SigstoreBundle, vouchers, claims)
        }
    };
    let mut verified = Vec::new();
    let mut refusals = Vec::new();
    for voucher in vouchers {
        let identity = voucher.identity;
        let accepted = accept(identity, voucher.key, &claims, subject, now);
        match accepted.and_then(|()| signers.check_revoked(&voucher)) {
            Ok(()) => verified.push(VerifiedSignature {
                identity: identity.name.clone(),
                principal: identity.principal().to_owned(),
                form,
                valid_until: voucher.valid_until(),
                subject_digest: subject.digest.to_owned(),
                key_id: voucher.key_id,
                signer: voucher.signer,
                certificate: voucher.certificate,
                notation: None,
                notary: Vec::new(),
            }),
            Err(reason) => refusals.push(reason.to_string()),
        }
    }
    if verified.is_empty() { Err(refusals.join("; ")) } else { Ok(verified) }
}

fn by_bundle<'a>(
    opened: bundle::Opened,
    bundle: &[u8],
    subject: Subject<'_>,
    signers: &mut Signers<'a>,
    now: i64,
) -> Result<(Vec<Voucher<'a>>, Claims), String> {
    match opened {
        bundle::Opened::ByKey(signed) => {
            let vouchers = signers.by_key(&signed.message, &signed.signature, signed.hint.as_deref())?;
            Ok((vouchers, bundle::claims(&signed.payload, subject.digest).map_err(words)?))
        }
        bundle::Opened::ByCertificate if !signers.has_certificates() => {
            Err(BundleError::Certificate.to_string())
        }
        bundle::Opened::ByCertificate => {
            let bundle = sigstore::read(bundle).map_err(words)?;
            // What it says is read first: an image has many attestations, and to verify each only to find that it is no
            // signature costs far more than reading it.
            let payload = sigstore::payload(&bundle).unwrap_or_default();
            let claims = bundle::claims(&payload, subject.digest).map_err(words)?;
            Ok((signers.by_certificate(&bundle, Artifact::Digest(subject.digest), now)?, claims))
        }
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Why a good signature for the right digest does not count for an identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("annotation `{name}` must be `{expected}` for identity `{identity}`, signed was {signed}")]
    Annotation { identity: String, name: String, expected: String, signed: String },
    #[error(
        "signed for repository `{signed}`, which identity `{identity}` does not accept for `{repository}`"
    )]
    Repository { identity: String, repository: String, signed: String },
    #[error("a bundle signs no repository, and identity `{identity}` requires one: sign in the `.sig` form")]
    RepositoryNotSigned { identity: String },
    #[error("{0}")]
    Revoked(Box<Revocation>),
    #[error("the key of identity `{identity}` may vouch {window}, and it is {now}")]
    Window { identity: String, window: String, now: String },
}

/// The checks that depend on the identity: the key's time (12), the annotations (11c) and the repository (11d).
pub(crate) fn accept(
    identity: &Identity,
    key: Option<&TrustedKey>,
    claims: &Claims,
    subject: Subject<'_>,
    now: i64,
) -> Result<(), IdentityError> {
    let name = || identity.name.clone();
    if let Some(key) = key
        && !key.is_valid_at(now)
    {
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
        UnverifiedSignature::Notation(candidate) => &candidate.manifest_digest,
        UnverifiedSignature::SigstoreBundle { manifest_digest, .. } => manifest_digest,
    })
}

#[cfg(test)]
mod tests;
