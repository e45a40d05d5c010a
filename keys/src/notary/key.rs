//! Keys of Notary v1: five types, each with its own methods of signing, under ids that are computed here.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::NotaryError;
use super::certificate::Certificate;
use super::error::{KeyFault, SignatureFault};
use crate::trust_store::{KeyAlgorithm, PublicKey};
use crate::{canonical, digest, limits};

/// SubjectPublicKeyInfo of an Ed25519 key up to its 32 bytes (RFC 8410 § 4).
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// One key of a role, under its own id.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) key_type: String,
    /// A key that we cannot use spoils nothing but its own signatures.
    pub(super) material: Result<Material, KeyFault>,
}

#[derive(Clone, Debug)]
pub(super) struct Material {
    pub(super) key: PublicKey,
    /// Of the `-x509` types, in the order of the file.
    pub(super) certificates: Vec<Certificate>,
}

impl Key {
    /// Reads a key that a file holds under `declared`. Its id is the SHA-256 of the canonical form of the key without
    /// a private half, and must be `declared`: a key under a foreign id would sign for another.
    pub(super) fn read(declared: &str, key_type: &str, public: &str) -> Result<Self, NotaryError> {
        let form = json!({ "keytype": key_type, "keyval": { "private": null, "public": public } });
        let computed = digest::sha256_hex(&canonical::encode(&form)?);
        if computed != declared {
            return Err(NotaryError::KeyId { declared: crate::json::quote(declared), computed });
        }
        Ok(Self { id: computed, key_type: key_type.to_owned(), material: material(key_type, public) })
    }

    /// The id of the same key without its certificate; `None` for a key that has none.
    pub(super) fn bare_id(&self) -> Option<String> {
        let material = self.material.as_ref().ok().filter(|material| !material.certificates.is_empty())?;
        let key_type = self.key_type.strip_suffix("-x509")?;
        let public = STANDARD.encode(material.key.spki_der());
        let form = json!({ "keytype": key_type, "keyval": { "private": null, "public": public } });
        Some(digest::sha256_hex(&canonical::encode(&form).ok()?))
    }

    /// Whether this key signed `message`. The method stands in the file beside the signature, so it may only choose
    /// among those of the key's own type: otherwise an RSA key could be made to verify as something weaker
    /// (CVE-2015-9259).
    pub(super) fn verify(
        &self,
        method: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<&PublicKey, SignatureFault> {
        let key = &self.material.as_ref().map_err(Clone::clone)?.key;
        let verified = match (self.key_type.as_str(), method) {
            ("ecdsa" | "ecdsa-x509", "ecdsa") => verify_ecdsa(key, message, signature),
            ("rsa" | "rsa-x509", "rsapss") => {
                verify_with(&signature::RSA_PSS_2048_8192_SHA256, key, message, signature)
            }
            ("rsa" | "rsa-x509", "rsapkcs1v15") => {
                verify_with(&signature::RSA_PKCS1_2048_8192_SHA256, key, message, signature)
            }
            ("ed25519", "eddsa") => verify_with(&signature::ED25519, key, message, signature),
            _ => {
                let (method, key_type) = (crate::json::quote(method), self.key_type.clone());
                return Err(SignatureFault::Method { method, key_type });
            }
        };
        verified.ok_or(SignatureFault::Invalid).map(|()| key)
    }
}

fn material(key_type: &str, public: &str) -> Result<Material, KeyFault> {
    let fault = |reason: &str| KeyFault::Material(reason.to_owned());
    let bytes = STANDARD.decode(public).map_err(|_| fault("the key is not base64"))?;
    let material = match key_type {
        "ecdsa" | "rsa" => plain(&bytes)?,
        "ed25519" if bytes.len() == 32 => plain(&[&ED25519_SPKI_PREFIX[..], &bytes].concat())?,
        "ed25519" => return Err(fault("an Ed25519 key has 32 bytes")),
        "ecdsa-x509" | "rsa-x509" => {
            let certificates = certificates(&bytes)?;
            // The first one, as notary's own verifier takes it; which certificate a *root* key is, is judged in
            // `root.rs`.
            let first = certificates.first().ok_or(KeyFault::Leaves(0))?;
            Material { key: first.key.clone(), certificates }
        }
        _ => return Err(KeyFault::Type(crate::json::quote(key_type))),
    };
    let fits = match material.key.algorithm() {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => {
            key_type.starts_with("ecdsa")
        }
        KeyAlgorithm::Ed25519 => key_type == "ed25519",
        KeyAlgorithm::Rsa { .. } => key_type.starts_with("rsa"),
    };
    let other = || KeyFault::Material(format!("the key is {}, not {key_type}", material.key.algorithm()));
    if fits { Ok(material) } else { Err(other()) }
}

fn plain(spki_der: &[u8]) -> Result<Material, KeyFault> {
    let key = PublicKey::from_der(spki_der).map_err(|error| KeyFault::Material(error.to_string()))?;
    Ok(Material { key, certificates: Vec::new() })
}

/// The certificates of a PEM file, which may be a chain.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, KeyFault> {
    const END: &str = "-----END CERTIFICATE-----";
    let fault = |reason: String| KeyFault::Material(reason);
    let text = std::str::from_utf8(pem).map_err(|_| fault("the certificate is not PEM".to_owned()))?;
    let mut certificates = Vec::new();
    for block in text.split_inclusive(END).map(str::trim).filter(|block| !block.is_empty()) {
        if certificates.len() == limits::NOTARY_CERTIFICATES_MAX {
            return Err(fault(format!("more than {} certificates", limits::NOTARY_CERTIFICATES_MAX)));
        }
        let (label, der) = pem_rfc7468::decode_vec(block.as_bytes())
            .map_err(|error| fault(format!("the certificate is not PEM: {error}")))?;
        if label != "CERTIFICATE" {
            return Err(fault(format!("PEM holds `{}`, not a certificate", crate::json::quote(label))));
        }
        certificates.push(Certificate::from_der(&der).map_err(fault)?);
    }
    Ok(certificates)
}

fn verify_with(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Option<()> {
    UnparsedPublicKey::new(algorithm, key.spki_der()).verify(message, signature).ok()
}

/// ECDSA over SHA-256 whatever the curve, the signature being `r || s` of the curve's width.
fn verify_ecdsa(key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<()> {
    let (width, algorithm): (usize, &'static dyn VerificationAlgorithm) = match key.algorithm() {
        KeyAlgorithm::EcdsaP256 => (32, &signature::ECDSA_P256_SHA256_ASN1),
        KeyAlgorithm::EcdsaP384 => (48, &signature::ECDSA_P384_SHA256_ASN1),
        KeyAlgorithm::EcdsaP521 => (66, &signature::ECDSA_P521_SHA256_ASN1),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa { .. } => return None,
    };
    // One width only: `r || s` with a byte moved over would be a second signature of the same message.
    let (r, s) = signature.split_at_checked(width).filter(|(_, s)| s.len() == width)?;
    let numbers = [integer(r)?, integer(s)?].concat();
    verify_with(algorithm, key, message, &element(0x30, &numbers)?)
}

/// A DER INTEGER of an unsigned number: no leading zeros but the sign byte.
fn integer(number: &[u8]) -> Option<Vec<u8>> {
    let skip = number.iter().take_while(|&&byte| byte == 0).count().min(number.len().checked_sub(1)?);
    let number = &number[skip..];
    let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
    element(0x02, &[sign, number].concat())
}

/// A DER element of at most 255 bytes, which two numbers of 66 bytes fit in.
fn element(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(content.len()).ok()?;
    let head: &[u8] = if length < 0x80 { &[tag, length] } else { &[tag, 0x81, length] };
    Some([head, content].concat())
}
