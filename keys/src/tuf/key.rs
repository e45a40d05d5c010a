//! Keys of TUF metadata: three algorithms in the spellings in use, under ids that are computed here.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::error::{KeyFault, SignatureFault, TufError};
use crate::json::quote;
use crate::trust_store::{KeyAlgorithm, PublicKey};
use crate::{canonical, digest};

/// SubjectPublicKeyInfo of an Ed25519 key up to its 32 bytes (RFC 8410 § 4).
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
/// OIDs of the curves (RFC 5480 § 2.1.1.1), DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// One key of a root, under the id that the file gives it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: String,
    material: Result<Material, KeyFault>,
}

#[derive(Clone)]
struct Material {
    key: PublicKey,
    /// The scheme's; nothing beside a signature chooses it.
    algorithm: &'static dyn VerificationAlgorithm,
}

#[derive(Deserialize)]
struct Unread {
    keytype: String,
    scheme: String,
    keyval: KeyValue,
}

#[derive(Deserialize)]
struct KeyValue {
    public: String,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key.fmt(formatter)
    }
}

impl Key {
    /// Reads a key that a root holds under `id`, which must be the SHA-256 of the key's whole canonical form (§ 4.2).
    pub(super) fn read(id: String, value: &Value) -> Result<Self, TufError> {
        let computed = digest::sha256_hex(&canonical::encode(value)?);
        let material = if computed == id { material(value) } else { Err(KeyFault::Id { computed }) };
        Ok(Self { id, material })
    }

    /// The key's own bytes, by which distinct keys are counted, if it signed `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<&[u8], SignatureFault> {
        let Material { key, algorithm } = self.material.as_ref().map_err(Clone::clone)?;
        let verified = UnparsedPublicKey::new(*algorithm, key.spki_der()).verify(message, signature);
        verified.map(|()| key.spki_der()).map_err(|_| SignatureFault::Invalid)
    }

    /// Whether both are one key, whatever their ids.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.material, &other.material) {
            (Ok(one), Ok(other)) => one.key == other.key,
            _ => self.id == other.id,
        }
    }
}

fn material(value: &Value) -> Result<Material, KeyFault> {
    let unread = Unread::deserialize(value);
    let Unread { keytype, scheme, keyval } =
        unread.map_err(|error| KeyFault::Material(quote(&error.to_string())))?;
    let public = keyval.public.as_str();
    let refused = |error: crate::trust_store::PublicKeyError| KeyFault::Material(error.to_string());
    let point = |curve: &[u8]| match hex::decode(public) {
        // Early repositories write the bare point.
        Ok(point) => PublicKey::from_ec_point(curve, &point).map_err(refused),
        Err(_) => PublicKey::from_pem(public).map_err(refused),
    };
    let ecdsa = matches!(keytype.as_str(), "ecdsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384");
    let (key, algorithm): (_, &'static dyn VerificationAlgorithm) = match (keytype.as_str(), scheme.as_str())
    {
        (_, "ecdsa-sha2-nistp256") if ecdsa => (point(P256)?, &signature::ECDSA_P256_SHA256_ASN1),
        (_, "ecdsa-sha2-nistp384") if ecdsa => (point(P384)?, &signature::ECDSA_P384_SHA384_ASN1),
        ("ed25519", "ed25519") => {
            let bytes = hex::decode(public).map_err(|error| KeyFault::Material(error.to_string()))?;
            let spki = [ED25519_SPKI, &bytes].concat();
            (PublicKey::from_der(&spki).map_err(refused)?, &signature::ED25519)
        }
        ("rsa", "rsassa-pss-sha256") => {
            (PublicKey::from_pem(public).map_err(refused)?, &signature::RSA_PSS_2048_8192_SHA256)
        }
        _ => return Err(KeyFault::Type { key_type: quote(&keytype), scheme: quote(&scheme) }),
    };
    let fits = match key.algorithm() {
        KeyAlgorithm::EcdsaP256 => scheme == "ecdsa-sha2-nistp256",
        KeyAlgorithm::EcdsaP384 => scheme == "ecdsa-sha2-nistp384",
        KeyAlgorithm::EcdsaP521 => false,
        KeyAlgorithm::Ed25519 => keytype == "ed25519",
        KeyAlgorithm::Rsa { .. } => keytype == "rsa",
    };
    let other = format!("the key is {}, not one for `{}`", key.algorithm(), quote(&scheme));
    if fits { Ok(Material { key, algorithm }) } else { Err(KeyFault::Material(other)) }
}
