//! One Notation candidate against every identity that signs by notation.

use super::trace::{Attempt, Refused, Route, Step};
use super::{IdentityError, Signers, accept};
use crate::cosign::Claims;
use crate::notation::{
    self, Artifact, CheckResult, EnvelopeError, NotationError, Statement, TrustStores, UnverifiedNotation,
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
}

impl From<CandidateError> for Refused {
    fn from(error: CandidateError) -> Self {
        let step = match error {
            CandidateError::Size { .. }
            | CandidateError::Digest { .. }
            | CandidateError::OtherReferrer { .. } => Step::Place,
            CandidateError::NoIdentity => Step::Path,
            CandidateError::Envelope(_) => Step::Form,
            CandidateError::Plugin(_) => Step::Signature,
        };
        Self::at(step, error)
    }
}

/// Why it does not count for one identity.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the trust policy of identity `{identity}` has no statement for `{repository}`")]
    NoStatement { identity: String, repository: String },
    #[error("identity `{identity}`: {error}")]
    Notation { identity: String, error: NotationError, trace: Vec<CheckResult> },
    #[error("identity `{0}`: who signed is not known, whatever its level logs")]
    Stranger(String),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Refusal {
    fn step(&self) -> Step {
        match self {
            Self::NoStatement { .. } | Self::Stranger(_) => Step::Identity,
            Self::Notation { error, .. } => match error {
                NotationError::Skipped(_) | NotationError::Untrusted { .. } | NotationError::Identity(_) => {
                    Step::Identity
                }
                NotationError::Envelope(_) | NotationError::Plugin(_) => Step::Signature,
                NotationError::Validity(_)
                | NotationError::TimestampAbsent(_)
                | NotationError::Timestamp(_) => Step::Time,
                NotationError::Expired(_) => Step::Expiry,
                NotationError::RevocationUnknown(_)
                | NotationError::RevocationStale { .. }
                | NotationError::Revoked { .. } => Step::CertificateRevocation,
                NotationError::Metadata(_) => Step::Annotations,
            },
            Self::Identity(error) => match error {
                IdentityError::Annotation { .. } => Step::Annotations,
                IdentityError::Repository { .. } | IdentityError::RepositoryNotSigned { .. } => {
                    Step::Repository
                }
                IdentityError::Window { .. } => Step::Time,
                IdentityError::Revoked(_) => Step::Revocation,
            },
        }
    }

    fn attempt(self, identity: &Identity) -> Attempt {
        let refused = Refused::at(self.step(), &self);
        let recorded = match self {
            Self::Notation { trace, .. } => trace,
            _ => Vec::new(),
        };
        Attempt { recorded, ..Attempt::refused(Route::Notation, Some(&identity.name), refused) }
    }
}

/// Integrity of where it lies, then who it says it is of, which costs nothing and sorts strangers out, then what that
/// rests on.
pub(super) fn check(
    candidate: &UnverifiedNotation,
    subject: Subject<'_>,
    signers: &mut Signers<'_>,
    now: i64,
) -> Vec<Attempt> {
    let (mut attempts, mut meant) = (Vec::new(), Vec::new());
    let refused = |refused| Attempt::refused(Route::Notation, None, refused);
    let read = match read(candidate, subject, signers) {
        Ok(read) => read,
        Err(error) => return vec![refused(error.into())],
    };
    for &(identity, trust) in signers.notation() {
        match statement_of_signer(identity, trust, &read, subject) {
            Ok(statement) => meant.push((identity, (statement, &trust.stores))),
            Err(refusal) => attempts.push(refusal.attempt(identity)),
        }
    }
    if meant.is_empty() {
        return attempts;
    }
    let opened = match prove(read, candidate, meant.len(), subject, signers) {
        Ok(opened) => opened,
        Err(error) => return vec![refused(error)],
    };
    // What notation signs names no repository.
    let claims = Claims { repository: None, annotations: opened.metadata.clone() };
    for (identity, trusted) in meant {
        attempts.push(match by_identity(identity, trusted, (&opened, &claims), subject, signers, now) {
            Ok(notation) => Attempt {
                route: Route::Notation,
                identity: Some(identity.name.clone()),
                unasked: Vec::new(),
                recorded: notation.trace().to_vec(),
                result: Ok(verified_signature(identity, notation, subject)),
            },
            Err(refusal) => refusal.attempt(identity),
        });
    }
    attempts
}

fn read(
    candidate: &UnverifiedNotation,
    subject: Subject<'_>,
    signers: &Signers<'_>,
) -> Result<notation::ReadEnvelope, CandidateError> {
    check_place(candidate, subject)?;
    if signers.notation().is_empty() {
        return Err(CandidateError::NoIdentity);
    }
    Ok(notation::read(&candidate.envelope, &candidate.media_type)?)
}

/// The statement by which the identity would trust whoever the envelope says it is of.
fn statement_of_signer<'a>(
    identity: &Identity,
    trust: &'a notation::NotationTrust,
    read: &notation::ReadEnvelope,
    subject: Subject<'_>,
) -> Result<&'a Statement, Refusal> {
    let statement = statement_for(identity, trust, subject)?;
    let refuse = |error| Refusal::Notation { identity: identity.name.clone(), error, trace: Vec::new() };
    if statement.level.is_none() {
        return Err(refuse(NotationError::Skipped(statement.name.clone())));
    }
    notation::authenticity((read.scheme(), read.chain()), statement, &trust.stores).map_err(refuse)?;
    Ok(statement)
}

fn prove(
    read: notation::ReadEnvelope,
    candidate: &UnverifiedNotation,
    identities: usize,
    subject: Subject<'_>,
    signers: &mut Signers<'_>,
) -> Result<notation::OpenedEnvelope, Refused> {
    signers.spend(read.cost(identities))?;
    let artifact = Artifact {
        media_type: &candidate.artifact_media_type,
        digest: subject.digest,
        size: candidate.artifact_size,
    };
    let opened = read.prove(artifact).map_err(|error| Refused::at(Step::Signature, error))?;
    match &opened.plugin {
        Some(plugin) => Err(CandidateError::Plugin(NotationError::Plugin(json::quote(plugin))).into()),
        None => Ok(opened),
    }
}

fn by_identity(
    identity: &Identity,
    trusted: (&Statement, &TrustStores),
    (opened, claims): (&notation::OpenedEnvelope, &Claims),
    subject: Subject<'_>,
    signers: &Signers<'_>,
    now: i64,
) -> Result<VerifiedNotation, Refusal> {
    let notation = notation::judge(opened, trusted, now).map_err(|refusal| Refusal::Notation {
        identity: identity.name.clone(),
        error: refusal.error,
        trace: refusal.trace,
    })?;
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
