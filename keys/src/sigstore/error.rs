//! Which check refused a signature: one variant per check, in the order in which they are made.

use sigstore_verify::{CertificateError, Error, TransparencyLogError};

use crate::json;

/// The first check that failed. The variant is the check; the text has expected and seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigstoreError {
    /// The trusted root itself is of no use: malformed, ambiguous, or a log id that is not its key's.
    #[error("trusted root: {0}")]
    TrustRoot(String),
    /// Not a bundle of a version we know, or one that could be read in two ways.
    #[error("bundle: {0}")]
    Structure(String),
    /// No entry of a trusted log, or one about another signature (CVE-2022-23649, CVE-2026-22703).
    #[error("log entry: {0}")]
    LogEntry(String),
    /// No trusted time, or one outside the validity of whoever states it.
    #[error("time: {0}")]
    Time(String),
    /// The certificate was not issued by a trusted authority that was valid at the proven time.
    #[error("certificate: {0}")]
    Chain(String),
    /// The certificate is in no trusted certificate log.
    #[error("certificate timestamp: {0}")]
    Sct(String),
    /// The signature was not made by that key or certificate.
    #[error("signature: {0}")]
    Signature(String),
    /// Signed was something else.
    #[error("artifact: {0}")]
    Artifact(String),
    /// Signed by somebody else.
    #[error("identity: {0}")]
    Identity(String),
    /// The signed statement says something else than asked.
    #[error("statement: {0}")]
    Statement(String),
}

/// The foundation's errors, each as the check it belongs to.
impl From<Error> for SigstoreError {
    fn from(error: Error) -> Self {
        let text = json::quote(&error.to_string());
        match error {
            Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => Self::Identity(text),
            Error::SignatureInvalid(_) => Self::Signature(text),
            Error::ArtifactMismatch(_) | Error::UnsupportedArtifact(_) | Error::ArtifactRead(_) => {
                Self::Artifact(text)
            }
            Error::Certificate(CertificateError::Sct(_)) => Self::Sct(text),
            Error::Certificate(_) => Self::Chain(text),
            Error::TransparencyLog(TransparencyLogError::IntegratedTime(_)) | Error::Timestamp(_) => {
                Self::Time(text)
            }
            Error::TransparencyLog(_) => Self::LogEntry(text),
            Error::InvalidTrustRoot(_) | Error::TrustRoot(_) | Error::TrustedCertificate(_) => {
                Self::TrustRoot(text)
            }
            _ => Self::Structure(text),
        }
    }
}
