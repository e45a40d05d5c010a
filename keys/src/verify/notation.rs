//! One Notation candidate against every identity that signs by notation.

use super::{IdentityError, Signers, accept};
use crate::cosign::Claims;
use crate::notation::{
    self, Artifact, EnvelopeError, NotationError, Statement, TrustStores, UnverifiedNotation,
    VerifiedNotation,
};
use crate::signature::{SignatureForm, Subject, VerifiedSignature};
use crate::trust_store::Identity;
use crate::{digest, json};

/// The first check that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CandidateError {
    #[error("envelope has {seen} bytes, its descriptor says {declared}")]
    Size { declared: u64, seen: usize },
    #[error("envelope has digest `{seen}`, its descriptor says `{declared}`")]
    Digest { declared: String, seen: String },
    #[error("its manifest is about `{seen}`, not about `{expected}`")]
    OtherReferrer { expected: String, seen: String },
    #[error("made with notation, by which no identity of the policy signs")]
    NoIdentity,
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Plugin(NotationError),
    #[error("{0}")]
    Cost(String),
    #[error("{0}")]
    Refused(String),
}

/// Why it does not count for one identity.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the trust policy of identity `{identity}` has no statement for `{repository}`")]
    NoStatement { identity: String, repository: String },
    #[error("identity `{identity}`: {error}")]
    Notation { identity: String, error: NotationError },
    #[error("identity `{0}`: who signed is not known, whatever its level logs")]
    Stranger(String),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Integrity of where it lies, then who it says it is of, which costs nothing and sorts strangers out, then what that
/// rests on.
pub(super) fn check(
    candidate: &UnverifiedNotation,
    subject: Subject<'_>,
    signers: &mut Signers<'_>,
    now: i64,
) -> Result<Vec<VerifiedSignature>, CandidateError> {
    check_place(candidate, subject)?;
    if signers.notation().is_empty() {
        return Err(CandidateError::NoIdentity);
    }
    let read = notation::read(&candidate.envelope, &candidate.media_type)?;
    let mut meant = Vec::new();
    let mut refusals: Vec<Refusal> = Vec::new();
    for &(identity, trust) in signers.notation() {
        match statement_for(identity, trust, subject).and_then(|statement| {
            if statement.level.is_none() {
                let error = NotationError::Skipped(statement.name.clone());
                return Err(Refusal::Notation { identity: identity.name.clone(), error });
            }
            let said = notation::authenticity((read.scheme(), read.chain()), statement, &trust.stores);
            said.map_err(|error| Refusal::Notation { identity: identity.name.clone(), error })?;
            Ok(statement)
        }) {
            Ok(statement) => meant.push((identity, (statement, &trust.stores))),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if meant.is_empty() {
        return Err(refused(&refusals));
    }
    signers.spend(read.cost(meant.len())).map_err(CandidateError::Cost)?;
    let artifact = Artifact {
        media_type: &candidate.artifact_media_type,
        digest: subject.digest,
        size: candidate.artifact_size,
    };
    let opened = read.prove(artifact)?;
    if let Some(plugin) = &opened.plugin {
        return Err(CandidateError::Plugin(NotationError::Plugin(json::quote(plugin))));
    }
    // What notation signs names no repository.
    let claims = Claims { repository: None, annotations: opened.metadata.clone() };
    let mut verified = Vec::new();
    for (identity, trusted) in meant {
        match by_identity(identity, trusted, (&opened, &claims), subject, signers, now) {
            Ok(notation) => verified.push(verified_signature(identity, notation, subject)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if verified.is_empty() { Err(refused(&refusals)) } else { Ok(verified) }
}

fn by_identity(
    identity: &Identity,
    trusted: (&Statement, &TrustStores),
    (opened, claims): (&notation::OpenedEnvelope, &Claims),
    subject: Subject<'_>,
    signers: &Signers<'_>,
    now: i64,
) -> Result<VerifiedNotation, Refusal> {
    let notation = notation::judge(opened, trusted, now)
        .map_err(|refusal| Refusal::Notation { identity: identity.name.clone(), error: refusal.error })?;
    // At level `audit` notation only logs that nobody knows the signer; here nobody would have vouched.
    if !notation.is_authentic() {
        return Err(Refusal::Stranger(identity.name.clone()));
    }
    accept(identity, None, claims, subject, now)?;
    signers.check_notation_revoked(identity, notation.key_id(), notation.time().as_slice())?;
    Ok(notation)
}

/// The blob is the one that the manifest names, and the manifest is a referrer of this image.
fn check_place(candidate: &UnverifiedNotation, subject: Subject<'_>) -> Result<(), CandidateError> {
    let seen = candidate.envelope.len();
    if u64::try_from(seen) != Ok(candidate.envelope_size) {
        return Err(CandidateError::Size { declared: candidate.envelope_size, seen });
    }
    let seen = digest::sha256(&candidate.envelope);
    if seen != candidate.envelope_digest {
        return Err(CandidateError::Digest { declared: json::quote(&candidate.envelope_digest), seen });
    }
    if candidate.subject_digest != subject.digest {
        let (expected, seen) = (subject.digest.to_owned(), json::quote(&candidate.subject_digest));
        return Err(CandidateError::OtherReferrer { expected, seen });
    }
    Ok(())
}

fn statement_for<'a>(
    identity: &Identity,
    trust: &'a notation::NotationTrust,
    subject: Subject<'_>,
) -> Result<&'a Statement, Refusal> {
    trust.policy.statement_for(subject.repository).ok_or_else(|| Refusal::NoStatement {
        identity: identity.name.clone(),
        repository: subject.repository.to_owned(),
    })
}

fn verified_signature(
    identity: &Identity,
    notation: VerifiedNotation,
    subject: Subject<'_>,
) -> VerifiedSignature {
    VerifiedSignature {
        identity: identity.name.clone(),
        principal: identity.principal().to_owned(),
        form: SignatureForm::Notation,
        subject_digest: subject.digest.to_owned(),
        key_id: notation.key_id().to_owned(),
        signer: notation.signer().to_owned(),
        valid_until: notation.valid_until(),
        certificate: None,
        notation: Some(Box::new(notation)),
        notary: Vec::new(),
    }
}

fn refused(refusals: &[Refusal]) -> CandidateError {
    CandidateError::Refused(refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; "))
}
