//! Signs with a key handed to it; the only code that uses a private key.
//!
//! What comes out are blobs and manifests to push; who pushes them, and where, is the caller's business.

mod attestation;
mod notation;

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{Digest, SHA256, SHA384, SHA512, digest as hash};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as algorithms, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cosign::bundle::{IN_TOTO_PAYLOAD_TYPE, SIGN_PREDICATE_TYPE, pre_authentication_encoding};
use crate::cosign::simple::PAYLOAD_TYPE;
use crate::cosign::{self, BUNDLE_MEDIA_TYPE, SIGNATURE_ANNOTATION, SIMPLE_SIGNING_MEDIA_TYPE};
use crate::json::JsonError;
use crate::keyring::{KeyPair, PrivateKey};
use crate::moment::rfc3339;
use crate::trust_store::{KeyAlgorithm, PublicKey};
use crate::x509::{ChainError, ValidityError};
use crate::{der, digest, json, limits};

const OCI_MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG_MEDIA_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const OCI_EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Signatures we add to one manifest; cosign itself refuses to read more than a thousand or so.
const SIGNATURES_MAX: usize = 500;

/// Signs images with one key.
#[derive(Debug)]
pub struct Signer {
    key: Key,
}

#[derive(Debug)]
enum Key {
    Held(PrivateKey),
    Remote(Box<dyn RemoteKey>),
}

/// A private key that signs where it lies, in a token or a service, and never leaves it.
pub trait RemoteKey: fmt::Debug + Send + Sync {
    /// Its public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs a message: ECDSA over SHA-256 in DER (see [`ecdsa_signature`]), RSA PKCS#1 v1.5 over SHA-256.
    ///
    /// # Errors
    /// Why it does not, in words.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// An ECDSA signature in DER (RFC 3279 section 2.2.3) from its two numbers side by side, as tokens give it (PKCS#11
/// section 2.3.1); `None`: these are not two numbers.
pub fn ecdsa_signature(numbers: &[u8]) -> Option<Vec<u8>> {
    let half = numbers.len() / 2;
    let is_pair = half > 0 && numbers.len() == 2 * half && numbers.len() <= limits::SIGNATURE_BYTES_MAX;
    let (r, s) = is_pair.then(|| numbers.split_at(half))?;
    Some(der::encode(der::SEQUENCE, &[der::unsigned(r), der::unsigned(s)].concat()))
}

/// What to sign in the bundle form: the descriptor of an image manifest or index.
#[derive(Clone, Copy, Debug)]
pub struct ImageDescriptor<'a> {
    /// `sha256:<hex>`.
    pub digest: &'a str,
    /// Media type of the manifest.
    pub media_type: &'a str,
    /// Size of the manifest in bytes.
    pub size: u64,
}

impl<'a> ImageDescriptor<'a> {
    /// Statements of both bundle forms name an image by SHA-256 and nothing else.
    fn sha256(&self) -> Result<&'a str, SignError> {
        match digest::split(self.digest) {
            Some(("sha256", hex)) => Ok(hex),
            _ => Err(SignError::Digest(json::quote(self.digest))),
        }
    }
}

/// Bytes and the digest they are pushed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:<hex>` of the bytes.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Blobs and the manifest that names them: push the blobs first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedArtifact {
    /// To push as blobs.
    pub blobs: Vec<Blob>,
    /// To push as manifest.
    pub manifest: Blob,
    /// The manifest's media type.
    pub media_type: &'static str,
    /// The tag to push the manifest under; `None`: by digest, as a referrer.
    pub tag: Option<String>,
}

/// Why something was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The cryptographic library failed.
    #[error("the cryptographic library could not sign")]
    Crypto,
    /// Nothing that can be signed for.
    #[error("`{0}` is not a sha256 digest")]
    Digest(String),
    /// Notation signs with a certificate, and this one is of another key.
    #[error("the first certificate is of key `{certificate}`, the key at hand is `{key}`")]
    CertificateKey {
        /// SHA-256 of the certificate's public key, hex.
        certificate: String,
        /// Of the key that signs.
        key: String,
    },
    /// The certificates are no chain that a verifier would accept.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A certificate is not valid now.
    #[error(transparent)]
    Validity(#[from] ValidityError),
    /// Notation has no algorithm for this kind of key.
    #[error("notation signs with RSA of 2048, 3072 or 4096 bits, P-256, P-384 or P-521, not with `{0}`")]
    NotationKey(String),
    /// The manifest to add to is not strict JSON.
    #[error("existing signature manifest: {0}")]
    ExistingJson(#[from] JsonError),
    /// The manifest to add to is something else: it is not overwritten.
    #[error("existing signature manifest: {0}")]
    ExistingShape(&'static str),
    /// A statement needs a predicate type, and that of signatures is made by signing only.
    #[error("`{0}` is no predicate type of an attestation")]
    PredicateType(String),
    /// The key lies elsewhere, and did not sign.
    #[error("{0}")]
    Remote(String),
    /// Notation signs in another way than tokens are asked to.
    #[error("a key in a token signs in cosign's forms only, not in notation's")]
    RemoteNotation,
    /// The manifest to add to is full.
    #[error("existing signature manifest: it holds {0} signatures already; remove stale ones")]
    TooMany(usize),
}

impl Signer {
    /// A signer that owns its key.
    pub fn new(key: PrivateKey) -> Self {
        Self { key: Key::Held(key) }
    }

    /// A signer whose key lies elsewhere.
    pub fn remote(key: Box<dyn RemoteKey>) -> Self {
        Self { key: Key::Remote(key) }
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> &PrivateKey {
        match &self.key {
            Key::Held(key) => key,
            Key::Remote(key) => panic!("{key:?} is not held here"),
        }
    }

    /// The public half of the key it signs with.
    pub fn public_key(&self) -> &PublicKey {
        match &self.key {
            Key::Held(key) => key.public_key(),
            Key::Remote(key) => key.public_key(),
        }
    }

    /// Signs `digest` in the simple-signing form that every cosign, skopeo and podman reads. `repository` is
    /// `host/name`, and goes into the signed payload with `annotations`. `existing` is the manifest found under
    /// [`cosign::legacy_tag`]: its signatures are kept and this one is added.
    pub fn sign_simple(
        &self,
        digest: &str,
        repository: &str,
        annotations: &BTreeMap<String, String>,
        existing: Option<&[u8]>,
    ) -> Result<SignedArtifact, SignError> {
        let tag = cosign::legacy_tag(digest).ok_or_else(|| SignError::Digest(json::quote(digest)))?;
        let optional = if annotations.is_empty() { Value::Null } else { json!(annotations) };
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": repository },
                "image": { "docker-manifest-digest": digest },
                "type": PAYLOAD_TYPE,
            },
            "optional": optional,
        });
        let payload = Blob::new(payload.to_string().into_bytes());
        let signature = self.sign(&payload.bytes)?;
        let mut layers = existing.map(existing_layers).transpose()?.unwrap_or_default();
        if layers.len() >= SIGNATURES_MAX {
            return Err(SignError::TooMany(layers.len()));
        }
        layers.push(json!({
            "mediaType": SIMPLE_SIGNING_MEDIA_TYPE,
            "size": payload.bytes.len(),
            "digest": payload.digest,
            "annotations": { SIGNATURE_ANNOTATION: STANDARD.encode(signature) },
        }));
        Ok(attestation::tagged(payload, layers, tag))
    }

    /// Signs `image` in the bundle form of cosign 3: a referrer with a DSSE envelope. `annotations` are signed along;
    /// `now` is seconds since 1970-01-01 UTC and stands in an unsigned annotation.
    pub fn sign_bundle(
        &self,
        image: ImageDescriptor<'_>,
        annotations: &BTreeMap<String, String>,
        now: i64,
    ) -> Result<SignedArtifact, SignError> {
        let hex = image.sha256()?;
        let subject = json!({ "digest": { "sha256": hex }, "annotations": annotations });
        self.bundle(image, subject, SIGN_PREDICATE_TYPE, &json!({}), now)
    }

    /// Signs what `predicate` says about `image` (in-toto Statement 1) in the bundle form of cosign 3: a referrer with a
    /// DSSE envelope. It never counts as a signature. `now` is seconds since 1970-01-01 UTC and stands in an unsigned
    /// annotation.
    pub fn attest_bundle(
        &self,
        image: ImageDescriptor<'_>,
        predicate_type: &str,
        predicate: &Value,
        now: i64,
    ) -> Result<SignedArtifact, SignError> {
        attestation::check_type(predicate_type)?;
        let subject = json!({ "digest": { "sha256": image.sha256()? } });
        self.bundle(image, subject, predicate_type, predicate, now)
    }

    fn bundle(
        &self,
        image: ImageDescriptor<'_>,
        subject: Value,
        predicate_type: &str,
        predicate: &Value,
        now: i64,
    ) -> Result<SignedArtifact, SignError> {
        let statement = attestation::statement(subject, predicate_type, predicate);
        let signature = self.sign(&pre_authentication_encoding(IN_TOTO_PAYLOAD_TYPE, &statement))?;
        let bundle = json!({
            "mediaType": BUNDLE_MEDIA_TYPE,
            "verificationMaterial": { "publicKey": { "hint": self.public_key().hint() } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement),
                "payloadType": IN_TOTO_PAYLOAD_TYPE,
                "signatures": [{ "sig": STANDARD.encode(signature) }],
            },
        });
        let bundle = Blob::new(bundle.to_string().into_bytes());
        let config = Blob::new(b"{}".to_vec());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST_MEDIA_TYPE,
            "artifactType": BUNDLE_MEDIA_TYPE,
            "config": {
                "mediaType": OCI_EMPTY_MEDIA_TYPE,
                "size": config.bytes.len(),
                "digest": config.digest,
            },
            "layers": [{
                "mediaType": BUNDLE_MEDIA_TYPE,
                "size": bundle.bytes.len(),
                "digest": bundle.digest,
            }],
            "subject": { "mediaType": image.media_type, "size": image.size, "digest": image.digest },
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": predicate_type,
                "org.opencontainers.image.created": rfc3339(now),
            },
        });
        let manifest = Blob::new(manifest.to_string().into_bytes());
        Ok(SignedArtifact {
            blobs: vec![bundle, config],
            manifest,
            media_type: OCI_MANIFEST_MEDIA_TYPE,
            tag: None,
        })
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = match &self.key {
            Key::Held(key) => key,
            Key::Remote(key) => return by_remote(key.as_ref(), message),
        };
        let random = SystemRandom::new();
        let failed = |_| SignError::Crypto;
        match &key.pair {
            KeyPair::Ecdsa(pair) => sign_ecdsa(pair, key.algorithm(), message),
            KeyPair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = &algorithms::RSA_PKCS1_SHA256;
                pair.sign(padding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

/// What comes back is checked: a token whose two halves do not belong together would sign what nobody can verify.
fn by_remote(key: &dyn RemoteKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let signature = key.sign(message).map_err(SignError::Remote)?;
    match key.public_key().verifies(message, &signature) {
        true => Ok(signature),
        false => {
            Err(SignError::Remote("the signature is not of the public key that belongs to it".to_owned()))
        }
    }
}

/// Over SHA-256 whatever the curve: that is what every verifier of either form assumes unless told otherwise. The
/// library signs P-384 and P-521 with their own hash only, but ECDSA (FIPS 186-5 § 6.4.1) uses a hash as a number:
/// SHA-256 with leading zeros is the same one.
fn sign_ecdsa(pair: &EcdsaKeyPair, algorithm: KeyAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let failed = |_| SignError::Crypto;
    let wide = match algorithm {
        KeyAlgorithm::EcdsaP384 => Some(&SHA384),
        KeyAlgorithm::EcdsaP521 => Some(&SHA512),
        _ => None,
    };
    let signature = match wide {
        None => pair.sign(&SystemRandom::new(), message).map_err(failed)?,
        Some(wide) => {
            let mut padded = vec![0; wide.output_len() - SHA256.output_len()];
            padded.extend_from_slice(hash(&SHA256, message).as_ref());
            let digest = Digest::import_less_safe(&padded, wide).map_err(failed)?;
            pair.sign_digest(&digest).map_err(failed)?
        }
    };
    Ok(signature.as_ref().to_vec())
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: digest::sha256(&bytes), bytes }
    }
}

/// The layers to keep, exactly as they are: also those we do not understand.
fn existing_layers(manifest: &[u8]) -> Result<Vec<Value>, SignError> {
    let shape = SignError::ExistingShape;
    let manifest = json::parse(manifest, limits::MANIFEST_BYTES_MAX)?;
    let manifest: &Map<String, Value> = manifest.as_object().ok_or(shape("it is not an object"))?;
    if manifest.contains_key("manifests") {
        return Err(shape("it is an index"));
    }
    let layers = manifest.get("layers").and_then(Value::as_array).ok_or(shape("it has no layers"))?;
    Ok(layers.clone())
}

pub use notation::NotationForm;

#[cfg(test)]
mod tests;
