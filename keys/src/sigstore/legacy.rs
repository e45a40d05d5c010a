//! cosign's older form of the same proofs: certificate, log promise and timestamp as annotations beside a signature.
//!
//! They are put into a bundle, so that one verifier judges both forms.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sigstore_types::bundle::{
    InclusionPromise, LogId, MediaType, MessageSignature, Rfc3161Timestamp, TimestampVerificationData,
    TransparencyLogEntry, VerificationMaterial, VerificationMaterialContent, X509Certificate,
};
use sigstore_types::{
    Bundle, CanonicalizedBody, DerCertificate, DsseEnvelope, KindVersion, LogIndex, LogKeyId, SignatureBytes,
    SignatureContent, SignedTimestamp, TimestampToken,
};

use super::SigstoreError;
use super::authority::parse_certificates;
use super::certificate::Certificate;
use crate::cosign::{CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, LOG_ANNOTATION, TIMESTAMP_ANNOTATION};
use crate::{json, limits};

/// Bytes of an annotation with a log entry or a timestamp. Both hold a certificate or two.
const ANNOTATION_BYTES_MAX: usize = 256 << 10;

/// The bundle around a payload's signature.
pub(crate) fn message(
    signature: &[u8],
    annotations: &BTreeMap<String, String>,
) -> Result<Bundle, SigstoreError> {
    let signature = MessageSignature::new(SignatureBytes::from_bytes(signature));
    bundle(SignatureContent::MessageSignature(signature), annotations, timestamps(annotations)?)
}

/// The bundle around an envelope. An old attestation's timestamp is over the whole envelope instead of its signature:
/// it proves nothing that we check, so the log's promise is the only time.
pub(crate) fn envelope(
    envelope: &[u8],
    annotations: &BTreeMap<String, String>,
) -> Result<Bundle, SigstoreError> {
    let envelope: DsseEnvelope =
        serde_json::from_slice(envelope).map_err(|error| structure(json::quote(&error.to_string())))?;
    bundle(SignatureContent::DsseEnvelope(envelope), annotations, Vec::new())
}

fn bundle(
    content: SignatureContent,
    annotations: &BTreeMap<String, String>,
    timestamps: Vec<Rfc3161Timestamp>,
) -> Result<Bundle, SigstoreError> {
    let entry = annotations.get(LOG_ANNOTATION).map(|text| log_entry(text)).transpose()?;
    let media_type = if entry.is_some() { MediaType::Bundle0_1 } else { MediaType::Bundle0_2 };
    let certificates = certificates(annotations)?;
    let material = VerificationMaterialContent::X509CertificateChain { certificates };
    let material = VerificationMaterial::new(material)
        .with_tlog_entries(entry.into_iter().collect())
        .with_timestamp_verification_data(TimestampVerificationData::new(timestamps));
    Ok(Bundle::new(media_type, material, content))
}

fn structure(text: impl Into<String>) -> SigstoreError {
    SigstoreError::Structure(text.into())
}

/// The leaf, and what may lie between it and a root of ours. Roots in the annotation are nobody's.
fn certificates(annotations: &BTreeMap<String, String>) -> Result<Vec<X509Certificate>, SigstoreError> {
    let pem = |name| annotations.get(name).map_or("", String::as_str);
    let leaf = parse_certificates(pem(CERTIFICATE_ANNOTATION)).map_err(structure)?;
    let [leaf] = leaf.as_slice() else {
        return Err(structure(format!("annotation `{CERTIFICATE_ANNOTATION}` is not one certificate")));
    };
    let chain = parse_certificates(pem(CHAIN_ANNOTATION)).map_err(structure)?;
    let mut certificates = vec![leaf.clone()];
    for certificate in chain {
        if !Certificate::parse(&certificate)?.is_self_signed() {
            certificates.push(certificate);
        }
    }
    Ok(certificates.into_iter().map(|der| X509Certificate::new(DerCertificate::new(der))).collect())
}

/// `{"SignedEntryTimestamp": …, "Payload": {"body", "integratedTime", "logIndex", "logID"}}`
fn log_entry(text: &str) -> Result<TransparencyLogEntry, SigstoreError> {
    let refuse = || SigstoreError::LogEntry(format!("annotation `{LOG_ANNOTATION}` is not a log entry"));
    let entry = json::parse(text.as_bytes(), ANNOTATION_BYTES_MAX).map_err(|_| refuse())?;
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).ok_or_else(refuse);
    let number = |pointer: &str| entry.pointer(pointer).and_then(Value::as_i64).ok_or_else(refuse);
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| refuse());
    let promise = decode(text("/SignedEntryTimestamp")?)?;
    let body = decode(text("/Payload/body")?)?;
    let log_id = hex::decode(text("/Payload/logID")?).map_err(|_| refuse())?;
    let index = LogIndex::try_from(number("/Payload/logIndex")?).map_err(|_| refuse())?;
    // The entry's own kind and version: the annotation repeats them nowhere.
    let kind = json::parse(&body, ANNOTATION_BYTES_MAX).map_err(|_| refuse())?;
    let field = |name: &str| kind.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = match (field("kind"), field("apiVersion")) {
        ("hashedrekord", "0.0.1") => KindVersion::HashedRekordV001,
        ("dsse", "0.0.1") => KindVersion::DsseV001,
        ("intoto", "0.0.2") => KindVersion::IntotoV002,
        (kind, version) => {
            let seen = json::quote(&format!("{kind} {version}"));
            return Err(SigstoreError::LogEntry(format!("kind `{seen}` is not known")));
        }
    };
    let time = number("/Payload/integratedTime")?;
    let time = jiff::Timestamp::from_second(time).ok().ok_or_else(refuse)?;
    let log_id = LogId::new(LogKeyId::from_bytes(&log_id));
    Ok(TransparencyLogEntry::new(index, log_id, kind, CanonicalizedBody::new(body))
        .with_integrated_time(time)
        .with_inclusion_promise(InclusionPromise::new(SignedTimestamp::new(promise))))
}

/// `{"SignedRFC3161Timestamp": …}`
fn timestamps(annotations: &BTreeMap<String, String>) -> Result<Vec<Rfc3161Timestamp>, SigstoreError> {
    let Some(text) = annotations.get(TIMESTAMP_ANNOTATION) else { return Ok(Vec::new()) };
    let refuse = || SigstoreError::Time(format!("annotation `{TIMESTAMP_ANNOTATION}` is not a timestamp"));
    let value = json::parse(text.as_bytes(), ANNOTATION_BYTES_MAX).map_err(|_| refuse())?;
    let token = value.get("SignedRFC3161Timestamp").and_then(Value::as_str).ok_or_else(refuse)?;
    let token = STANDARD.decode(token).map_err(|_| refuse())?;
    let is_plausible = token.len() <= limits::CERTIFICATE_BYTES_MAX;
    is_plausible.then(|| vec![Rfc3161Timestamp::new(TimestampToken::new(token))]).ok_or_else(refuse)
}

#[cfg(test)]
mod tests;
