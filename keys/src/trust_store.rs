//! The keys and identities we believe, with their validity windows.

use crate::signature::Subject;

/// Who may vouch. Built once from the policy file; the names in it are what policy rules refer to.
#[derive(Clone, Debug, Default)]
pub struct TrustStore {
    /// In the order of the policy file.
    pub identities: Vec<Identity>,
}

/// One named voucher.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name that policy rules use.
    pub name: String,
    /// Its keys; each is sufficient.
    pub keys: Vec<TrustedKey>,
    /// How the repository inside a simple-signing payload is compared.
    pub repository_match: RepositoryMatch,
    /// Annotations that must stand inside the signed payload with equal values.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// A public key with the time in which it may vouch.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Seconds since 1970-01-01 UTC, inclusive; `None`: always.
    pub not_before: Option<i64>,
    /// Seconds since 1970-01-01 UTC, inclusive; `None`: never ends.
    pub not_after: Option<i64>,
}

/// How `critical.identity.docker-reference` is compared with [`Subject::repository`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RepositoryMatch {
    /// Not compared: the signature vouches for the digest wherever it lies.
    #[default]
    Any,
    /// The repository must be equal (a tag or digest in the reference is ignored).
    Exact,
    /// Equal after `signed_prefix` is replaced by `prefix`, for mirrors (containers-policy.json(5) `remapIdentity`).
    Remap {
        /// What our repository names begin with.
        prefix: String,
        /// What the signer's repository names begin with.
        signed_prefix: String,
    },
}

/// A public key that was parsed and is of an algorithm we accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub(crate) spki_der: Vec<u8>,
}

impl RepositoryMatch {
    /// Whether a signature made for `signed_repository` may be used for `subject`.
    pub fn accepts(&self, _signed_repository: &str, _subject: Subject<'_>) -> bool {
        false
    }
}
