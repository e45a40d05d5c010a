//! The root of trust: what is pinned, and the chain from there to the latest root.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::error::{KeyFault, Moment};
use super::key::{Key, Material};
use super::metadata::{Envelope, RoleKeys, Root, SigningKey};
use super::{Document, NotaryError};
use crate::{digest, limits};

/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3, which notary puts into every root certificate.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

/// What makes a first root believable. There is no third way: a root is never trusted for being the first one seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootPin {
    /// Ids of root keys, 64 lower-case hex digits, each of which is sufficient: of the key in its certificate, as
    /// notary's client pins it and root files list it, or of the bare key, as `notary key list` prints it and as it is
    /// in all repositories of one root key.
    Certificates(Vec<String>),
    /// Certificates of authorities, DER, one of which must have issued the root certificate.
    Authorities(Vec<Vec<u8>>),
}

/// Why a text is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootPinError {
    /// Not a key id.
    #[error("`{0}` is no root key id: 64 lower-case hex digits, as `notary key list` prints them")]
    KeyId(String),
    /// Not PEM with certificates of authorities.
    #[error("not a PEM file of authority certificates: {0}")]
    Authority(String),
}

impl RootPin {
    /// Pins root keys by id.
    pub fn from_key_ids(ids: &[String]) -> Result<Self, RootPinError> {
        let is_id = |id: &String| digest::split(&format!("sha256:{id}")).is_some();
        match ids.iter().find(|id| !is_id(id)) {
            Some(wrong) => Err(RootPinError::KeyId(crate::json::quote(wrong))),
            None => Ok(Self::Certificates(ids.to_vec())),
        }
    }

    /// Pins the authorities of a PEM file.
    pub fn from_authorities_pem(pem: &[u8]) -> Result<Self, RootPinError> {
        if pem.len() > limits::KEY_FILE_BYTES_MAX {
            return Err(RootPinError::Authority(format!("{} bytes", pem.len())));
        }
        let certificates = super::key::certificates(pem);
        let certificates = certificates.map_err(|fault| RootPinError::Authority(fault.to_string()))?;
        for certificate in &certificates {
            if !certificate.is_authority {
                let reason = "a certificate in it is no authority's (basicConstraints)";
                return Err(RootPinError::Authority(reason.to_owned()));
            }
            webpki::anchor_from_trusted_cert(&CertificateDer::from(certificate.der.as_slice()))
                .map_err(|error| RootPinError::Authority(error.to_string()))?;
        }
        Ok(Self::Authorities(certificates.into_iter().map(|certificate| certificate.der).collect()))
    }

    /// One text per pin, to notice that the operator changed it.
    pub fn fingerprint(&self) -> String {
        let mut parts: Vec<String> = match self {
            Self::Certificates(ids) => ids.clone(),
            Self::Authorities(authorities) => authorities.iter().map(|der| digest::sha256(der)).collect(),
        };
        parts.sort_unstable();
        digest::sha256(parts.join(",").as_bytes())
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Certificates(ids) => ids.is_empty(),
            Self::Authorities(authorities) => authorities.is_empty(),
        }
    }

    fn accepts(&self, key: &Key, now: i64) -> Result<(), String> {
        match self {
            Self::Certificates(ids) => {
                let named = ids.contains(&key.id) || key.bare_id().is_some_and(|id| ids.contains(&id));
                named.then_some(()).ok_or_else(|| "not a pinned id".to_owned())
            }
            Self::Authorities(authorities) => issued_by(authorities, key, now),
        }
    }
}

/// A root whose signatures were checked.
#[derive(Clone, Debug)]
pub(super) struct TrustedRoot {
    pub(super) root: Root,
    pub(super) bytes: Vec<u8>,
    /// The root keys that signed it.
    pub(super) signed_by: Vec<SigningKey>,
}

/// 1. A first root: its own threshold of signatures by root keys that the pin names, with certificates for this
///    repository.
pub(super) fn pinned(
    document: Document,
    bytes: &[u8],
    gun: &str,
    pin: &RootPin,
    now: i64,
) -> Result<TrustedRoot, NotaryError> {
    let envelope = Envelope::read(document, bytes)?;
    let root = envelope.root()?;
    let own = certified(&root.root, gun);
    let outcomes: Vec<_> = own.keys.iter().map(|key| (key, pin.accepts(key, now))).collect();
    let keys: Vec<Key> =
        outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(key, _)| (*key).clone()).collect();
    if keys.is_empty() {
        let words = |(key, outcome): &(&Key, Result<(), String>)| {
            format!("`{}` ({})", key.id, outcome.as_ref().err().map_or("", String::as_str))
        };
        return Err(NotaryError::NotPinned { ids: outcomes.iter().map(words).collect() });
    }
    let signed_by = envelope.signed_by("root", &RoleKeys { keys, threshold: own.threshold })?;
    Ok(TrustedRoot { root, bytes: bytes.to_vec(), signed_by })
}

/// 2. The next root: signed by the threshold of the trusted one and by its own, one version higher.
pub(super) fn rotated(
    document: Document,
    bytes: &[u8],
    gun: &str,
    trusted: &TrustedRoot,
) -> Result<TrustedRoot, NotaryError> {
    let envelope = Envelope::read(document, bytes)?;
    let root = envelope.root()?;
    let expected = trusted.root.version.saturating_add(1);
    if root.version != expected {
        return Err(NotaryError::RootVersion { expected, seen: root.version });
    }
    // The old keys vouch whatever the dates of their certificates: they were accepted once, and a rotation away from
    // an expired certificate must remain possible.
    envelope.signed_by("root", &leaves(&trusted.root.root))?;
    let signed_by = envelope.signed_by("root", &certified(&root.root, gun))?;
    Ok(TrustedRoot { root, bytes: bytes.to_vec(), signed_by })
}

/// 3. The last root of the chain must be good now: not expired, and signed by keys whose certificates are valid.
///    An expired root was once accepted (CVE-2015-9258). Gives the first second at which a certificate that was counted
///    is too old.
pub(super) fn current(trusted: &TrustedRoot, gun: &str, now: i64) -> Result<i64, NotaryError> {
    super::not_expired("root", trusted.root.expires, now)?;
    let own = certified(&trusted.root.root, gun);
    let keys = own.keys.into_iter().map(|key| with(key, |leaf| valid_at(leaf, now))).collect();
    let envelope = Envelope::read(Document::Root, &trusted.bytes)?;
    let own = RoleKeys { keys, threshold: own.threshold };
    let signed_by = envelope.signed_by("root", &own)?;
    let counted = own.keys.iter().filter(|key| signed_by.iter().any(|signer| signer.id == key.id));
    let leaf_end = |key: &Key| {
        let certificates = key.material.as_ref().map(|material| material.certificates.as_slice());
        let leaf = certificates.unwrap_or_default().iter().find(|certificate| !certificate.is_authority);
        leaf.map(|leaf| leaf.not_after.saturating_add(1))
    };
    Ok(counted.filter_map(leaf_end).min().unwrap_or(i64::MIN))
}

/// The root of an earlier verification, which the caller kept.
pub(super) fn remembered(bytes: &[u8]) -> Result<TrustedRoot, NotaryError> {
    let envelope = Envelope::read(Document::Root, bytes)?;
    let root = envelope.root()?;
    let signed_by = envelope.signed_by("root", &leaves(&root.root))?;
    Ok(TrustedRoot { root, bytes: bytes.to_vec(), signed_by })
}

/// The root keys with their leaf certificates' keys; those without exactly one leaf cannot be used.
fn leaves(signers: &RoleKeys) -> RoleKeys {
    let keys = signers.keys.iter().cloned().map(|key| with(key, |_| Ok(()))).collect();
    RoleKeys { keys, threshold: signers.threshold }
}

/// The same, where a certificate must be for `gun`: by name, or by a prefix that ends in `*`.
fn certified(signers: &RoleKeys, gun: &str) -> RoleKeys {
    let for_gun = |leaf: &super::certificate::Certificate| {
        let common_name = leaf.common_name.as_deref().unwrap_or_default();
        let fits = match common_name.strip_suffix('*') {
            // A bare `*` would be a certificate for the whole world.
            Some(prefix) => !prefix.is_empty() && gun.starts_with(prefix),
            None => common_name == gun,
        };
        let (common_name, gun) = (crate::json::quote(common_name), gun.to_owned());
        if fits { Ok(()) } else { Err(KeyFault::CommonName { common_name, gun }) }
    };
    let keys = signers.keys.iter().cloned().map(|key| with(key, for_gun)).collect();
    RoleKeys { keys, threshold: signers.threshold }
}

/// The key by its one leaf certificate, or unusable for the reason that `check` gives.
fn with(mut key: Key, check: impl FnOnce(&super::certificate::Certificate) -> Result<(), KeyFault>) -> Key {
    key.material = key.material.and_then(|material| {
        if material.certificates.is_empty() {
            return Err(KeyFault::NoCertificate(key.key_type.clone()));
        }
        let mut found = material.certificates.iter().filter(|certificate| !certificate.is_authority);
        let (Some(leaf), None) = (found.next(), found.next()) else {
            let count = material.certificates.iter().filter(|certificate| !certificate.is_authority).count();
            return Err(KeyFault::Leaves(count));
        };
        check(leaf)?;
        let key = leaf.key.clone();
        Ok(Material { key, certificates: material.certificates })
    });
    key
}

fn valid_at(leaf: &super::certificate::Certificate, now: i64) -> Result<(), KeyFault> {
    if (leaf.not_before..=leaf.not_after).contains(&now) {
        return Ok(());
    }
    let (not_before, not_after, now) = (Moment(leaf.not_before), Moment(leaf.not_after), Moment(now));
    Err(KeyFault::CertificateTime { not_before, not_after, now })
}

/// Path building over the certificates that the root key carries, to a pinned authority, at `now`.
fn issued_by(authorities: &[Vec<u8>], key: &Key, now: i64) -> Result<(), String> {
    let material = key.material.as_ref().map_err(ToString::to_string)?;
    let leaf = material.certificates.iter().find(|certificate| !certificate.is_authority);
    let leaf = CertificateDer::from(leaf.ok_or("no leaf certificate")?.der.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(|error| error.to_string())?;
    let intermediates: Vec<CertificateDer<'_>> = material
        .certificates
        .iter()
        .filter(|certificate| certificate.is_authority)
        .map(|certificate| CertificateDer::from(certificate.der.as_slice()))
        .collect();
    let ders: Vec<CertificateDer<'_>> =
        authorities.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchors: Vec<TrustAnchor<'_>> =
        ders.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok()).collect();
    let seconds = u64::try_from(now).map_err(|_| "the time is before 1970")?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &intermediates, time, usage, None, None)
        .map(|_| ())
        .map_err(|error| format!("not issued by a pinned authority: {error}"))
}
