//! Where cosign signatures lie, and their two forms; payload and bundle, a file each.
//!
//! Both forms are looked for, always. cosign itself ignores the old form as soon as one bundle exists; then whoever may
//! push could hide a good signature behind a junk one.

pub(crate) mod bundle;
pub(crate) mod simple;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::attestation::UnverifiedAttestation;
use crate::json::{self, JsonError};
use crate::signature::UnverifiedSignature;
use crate::verify::Rejection;
use crate::{digest, limits};

/// Media type of a simple-signing payload.
pub const SIMPLE_SIGNING_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of the envelopes that cosign 2 writes attestations in.
pub const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// `artifactType` of simple signatures stored as a referrer (cosign's experimental OCI 1.1 mode).
pub const SIMPLE_SIGNATURE_ARTIFACT_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// Media type of the bundles that cosign 3 writes, and `artifactType` of the manifest around one.
pub const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// All spellings of the bundle's media type; anything else is not a bundle we know (protobuf-specs, bundle.proto).
pub const BUNDLE_MEDIA_TYPES: [&str; 4] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    BUNDLE_MEDIA_TYPE,
];
/// Annotation that holds the signature of a simple-signing payload, base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// Annotation that holds the signer's certificate, PEM: marks the certificate path.
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
/// Annotation that holds the certificate's chain, PEM.
pub const CHAIN_ANNOTATION: &str = "dev.sigstore.cosign/chain";

/// Annotation that holds the transparency log's entry and promise, JSON.
pub const LOG_ANNOTATION: &str = "dev.sigstore.cosign/bundle";
/// Annotation that holds an RFC 3161 timestamp of the signature, JSON.
pub const TIMESTAMP_ANNOTATION: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// The simple signatures that one manifest holds: which blobs to fetch.
#[derive(Clone, Debug, Default)]
pub struct SimpleSignatures {
    /// `subject.digest`, where the manifest is a referrer. Informative: what counts is signed in the payload.
    pub subject_digest: Option<String>,
    /// What to fetch: at most [`limits::SIMPLE_PAYLOAD_BYTES_MAX`] bytes each.
    pub layers: Vec<SimpleSignatureLayer>,
    /// Layers not worth fetching, and why.
    pub skipped: Vec<Rejection>,
}

/// One signature, but for its payload.
#[derive(Clone, Debug)]
pub struct SimpleSignatureLayer {
    /// Digest of the payload blob.
    pub payload_digest: String,
    /// Size of the payload blob in bytes.
    pub size: u64,
    /// The layer's annotations: the signature and perhaps a certificate.
    pub annotations: BTreeMap<String, String>,
}

/// The bundles that one referrer manifest holds: which blobs to fetch.
#[derive(Clone, Debug)]
pub struct Bundles {
    /// `subject.digest`: what the referrer claims to be about.
    pub subject_digest: String,
    /// What to fetch: at most [`limits::BUNDLE_BYTES_MAX`] bytes each.
    pub layers: Vec<BundleLayer>,
    /// Layers not worth fetching, and why.
    pub skipped: Vec<Rejection>,
}

/// Where one bundle lies.
#[derive(Clone, Debug)]
pub struct BundleLayer {
    /// Digest of the bundle blob.
    pub digest: String,
    /// Size of the bundle blob in bytes.
    pub size: u64,
}

/// Why a manifest holds no signatures we can look for. It says nothing about the image: anybody may push such a thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Two kinds of manifest in one, which readers resolve differently (CVE-2021-41190).
    #[error("the manifest has both `manifests` and `layers`")]
    Ambiguous,
    /// The manifest is not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// No list of layers.
    #[error("the manifest has no `layers`")]
    NoLayers,
    /// A bundle must say which manifest it is about.
    #[error("the manifest has no `subject` with a digest")]
    NoSubject,
}

/// The tag under which cosign keeps the simple signatures of `digest`: `sha256-<hex>.sig`. `None` for what is no
/// digest, and for sha512, whose tag would be longer than the 128 characters of the distribution-spec.
pub fn legacy_tag(digest: &str) -> Option<String> {
    match digest::split(digest)? {
        ("sha256", hex) => Some(format!("sha256-{hex}.sig")),
        _ => None,
    }
}

/// The tag under which cosign 2 keeps the attestations of `digest`: `sha256-<hex>.att`.
pub fn attestation_tag(digest: &str) -> Option<String> {
    match digest::split(digest)? {
        ("sha256", hex) => Some(format!("sha256-{hex}.att")),
        _ => None,
    }
}

/// The digest whose simple signatures lie under `tag`; `None` if it is no such tag.
pub fn legacy_tag_subject(tag: &str) -> Option<String> {
    let digest = format!("sha256:{}", tag.strip_prefix("sha256-")?.strip_suffix(".sig")?);
    digest::split(&digest).is_some().then_some(digest)
}

/// Reads a manifest found under [`legacy_tag`], or a referrer of the experimental OCI 1.1 kind.
pub fn simple_signatures(manifest: &[u8]) -> Result<SimpleSignatures, DiscoveryError> {
    annotated_layers(manifest, SIMPLE_SIGNING_MEDIA_TYPE, limits::SIMPLE_PAYLOAD_BYTES_MAX)
}

fn annotated_layers(
    manifest: &[u8],
    media_type: &str,
    bytes_max: u64,
) -> Result<SimpleSignatures, DiscoveryError> {
    let manifest = parse_manifest(manifest)?;
    let mut signatures = SimpleSignatures { subject_digest: subject_digest(&manifest), ..Default::default() };
    let wanted = |seen: &str| seen == media_type;
    for layer in layers(&manifest, wanted, &mut signatures.skipped)? {
        let annotations = annotations(layer).ok_or("its annotations are not a map of strings");
        match descriptor(layer, bytes_max).and_then(|found| Ok((found, annotations?))) {
            Ok(((payload_digest, size), annotations)) => {
                signatures.layers.push(SimpleSignatureLayer { payload_digest, size, annotations });
            }
            Err(reason) => skip(layer, reason, &mut signatures.skipped),
        }
    }
    Ok(signatures)
}

/// Reads a referrer manifest that may hold sigstore bundles with signatures.
pub fn bundle_layers(manifest: &[u8]) -> Result<Bundles, DiscoveryError> {
    bundles(manifest, limits::BUNDLE_BYTES_MAX)
}

/// Reads a referrer manifest that may hold sigstore bundles with attestations: the same manifests, whose bundles may be
/// larger, at most [`limits::ATTESTATION_BYTES_MAX`] bytes each.
pub fn attestation_bundle_layers(manifest: &[u8]) -> Result<Bundles, DiscoveryError> {
    bundles(manifest, limits::ATTESTATION_BYTES_MAX)
}

/// Reads a manifest found under [`attestation_tag`]: envelopes of at most [`limits::ATTESTATION_BYTES_MAX`] bytes each.
pub fn attestation_envelopes(manifest: &[u8]) -> Result<SimpleSignatures, DiscoveryError> {
    annotated_layers(manifest, ENVELOPE_MEDIA_TYPE, limits::ATTESTATION_BYTES_MAX)
}

fn bundles(manifest: &[u8], bytes_max: u64) -> Result<Bundles, DiscoveryError> {
    let manifest = parse_manifest(manifest)?;
    let subject_digest = subject_digest(&manifest).ok_or(DiscoveryError::NoSubject)?;
    let mut bundles = Bundles { subject_digest, layers: Vec::new(), skipped: Vec::new() };
    let wanted = |media_type: &str| BUNDLE_MEDIA_TYPES.contains(&media_type);
    for layer in layers(&manifest, wanted, &mut bundles.skipped)? {
        match descriptor(layer, bytes_max) {
            Ok((digest, size)) => bundles.layers.push(BundleLayer { digest, size }),
            Err(reason) => skip(layer, reason, &mut bundles.skipped),
        }
    }
    Ok(bundles)
}

impl SimpleSignatureLayer {
    /// The candidate, once the envelope was fetched, for what [`attestation_envelopes`] found. Digest and size are
    /// compared by [`crate::attestation::verify`].
    pub fn with_envelope(self, envelope: Vec<u8>) -> UnverifiedAttestation {
        let Self { payload_digest, size, annotations } = self;
        UnverifiedAttestation::Envelope {
            envelope_digest: payload_digest,
            envelope_size: size,
            envelope,
            annotations,
        }
    }

    /// The candidate, once the payload was fetched. Digest and size are compared by [`crate::verify::verify`].
    pub fn with_payload(self, payload: Vec<u8>) -> UnverifiedSignature {
        let Self { payload_digest, size, annotations } = self;
        UnverifiedSignature::CosignSimple { payload_digest, payload_size: size, payload, annotations }
    }
}

impl BundleLayer {
    /// Like [`Self::with_bundle`], for what [`attestation_bundle_layers`] found.
    pub fn with_attestation(
        self,
        manifest_digest: String,
        subject_digest: String,
        bundle: Vec<u8>,
    ) -> UnverifiedAttestation {
        let Self { digest, size } = self;
        UnverifiedAttestation::SigstoreBundle {
            manifest_digest,
            subject_digest,
            bundle_digest: digest,
            bundle_size: size,
            bundle,
        }
    }

    /// The candidate, once the bundle was fetched: `manifest_digest` is that of the referrer, `subject_digest` as
    /// [`Bundles::subject_digest`]. Digest and size are compared by [`crate::verify::verify`].
    pub fn with_bundle(
        self,
        manifest_digest: String,
        subject_digest: String,
        bundle: Vec<u8>,
    ) -> UnverifiedSignature {
        let Self { digest, size } = self;
        UnverifiedSignature::SigstoreBundle {
            manifest_digest,
            subject_digest,
            bundle_digest: digest,
            bundle_size: size,
            bundle,
        }
    }
}

pub(crate) fn parse_manifest(manifest: &[u8]) -> Result<Map<String, Value>, DiscoveryError> {
    match json::parse(manifest, limits::MANIFEST_BYTES_MAX)? {
        Value::Object(manifest) if manifest.contains_key("manifests") && manifest.contains_key("layers") => {
            Err(DiscoveryError::Ambiguous)
        }
        Value::Object(manifest) => Ok(manifest),
        _ => Err(DiscoveryError::NoLayers),
    }
}

pub(crate) fn subject_digest(manifest: &Map<String, Value>) -> Option<String> {
    let digest = manifest.get("subject")?.get("digest")?.as_str()?;
    digest::split(digest).is_some().then(|| digest.to_owned())
}

/// The layers whose media type is wanted, at most [`limits::LAYERS_MAX`].
pub(crate) fn layers<'a>(
    manifest: &'a Map<String, Value>,
    wanted: impl Fn(&str) -> bool,
    skipped: &mut Vec<Rejection>,
) -> Result<Vec<&'a Value>, DiscoveryError> {
    let layers = manifest.get("layers").and_then(Value::as_array).ok_or(DiscoveryError::NoLayers)?;
    if layers.len() > limits::LAYERS_MAX {
        let reason = format!("{} layers, only the first {} are read", layers.len(), limits::LAYERS_MAX);
        skipped.push(Rejection { candidate: "the manifest".to_owned(), reason });
    }
    let of_type = |layer: &&Value| layer.get("mediaType").and_then(Value::as_str).is_some_and(&wanted);
    Ok(layers.iter().take(limits::LAYERS_MAX).filter(of_type).collect())
}

pub(crate) fn descriptor(layer: &Value, size_max: u64) -> Result<(String, u64), &'static str> {
    let digest = layer.get("digest").and_then(Value::as_str).filter(|digest| digest::split(digest).is_some());
    let digest = digest.ok_or("its descriptor has no valid digest")?;
    let size = layer.get("size").and_then(Value::as_u64).ok_or("its descriptor has no valid size")?;
    if size > size_max {
        return Err("it is larger than any image signature, so it is not fetched");
    }
    Ok((digest.to_owned(), size))
}

/// `None` if there are any but they are not a map of strings.
fn annotations(layer: &Value) -> Option<BTreeMap<String, String>> {
    let Some(annotations) = layer.get("annotations") else { return Some(BTreeMap::new()) };
    let entry = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    annotations.as_object()?.iter().map(entry).collect()
}

pub(crate) fn skip(layer: &Value, reason: &str, skipped: &mut Vec<Rejection>) {
    if skipped.len() < limits::REJECTIONS_MAX {
        let candidate = layer.get("digest").and_then(Value::as_str).unwrap_or("a layer without digest");
        skipped.push(Rejection { candidate: json::quote(candidate), reason: reason.to_owned() });
    }
}

/// Standard base64 with padding, in its one canonical spelling.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// What a verified signature says besides the digest.
pub(crate) struct Claims {
    /// The repository signed for; a bundle signs none.
    pub(crate) repository: Option<String>,
    /// The annotations signed along.
    pub(crate) annotations: Map<String, Value>,
}

#[cfg(test)]
mod tests;
