//! cosign 3's form: a sigstore bundle with a DSSE envelope around an in-toto statement, found as a referrer.
//!
//! Of a bundle by a key, only what proves the key is read. Log entries and timestamps that it may carry are neither
//! needed nor believed: a rule that names keys rests on the key and its validity window alone. A bundle by a
//! certificate goes to `sigstore`.

use serde_json::{Map, Value};

use super::{BUNDLE_MEDIA_TYPES, Claims, decode_base64};
use crate::json::{self, JsonError};
use crate::{digest, limits};

/// `payloadType` of in-toto statements.
pub(crate) const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// `_type` of the statement.
pub(crate) const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The predicate that makes a statement an image signature.
pub(crate) const SIGN_PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The first check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("bundle has {seen} bytes, its descriptor says {declared}")]
    Size { declared: u64, seen: usize },
    #[error("bundle has digest `{seen}`, its descriptor says `{declared}`")]
    Digest { declared: String, seen: String },
    #[error("its manifest is about `{seen}`, not about `{expected}`")]
    OtherReferrer { expected: String, seen: String },
    #[error("bundle: {0}")]
    Json(JsonError),
    #[error("bundle: media type `{0}` is not known")]
    MediaType(String),
    #[error(
        "bundle: a certificate identity, which a rule that names keys does not accept: sign with the key alone"
    )]
    Certificate,
    #[error("bundle: {0}")]
    Shape(&'static str),
    #[error(
        "bundle: a message signature does not say that it is an image signature; sign with `cosign sign`, not `sign-blob`"
    )]
    MessageSignature,
    #[error("bundle: expected one DSSE signature, found {0}")]
    SignatureCount(usize),
    #[error("bundle: expected payload type `{IN_TOTO_PAYLOAD_TYPE}`, found `{0}`")]
    PayloadType(String),
    #[error("statement: {0}")]
    StatementJson(JsonError),
    #[error("statement: {0}")]
    StatementShape(&'static str),
    #[error("statement: expected type `{STATEMENT_TYPE}`, found `{0}`")]
    StatementType(String),
    #[error(
        "statement: expected predicate `{SIGN_PREDICATE_TYPE}`, found `{0}`: an attestation is no signature"
    )]
    PredicateType(String),
    #[error("statement: expected one subject, found {0}")]
    SubjectCount(usize),
    #[error("signed for digest `{signed}`, not for `{expected}`")]
    OtherDigest { expected: String, signed: String },
}

/// Which path the bundle takes.
#[derive(Debug)]
pub(crate) enum Opened {
    ByKey(SignedByKey),
    /// The bundle itself is the envelope; `sigstore` verifies it whole.
    ByCertificate,
}

/// What was signed, and by whom it says.
#[derive(Debug)]
pub(crate) struct SignedByKey {
    /// The pre-authentication encoding: what the signature is over.
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// The statement's bytes.
    pub(crate) payload: Vec<u8>,
    /// The key that the bundle names, as a key id. It selects, it never authorises. `None`: not said in that form.
    pub(crate) hint: Option<String>,
}

/// The checks before the signature, in sigstore-go's order: where it lies, what it is, which path, one envelope.
pub(crate) fn open(
    bundle_digest: &str,
    bundle_size: u64,
    bundle: &[u8],
    subject_digest: &str,
    expected_digest: &str,
    bytes_max: u64,
) -> Result<Opened, BundleError> {
    // 1. The blob is the one the manifest names.
    if u64::try_from(bundle.len()) != Ok(bundle_size) {
        return Err(BundleError::Size { declared: bundle_size, seen: bundle.len() });
    }
    let seen = digest::sha256(bundle);
    if seen != bundle_digest {
        return Err(BundleError::Digest { declared: json::quote(bundle_digest), seen });
    }
    // 2. The manifest is a referrer of this image: a listing, which anybody may write, is not asked.
    if subject_digest != expected_digest {
        let (expected, seen) = (expected_digest.to_owned(), json::quote(subject_digest));
        return Err(BundleError::OtherReferrer { expected, seen });
    }
    // 3. A bundle of a version we know.
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let bundle = json::parse(bundle, bytes_max).map_err(BundleError::Json)?;
    let bundle = bundle.as_object().ok_or(BundleError::Shape("it is not an object"))?;
    let media_type = text(bundle, "mediaType").unwrap_or_default();
    if !BUNDLE_MEDIA_TYPES.contains(&media_type) {
        return Err(BundleError::MediaType(json::quote(media_type)));
    }
    // 4. One envelope, whose form does not depend on the path.
    let envelope = envelope(bundle)?;
    // 5. A key or a certificate: no falling from one path to the other.
    let Some(hint) = key_hint(bundle)? else { return Ok(Opened::ByCertificate) };
    Ok(Opened::ByKey(SignedByKey { hint, ..signed(envelope)? }))
}

/// The checks after the signature, on the very bytes that were signed: it is an image signature, and for this digest.
pub(crate) fn claims(payload: &[u8], expected_digest: &str) -> Result<Claims, BundleError> {
    let statement = json::parse(payload, payload.len()).map_err(BundleError::StatementJson)?;
    let statement = statement.as_object().ok_or(BundleError::StatementShape("it is not an object"))?;
    // 8. The types. By value, absence fails (CVE-2022-35929): a signed SBOM or a failed scan report of the same key is
    // no image signature (CVE-2026-39395).
    let statement_type = text(statement, "_type").unwrap_or_default();
    if statement_type != STATEMENT_TYPE {
        return Err(BundleError::StatementType(json::quote(statement_type)));
    }
    let predicate_type = text(statement, "predicateType").unwrap_or_default();
    if predicate_type != SIGN_PREDICATE_TYPE {
        return Err(BundleError::PredicateType(json::quote(predicate_type)));
    }
    // 9. Exactly one subject: this digest, under its own algorithm's name.
    let subjects = statement.get("subject").and_then(Value::as_array);
    let subjects = subjects.ok_or(BundleError::StatementShape("it has no list of subjects"))?;
    let [subject] = subjects.as_slice() else { return Err(BundleError::SubjectCount(subjects.len())) };
    let digests = subject.get("digest").and_then(Value::as_object);
    let digests = digests.filter(|digests| (1..=limits::SUBJECT_DIGESTS_MAX).contains(&digests.len()));
    let digests = digests.ok_or(BundleError::StatementShape("its subject has no digests, or too many"))?;
    let (algorithm, hex) =
        digest::split(expected_digest).ok_or(BundleError::StatementShape("no digest to compare"))?;
    let signed = text(digests, algorithm).unwrap_or_default();
    if signed != hex {
        let signed = format!("{algorithm}:{}", json::quote(signed));
        return Err(BundleError::OtherDigest { expected: expected_digest.to_owned(), signed });
    }
    let annotations = match subject.get("annotations") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(annotations)) => annotations.clone(),
        Some(_) => return Err(BundleError::StatementShape("its subject's annotations are not an object")),
    };
    Ok(Claims { repository: None, annotations })
}

/// What an envelope signs: one signature, over a statement.
pub(crate) fn signed(envelope: &Map<String, Value>) -> Result<SignedByKey, BundleError> {
    let signatures = envelope.get("signatures").and_then(Value::as_array);
    let signatures = signatures.ok_or(BundleError::Shape("the envelope has no signatures"))?;
    let [signature] = signatures.as_slice() else {
        return Err(BundleError::SignatureCount(signatures.len()));
    };
    let signature = signature.get("sig").and_then(Value::as_str).and_then(decode_base64);
    let signature =
        signature.filter(|signature| (1..=limits::SIGNATURE_BYTES_MAX).contains(&signature.len()));
    let signature = signature.ok_or(BundleError::Shape("the signature is not base64 of one"))?;
    // The envelope's type, which the signature covers.
    let payload_type = text(envelope, "payloadType").unwrap_or_default();
    if payload_type != IN_TOTO_PAYLOAD_TYPE {
        return Err(BundleError::PayloadType(json::quote(payload_type)));
    }
    let payload = text(envelope, "payload").and_then(decode_base64);
    let payload = payload.ok_or(BundleError::Shape("the payload is not base64"))?;
    let message = pre_authentication_encoding(payload_type, &payload);
    Ok(SignedByKey { message, signature, payload, hint: None })
}

/// DSSE v1 § Signature definition: type and payload with their lengths, so that neither can flow into the other.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// `None` for a certificate; for a key the hint, where it is one.
fn key_hint(bundle: &Map<String, Value>) -> Result<Option<Option<String>>, BundleError> {
    let material = bundle.get("verificationMaterial").and_then(Value::as_object);
    let material = material.ok_or(BundleError::Shape("it has no verification material"))?;
    if material.contains_key("certificate") || material.contains_key("x509CertificateChain") {
        return Ok(None);
    }
    let key = material.get("publicKey").and_then(Value::as_object);
    let hint = text(key.ok_or(BundleError::Shape("it names no public key"))?, "hint").and_then(decode_base64);
    Ok(Some(hint.filter(|hint| hint.len() == 32).map(hex::encode)))
}

fn envelope(bundle: &Map<String, Value>) -> Result<&Map<String, Value>, BundleError> {
    match (bundle.get("dsseEnvelope"), bundle.get("messageSignature")) {
        (Some(Value::Object(envelope)), None) => Ok(envelope),
        (None, Some(_)) => Err(BundleError::MessageSignature),
        _ => Err(BundleError::Shape("it does not have exactly one DSSE envelope")),
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}
