//! The one entry: signatures, subject, trust store and `now` in; [`VerifiedSignature`]s and refusals out.

use serde::Serialize;

use crate::signature::{Subject, UnverifiedSignature, VerifiedSignature};
use crate::trust_store::TrustStore;

/// The answer about all signatures found for one subject.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Good ones.
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
/// 1970-01-01 UTC. A candidate that fails never hides one that passes.
pub fn verify(
    _signatures: &[UnverifiedSignature],
    _subject: Subject<'_>,
    _trust_store: &TrustStore,
    _now: i64,
) -> Verification {
    Verification::default()
}
