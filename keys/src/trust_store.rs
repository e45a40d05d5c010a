//! The keys and identities we believe, with their validity windows.

mod public_key;

use std::collections::BTreeMap;

use crate::notary::NotaryTrust;
use crate::notation::NotationTrust;
use crate::revocation::Revocations;
use crate::signature::Subject;
use crate::sigstore::CertificateTrust;

pub use public_key::{KeyAlgorithm, PublicKey, PublicKeyError};

/// Who may vouch. Built once from the policy file; the names in it are what policy rules refer to.
#[derive(Clone, Debug, Default)]
pub struct TrustStore {
    /// In the order of the policy file.
    pub identities: Vec<Identity>,
    /// What no longer counts.
    pub revocations: Revocations,
}

/// One named voucher.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name that policy rules use.
    pub name: String,
    /// Who is counted by thresholds; `None`: the name. Two identities of one principal count once.
    pub principal: Option<String>,
    /// What its signatures are recognised by.
    pub vouches: Vouches,
    /// How the repository inside a simple-signing payload is compared.
    pub repository_match: RepositoryMatch,
    /// Annotations that must stand inside the signed payload with equal values.
    pub annotations: BTreeMap<String, String>,
}

/// What an identity signs with. One way each: a signature made another way never counts for it (CVE-2022-36056).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Vouches {
    /// Long-lived keys; each is sufficient.
    Keys(Vec<TrustedKey>),
    /// Certificates that an authority issues for a proven identity.
    Certificate(Box<CertificateTrust>),
    /// A pinned root of Notary v1 (Docker content trust).
    Notary(Box<NotaryTrust>),
    /// Certificates of authorities in a trust store, used by notation.
    Notation(Box<NotationTrust>),
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
///
/// A sigstore bundle signs no repository, so only [`RepositoryMatch::Any`] accepts one.
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

impl Identity {
    /// Who is counted: the principal, or the name where none is given.
    pub fn principal(&self) -> &str {
        self.principal.as_deref().unwrap_or(&self.name)
    }

    /// The keys by which it vouches; none for one that vouches by certificates.
    pub fn keys(&self) -> &[TrustedKey] {
        match &self.vouches {
            Vouches::Keys(keys) => keys,
            Vouches::Certificate(_) | Vouches::Notary(_) | Vouches::Notation(_) => &[],
        }
    }
}

impl TrustedKey {
    /// Whether the key may vouch at `now`; both ends of the window belong to it.
    pub fn is_valid_at(&self, now: i64) -> bool {
        self.not_before.is_none_or(|start| start <= now) && self.not_after.is_none_or(|end| now <= end)
    }
}

impl RepositoryMatch {
    /// Whether a signature made for `signed_repository` (`host/name`, perhaps with tag or digest) may be used for
    /// `subject`.
    pub fn accepts(&self, signed_repository: &str, subject: Subject<'_>) -> bool {
        let signed = without_tag(signed_repository);
        match self {
            Self::Any => true,
            Self::Exact => !signed.is_empty() && signed == subject.repository,
            Self::Remap { prefix, signed_prefix } => {
                let mapped = replace_prefix(subject.repository, prefix, signed_prefix);
                !signed.is_empty() && mapped.is_some_and(|mapped| mapped == signed)
            }
        }
    }
}

/// `host:port/name` of `host:port/name:tag@digest`.
fn without_tag(reference: &str) -> &str {
    let reference = reference.split('@').next().unwrap_or(reference);
    let name_start = reference.rfind('/').map_or(0, |slash| slash + 1);
    match reference[name_start..].find(':') {
        // Without a slash the colon may belong to a port; such a reference names no repository of a registry.
        Some(colon) if name_start > 0 => &reference[..name_start + colon],
        _ => reference,
    }
}

/// Replaces a prefix that ends at a path boundary: `a/b` is no prefix of `a/bc`.
pub(crate) fn replace_prefix(repository: &str, prefix: &str, replacement: &str) -> Option<String> {
    let rest = repository.strip_prefix(prefix)?;
    let at_boundary = rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/');
    at_boundary.then(|| format!("{replacement}{rest}"))
}

#[cfg(test)]
mod tests;
