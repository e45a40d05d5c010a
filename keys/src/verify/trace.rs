//! What was checked of one candidate, in order, for whoever asks why it counts or why not.
//!
//! A trace is built from what the deciding checks themselves returned, so it cannot tell another story than they do.

use serde::Serialize;

use super::IdentityError;
use crate::cosign::bundle::BundleError;
use crate::cosign::simple::SimpleError;
use crate::notation::{Action, Check, CheckResult, Outcome};
use crate::signature::{SignatureForm, UnverifiedSignature, VerifiedSignature};
use crate::sigstore::SigstoreError;

/// One check. Not every kind of signature has every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Step {
    /// The bytes are those that the manifest names, and the manifest is about this image.
    Place,
    /// It could be read, and in one way only.
    Form,
    /// Somebody whom the policy names signs in this way at all: by key, by certificate, by notation, by Notary v1.
    Path,
    /// Certificate and proofs could be read.
    Material,
    /// What this signature may cost was not used up by others.
    Budget,
    /// It is signed by that key or certificate.
    Signature,
    /// The certificate is of a trusted authority.
    Chain,
    /// The transparency log holds it.
    LogEntry,
    /// When it was signed is proven, and everybody was valid then.
    Time,
    /// The certificate log holds the certificate.
    CertificateLog,
    /// It is over these very bytes, say its proofs.
    Artifact,
    /// What was signed is an image signature.
    Statement,
    /// It is for this digest.
    Digest,
    /// It is of somebody whom the policy names.
    Identity,
    /// The signature itself has not expired.
    Expiry,
    /// No certificate of its chain was revoked by its authority.
    CertificateRevocation,
    /// The key's time has begun and not ended.
    Window,
    /// What the policy requires was signed along.
    Annotations,
    /// It is for this repository.
    Repository,
    /// Neither signer, key, build run nor digest is on the policy's list.
    Revocation,
}

/// In which way it was verified: which checks there are, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Key,
    /// A certificate beside a payload, whose claims are read last.
    Certificate,
    /// A certificate in a bundle, whose statement is read first, because reading costs little.
    CertificateBundle,
    Notation,
    Notary,
}

/// The proofs of a certificate, which are verified together: of those beside the one that failed nothing is known.
const TOGETHER: [Step; 5] = [Step::Chain, Step::LogEntry, Step::Time, Step::CertificateLog, Step::Artifact];

impl Route {
    /// The way that a candidate takes until it shows a certificate.
    pub(crate) fn of(signature: &UnverifiedSignature) -> Self {
        match signature {
            UnverifiedSignature::Notation(_) => Self::Notation,
            _ => Self::Key,
        }
    }

    fn steps(self) -> &'static [Step] {
        use Step::*;
        match self {
            Self::Key => &[
                Place,
                Form,
                Path,
                Budget,
                Signature,
                Statement,
                Digest,
                Window,
                Annotations,
                Repository,
                Revocation,
            ],
            Self::Certificate => &[
                Place,
                Form,
                Path,
                Material,
                Identity,
                Budget,
                Signature,
                Chain,
                LogEntry,
                Time,
                CertificateLog,
                Artifact,
                Statement,
                Digest,
                Annotations,
                Repository,
                Revocation,
            ],
            Self::CertificateBundle => &[
                Place,
                Form,
                Path,
                Material,
                Statement,
                Digest,
                Identity,
                Budget,
                Signature,
                Chain,
                LogEntry,
                Time,
                CertificateLog,
                Artifact,
                Annotations,
                Repository,
                Revocation,
            ],
            Self::Notation => &[
                Place,
                Path,
                Form,
                Identity,
                Budget,
                Signature,
                Expiry,
                Time,
                CertificateRevocation,
                Annotations,
                Repository,
                Revocation,
            ],
            Self::Notary => &[Path, Repository, Identity, Digest, Revocation],
        }
    }
}

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which check.
    pub check: Step,
    /// How it ended.
    pub outcome: Ended,
    /// Why it failed, with what was expected and what was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It holds.
    Passed,
    /// It does not, so the signature does not count.
    Failed,
    /// It does not, and the trust policy's level wants that told, not enforced.
    Logged,
    /// An earlier one failed, or the policy does not ask for it.
    NotRun,
}

/// One candidate for one identity, or for everybody when it failed before anybody was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Name of the identity in the trust store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Every check, in the order made.
    pub checks: Vec<Line>,
}

/// Every check of one candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CandidateTrace {
    /// Which candidate: a payload or manifest digest.
    pub candidate: String,
    /// How it was stored.
    pub form: SignatureForm,
    /// Whether it counts for somebody.
    pub counts: bool,
    /// By identity.
    pub identities: Vec<Explained>,
}

/// The check that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) step: Step,
    pub(crate) reason: String,
    /// Checks that the policy does not ask for.
    pub(crate) unasked: Vec<Step>,
}

impl Refused {
    pub(crate) fn at(step: Step, reason: impl ToString) -> Self {
        Self { step, reason: reason.to_string(), unasked: Vec::new() }
    }

    /// Several at once: the one that came furthest, with the reasons of all.
    pub(crate) fn furthest(all: Vec<Self>, route: Route) -> Self {
        let reason = all.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join("; ");
        let at = |one: &Self| route.steps().iter().position(|step| *step == one.step);
        match all.into_iter().max_by_key(at) {
            Some(furthest) => Self { reason, ..furthest },
            None => Self::at(Step::Path, "nobody signs so"),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl From<SimpleError> for Refused {
    fn from(error: SimpleError) -> Self {
        let step = match error {
            SimpleError::Size { .. } | SimpleError::Digest { .. } => Step::Place,
            SimpleError::NoSignature | SimpleError::SignatureEncoding => Step::Form,
            SimpleError::Certificate(_) => Step::Path,
            SimpleError::Json(_) | SimpleError::Shape(_) | SimpleError::Type(_) => Step::Statement,
            SimpleError::OtherDigest { .. } => Step::Digest,
        };
        Self::at(step, error)
    }
}

impl From<BundleError> for Refused {
    fn from(error: BundleError) -> Self {
        let step = match error {
            BundleError::Size { .. } | BundleError::Digest { .. } | BundleError::OtherReferrer { .. } => {
                Step::Place
            }
            BundleError::Json(_)
            | BundleError::MediaType(_)
            | BundleError::Shape(_)
            | BundleError::MessageSignature
            | BundleError::SignatureCount(_)
            | BundleError::PayloadType(_) => Step::Form,
            BundleError::Certificate => Step::Path,
            BundleError::StatementJson(_)
            | BundleError::StatementShape(_)
            | BundleError::StatementType(_)
            | BundleError::PredicateType(_)
            | BundleError::SubjectCount(_) => Step::Statement,
            BundleError::OtherDigest { .. } => Step::Digest,
        };
        Self::at(step, error)
    }
}

impl From<SigstoreError> for Refused {
    fn from(error: SigstoreError) -> Self {
        let step = match error {
            SigstoreError::Structure(_) => Step::Material,
            SigstoreError::LogEntry(_) => Step::LogEntry,
            SigstoreError::Time(_) => Step::Time,
            // Without a root that may be believed nobody is a trusted authority.
            SigstoreError::Chain(_) | SigstoreError::TrustRoot(_) => Step::Chain,
            SigstoreError::Sct(_) => Step::CertificateLog,
            SigstoreError::Signature(_) => Step::Signature,
            SigstoreError::Artifact(_) => Step::Artifact,
            SigstoreError::Identity(_) => Step::Identity,
            SigstoreError::Statement(_) => Step::Statement,
        };
        Self::at(step, error)
    }
}

impl From<IdentityError> for Refused {
    fn from(error: IdentityError) -> Self {
        let step = match error {
            IdentityError::Annotation { .. } => Step::Annotations,
            IdentityError::Repository { .. } | IdentityError::RepositoryNotSigned { .. } => Step::Repository,
            IdentityError::Revoked(_) => Step::Revocation,
            IdentityError::Window { .. } => Step::Window,
        };
        Self::at(step, error)
    }
}

/// What became of one candidate for one identity; `None`: for everybody.
pub(crate) struct Attempt {
    pub(crate) route: Route,
    pub(crate) identity: Option<String>,
    pub(crate) result: Result<VerifiedSignature, Refused>,
    /// Checks that the policy does not ask for, of a candidate that counts.
    pub(crate) unasked: Vec<Step>,
    /// What notation itself recorded, with the level of each check.
    pub(crate) recorded: Vec<CheckResult>,
}

impl Attempt {
    pub(crate) fn refused(route: Route, identity: Option<&str>, refused: Refused) -> Self {
        let identity = identity.map(str::to_owned);
        Self { route, identity, result: Err(refused), unasked: Vec::new(), recorded: Vec::new() }
    }

    pub(crate) fn explain(&self) -> Explained {
        let (refused, unasked) = match &self.result {
            Ok(_) => (None, &self.unasked),
            Err(refused) => (Some(refused), &refused.unasked),
        };
        let steps = self.route.steps();
        let end = refused.map(|refused| steps.iter().position(|step| *step == refused.step));
        let line = |(at, &check): (usize, &Step)| {
            let line = |outcome| Line { check, outcome, reason: None };
            match (refused, end) {
                (Some(refused), _) if refused.step == check => {
                    Line { reason: Some(refused.reason.clone()), ..line(Ended::Failed) }
                }
                (_, Some(end)) if end.is_none_or(|end| at > end) => line(Ended::NotRun),
                (Some(refused), _) if TOGETHER.contains(&check) && TOGETHER.contains(&refused.step) => {
                    line(Ended::NotRun)
                }
                _ if unasked.contains(&check) => line(Ended::NotRun),
                _ => self.recorded(check).unwrap_or_else(|| line(Ended::Passed)),
            }
        };
        let is_told = |line: &Line| line.check != Step::Budget || line.outcome == Ended::Failed;
        let checks = steps.iter().enumerate().map(line).filter(is_told).collect();
        Explained { identity: self.identity.clone(), checks }
    }

    fn recorded(&self, check: Step) -> Option<Line> {
        let kind = match check {
            Step::Expiry => Check::Expiry,
            Step::Time => Check::AuthenticTimestamp,
            Step::CertificateRevocation => Check::Revocation,
            _ => return None,
        };
        let found = self.recorded.iter().find(|one| one.check == kind)?;
        let (outcome, reason) = match (&found.outcome, found.action) {
            (Outcome::Passed, _) => (Ended::Passed, None),
            (Outcome::Failed(reason), Action::Enforce) => (Ended::Failed, Some(reason.clone())),
            (Outcome::Failed(reason), _) => (Ended::Logged, Some(reason.clone())),
            (Outcome::NotRun, _) => (Ended::NotRun, None),
        };
        Some(Line { check, outcome, reason })
    }
}
