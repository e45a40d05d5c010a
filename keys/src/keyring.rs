//! Generate, import and keep private keys: cosign-compatible, encrypted under a password.
//!
//! Keys, salts and nonces come from aws-lc-rs's generator, which the operating system seeds: the one source of
//! randomness in this crate, and the one thing here that is not a function of its arguments.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use crate::der::{self, Reader};
use crate::json::{self as strict_json, JsonError};
use crate::limits;
use crate::trust_store::{KeyAlgorithm, PublicKey, PublicKeyError};

/// PEM label that cosign writes since 2.0.
const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// PEM label of older cosign.
const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";
/// What cosign writes today.
const SCRYPT_LOG_N: u8 = 16;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Largest N read, as a power of two: with r = 8, 256 MiB of memory. A key file may not choose how much it takes.
const SCRYPT_LOG_N_MAX: u8 = 18;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// A password; never shown, and erased from memory after use.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

/// The kinds of key that can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewKey {
    /// What cosign makes, and what every verifier knows.
    #[default]
    EcdsaP256,
    /// Larger; `cosign verify` needs no flag for our `.sig` form, which signs over SHA-256.
    EcdsaP384,
    /// Small and fast; not every version of cosign verifies bundles made with it.
    Ed25519,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
}

/// A private key, ready to sign. It shows its public half only; its bytes are erased when it is dropped.
pub struct PrivateKey {
    pub(crate) pair: KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    public_key: PublicKey,
}

pub(crate) enum KeyPair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// Why a key could not be made, read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The generator or the cryptographic library failed.
    #[error("the cryptographic library could not make the key")]
    Crypto,
    /// The file asks for a cipher or key derivation that cosign does not write.
    #[error("{what}: expected `{expected}`, found `{seen}`")]
    Format {
        /// Which field.
        what: &'static str,
        /// What cosign writes.
        expected: &'static str,
        /// What stands there.
        seen: String,
    },
    /// The encrypted part is not the JSON that cosign writes.
    #[error("encrypted key: {0}")]
    Json(JsonError),
    /// The key inside is not one we can use.
    #[error(
        "not a private key of an accepted kind (ECDSA P-256, P-384 or P-521, Ed25519, RSA of 2048 bits or more)"
    )]
    Key,
    /// The scrypt parameters are outside the accepted range.
    #[error(
        "scrypt parameters N={n}, r={r}, p={p} are refused; accepted are N up to 2^18, r up to 8, p up to 4"
    )]
    Parameters {
        /// Cost.
        n: u64,
        /// Block size.
        r: u64,
        /// Parallelism.
        p: u64,
    },
    /// The password does not open the key, or the file was changed.
    #[error("wrong password, or the key file is damaged")]
    Password,
    /// Broken PEM.
    #[error("not one PEM block: {0}")]
    Pem(String),
    /// PEM of another kind.
    #[error("cannot use a PEM block `{0}` as private key")]
    PemLabel(String),
    /// The public half is not accepted.
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    /// Too long for any key.
    #[error("{0} bytes are too many for a key file")]
    TooLarge(usize),
}

/// Makes a new key.
pub fn generate(kind: NewKey) -> Result<PrivateKey, KeyringError> {
    let rsa = |size| Ok::<_, KeyringError>(KeyPair::Rsa(RsaKeyPair::generate(size).map_err(crypto)?));
    let ecdsa =
        |algorithm| Ok::<_, KeyringError>(KeyPair::Ecdsa(EcdsaKeyPair::generate(algorithm).map_err(crypto)?));
    PrivateKey::new(match kind {
        NewKey::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
        NewKey::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
        NewKey::Ed25519 => KeyPair::Ed25519(Ed25519KeyPair::generate().map_err(crypto)?),
        NewKey::Rsa2048 => rsa(KeySize::Rsa2048)?,
        NewKey::Rsa3072 => rsa(KeySize::Rsa3072)?,
        NewKey::Rsa4096 => rsa(KeySize::Rsa4096)?,
    })
}

/// Reads an unencrypted PEM private key: PKCS#8 (`PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`) or PKCS#1
/// (`RSA PRIVATE KEY`).
pub fn import(pem: &str) -> Result<PrivateKey, KeyringError> {
    let (label, der) = decode_pem(pem)?;
    PrivateKey::new(match label.as_str() {
        "PRIVATE KEY" => from_pkcs8(&der)?,
        "EC PRIVATE KEY" => from_sec1(&der)?,
        "RSA PRIVATE KEY" => KeyPair::Rsa(RsaKeyPair::from_der(&der).map_err(|_| KeyringError::Key)?),
        _ => return Err(KeyringError::PemLabel(label)),
    })
}

/// Opens a key that cosign or [`encrypt`] wrote. Takes about 0.15 s, by design.
pub fn decrypt(pem: &str, password: &Password) -> Result<PrivateKey, KeyringError> {
    let (label, body) = decode_pem(pem)?;
    if label != LABEL && label != OLD_LABEL {
        return Err(KeyringError::PemLabel(label));
    }
    let envelope = strict_json::parse(&body, limits::KEY_FILE_BYTES_MAX).map_err(KeyringError::Json)?;
    let at = |path: &str| envelope.pointer(path).unwrap_or(&Value::Null);
    expect(at("/kdf/name"), "key derivation", "scrypt")?;
    expect(at("/cipher/name"), "cipher", "nacl/secretbox")?;
    let number = |path| at(path).as_u64().unwrap_or(0);
    let parameters =
        scrypt_parameters(number("/kdf/params/N"), number("/kdf/params/r"), number("/kdf/params/p"))?;
    let bytes = |path, what| {
        let decoded = at(path).as_str().and_then(|text| STANDARD.decode(text).ok());
        decoded.ok_or(KeyringError::Format {
            what,
            expected: "base64",
            seen: strict_json::quote(&at(path).to_string()),
        })
    };
    let (salt, nonce) = (bytes("/kdf/salt", "salt")?, bytes("/cipher/nonce", "nonce")?);
    let ciphertext = bytes("/ciphertext", "ciphertext")?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|nonce: Vec<u8>| KeyringError::Format {
        what: "length of the nonce",
        expected: "24",
        seen: nonce.len().to_string(),
    })?;
    let secretbox = secretbox(password, &salt, &parameters)?;
    let pkcs8 =
        secretbox.decrypt(&nonce.into(), ciphertext.as_slice()).map_err(|_| KeyringError::Password)?;
    PrivateKey::new(from_pkcs8(&Zeroizing::new(pkcs8))?)
}

/// The key as cosign writes it: scrypt (N = 65536, r = 8, p = 1) and XSalsa20-Poly1305 over PKCS#8.
pub fn encrypt(key: &PrivateKey, password: &Password) -> Result<String, KeyringError> {
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    SystemRandom::new().fill(&mut salt).map_err(crypto)?;
    SystemRandom::new().fill(&mut nonce).map_err(crypto)?;
    let parameters = scrypt_parameters(1 << SCRYPT_LOG_N, u64::from(SCRYPT_R), u64::from(SCRYPT_P))?;
    let secretbox = secretbox(password, &salt, &parameters)?;
    let ciphertext =
        secretbox.encrypt(&nonce.into(), key.pkcs8.as_slice()).map_err(|_| KeyringError::Crypto)?;
    let envelope = json!({
        "kdf": {
            "name": "scrypt",
            "params": { "N": 1 << SCRYPT_LOG_N, "r": SCRYPT_R, "p": SCRYPT_P },
            "salt": STANDARD.encode(salt),
        },
        "cipher": { "name": "nacl/secretbox", "nonce": STANDARD.encode(nonce) },
        "ciphertext": STANDARD.encode(ciphertext),
    });
    pem_rfc7468::encode_string(LABEL, pem_rfc7468::LineEnding::LF, envelope.to_string().as_bytes())
        .map_err(|error| KeyringError::Pem(error.to_string()))
}

impl Password {
    /// Takes over the bytes of a password.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

impl PrivateKey {
    fn new(pair: KeyPair) -> Result<Self, KeyringError> {
        let public_key = PublicKey::from_der(&match &pair {
            KeyPair::Ecdsa(pair) => pair.public_key().as_der().map_err(crypto)?.as_ref().to_vec(),
            KeyPair::Ed25519(pair) => pair.public_key().as_der().map_err(crypto)?.as_ref().to_vec(),
            KeyPair::Rsa(pair) => pair.public_key().as_der().map_err(crypto)?.as_ref().to_vec(),
        })?;
        // Written anew, whatever form it came in: cosign reads PKCS#8 version 1 only.
        let pkcs8 = Zeroizing::new(match &pair {
            KeyPair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(crypto)?.as_ref().to_vec(),
            KeyPair::Ed25519(pair) => pair.to_pkcs8v1().map_err(crypto)?.as_ref().to_vec(),
            KeyPair::Rsa(pair) => AsDer::as_der(pair).map_err(crypto)?.as_ref().to_vec(),
        });
        Ok(Self { pair, pkcs8, public_key })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.public_key.algorithm()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PrivateKey(****, {:?})", self.public_key)
    }
}

fn crypto(_: aws_lc_rs::error::Unspecified) -> KeyringError {
    KeyringError::Crypto
}

fn decode_pem(pem: &str) -> Result<(String, Zeroizing<Vec<u8>>), KeyringError> {
    if pem.len() > limits::KEY_FILE_BYTES_MAX {
        return Err(KeyringError::TooLarge(pem.len()));
    }
    let (label, body) =
        pem_rfc7468::decode_vec(pem.as_bytes()).map_err(|error| KeyringError::Pem(error.to_string()))?;
    Ok((strict_json::quote(label), Zeroizing::new(body)))
}

fn expect(value: &Value, what: &'static str, expected: &'static str) -> Result<(), KeyringError> {
    if value.as_str() == Some(expected) {
        return Ok(());
    }
    Err(KeyringError::Format { what, expected, seen: strict_json::quote(&value.to_string()) })
}

fn scrypt_parameters(n: u64, r: u64, p: u64) -> Result<scrypt::Params, KeyringError> {
    let refused = KeyringError::Parameters { n, r, p };
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| refused.clone())?;
    if !n.is_power_of_two()
        || !(1..=SCRYPT_LOG_N_MAX).contains(&log_n)
        || !(1..=8).contains(&r)
        || !(1..=4).contains(&p)
    {
        return Err(refused);
    }
    let small = |number: u64| u32::try_from(number).map_err(|_| refused.clone());
    scrypt::Params::new(log_n, small(r)?, small(p)?).map_err(|_| refused.clone())
}

fn secretbox(
    password: &Password,
    salt: &[u8],
    parameters: &scrypt::Params,
) -> Result<XSalsa20Poly1305, KeyringError> {
    let mut key = [0; 32];
    scrypt::scrypt(&password.0, salt, parameters, &mut key).map_err(|_| KeyringError::Crypto)?;
    let secretbox = XSalsa20Poly1305::new(&key.into());
    key.zeroize();
    Ok(secretbox)
}

/// Chosen by the algorithm that the document names (RFC 5208 § 5), never by trial.
fn from_pkcs8(pkcs8: &[u8]) -> Result<KeyPair, KeyringError> {
    let oid = pkcs8_algorithm(pkcs8).ok_or(KeyringError::Key)?;
    let refused = |_| KeyringError::Key;
    match oid {
        der::oid::ED25519 => {
            Ok(KeyPair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(refused)?))
        }
        der::oid::RSA => Ok(KeyPair::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(refused)?)),
        der::oid::EC_PUBLIC_KEY => {
            let pairs =
                EC_ALGORITHMS.iter().find_map(|&algorithm| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).ok());
            pairs.map(KeyPair::Ecdsa).ok_or(KeyringError::Key)
        }
        _ => Err(KeyringError::Key),
    }
}

fn from_sec1(sec1: &[u8]) -> Result<KeyPair, KeyringError> {
    let pairs =
        EC_ALGORITHMS.iter().find_map(|&algorithm| EcdsaKeyPair::from_private_key_der(algorithm, sec1).ok());
    pairs.map(KeyPair::Ecdsa).ok_or(KeyringError::Key)
}

/// The library compares the curve; only one of them fits.
const EC_ALGORITHMS: [&EcdsaSigningAlgorithm; 3] =
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];

fn pkcs8_algorithm(pkcs8: &[u8]) -> Option<&[u8]> {
    let mut document = Reader::new(pkcs8).nested(der::SEQUENCE)?;
    document.unsigned()?;
    document.nested(der::SEQUENCE)?.element(der::OBJECT_IDENTIFIER)
}

#[cfg(test)]
mod tests;
