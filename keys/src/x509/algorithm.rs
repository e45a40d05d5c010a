//! Keys of certificates and the signature algorithms we accept: nothing weaker than SHA-256 and RSA-2048.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};

use crate::der::{self, Reader};

/// A hash function we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Of an AlgorithmIdentifier, with absent or NULL parameters (RFC 5754 § 2).
    pub(crate) fn parse(identifier: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(identifier);
        let mut fields = outer.nested(der::SEQUENCE)?;
        outer.end()?;
        let hash = Self::of_oid(fields.element(der::OBJECT_IDENTIFIER)?)?;
        null_or_nothing(fields)?;
        Some(hash)
    }

    /// The hash of `bytes`.
    pub(crate) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        };
        digest(algorithm, bytes).as_ref().to_vec()
    }

    fn of_oid(oid: &[u8]) -> Option<Self> {
        match oid {
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// How a certificate, list or token was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignatureAlgorithm {
    Ecdsa(Hash),
    RsaPkcs1(Hash),
    RsaPss(Hash),
    /// Any with SHA-1 or MD5.
    Weak,
    /// Another one, by its OID.
    Unknown(String),
}

impl SignatureAlgorithm {
    /// Of an AlgorithmIdentifier; `None` when it is none.
    pub(crate) fn parse(identifier: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(identifier);
        let mut fields = outer.nested(der::SEQUENCE)?;
        outer.end()?;
        let algorithm = fields.element(der::OBJECT_IDENTIFIER)?;
        let known = match algorithm {
            oid::ECDSA_SHA256 => Self::Ecdsa(Hash::Sha256),
            oid::ECDSA_SHA384 => Self::Ecdsa(Hash::Sha384),
            oid::ECDSA_SHA512 => Self::Ecdsa(Hash::Sha512),
            oid::RSA_SHA256 => Self::RsaPkcs1(Hash::Sha256),
            oid::RSA_SHA384 => Self::RsaPkcs1(Hash::Sha384),
            oid::RSA_SHA512 => Self::RsaPkcs1(Hash::Sha512),
            oid::RSA_PSS => return Some(pss(fields)),
            oid::ECDSA_SHA1 | oid::RSA_SHA1 | oid::RSA_MD5 => return Some(Self::Weak),
            _ => return Some(Self::Unknown(super::oid::dotted(algorithm))),
        };
        null_or_nothing(fields)?;
        Some(known)
    }
}

/// RSASSA-PSS-params (RFC 4055 § 3.1): the default is SHA-1; MGF1 must use the same hash, the salt its length.
fn pss(mut fields: Reader<'_>) -> SignatureAlgorithm {
    let parse = |fields: &mut Reader<'_>| {
        let mut parameters = fields.nested(der::SEQUENCE)?;
        fields.end()?;
        let hash = Hash::parse(parameters.element(der::context(0))?)?;
        let mut mask = parameters.nested(der::context(1))?.nested(der::SEQUENCE)?;
        let is_mgf1 = mask.element(der::OBJECT_IDENTIFIER)? == oid::MGF1;
        let mask_hash = Hash::parse(mask.whole(der::SEQUENCE)?)?;
        let salt = parameters.nested(der::context(2))?.unsigned()?;
        parameters.end()?;
        let salt_length = match hash {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        };
        (is_mgf1 && mask_hash == hash && salt == [salt_length]).then_some(hash)
    };
    parse(&mut fields).map_or_else(
        || SignatureAlgorithm::Unknown("RSASSA-PSS with other parameters".to_owned()),
        SignatureAlgorithm::RsaPss,
    )
}

fn null_or_nothing(mut fields: Reader<'_>) -> Option<()> {
    match fields.optional(der::NULL)? {
        None | Some([]) => fields.end(),
        Some(_) => None,
    }
}

/// What kind of key a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    P521,
    Rsa {
        /// Length of the modulus.
        bits: usize,
    },
    /// Another algorithm or curve.
    Unknown,
}

impl KeyKind {
    /// What one verification costs, in units of one P-256 verification.
    pub(crate) fn verification_cost(self) -> u32 {
        match self {
            Self::P256 | Self::Rsa { bits: ..=4096 } | Self::Unknown => 1,
            Self::Rsa { .. } => 4,
            Self::P384 => 8,
            Self::P521 => 16,
        }
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::P256 => formatter.write_str("P-256"),
            Self::P384 => formatter.write_str("P-384"),
            Self::P521 => formatter.write_str("P-521"),
            Self::Rsa { bits } => write!(formatter, "RSA-{bits}"),
            Self::Unknown => formatter.write_str("unknown algorithm or curve"),
        }
    }
}

/// The key that a certificate certifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubjectKey {
    kind: KeyKind,
    spki: Vec<u8>,
    bits: Vec<u8>,
}

impl SubjectKey {
    /// Of a SubjectPublicKeyInfo in DER.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(spki);
        let mut fields = outer.nested(der::SEQUENCE)?;
        outer.end()?;
        let mut identifier = fields.nested(der::SEQUENCE)?;
        let bits = fields.bits()?;
        fields.end()?;
        let kind = match identifier.element(der::OBJECT_IDENTIFIER)? {
            der::oid::RSA => {
                null_or_nothing(identifier)?;
                KeyKind::Rsa { bits: der::rsa_modulus_bits(bits)? }
            }
            der::oid::EC_PUBLIC_KEY => match identifier.element(der::OBJECT_IDENTIFIER) {
                Some(der::oid::SECP256R1) => KeyKind::P256,
                Some(der::oid::SECP384R1) => KeyKind::P384,
                Some(der::oid::SECP521R1) => KeyKind::P521,
                _ => KeyKind::Unknown,
            },
            _ => KeyKind::Unknown,
        };
        Some(Self { kind, spki: spki.to_vec(), bits: bits.to_vec() })
    }

    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The SubjectPublicKeyInfo, DER.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether the key made `signature` over `message` (ECDSA in DER); never with an algorithm of another kind of key.
    pub(crate) fn verifies(&self, algorithm: &SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use Hash::{Sha256, Sha384, Sha512};
        use SignatureAlgorithm::{Ecdsa, RsaPkcs1, RsaPss};
        let verifier: &'static dyn VerificationAlgorithm = match (self.kind, algorithm) {
            (KeyKind::P256, Ecdsa(Sha256)) => &ECDSA_P256_SHA256_ASN1,
            (KeyKind::P256, Ecdsa(Sha384)) => &ECDSA_P256_SHA384_ASN1,
            (KeyKind::P256, Ecdsa(Sha512)) => &ECDSA_P256_SHA512_ASN1,
            (KeyKind::P384, Ecdsa(Sha256)) => &ECDSA_P384_SHA256_ASN1,
            (KeyKind::P384, Ecdsa(Sha384)) => &ECDSA_P384_SHA384_ASN1,
            (KeyKind::P384, Ecdsa(Sha512)) => &ECDSA_P384_SHA512_ASN1,
            (KeyKind::P521, Ecdsa(Sha256)) => &ECDSA_P521_SHA256_ASN1,
            (KeyKind::P521, Ecdsa(Sha384)) => &ECDSA_P521_SHA384_ASN1,
            (KeyKind::P521, Ecdsa(Sha512)) => &ECDSA_P521_SHA512_ASN1,
            (KeyKind::Rsa { .. }, RsaPkcs1(Sha256)) => &RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa { .. }, RsaPkcs1(Sha384)) => &RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa { .. }, RsaPkcs1(Sha512)) => &RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::Rsa { .. }, RsaPss(Sha256)) => &RSA_PSS_2048_8192_SHA256,
            (KeyKind::Rsa { .. }, RsaPss(Sha384)) => &RSA_PSS_2048_8192_SHA384,
            (KeyKind::Rsa { .. }, RsaPss(Sha512)) => &RSA_PSS_2048_8192_SHA512,
            _ => return false,
        };
        self.verifies_with(verifier, message, signature)
    }

    /// The same with an algorithm that the caller locked to [`Self::kind`].
    pub(crate) fn verifies_with(
        &self,
        verifier: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        UnparsedPublicKey::new(verifier, &self.bits).verify(message, signature).is_ok()
    }
}

/// Object identifiers, encoded.
mod oid {
    pub(super) const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]; // 1.2.840.10045.4.1
    pub(super) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    pub(super) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    pub(super) const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
    pub(super) const RSA_MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04];
    pub(super) const RSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
    pub(super) const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    pub(super) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    pub(super) const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    pub(super) const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
    pub(super) const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
    pub(super) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    pub(super) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    pub(super) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
}
