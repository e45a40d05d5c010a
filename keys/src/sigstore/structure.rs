//! The form of a bundle: of a version we know, complete for that version, bounded, and readable in one way only.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};
use sigstore_types::Bundle;
use sigstore_types::bundle::{MediaType, VerificationMaterialContent};

use super::SigstoreError;
use super::certificate::Certificate;
use super::note::Checkpoint;
use crate::cosign::BUNDLE_MEDIA_TYPES;
use crate::{json, limits};

/// Reads a bundle. The strict reader goes first: what it refuses (duplicate keys, trailing data), the foundation's
/// reader might understand in its own way.
pub(crate) fn read(bytes: &[u8]) -> Result<Bundle, SigstoreError> {
    let bytes_max = usize::try_from(limits::ATTESTATION_BYTES_MAX).unwrap_or(usize::MAX);
    let mut value = json::parse(bytes, bytes_max).map_err(|error| structure(error.to_string()))?;
    let object = value.as_object().ok_or_else(|| structure("it is not an object"))?;
    let media_type = object.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    if !BUNDLE_MEDIA_TYPES.contains(&media_type) {
        return Err(structure(format!("media type `{}` is not known", json::quote(media_type))));
    }
    check_choices(object)?;
    check_counts(object)?;
    check_notes(object)?;
    let text = match join_timestamps(&mut value) {
        true => Cow::Owned(value.to_string()),
        false => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|error| structure(error.to_string()))?),
    };
    let bundle = Bundle::from_json(&text).map_err(|error| structure(json::quote(&error.to_string())))?;
    check_certificates(&bundle)?;
    check_entries(&bundle)?;
    Ok(bundle)
}

/// Takes the line breaks out of timestamps that somebody packed with `base64`, which wraps its lines: protobuf's own JSON
/// readers pass over them, and what is proven are the bytes within. `true`: there were some.
fn join_timestamps(bundle: &mut Value) -> bool {
    let place = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
    let mut joined = false;
    for timestamp in bundle.pointer_mut(place).and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::String(text)) = timestamp.get_mut("signedTimestamp")
            && text.contains(['\r', '\n'])
        {
            text.retain(|letter| !matches!(letter, '\r' | '\n'));
            joined = true;
        }
    }
    joined
}

fn structure(text: impl Into<String>) -> SigstoreError {
    SigstoreError::Structure(text.into())
}

/// Of each "one of", one: of two, the foundation's reader takes the first and another reader the second.
fn check_choices(bundle: &Map<String, Value>) -> Result<(), SigstoreError> {
    let present = |object: &Map<String, Value>, keys: &[&str]| {
        keys.iter().filter(|key| object.contains_key(**key)).count()
    };
    let material = bundle.get("verificationMaterial").and_then(Value::as_object);
    let material = material.ok_or_else(|| structure("it has no verification material"))?;
    if present(material, &["certificate", "x509CertificateChain", "publicKey"]) != 1 {
        return Err(structure("it does not have exactly one certificate, chain or key"));
    }
    if present(bundle, &["dsseEnvelope", "messageSignature"]) != 1 {
        return Err(structure("it does not have exactly one of envelope and message signature"));
    }
    Ok(())
}

/// Bounds before anything is decoded (CVE-2024-45395).
fn check_counts(bundle: &Map<String, Value>) -> Result<(), SigstoreError> {
    let material = &bundle["verificationMaterial"];
    let count = |value: Option<&Value>| value.and_then(Value::as_array).map_or(0, Vec::len);
    let mut lists = vec![
        ("log entries", count(material.get("tlogEntries")), limits::LOG_ENTRIES_MAX),
        (
            "timestamps",
            count(material.pointer("/timestampVerificationData/rfc3161Timestamps")),
            limits::TIMESTAMPS_MAX,
        ),
        (
            "certificates",
            count(material.pointer("/x509CertificateChain/certificates")),
            limits::CHAIN_CERTIFICATES_MAX,
        ),
    ];
    for entry in material.get("tlogEntries").and_then(Value::as_array).into_iter().flatten() {
        let hashes = count(entry.pointer("/inclusionProof/hashes"));
        lists.push(("hashes in an inclusion proof", hashes, limits::PROOF_HASHES_MAX));
    }
    match lists.into_iter().find(|(_, seen, max)| seen > max) {
        Some((what, seen, max)) => Err(structure(format!("{seen} {what}, at most {max} are looked at"))),
        None => Ok(()),
    }
}

/// Checkpoints as signed notes, before the foundation's reader sees them: it trims lines, which signatures cover.
fn check_notes(bundle: &Map<String, Value>) -> Result<(), SigstoreError> {
    let entries = bundle["verificationMaterial"].get("tlogEntries").and_then(Value::as_array);
    for entry in entries.into_iter().flatten() {
        let note = entry.pointer("/inclusionProof/checkpoint/envelope").and_then(Value::as_str);
        note.filter(|note| !note.is_empty()).map(Checkpoint::parse).transpose()?;
    }
    Ok(())
}

/// A chain ends below its root: roots come from the trusted root, and one in a bundle wants to be taken for it. Bundles
/// of version 0.1 were written with the root in them; there it is only a certificate that leads nowhere.
fn check_certificates(bundle: &Bundle) -> Result<(), SigstoreError> {
    let VerificationMaterialContent::X509CertificateChain { certificates } =
        &bundle.verification_material.content
    else {
        return Ok(());
    };
    if bundle.media_type == MediaType::Bundle0_3 {
        return Err(structure("a bundle of version 0.3 has one certificate, this one has a chain"));
    }
    if certificates.is_empty() {
        return Err(structure("its chain has no certificate"));
    }
    for certificate in certificates {
        let is_root = Certificate::parse(certificate.raw_bytes.as_bytes())?.is_self_signed();
        if is_root && bundle.media_type != MediaType::Bundle0_1 {
            return Err(structure("its chain has a self-signed certificate"));
        }
    }
    Ok(())
}

/// What each version asks of every entry, not of any one: an entry without its proof would ride along unproven.
fn check_entries(bundle: &Bundle) -> Result<(), SigstoreError> {
    let mut seen = BTreeSet::new();
    for entry in &bundle.verification_material.tlog_entries {
        let proof = entry.inclusion_proof.as_ref();
        if bundle.media_type == MediaType::Bundle0_1 && entry.inclusion_promise.is_none() {
            return Err(structure("an entry in a bundle of version 0.1 has no inclusion promise"));
        }
        if bundle.media_type != MediaType::Bundle0_1 && proof.is_none() {
            return Err(structure("an entry has no inclusion proof"));
        }
        if proof.is_some_and(|proof| proof.checkpoint.is_empty()) {
            return Err(structure("an inclusion proof has no checkpoint"));
        }
        // The same entry twice is one witness (sigstore-go #633).
        if !seen.insert((entry.log_id.key_id.as_bytes(), entry.log_index.get())) {
            return Err(structure("the same log entry twice"));
        }
    }
    Ok(())
}
