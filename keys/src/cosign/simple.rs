//! cosign's `.sig` form: a JSON payload ("simple signing") with the signature in the layer's annotations.
//!
//! The checks have the numbers of cosign's signature specification as our reference orders them: 1 integrity, 2 which
//! path, 10 the signature (in `verify.rs`), 11 the claims. Checks 3 to 9 belong to the certificate path
//! (`sigstore`), which a rule that names keys never enters.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, Claims, SIGNATURE_ANNOTATION, decode_base64};
use crate::json::{self, JsonError};
use crate::{digest, limits};

/// `critical.type` of every cosign signature.
pub(crate) const PAYLOAD_TYPE: &str = "cosign container image signature";

/// The first check that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SimpleError {
    #[error("payload has {seen} bytes, its descriptor says {declared}")]
    Size { declared: u64, seen: usize },
    #[error("payload has digest `{seen}`, its descriptor says `{declared}`")]
    Digest { declared: String, seen: String },
    #[error(
        "annotation `{0}` marks a certificate identity, which a rule that names keys does not accept: sign with the key alone"
    )]
    Certificate(&'static str),
    #[error("annotation `{SIGNATURE_ANNOTATION}` is missing")]
    NoSignature,
    #[error("annotation `{SIGNATURE_ANNOTATION}` is not base64 of a signature")]
    SignatureEncoding,
    #[error("payload: {0}")]
    Json(#[from] JsonError),
    #[error("payload: {0}")]
    Shape(&'static str),
    #[error("payload type: expected `{PAYLOAD_TYPE}`, found `{0}`")]
    Type(String),
    #[error("signed for digest `{signed}`, not for `{expected}`")]
    OtherDigest { expected: String, signed: String },
}

/// A signature beside its payload, and which path it takes.
pub(crate) struct Opened {
    pub(crate) signature: Vec<u8>,
    /// The annotation that marks the certificate path (check 2).
    pub(crate) certificate: Option<&'static str>,
}

/// Checks 1 and 2. The payload itself is what was signed.
pub(crate) fn open(
    payload_digest: &str,
    payload_size: u64,
    payload: &[u8],
    annotations: &BTreeMap<String, String>,
) -> Result<Opened, SimpleError> {
    // 1. The blob is the one the manifest names: otherwise the registry could swap it.
    if u64::try_from(payload.len()) != Ok(payload_size) {
        return Err(SimpleError::Size { declared: payload_size, seen: payload.len() });
    }
    let seen = digest::sha256(payload);
    if seen != payload_digest {
        return Err(SimpleError::Digest { declared: json::quote(payload_digest), seen });
    }
    // 2. A certificate means the certificate path. No falling from one path to the other (CVE-2022-36056).
    let certificate = [CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION]
        .into_iter()
        .find(|&marker| annotations.contains_key(marker));
    let signature = annotations.get(SIGNATURE_ANNOTATION).ok_or(SimpleError::NoSignature)?;
    let signature = decode_base64(signature).ok_or(SimpleError::SignatureEncoding)?;
    let plausible = (1..=limits::SIGNATURE_BYTES_MAX).contains(&signature.len());
    plausible.then_some(Opened { signature, certificate }).ok_or(SimpleError::SignatureEncoding)
}

/// Check 11, on a payload whose signature is good: it is a cosign signature, and for this digest. Every object has
/// exactly the fields of the format, so that no reader, strict or lenient about case, can see another digest in it.
pub(crate) fn claims(payload: &[u8], expected_digest: &str) -> Result<Claims, SimpleError> {
    let bytes_max = usize::try_from(limits::SIMPLE_PAYLOAD_BYTES_MAX).unwrap_or(usize::MAX);
    let payload = json::parse(payload, bytes_max)?;
    let payload =
        fields(&payload, &["critical"], &["optional"], "it is not an object of `critical` and `optional`")?;
    let critical = fields(
        &payload["critical"],
        &["identity", "image", "type"],
        &[],
        "`critical` is not identity, image, type",
    )?;
    let identity =
        fields(&critical["identity"], &["docker-reference"], &[], "`identity` is not a docker-reference")?;
    let image =
        fields(&critical["image"], &["docker-manifest-digest"], &[], "`image` is not a manifest digest")?;
    let text = |value: &Value| {
        value.as_str().map(str::to_owned).ok_or(SimpleError::Shape("a claim is not a string"))
    };
    let (payload_type, repository) = (text(&critical["type"])?, text(&identity["docker-reference"])?);
    let signed = text(&image["docker-manifest-digest"])?;
    // 11a. The type: other signed JSON of the same key is no image signature.
    if payload_type != PAYLOAD_TYPE {
        return Err(SimpleError::Type(json::quote(&payload_type)));
    }
    // 11b. The digest: otherwise a signature could be moved to another image.
    if signed != expected_digest {
        return Err(SimpleError::OtherDigest {
            expected: expected_digest.to_owned(),
            signed: json::quote(&signed),
        });
    }
    let annotations = match payload.get("optional") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(annotations)) => annotations.clone(),
        Some(_) => return Err(SimpleError::Shape("`optional` is neither an object nor null")),
    };
    Ok(Claims { repository: Some(repository), annotations })
}

/// An object with all of `required`, perhaps `optional`, and nothing else.
fn fields<'a>(
    value: &'a Value,
    required: &[&str],
    optional: &[&str],
    otherwise: &'static str,
) -> Result<&'a Map<String, Value>, SimpleError> {
    let object = value.as_object().ok_or(SimpleError::Shape(otherwise))?;
    let known = |key: &String| required.contains(&key.as_str()) || optional.contains(&key.as_str());
    let complete = required.iter().all(|&key| object.contains_key(key)) && object.keys().all(known);
    complete.then_some(object).ok_or(SimpleError::Shape(otherwise))
}
