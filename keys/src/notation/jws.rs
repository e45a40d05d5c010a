//! The JWS form: flattened JSON with a protected and an unprotected header (RFC 7515 § 7.2.2).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::envelope::{Algorithm, AttributeValue, EnvelopeError, UnverifiedEnvelope, attribute};
use crate::{json, limits, moment};

type Object = Map<String, Value>;

/// Takes a JWS apart. Nothing in it is believed; what two readers could read differently is refused.
pub(crate) fn parse(bytes: &[u8]) -> Result<UnverifiedEnvelope, EnvelopeError> {
    let envelope = object(bytes, "envelope")?;
    // The general form with `signatures` would let one reader see another signature than we do.
    let known = ["payload", "protected", "header", "signature"];
    if let Some(name) = envelope.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(EnvelopeError::UnexpectedMember(json::quote(name)));
    }
    let encoded_payload = text(&envelope, "payload")?;
    let encoded_protected = text(&envelope, "protected")?;
    let protected = object(&base64_url(encoded_protected, "protected")?, "protected header")?;
    let header = match envelope.get("header") {
        Some(Value::Object(header)) => header,
        _ => return Err(member("header")),
    };
    // RFC 7515 § 7.2.1: the names of the two headers must be disjoint.
    if let Some(name) = header.keys().find(|name| protected.contains_key(*name)) {
        return Err(EnvelopeError::Repeated(json::quote(name)));
    }
    let name = text(&protected, "alg")?;
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    Ok(UnverifiedEnvelope {
        algorithm: algorithm.ok_or_else(|| EnvelopeError::Algorithm(json::quote(name)))?,
        content_type: text(&protected, "cty")?.to_owned(),
        critical: critical(&protected)?,
        attributes: attributes(&protected)?,
        chain: chain(header)?,
        payload: base64_url(encoded_payload, "payload")?,
        message: format!("{encoded_protected}.{encoded_payload}").into_bytes(),
        signature: base64_url(text(&envelope, "signature")?, "signature")?,
        timestamp: timestamp(header)?,
    })
}

fn critical(protected: &Object) -> Result<Vec<String>, EnvelopeError> {
    let Some(Value::Array(names)) = protected.get("crit") else { return Err(member("crit")) };
    let mut critical: Vec<String> = Vec::new();
    for name in names {
        let name = name.as_str().ok_or_else(|| member("crit"))?;
        if critical.iter().any(|other| other == name) {
            return Err(EnvelopeError::Repeated(json::quote(name)));
        }
        critical.push(name.to_owned());
    }
    Ok(critical)
}

fn attributes(protected: &Object) -> Result<Vec<(String, AttributeValue)>, EnvelopeError> {
    let times = [attribute::SIGNING_TIME, attribute::AUTHENTIC_SIGNING_TIME, attribute::EXPIRY];
    let others = protected.iter().filter(|(name, _)| !["alg", "crit", "cty"].contains(&name.as_str()));
    others
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) if times.contains(&name.as_str()) => AttributeValue::Time(
                    moment::parse_rfc3339(text).ok_or_else(|| EnvelopeError::Member(name.clone()))?,
                ),
                Value::String(text) => AttributeValue::Text(text.clone()),
                _ => AttributeValue::Other,
            };
            Ok((name.clone(), value))
        })
        .collect()
}

fn chain(header: &Object) -> Result<Vec<Vec<u8>>, EnvelopeError> {
    let Some(Value::Array(certificates)) = header.get("x5c") else { return Err(member("x5c")) };
    let decode = |certificate: &Value| STANDARD.decode(certificate.as_str()?).ok();
    let bounded = certificates.iter().take(limits::CHAIN_MAX + 1);
    bounded.map(|certificate| decode(certificate).ok_or_else(|| member("x5c"))).collect()
}

fn timestamp(header: &Object) -> Result<Option<Vec<u8>>, EnvelopeError> {
    let Some(token) = header.get(attribute::TIMESTAMP) else { return Ok(None) };
    let token = token.as_str().and_then(|token| STANDARD.decode(token).ok());
    token.map(Some).ok_or_else(|| member(attribute::TIMESTAMP))
}

fn object(bytes: &[u8], part: &'static str) -> Result<Object, EnvelopeError> {
    let value = json::parse(bytes, limits::NOTATION_ENVELOPE_BYTES_MAX);
    match value.map_err(|error| EnvelopeError::Json { part, error })? {
        Value::Object(object) => Ok(object),
        _ => Err(member(part)),
    }
}

fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, EnvelopeError> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| member(name))
}

fn base64_url(text: &str, name: &str) -> Result<Vec<u8>, EnvelopeError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| member(name))
}

fn member(name: &str) -> EnvelopeError {
    EnvelopeError::Member(name.to_owned())
}
