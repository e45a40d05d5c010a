//! Notary Project signatures: JWS and COSE envelopes by a key and the certificates that name its holder.

use std::collections::BTreeMap;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Blob, ImageDescriptor, OCI_MANIFEST_MEDIA_TYPE, SignError, SignedArtifact, Signer};
use crate::der::{self, Reader};
use crate::keyring::KeyPair;
use crate::moment::rfc3339;
use crate::notation::{
    Algorithm, COSE_MEDIA_TYPE, JWS_MEDIA_TYPE, PAYLOAD_TYPE, SIGNATURE_TYPE, SigningScheme, attribute, cbor,
    cose,
};
use crate::x509::{Certificate, Purpose, check_chain, valid_at};

/// Who made the envelope; informative.
const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
const AGENT_ATTRIBUTE: &str = "io.cncf.notary.signingAgent";
/// SHA-256 of each certificate, for a look at the listing.
const THUMBPRINTS: &str = "io.cncf.notary.x509chain.thumbprint#S256";

/// The two forms of envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotationForm {
    /// CBOR.
    Cose,
    /// JSON; what `notation` writes unless told otherwise.
    Jws,
}

impl Signer {
    /// Signs `image` as the Notary Project does, scheme `notary.x509`: a referrer with one envelope. `chain` is the
    /// holder's certificates, leaf first, root last; `metadata` is signed along. `now` is seconds since 1970-01-01 UTC.
    pub fn sign_notation(
        &self,
        image: ImageDescriptor<'_>,
        chain: &[Certificate],
        form: NotationForm,
        metadata: &BTreeMap<String, String>,
        now: i64,
    ) -> Result<SignedArtifact, SignError> {
        image.sha256()?;
        // What no verifier would accept is not signed.
        check_chain(chain, Purpose::CodeSigning)?;
        valid_at(chain, now)?;
        let leaf = chain.first().ok_or(crate::x509::ChainError::Empty)?;
        let (certificate, key) = (leaf.key_id(), self.public_key().key_id());
        if certificate != key {
            return Err(SignError::CertificateKey { certificate, key });
        }
        let kind = leaf.key().kind();
        let algorithm = Algorithm::of_key(kind).ok_or_else(|| SignError::NotationKey(kind.to_string()))?;
        let mut target = json!({ "mediaType": image.media_type, "digest": image.digest, "size": image.size });
        if !metadata.is_empty() {
            target["annotations"] = json!(metadata);
        }
        let payload = json!({ "targetArtifact": target }).to_string().into_bytes();
        let (media_type, envelope) = match form {
            NotationForm::Cose => (COSE_MEDIA_TYPE, self.cose(algorithm, chain, payload, now)?),
            NotationForm::Jws => (JWS_MEDIA_TYPE, self.jws(algorithm, chain, &payload, now)?),
        };
        let (envelope, config) = (Blob::new(envelope), Blob::new(b"{}".to_vec()));
        let thumbprints: Vec<String> = chain.iter().map(Certificate::thumbprint).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST_MEDIA_TYPE,
            // The older of the two ways to say what it is: every client reads it, and so does every registry.
            "config": { "mediaType": SIGNATURE_TYPE, "size": config.bytes.len(), "digest": config.digest },
            "layers": [{
                "mediaType": media_type,
                "size": envelope.bytes.len(),
                "digest": envelope.digest,
            }],
            "subject": { "mediaType": image.media_type, "size": image.size, "digest": image.digest },
            "annotations": {
                THUMBPRINTS: json!(thumbprints).to_string(),
                "org.opencontainers.image.created": rfc3339(now),
            },
        });
        let manifest = Blob::new(manifest.to_string().into_bytes());
        let blobs = vec![envelope, config];
        Ok(SignedArtifact { blobs, manifest, media_type: OCI_MANIFEST_MEDIA_TYPE, tag: None })
    }

    fn jws(
        &self,
        algorithm: Algorithm,
        chain: &[Certificate],
        payload: &[u8],
        now: i64,
    ) -> Result<Vec<u8>, SignError> {
        let protected = json!({
            "alg": algorithm.name(),
            "crit": [attribute::SIGNING_SCHEME],
            "cty": PAYLOAD_TYPE,
            attribute::SIGNING_SCHEME: SigningScheme::X509.name(),
            attribute::SIGNING_TIME: rfc3339(now),
        });
        let protected = URL_SAFE_NO_PAD.encode(protected.to_string());
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let signature = self.sign_fixed(algorithm, format!("{protected}.{payload}").as_bytes())?;
        let x5c: Vec<String> = chain.iter().map(|certificate| STANDARD.encode(certificate.der())).collect();
        let envelope: Value = json!({
            "payload": payload,
            "protected": protected,
            "header": { "x5c": x5c, AGENT_ATTRIBUTE: AGENT },
            "signature": URL_SAFE_NO_PAD.encode(signature),
        });
        Ok(envelope.to_string().into_bytes())
    }

    fn cose(
        &self,
        algorithm: Algorithm,
        chain: &[Certificate],
        payload: Vec<u8>,
        now: i64,
    ) -> Result<Vec<u8>, SignError> {
        use cbor::Item;
        let text = |text: &str| Item::Text(text.to_owned());
        let bytes = |item: &Item| {
            let mut bytes = Vec::new();
            cbor::write(item, &mut bytes);
            bytes
        };
        // In the order of RFC 8949 § 4.2.1: by the bytes of the label.
        let protected = bytes(&Item::Map(vec![
            (cose::ALGORITHM, Item::Integer(algorithm.label())),
            (cose::CRITICAL, Item::Array(vec![text(attribute::SIGNING_SCHEME)])),
            (cose::CONTENT_TYPE, text(PAYLOAD_TYPE)),
            (
                text(attribute::SIGNING_TIME),
                Item::Tag(cose::EPOCH_TAG, Box::new(Item::Integer(i128::from(now)))),
            ),
            (text(attribute::SIGNING_SCHEME), text(SigningScheme::X509.name())),
        ]));
        let signature = self.sign_fixed(algorithm, &cose::to_be_signed(&protected, &payload))?;
        let certificates = chain.iter().map(|certificate| Item::Bytes(certificate.der().to_vec()));
        let header = Item::Map(vec![
            (cose::X5CHAIN, Item::Array(certificates.collect())),
            (text(AGENT_ATTRIBUTE), text(AGENT)),
        ]);
        let message =
            Item::Array(vec![Item::Bytes(protected), header, Item::Bytes(payload), Item::Bytes(signature)]);
        Ok(bytes(&Item::Tag(cose::SIGN1_TAG, Box::new(message))))
    }

    /// With the hash of the algorithm; ECDSA as two numbers of fixed width (RFC 7518 § 3.4, RFC 9053 § 2.1).
    fn sign_fixed(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        let failed = |_| SignError::Crypto;
        let super::Key::Held(key) = &self.key else { return Err(SignError::RemoteNotation) };
        match (&key.pair, algorithm) {
            (KeyPair::Ecdsa(pair), Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512) => {
                let width = match algorithm {
                    Algorithm::Es256 => 32,
                    Algorithm::Es384 => 48,
                    _ => 66,
                };
                let signature = pair.sign(&random, message).map_err(failed)?;
                fixed(signature.as_ref(), width).ok_or(SignError::Crypto)
            }
            (KeyPair::Rsa(pair), Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512) => {
                let padding = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    _ => &RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            _ => Err(SignError::Crypto),
        }
    }
}

/// ECDSA-Sig-Value as r and s, each of `width` bytes.
fn fixed(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    let mut numbers = Reader::new(signature).nested(der::SEQUENCE)?;
    let mut out = Vec::with_capacity(width.checked_mul(2)?);
    for _ in 0..2 {
        let number = numbers.unsigned()?;
        out.resize(out.len() + width.checked_sub(number.len())?, 0);
        out.extend_from_slice(number);
    }
    numbers.end()?;
    Some(out)
}
