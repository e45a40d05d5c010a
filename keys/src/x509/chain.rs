//! What a chain must be: complete, in order, each certificate of the profile that its place asks for.
//!
//! The profile is that of the Notary Project ("Certificate requirements" of its signature specification), which is
//! stricter than RFC 5280: no certificate is looked for, and none is left over.

use super::extensions::{BasicConstraints, KeyUsage, oid};
use super::{Certificate, KeyKind, SignatureAlgorithm};
use crate::limits;
use crate::moment::rfc3339;

/// What the leaf's key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing images.
    CodeSigning,
    /// Answering about revocation in the name of an issuer (RFC 6960 § 4.2.2.2).
    OcspSigning,
    /// Making timestamps (RFC 3161 § 2.3).
    TimeStamping,
}

/// Why certificates are not a chain that can prove anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No certificate.
    #[error("the certificate chain is empty")]
    Empty,
    /// More than the bound.
    #[error("{0} certificates in the chain, at most {max} are read", max = limits::CHAIN_MAX)]
    TooLong(usize),
    /// The next certificate is not its issuer's.
    #[error("certificate `{subject}` names an issuer other than the next certificate `{next}`")]
    Order {
        /// The certificate.
        subject: String,
        /// The next in the chain.
        next: String,
    },
    /// The issuer's key did not sign it.
    #[error("the signature of certificate `{subject}` does not verify with the key of `{issuer}`")]
    Signature {
        /// The certificate.
        subject: String,
        /// The next in the chain.
        issuer: String,
    },
    /// The chain does not end in a root.
    #[error("the chain ends in `{0}`, which is not self-signed: the root is missing")]
    Incomplete(String),
    /// A root before the end: what follows it proves nothing.
    #[error("certificate `{0}` is self-signed but not the last of the chain")]
    SelfSignedInside(String),
    /// A certificate that its place does not allow.
    #[error("certificate `{subject}`: {problem}")]
    Profile {
        /// The certificate.
        subject: String,
        /// What is wrong.
        problem: ProfileError,
    },
}

/// Why a certificate may not stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Another signature algorithm.
    #[error("signed with algorithm `{0}`, which is not accepted")]
    Algorithm(String),
    /// SHA-1 or MD5.
    #[error("signed over SHA-1 or MD5, for which forgeries can be made")]
    WeakHash,
    /// Key too short or of another kind.
    #[error("its key is `{0}`; RSA of 2048 to 8192 bits, P-256, P-384 or P-521 are accepted")]
    Key(String),
    /// § 4.2 of RFC 5280.
    #[error("critical extension `{0}` is not understood")]
    UnknownCritical(String),
    /// A leaf that may issue certificates.
    #[error("a leaf must not be a certificate authority")]
    LeafIsCa,
    /// Key usage absent or not critical.
    #[error("key usage must be present and critical")]
    KeyUsageNotCritical,
    /// A leaf's key usage.
    #[error("the key usage of a leaf must be digitalSignature alone, found bits `{0:04x}`")]
    LeafKeyUsage(u16),
    /// An issuer without basic constraints, or not a CA.
    #[error("an issuer must have critical basic constraints that say it is a certificate authority")]
    NotCa,
    /// An issuer's key usage.
    #[error("the key usage of an issuer must include keyCertSign, found bits `{0:04x}`")]
    CaKeyUsage(u16),
    /// More issuers below it than it allows.
    #[error("its path length is `{max}`, but `{below}` issuers stand below it")]
    PathLength {
        /// What it allows.
        max: usize,
        /// How many there are.
        below: usize,
    },
    /// The purpose is not among the extended key usages.
    #[error("extended key usage does not allow this purpose")]
    PurposeMissing,
    /// A purpose that must not be combined with this one.
    #[error("extended key usage has `{0}`, which must not be combined with this purpose")]
    PurposeForbidden(String),
    /// RFC 3161 § 2.3.
    #[error("extended key usage of a timestamp authority must be critical and timeStamping alone")]
    NotOnlyTimeStamping,
}

/// Checks a chain, leaf first, root last. A single certificate must be self-signed. Whether the root is trusted and
/// whether the certificates were valid at some time is asked apart.
pub fn check_chain(chain: &[Certificate], purpose: Purpose) -> Result<(), ChainError> {
    let (Some(leaf), Some(root)) = (chain.first(), chain.last()) else { return Err(ChainError::Empty) };
    if chain.len() > limits::CHAIN_MAX {
        return Err(ChainError::TooLong(chain.len()));
    }
    for certificate in chain {
        check_cryptography(certificate).map_err(at(certificate))?;
    }
    check_leaf(leaf, purpose).map_err(at(leaf))?;
    for (below, issuer) in chain.iter().skip(1).enumerate() {
        check_issuer(issuer, below).map_err(at(issuer))?;
    }
    for pair in chain.windows(2) {
        let [certificate, issuer] = pair else { continue };
        let subject = certificate.subject().to_string();
        if certificate.issuer_der() == certificate.subject_der() && certificate.is_signed_by(certificate) {
            return Err(ChainError::SelfSignedInside(subject));
        }
        if certificate.issuer_der() != issuer.subject_der() {
            return Err(ChainError::Order { subject, next: issuer.subject().to_string() });
        }
        if !certificate.is_signed_by(issuer) {
            return Err(ChainError::Signature { subject, issuer: issuer.subject().to_string() });
        }
    }
    if !root.is_self_signed() {
        return Err(ChainError::Incomplete(root.subject().to_string()));
    }
    Ok(())
}

fn at(certificate: &Certificate) -> impl FnOnce(ProfileError) -> ChainError {
    let subject = certificate.subject().to_string();
    move |problem| ChainError::Profile { subject, problem }
}

/// A certificate outside its validity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate `{subject}` is valid from {} to {}, not at {}", rfc3339(*not_before), rfc3339(*not_after), rfc3339(*at))]
pub struct ValidityError {
    /// The certificate.
    pub subject: String,
    /// First second, since 1970-01-01 UTC.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
    /// The time asked for.
    pub at: i64,
}

/// Whether every certificate of a chain was valid at `at`; both ends of a validity belong to it.
pub fn valid_at(chain: &[Certificate], at: i64) -> Result<(), ValidityError> {
    let outside = chain.iter().find(|certificate| at < certificate.not_before || certificate.not_after < at);
    match outside {
        None => Ok(()),
        Some(certificate) => Err(ValidityError {
            subject: certificate.subject().to_string(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            at,
        }),
    }
}

/// What holds wherever a certificate stands, the root included: its own signature is on the wire too.
fn check_cryptography(certificate: &Certificate) -> Result<(), ProfileError> {
    match &certificate.algorithm {
        SignatureAlgorithm::Weak => return Err(ProfileError::WeakHash),
        SignatureAlgorithm::Unknown(name) => return Err(ProfileError::Algorithm(name.clone())),
        SignatureAlgorithm::Ecdsa(_) | SignatureAlgorithm::RsaPkcs1(_) | SignatureAlgorithm::RsaPss(_) => {}
    }
    match certificate.key().kind() {
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Rsa { bits: 2048..=8192 } => {}
        kind @ (KeyKind::Rsa { .. } | KeyKind::Unknown) => return Err(ProfileError::Key(kind.to_string())),
    }
    match &certificate.extensions().unknown_critical {
        Some(id) => Err(ProfileError::UnknownCritical(id.clone())),
        None => Ok(()),
    }
}

fn check_leaf(certificate: &Certificate, purpose: Purpose) -> Result<(), ProfileError> {
    let extensions = certificate.extensions();
    if certificate.is_ca() {
        return Err(ProfileError::LeafIsCa);
    }
    let usage = extensions.key_usage.filter(|usage| usage.critical);
    let usage = match (usage, purpose) {
        (Some(usage), _) => usage.bits,
        // RFC 3161 and RFC 6960 ask for nothing here, and authorities in use leave out the mark.
        (None, Purpose::TimeStamping | Purpose::OcspSigning) => {
            extensions.key_usage.map_or(KeyUsage::DIGITAL_SIGNATURE, |usage| usage.bits)
        }
        (None, Purpose::CodeSigning) => return Err(ProfileError::KeyUsageNotCritical),
    };
    let is_allowed = match purpose {
        Purpose::CodeSigning => usage == KeyUsage::DIGITAL_SIGNATURE,
        Purpose::OcspSigning | Purpose::TimeStamping => {
            usage & KeyUsage::DIGITAL_SIGNATURE != 0 && usage & KeyUsage::KEY_CERT_SIGN == 0
        }
    };
    if !is_allowed {
        return Err(ProfileError::LeafKeyUsage(usage));
    }
    let purposes = extensions.extended_key_usage.as_ref();
    let has = |id: &[u8]| purposes.is_some_and(|usage| usage.purposes.iter().any(|purpose| purpose == id));
    match purpose {
        Purpose::CodeSigning => check_code_signing(purposes.is_some(), has),
        Purpose::OcspSigning if has(oid::OCSP_SIGNING) => Ok(()),
        Purpose::OcspSigning => Err(ProfileError::PurposeMissing),
        // Or any TLS certificate of that authority would make time.
        Purpose::TimeStamping => match purposes {
            Some(usage) if usage.critical && usage.purposes == [oid::TIME_STAMPING] => Ok(()),
            _ => Err(ProfileError::NotOnlyTimeStamping),
        },
    }
}

/// A code-signing leaf without the extension is allowed; with it, it must say so and nothing that others use to
/// prove something else.
fn check_code_signing(is_restricted: bool, has: impl Fn(&[u8]) -> bool) -> Result<(), ProfileError> {
    if !is_restricted {
        return Ok(());
    }
    let forbidden = [
        (oid::ANY_PURPOSE, "anyExtendedKeyUsage"),
        (oid::SERVER_AUTH, "serverAuth"),
        (oid::EMAIL_PROTECTION, "emailProtection"),
        (oid::TIME_STAMPING, "timeStamping"),
        (oid::OCSP_SIGNING, "OCSPSigning"),
    ];
    if let Some((_, name)) = forbidden.iter().find(|(id, _)| has(id)) {
        return Err(ProfileError::PurposeForbidden((*name).to_owned()));
    }
    if has(oid::CODE_SIGNING) { Ok(()) } else { Err(ProfileError::PurposeMissing) }
}

fn check_issuer(certificate: &Certificate, below: usize) -> Result<(), ProfileError> {
    let extensions = certificate.extensions();
    let path_length = match extensions.basic_constraints {
        Some(BasicConstraints { critical: true, ca: true, path_length }) => path_length,
        _ => return Err(ProfileError::NotCa),
    };
    let usage = extensions.key_usage.filter(|usage| usage.critical);
    let usage = usage.ok_or(ProfileError::KeyUsageNotCritical)?.bits;
    if usage & KeyUsage::KEY_CERT_SIGN == 0 {
        return Err(ProfileError::CaKeyUsage(usage));
    }
    match path_length {
        Some(max) if max < below => Err(ProfileError::PathLength { max, below }),
        _ => Ok(()),
    }
}
