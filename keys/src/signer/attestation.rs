//! Attestations in the form that cosign 2 reads: DSSE envelopes as layers of the `.att` tag.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{
    Blob, ImageDescriptor, OCI_CONFIG_MEDIA_TYPE, OCI_MANIFEST_MEDIA_TYPE, SIGNATURES_MAX, SignError,
    SignedArtifact, Signer, existing_layers,
};
use crate::cosign::bundle::{
    IN_TOTO_PAYLOAD_TYPE, SIGN_PREDICATE_TYPE, STATEMENT_TYPE, pre_authentication_encoding,
};
use crate::cosign::{self, ENVELOPE_MEDIA_TYPE, SIGNATURE_ANNOTATION};
use crate::json;

/// Attestations are told apart by it before they are fetched. Nobody may trust it: the type that counts is signed.
const PREDICATE_TYPE_ANNOTATION: &str = "predicateType";

/// An in-toto statement (version 1) about one image.
pub(super) fn statement(subject: Value, predicate_type: &str, predicate: &Value) -> Vec<u8> {
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": predicate_type,
        "predicate": predicate,
    });
    statement.to_string().into_bytes()
}

/// An attestation has a type, and that of signatures is made by signing only.
pub(super) fn check_type(predicate_type: &str) -> Result<(), SignError> {
    if predicate_type.is_empty() || predicate_type == SIGN_PREDICATE_TYPE {
        return Err(SignError::PredicateType(json::quote(predicate_type)));
    }
    Ok(())
}

impl Signer {
    /// Signs what `predicate` says about `digest` in the form of the `.att` tag. `existing` is the manifest found under
    /// [`cosign::attestation_tag`]: what it holds is kept, and this is added.
    ///
    /// # Errors
    /// When the digest or the type cannot be stated, or the manifest cannot be added to.
    pub fn attest_envelope(
        &self,
        digest: &str,
        predicate_type: &str,
        predicate: &Value,
        existing: Option<&[u8]>,
    ) -> Result<SignedArtifact, SignError> {
        check_type(predicate_type)?;
        let image = ImageDescriptor { digest, media_type: "", size: 0 };
        let subject = json!({ "digest": { "sha256": image.sha256()? } });
        let statement = statement(subject, predicate_type, predicate);
        let signature = self.sign(&pre_authentication_encoding(IN_TOTO_PAYLOAD_TYPE, &statement))?;
        let envelope = json!({
            "payloadType": IN_TOTO_PAYLOAD_TYPE,
            "payload": STANDARD.encode(&statement),
            "signatures": [{ "keyid": "", "sig": STANDARD.encode(signature) }],
        });
        let envelope = Blob::new(envelope.to_string().into_bytes());
        let mut layers = existing.map(existing_layers).transpose()?.unwrap_or_default();
        if layers.len() >= SIGNATURES_MAX {
            return Err(SignError::TooMany(layers.len()));
        }
        layers.push(json!({
            "mediaType": ENVELOPE_MEDIA_TYPE,
            "size": envelope.bytes.len(),
            "digest": envelope.digest,
            // cosign looks for the empty signature to know its own.
            "annotations": { SIGNATURE_ANNOTATION: "", PREDICATE_TYPE_ANNOTATION: predicate_type },
        }));
        let tag = cosign::attestation_tag(digest).ok_or_else(|| SignError::Digest(json::quote(digest)))?;
        Ok(tagged(envelope, layers, tag))
    }
}

/// The manifest that cosign writes under its tags: an image whose layers are what was signed.
pub(super) fn tagged(made: Blob, layers: Vec<Value>, tag: String) -> SignedArtifact {
    let diff_ids: Vec<&Value> = layers.iter().filter_map(|layer| layer.get("digest")).collect();
    let config = json!({
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = Blob::new(config.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST_MEDIA_TYPE,
        "config": {
            "mediaType": OCI_CONFIG_MEDIA_TYPE,
            "size": config.bytes.len(),
            "digest": config.digest,
        },
        "layers": layers,
    });
    SignedArtifact {
        blobs: vec![made, config],
        manifest: Blob::new(manifest.to_string().into_bytes()),
        media_type: OCI_MANIFEST_MEDIA_TYPE,
        tag: Some(tag),
    }
}
