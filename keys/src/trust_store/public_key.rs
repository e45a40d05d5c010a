//! Public keys: parsed once, of an algorithm we accept, ready to verify.

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::der::{self, Reader, oid};
use crate::{digest, limits};

/// What a key is, which alone decides how signatures are checked: nothing in a signature chooses the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256, SHA-256, DER signature.
    EcdsaP256,
    /// ECDSA on NIST P-384, SHA-384 or SHA-256, DER signature.
    EcdsaP384,
    /// ECDSA on NIST P-521, SHA-512 or SHA-256, DER signature.
    EcdsaP521,
    /// Ed25519 over the message itself (RFC 8032 § 5.1; not the pre-hashed variant).
    Ed25519,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rsa {
        /// Length of the modulus.
        bits: usize,
    },
}

/// Why bytes are not a public key we use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not a SubjectPublicKeyInfo in DER.
    #[error("not a public key in DER (SubjectPublicKeyInfo, RFC 5280 § 4.1)")]
    Der,
    /// Broken PEM.
    #[error("not one PEM block: {0}")]
    Pem(String),
    /// A PEM block of another kind.
    #[error("expected a PEM block `PUBLIC KEY`, found `{0}`")]
    PemLabel(String),
    /// The numbers inside are not a key of that algorithm.
    #[error("the {0} key is not valid: the point or the modulus is refused")]
    Refused(KeyAlgorithm),
    /// RSA below the accepted length.
    #[error("RSA with {0} bits; 2048 to 8192 bits are accepted")]
    RsaBits(usize),
    /// Too long for any key.
    #[error("{0} bytes are too many for a public key")]
    TooLarge(usize),
    /// Another algorithm or curve.
    #[error("the key's algorithm or curve is not accepted; use ECDSA P-256, P-384 or P-521, Ed25519 or RSA")]
    UnknownAlgorithm,
}

/// Bytes of an uncompressed point on P-256, P-384 and P-521 (SEC 1 § 2.3.3). Inside a string of DER none has any of the
/// other lengths.
const UNCOMPRESSED_POINT_BYTES: [usize; 3] = [65, 97, 133];

/// A public key that was parsed and is of an algorithm we accept.
#[derive(Clone)]
pub struct PublicKey {
    spki_der: Vec<u8>,
    algorithm: KeyAlgorithm,
    /// In the order tried; one entry per accepted hash.
    verifiers: Vec<ParsedPublicKey>,
}

impl PublicKey {
    /// Parses one PEM block `PUBLIC KEY`, as `cosign.pub` holds it.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        if pem.len() > limits::KEY_FILE_BYTES_MAX {
            return Err(PublicKeyError::TooLarge(pem.len()));
        }
        let (label, der) = pem_rfc7468::decode_vec(pem.as_bytes())
            .map_err(|error| PublicKeyError::Pem(error.to_string()))?;
        if label != "PUBLIC KEY" {
            return Err(PublicKeyError::PemLabel(crate::json::quote(label)));
        }
        Self::from_der(&der)
    }

    /// Parses a SubjectPublicKeyInfo in DER (RFC 5280 § 4.1; RFC 5480, RFC 8410, RFC 3279 for the algorithms).
    pub fn from_der(spki_der: &[u8]) -> Result<Self, PublicKeyError> {
        if spki_der.len() > limits::KEY_FILE_BYTES_MAX {
            return Err(PublicKeyError::TooLarge(spki_der.len()));
        }
        let (identifier, parameters, key) = split_spki(spki_der).ok_or(PublicKeyError::Der)?;
        let algorithm = algorithm(identifier, parameters, key)?;
        let verifiers: Result<Vec<_>, _> =
            hashes(algorithm).iter().map(|&verifier| ParsedPublicKey::new(verifier, key)).collect();
        let verifiers = verifiers.map_err(|_| PublicKeyError::Refused(algorithm))?;
        Ok(Self { spki_der: spki_der.to_vec(), algorithm, verifiers })
    }

    /// A key on a curve, from what PKCS#11 tells of it: `CKA_EC_PARAMS` (an OID in DER) and `CKA_EC_POINT` (the point in
    /// a DER octet string; some tokens leave the string out).
    ///
    /// # Errors
    /// When it is no key that is accepted.
    pub fn from_ec_point(parameters: &[u8], point: &[u8]) -> Result<Self, PublicKeyError> {
        // A bare point begins with the byte that is also the tag of a string, and one key in 256 goes on with what would be
        // its length: only the whole length tells them apart.
        let bare = UNCOMPRESSED_POINT_BYTES.contains(&point.len());
        let mut reader = Reader::new(point);
        let inner = reader.element(der::OCTET_STRING).filter(|_| reader.is_empty() && !bare);
        let bits = [&[0][..], inner.unwrap_or(point)].concat();
        let algorithm =
            [der::encode(der::OBJECT_IDENTIFIER, oid::EC_PUBLIC_KEY), parameters.to_vec()].concat();
        let spki = [der::encode(der::SEQUENCE, &algorithm), der::encode(der::BIT_STRING, &bits)].concat();
        Self::from_der(&der::encode(der::SEQUENCE, &spki))
    }

    /// An RSA key, from its modulus and public exponent, each big-endian.
    ///
    /// # Errors
    /// When it is no key that is accepted.
    pub fn from_rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, PublicKeyError> {
        let key = [der::unsigned(modulus), der::unsigned(exponent)].concat();
        let bits = [&[0][..], &der::encode(der::SEQUENCE, &key)].concat();
        let algorithm = [der::encode(der::OBJECT_IDENTIFIER, oid::RSA), der::encode(der::NULL, &[])].concat();
        let spki = [der::encode(der::SEQUENCE, &algorithm), der::encode(der::BIT_STRING, &bits)].concat();
        Self::from_der(&der::encode(der::SEQUENCE, &spki))
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Hex SHA-256 of the SubjectPublicKeyInfo: one id per key, because only one encoding of a key is accepted.
    pub fn key_id(&self) -> String {
        digest::sha256_hex(&self.spki_der)
    }

    /// The hint by which cosign's bundles name this key: base64 of the SHA-256 of the SubjectPublicKeyInfo.
    pub fn hint(&self) -> String {
        let id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.spki_der);
        STANDARD.encode(id)
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// One PEM block `PUBLIC KEY`, as cosign writes it.
    pub fn to_pem(&self) -> String {
        pem_rfc7468::encode_string("PUBLIC KEY", pem_rfc7468::LineEnding::LF, &self.spki_der)
            .expect("a key in memory is far below the length PEM can hold")
    }

    /// Whether `signature` over `message` was made by this key's private half.
    ///
    /// P-384 and P-521 accept their own hash (cosign 3) and SHA-256 (cosign 2 and every verifier's default). That is
    /// sound: to move a signature from one hash to the other, an attacker needs a message whose SHA-256 equals the
    /// leading 256 bits of another's SHA-384 with the rest zero, which is harder than a second preimage of SHA-256;
    /// what the pair can lose is bounded by the collision resistance of SHA-256, the level of P-256 itself.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifiers.iter().any(|verifier| verifier.verify_sig(message, signature).is_ok())
    }

    /// What one failed verification costs, in units of one P-256 verification; from `cargo bench -p keys`.
    pub(crate) fn verification_cost(&self) -> u32 {
        match self.algorithm {
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa { bits: ..=4096 } => 1,
            KeyAlgorithm::Rsa { .. } => 4,
            KeyAlgorithm::EcdsaP384 => 8,
            KeyAlgorithm::EcdsaP521 => 16,
        }
    }
}

/// The algorithm's OID, what follows it, and the key's bits.
fn split_spki(spki_der: &[u8]) -> Option<(&[u8], Reader<'_>, &[u8])> {
    let mut outer = Reader::new(spki_der);
    let mut spki = outer.nested(der::SEQUENCE)?;
    outer.end()?;
    let mut identifier = spki.nested(der::SEQUENCE)?;
    let algorithm = identifier.element(der::OBJECT_IDENTIFIER)?;
    let key = spki.bits()?;
    spki.end()?;
    Some((algorithm, identifier, key))
}

fn algorithm(
    identifier: &[u8],
    mut parameters: Reader<'_>,
    key: &[u8],
) -> Result<KeyAlgorithm, PublicKeyError> {
    match identifier {
        oid::EC_PUBLIC_KEY => {
            let curve = parameters.element(der::OBJECT_IDENTIFIER).ok_or(PublicKeyError::UnknownAlgorithm)?;
            parameters.end().ok_or(PublicKeyError::Der)?;
            let (algorithm, coordinate_bytes) = match curve {
                oid::SECP256R1 => (KeyAlgorithm::EcdsaP256, 32),
                oid::SECP384R1 => (KeyAlgorithm::EcdsaP384, 48),
                oid::SECP521R1 => (KeyAlgorithm::EcdsaP521, 66),
                _ => return Err(PublicKeyError::UnknownAlgorithm),
            };
            // The uncompressed form alone: a second encoding would give the same key a second id.
            let uncompressed = key.first() == Some(&4) && key.len() == 1 + 2 * coordinate_bytes;
            uncompressed.then_some(algorithm).ok_or(PublicKeyError::Refused(algorithm))
        }
        oid::ED25519 => {
            parameters.end().ok_or(PublicKeyError::Der)?;
            (key.len() == 32).then_some(KeyAlgorithm::Ed25519).ok_or(PublicKeyError::Der)
        }
        oid::RSA => {
            let null = parameters.element(der::NULL);
            (null == Some(&[]) && parameters.is_empty()).then_some(()).ok_or(PublicKeyError::Der)?;
            let bits = der::rsa_modulus_bits(key).ok_or(PublicKeyError::Der)?;
            let accepted = (2048..=8192).contains(&bits);
            accepted.then_some(KeyAlgorithm::Rsa { bits }).ok_or(PublicKeyError::RsaBits(bits))
        }
        _ => Err(PublicKeyError::UnknownAlgorithm),
    }
}

fn hashes(algorithm: KeyAlgorithm) -> &'static [&'static dyn VerificationAlgorithm] {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => &[&signature::ECDSA_P256_SHA256_ASN1],
        KeyAlgorithm::EcdsaP384 => &[&signature::ECDSA_P384_SHA384_ASN1, &signature::ECDSA_P384_SHA256_ASN1],
        KeyAlgorithm::EcdsaP521 => &[&signature::ECDSA_P521_SHA512_ASN1, &signature::ECDSA_P521_SHA256_ASN1],
        KeyAlgorithm::Ed25519 => &[&signature::ED25519],
        KeyAlgorithm::Rsa { .. } => &[&signature::RSA_PKCS1_2048_8192_SHA256],
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki_der == other.spki_der
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({}, {})", self.algorithm, self.key_id())
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => formatter.write_str("ECDSA P-256"),
            Self::EcdsaP384 => formatter.write_str("ECDSA P-384"),
            Self::EcdsaP521 => formatter.write_str("ECDSA P-521"),
            Self::Ed25519 => formatter.write_str("Ed25519"),
            Self::Rsa { bits } => write!(formatter, "RSA-{bits}"),
        }
    }
}
