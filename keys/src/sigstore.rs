//! Sigstore: who signed with a certificate of minutes, proven by a trusted root that lies before us, offline.
//!
//! The foundation is the `sigstore-verify` crate; this wrapper owns what is asked. No identity, no answer; the note's
//! signer is the entry's own log; log keys and authorities count within their periods only, both ends included; log
//! entries count by distinct logs; and what was signed is returned from the very bytes that were verified.

mod authority;
mod certificate;
mod error;
mod identity;
mod judge;
pub(crate) mod legacy;
mod note;
mod origin;
pub(crate) mod statement;
mod structure;
mod trust_root;

use std::sync::Arc;

use serde::Serialize;
use sigstore_types::Bundle;

pub use authority::Authorities;
pub use certificate::CertificateSigner;
pub use error::SigstoreError;
pub use identity::{CertificateIdentity, IdentityError, Pattern};
pub use trust_root::{Lease, TrustRoot};

use crate::trust_store::PublicKey;
pub(crate) use judge::payload;
use judge::{Requirements, Signed, by_authority, by_root};
pub(crate) use origin::{check_origin, claimed_signer};
pub(crate) use structure::read;

/// Whose certificates count, and what proves that a certificate is one of them.
#[derive(Clone, Debug)]
pub struct CertificateTrust {
    /// Who must have signed.
    pub identity: CertificateIdentity,
    /// What the certificate must rest on.
    pub anchors: Anchors,
}

/// What a certificate must rest on.
#[derive(Clone, Debug)]
pub enum Anchors {
    /// A sigstore instance: the signing time is proven by its logs and timestamp authorities, never by our clock.
    Root {
        /// The instance.
        root: Arc<TrustRoot>,
        /// How many distinct transparency logs must hold the signature. Usually 1; 0 for instances without a log.
        log_entries: usize,
        /// Whether the certificate must stand in a certificate log. Without, a mis-issued certificate stays unseen.
        certificate_log: bool,
    },
    /// A sigstore instance whose root is to be fetched and is not there: nothing rests on it. Why, and what to do.
    Absent(Arc<str>),
    /// Own authorities that issue long-lived certificates. Nothing proves when such a signature was made, so the
    /// certificate must be valid now.
    Authorities(Arc<Authorities>),
}

/// What the signature must be over.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// The bytes themselves.
    Bytes(&'a [u8]),
    /// Their digest, `sha256:<hex>` or `sha512:<hex>`.
    Digest(&'a str),
}

/// A bundle all of whose checks passed. Only this module makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedBundle {
    pub(crate) signer: Option<CertificateSigner>,
    pub(crate) times: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_until: Option<i64>,
    pub(crate) entries: Vec<LogPosition>,
    #[serde(skip)]
    pub(crate) statement: Option<Vec<u8>>,
}

/// Where a signature stands in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogPosition {
    /// The log's name: its address without the scheme.
    pub log: String,
    /// The entry's index in the whole log.
    pub index: u64,
}

impl Anchors {
    /// Whether both ask the very same of a certificate, so that one verification answers for both.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Root { root, log_entries, certificate_log },
                Self::Root { root: other, log_entries: other_entries, certificate_log: other_log },
            ) => Arc::ptr_eq(root, other) && log_entries == other_entries && certificate_log == other_log,
            (Self::Authorities(authorities), Self::Authorities(other)) => Arc::ptr_eq(authorities, other),
            (Self::Absent(reason), Self::Absent(other)) => reason == other,
            _ => false,
        }
    }
}

impl VerifiedBundle {
    /// Who signed; `None` if it was the key that the caller named.
    pub fn signer(&self) -> Option<&CertificateSigner> {
        self.signer.as_ref()
    }

    /// Proven times of the signature, seconds since 1970-01-01 UTC: by the log, by timestamp authorities.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// The moment after which it no longer verifies, seconds since 1970-01-01 UTC: the end of a certificate that nothing
    /// proves to have been valid at signing time, or of the [`Lease`] of the root. `None`: a proven time stands for good.
    pub fn valid_until(&self) -> Option<i64> {
        self.valid_until
    }

    /// The log entries that were verified.
    pub fn entries(&self) -> &[LogPosition] {
        &self.entries
    }

    /// The in-toto statement's exact bytes, as they were signed; `None` if a message was signed.
    pub fn statement(&self) -> Option<&[u8]> {
        self.statement.as_deref()
    }
}

/// Verifies a bundle that carries a certificate. `now` is seconds since 1970-01-01 UTC.
///
/// # Errors
/// The first check that failed, in the order of [`SigstoreError`]'s variants; several that fail at once may be told by
/// any of them.
pub fn verify_bundle(
    bundle: &[u8],
    artifact: Artifact<'_>,
    trust: &CertificateTrust,
    now: i64,
) -> Result<VerifiedBundle, SigstoreError> {
    let verified = by_anchors(&read(bundle)?, artifact, &trust.anchors, now)?;
    let signer = verified.signer.as_ref();
    let signer = signer.ok_or_else(|| SigstoreError::Identity("no certificate".to_owned()))?;
    trust.identity.check(signer)?;
    Ok(verified)
}

/// Everything but who signed.
pub(crate) fn by_anchors(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    anchors: &Anchors,
    now: i64,
) -> Result<VerifiedBundle, SigstoreError> {
    match anchors {
        Anchors::Root { root, log_entries, certificate_log } => {
            let requirements = Requirements { log_entries: *log_entries, certificate_log: *certificate_log };
            by_root(bundle, artifact, root, Signed::ByCertificate(requirements), now)
        }
        Anchors::Authorities(authorities) => by_authority(bundle, artifact, authorities, now),
        Anchors::Absent(reason) => Err(SigstoreError::TrustRoot(reason.to_string())),
    }
}

/// Verifies a bundle made with a key of the caller's choice, whose signature stands in `log_entries` distinct logs of
/// the root. `now` is seconds since 1970-01-01 UTC.
///
/// # Errors
/// As [`verify_bundle`].
pub fn verify_bundle_by_key(
    bundle: &[u8],
    artifact: Artifact<'_>,
    key: &PublicKey,
    root: &TrustRoot,
    log_entries: usize,
    now: i64,
) -> Result<VerifiedBundle, SigstoreError> {
    let bundle = read(bundle)?;
    by_root(&bundle, artifact, root, Signed::ByKey { key, log_entries }, now)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
