//! Notation (Notary Project): JWS and COSE signatures by certificates, judged by a trust policy document.
//!
//! RFC 3161 countersignatures are not read yet and revocation data cannot be handed in yet: where a policy needs
//! either, that check fails with the action of its level. Nothing passes because a check is missing.

mod cbor;
mod cose;
mod envelope;
mod jws;
mod trust_policy;
mod verify;

pub use envelope::{COSE_MEDIA_TYPE, EnvelopeError, JWS_MEDIA_TYPE, PAYLOAD_TYPE, SigningScheme};
pub use trust_policy::{Action, Check, Level, Statement, TrustPolicy, TrustPolicyError, TrustStores};
pub use verify::{CheckResult, NotationError, Outcome, Refusal, VerifiedNotation, verify};

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
