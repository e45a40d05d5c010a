//! Notation (Notary Project): JWS and COSE signatures by certificates, judged by a trust policy document.
//!
//! Revocation is asked of lists that the operator hands in; OCSP is not asked. Where nothing is known that check fails
//! with the action of its level. Nothing passes because a check is missing.

pub(crate) mod cbor;
pub(crate) mod cose;
mod discovery;
mod envelope;
mod jws;
mod revocation;
mod trust_policy;
mod verify;

pub use discovery::{EnvelopeLayer, Envelopes, SIGNATURE_TYPE, UnverifiedNotation, signature_layers};
pub(crate) use envelope::{Algorithm, OpenedEnvelope, ReadEnvelope, attribute, read};
pub use envelope::{COSE_MEDIA_TYPE, EnvelopeError, JWS_MEDIA_TYPE, PAYLOAD_TYPE, SigningScheme};
pub use revocation::ListUsed;
pub use trust_policy::{Action, Check, Level, Statement, TrustPolicy, TrustPolicyError, TrustStores};
pub use verify::{CheckResult, NotationError, Outcome, Refusal, VerifiedNotation, verify};
pub(crate) use verify::{authenticity, judge};

/// What a signature must be about: the descriptor of one manifest or index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Artifact<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// `sha256:<hex>` of its exact bytes.
    pub digest: &'a str,
    /// Its length in bytes.
    pub size: u64,
}

/// Whom an identity that signs by notation trusts. One way only: neither keys nor sigstore certificates count for it.
#[derive(Clone, Debug)]
pub struct NotationTrust {
    /// Which authorities may certify whom, and what is enforced. Level `audit` counts no stranger here: who signed
    /// must be known, or nobody has vouched.
    pub policy: TrustPolicy,
    /// The authorities' certificates.
    pub stores: TrustStores,
}
