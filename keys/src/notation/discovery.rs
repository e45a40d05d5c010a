//! Which manifests hold Notation signatures, and where in them the envelope lies.

use serde_json::{Map, Value};

use super::{COSE_MEDIA_TYPE, JWS_MEDIA_TYPE};
use crate::cosign::{DiscoveryError, descriptor, layers, parse_manifest, skip, subject_digest};
use crate::limits;
use crate::signature::UnverifiedSignature;
use crate::verify::Rejection;

/// `artifactType` of a manifest that holds a signature; in the older form the media type of its config.
pub const SIGNATURE_TYPE: &str = "application/vnd.cncf.notary.signature";

/// The envelope that one signature manifest holds: what to fetch.
#[derive(Clone, Debug)]
pub struct Envelopes {
    /// `subject.digest`: what the manifest claims to be about.
    pub subject_digest: String,
    /// What to fetch: at most [`limits::NOTATION_ENVELOPE_BYTES_MAX`] bytes each. The specification has exactly one;
    /// of several none is here.
    pub layers: Vec<EnvelopeLayer>,
    /// Layers not worth fetching, and why.
    pub skipped: Vec<Rejection>,
}

/// Where one envelope lies.
#[derive(Clone, Debug)]
pub struct EnvelopeLayer {
    /// Digest of the envelope blob.
    pub digest: String,
    /// Size of the envelope blob in bytes.
    pub size: u64,
    /// Which of the two forms it claims to be.
    pub media_type: String,
}

/// A signature as found, and the descriptor it has to be about.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnverifiedNotation {
    /// Digest of the signature manifest, for the trace.
    pub manifest_digest: String,
    /// `subject.digest` of the signature manifest: must equal the digest under test.
    pub subject_digest: String,
    /// Digest that the signature manifest declares for the envelope.
    pub envelope_digest: String,
    /// Size in bytes that the signature manifest declares for the envelope.
    pub envelope_size: u64,
    /// Media type that the signature manifest declares for the envelope.
    pub media_type: String,
    /// The envelope blob.
    #[serde(with = "crate::base64_bytes")]
    pub envelope: Vec<u8>,
    /// Media type of the manifest under test: the caller's knowledge, not the signature's word.
    pub artifact_media_type: String,
    /// Bytes of the manifest under test, likewise.
    pub artifact_size: u64,
}

/// Reads a manifest that may hold a Notation signature; `None` if it is one of another kind. What kind it is stands in
/// the manifest; a listing's word for it is anybody's.
pub fn signature_layers(manifest: &[u8]) -> Result<Option<Envelopes>, DiscoveryError> {
    let manifest = parse_manifest(manifest)?;
    if kind(&manifest) != Some(SIGNATURE_TYPE) {
        return Ok(None);
    }
    let subject_digest = subject_digest(&manifest).ok_or(DiscoveryError::NoSubject)?;
    let mut envelopes = Envelopes { subject_digest, layers: Vec::new(), skipped: Vec::new() };
    let all = layers(&manifest, |_| true, &mut envelopes.skipped)?;
    let bytes_max = u64::try_from(limits::NOTATION_ENVELOPE_BYTES_MAX).unwrap_or(u64::MAX);
    match all.as_slice() {
        [layer] => match (media_type(layer), descriptor(layer, bytes_max)) {
            (Some(media_type), Ok((digest, size))) => {
                let media_type = media_type.to_owned();
                envelopes.layers.push(EnvelopeLayer { digest, size, media_type });
            }
            (_, Err(reason)) => skip(layer, reason, &mut envelopes.skipped),
            (None, _) => skip(layer, "its media type is no Notation envelope", &mut envelopes.skipped),
        },
        [] => return Err(DiscoveryError::NoLayers),
        [layer, ..] => {
            skip(layer, "a signature manifest has one layer, this has several", &mut envelopes.skipped)
        }
    }
    Ok(Some(envelopes))
}

fn kind(manifest: &Map<String, Value>) -> Option<&str> {
    let artifact_type = manifest.get("artifactType").and_then(Value::as_str).filter(|text| !text.is_empty());
    artifact_type.or_else(|| manifest.get("config")?.get("mediaType")?.as_str())
}

fn media_type(layer: &Value) -> Option<&str> {
    let seen = layer.get("mediaType").and_then(Value::as_str)?;
    [JWS_MEDIA_TYPE, COSE_MEDIA_TYPE].contains(&seen).then_some(seen)
}

impl EnvelopeLayer {
    /// The candidate, once the envelope was fetched: `manifest_digest` is that of the signature manifest,
    /// `subject_digest` as [`Envelopes::subject_digest`], `artifact` the media type and size of the manifest under
    /// test. Digests and sizes are compared by [`crate::verify::verify`].
    pub fn with_envelope(
        self,
        (manifest_digest, subject_digest): (String, String),
        (artifact_media_type, artifact_size): (String, u64),
        envelope: Vec<u8>,
    ) -> UnverifiedSignature {
        let Self { digest, size, media_type } = self;
        UnverifiedSignature::Notation(Box::new(UnverifiedNotation {
            manifest_digest,
            subject_digest,
            envelope_digest: digest,
            envelope_size: size,
            media_type,
            envelope,
            artifact_media_type,
            artifact_size,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn manifest(changes: &Value) -> Result<Option<Envelopes>, DiscoveryError> {
        let mut manifest = json!({
            "schemaVersion": 2,
            "artifactType": SIGNATURE_TYPE,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": DIGEST, "size": 2 },
            "layers": [{ "mediaType": JWS_MEDIA_TYPE, "digest": DIGEST, "size": 2000 }],
            "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGEST, "size": 401 },
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            manifest[name] = value.clone();
        }
        signature_layers(manifest.to_string().as_bytes())
    }

    #[test]
    fn the_manifest_says_what_it_is_in_either_form() {
        let found = manifest(&json!({})).unwrap().unwrap();
        assert_eq!((found.layers.len(), found.skipped.len()), (1, 0));
        let older = json!({ "artifactType": null, "config": { "mediaType": SIGNATURE_TYPE } });
        assert_eq!(manifest(&older).unwrap().unwrap().layers.len(), 1);
        let other =
            json!({ "artifactType": "application/spdx+json", "config": { "mediaType": SIGNATURE_TYPE } });
        assert!(manifest(&other).unwrap().is_none());
    }

    /// CVE-2023-33957 and CVE-2023-33958: endless lists and endless data are not fetched.
    #[test]
    fn what_is_not_one_envelope_of_bounded_size_is_not_fetched() {
        let layer =
            |media_type: &str, size: u64| json!({ "mediaType": media_type, "digest": DIGEST, "size": size });
        for (layers, reason) in [
            (json!([layer(JWS_MEDIA_TYPE, 5 << 20)]), "larger than any"),
            (json!([layer(JWS_MEDIA_TYPE, 9), layer(JWS_MEDIA_TYPE, 9)]), "this has several"),
            (json!(vec![layer(COSE_MEDIA_TYPE, 9); 20_000]), "only the first"),
            (json!([layer("application/json", 9)]), "no Notation envelope"),
            (json!([{ "mediaType": JWS_MEDIA_TYPE, "size": 9 }]), "no valid digest"),
        ] {
            let found = manifest(&json!({ "layers": layers })).unwrap().unwrap();
            assert!(found.layers.is_empty(), "{reason}");
            assert!(found.skipped[0].reason.contains(reason), "{reason}: {:?}", found.skipped[0]);
        }
        assert!(matches!(manifest(&json!({ "layers": [] })), Err(DiscoveryError::NoLayers)));
        assert!(matches!(manifest(&json!({ "subject": null })), Err(DiscoveryError::NoSubject)));
    }
}
