//! The one entry: signatures, subject, trust store and `now` in; [`VerifiedSignature`]s and refusals out.

mod notary;
mod notation;
mod signers;
mod trace;

use serde::{Deserialize, Serialize};
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
use trace::{Attempt, Refused, Route};
pub use trace::{CandidateTrace, Ended, Explained, Line, Step};

/// The answer about all signatures found for one subject.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Good ones; of several by one key for one identity in one form, the first.
    pub verified: Vec<VerifiedSignature>,
    /// The others, each with the check that failed: for the trace and the denial's text, never for the decision.
    pub rejected: Vec<Rejection>,
}

/// One signature that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    trace: Option<Vec<CandidateTrace>>,
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
        Self { subject, signers, now, examined: 0, unlisted: 0, unexamined: 0, verification, trace: None }
    }

    /// Keeps every check of every candidate, for [`Self::finish_explained`].
    #[must_use]
    pub fn explaining(self) -> Self {
        Self { trace: Some(Vec::new()), ..self }
    }

    /// Checks one candidate.
    pub fn examine(&mut self, signature: &UnverifiedSignature) -> Examined {
        if self.examined >= limits::CANDIDATES_MAX {
            self.unexamined += 1;
            return Examined::Not;
        }
        self.examined += 1;
        let attempts = check(signature, self.subject, &mut self.signers, self.now);
        self.explain(candidate(signature), signature.form(), &attempts);
        match judged(attempts) {
            Ok(found) => {
                self.count(found);
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

    fn count(&mut self, found: Vec<VerifiedSignature>) {
        for found in found {
            if !self.verification.verified.contains(&found) {
                self.verification.verified.push(found);
            }
        }
    }

    fn explain(&mut self, candidate: String, form: SignatureForm, attempts: &[Attempt]) {
        if let Some(trace) = &mut self.trace {
            let counts = attempts.iter().any(|attempt| attempt.result.is_ok());
            let identities = attempts.iter().map(Attempt::explain).collect();
            trace.push(CandidateTrace { candidate, form, counts, identities });
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

    /// [`Self::finish`], with every check of every candidate if [`Self::explaining`].
    pub fn finish_explained(mut self) -> (Verification, Vec<CandidateTrace>) {
        let trace = self.trace.take().unwrap_or_default();
        (self.finish(), trace)
    }
}

/// Whoever it counts for, or why it counts for nobody.
fn judged(attempts: Vec<Attempt>) -> Result<Vec<VerifiedSignature>, String> {
    let mut verified = Vec::new();
    let mut refusals = Vec::new();
    for attempt in attempts {
        match attempt.result {
            Ok(found) => verified.push(found),
            Err(refused) => refusals.push(refused.reason),
        }
    }
    if verified.is_empty() { Err(refusals.join("; ")) } else { Ok(verified) }
}

/// All checks of one candidate: integrity and path, then the signature, then what it claims, then whether that
/// satisfies an identity. One attempt for everybody, or one an identity.
fn check(
    signature: &UnverifiedSignature,
    subject: Subject<'_>,
    signers: &mut Signers<'_>,
    now: i64,
) -> Vec<Attempt> {
    let mut route = Route::of(signature);
    if digest::split(subject.digest).is_none() {
        let reason = format!("`{}` is not a digest", json::quote(subject.digest));
        return vec![Attempt::refused(route, None, Refused::at(Step::Place, reason))];
    }
    let opened = match signature {
        UnverifiedSignature::Notation(candidate) => return notation::check(candidate, subject, signers, now),
        UnverifiedSignature::CosignSimple { .. } => {
            by_payload(signature, subject, signers, (&mut route, now))
        }
        UnverifiedSignature::SigstoreBundle { .. } => {
            by_bundle(signature, subject, signers, (&mut route, now))
        }
    };
    let (vouchers, claims) = match opened {
        Ok(opened) => opened,
        Err(refused) => return vec![Attempt::refused(route, None, refused)],
    };
    let attempt = |voucher: Voucher<'_>| {
        let identity = voucher.identity;
        let accepted = accept(identity, voucher.key, &claims, subject, now);
        let accepted = accepted.and_then(|()| signers.check_revoked(&voucher));
        Attempt {
            route,
            identity: Some(identity.name.clone()),
            unasked: voucher.unasked.clone(),
            recorded: Vec::new(),
            result: match accepted {
                Ok(()) => Ok(verified(voucher, signature.form(), subject)),
                Err(error) => Err(Refused { unasked: voucher.unasked, ..error.into() }),
            },
        }
    };
    vouchers.into_iter().map(attempt).collect()
}

fn verified(voucher: Voucher<'_>, form: SignatureForm, subject: Subject<'_>) -> VerifiedSignature {
    VerifiedSignature {
        identity: voucher.identity.name.clone(),
        principal: voucher.identity.principal().to_owned(),
        form,
        valid_until: voucher.valid_until(),
        subject_digest: subject.digest.to_owned(),
        key_id: voucher.key_id,
        signer: voucher.signer,
        certificate: voucher.certificate,
        notation: None,
        notary: Vec::new(),
    }
}

type Opened<'a> = Result<(Vec<Voucher<'a>>, Claims), Refused>;

fn by_payload<'a>(
    signature: &UnverifiedSignature,
    subject: Subject<'_>,
    signers: &mut Signers<'a>,
    (route, now): (&mut Route, i64),
) -> Opened<'a> {
    let UnverifiedSignature::CosignSimple { payload_digest, payload_size, payload, annotations } = signature
    else {
        return Err(Refused::at(Step::Form, "not a payload with its signature"));
    };
    let opened = simple::open(payload_digest, *payload_size, payload, annotations)?;
    let vouchers = match opened.certificate {
        None => signers.by_key(payload, &opened.signature, None)?,
        Some(marker) if !signers.has_certificates() => return Err(SimpleError::Certificate(marker).into()),
        Some(_) => {
            *route = Route::Certificate;
            let message = sigstore::legacy::message(&opened.signature, annotations);
            // A log entry or timestamp that cannot be read is material; nothing was verified yet.
            let bundle = message.map_err(|error| Refused::at(Step::Material, error))?;
            signers.by_certificate(&bundle, Artifact::Bytes(payload), now)?
        }
    };
    Ok((vouchers, simple::claims(payload, subject.digest)?))
}

fn by_bundle<'a>(
    signature: &UnverifiedSignature,
    subject: Subject<'_>,
    signers: &mut Signers<'a>,
    (route, now): (&mut Route, i64),
) -> Opened<'a> {
    let UnverifiedSignature::SigstoreBundle { subject_digest, bundle_digest, bundle_size, bundle, .. } =
        signature
    else {
        return Err(Refused::at(Step::Form, "not a bundle"));
    };
    let bytes_max = limits::BUNDLE_BYTES_MAX;
    match bundle::open(bundle_digest, *bundle_size, bundle, subject_digest, subject.digest, bytes_max)? {
        bundle::Opened::ByKey(signed) => {
            let vouchers = signers.by_key(&signed.message, &signed.signature, signed.hint.as_deref())?;
            Ok((vouchers, bundle::claims(&signed.payload, subject.digest)?))
        }
        bundle::Opened::ByCertificate if !signers.has_certificates() => Err(BundleError::Certificate.into()),
        bundle::Opened::ByCertificate => {
            *route = Route::CertificateBundle;
            let bundle = sigstore::read(bundle)?;
            // What it says is read first: an image has many attestations, and to verify each only to find that it is no
            // signature costs far more than reading it.
            let payload = sigstore::payload(&bundle).unwrap_or_default();
            let claims = bundle::claims(&payload, subject.digest)?;
            Ok((signers.by_certificate(&bundle, Artifact::Digest(subject.digest), now)?, claims))
        }
    }
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
