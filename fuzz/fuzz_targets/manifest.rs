//! Any bytes as a manifest under each media type, as an image's configuration, and as a reference.

#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use portcullis::digest::Digest;
use portcullis::gate::assemble::image_facts;
use portcullis::manifest::{OCI_INDEX, OCI_MANIFEST, classify};
use portcullis::reference::ImageReference;
use scanner::layer::LayerWalk;
use scanner::limits::Limits;
use serde_json::json;

const TYPES: [Option<&str>; 5] = [
    None,
    Some(OCI_MANIFEST),
    Some(OCI_INDEX),
    Some("application/vnd.docker.distribution.manifest.v2+json"),
    Some("application/vnd.docker.distribution.manifest.list.v2+json"),
];

fuzz_target!(|bytes: &[u8]| {
    for media_type in TYPES {
        let Ok(manifest) = classify(Bytes::copy_from_slice(bytes), media_type) else { continue };
        assert!(Digest::parse(&manifest.digest).is_ok_and(|digest| digest.matches(bytes)));
        assert!(manifest.blobs().chain(manifest.children()).all(|it| Digest::parse(&it.digest).is_ok()));
        let again = classify(Bytes::copy_from_slice(bytes), Some(&manifest.media_type));
        assert!(again.is_ok_and(|again| again.digest == manifest.digest), "it says what it is");
    }
    configuration(bytes);
    if let Some(reference) = std::str::from_utf8(bytes).ok().and_then(|text| ImageReference::parse(text).ok()) {
        assert_eq!(ImageReference::parse(&reference.to_string()).as_ref(), Ok(&reference));
    }
});

/// Of an image of one empty layer.
fn configuration(bytes: &[u8]) {
    let layer = [0; 1024];
    let described = |media_type: &str, bytes: &[u8]| {
        json!({"mediaType": media_type, "digest": Digest::sha256_of(bytes).to_string(), "size": bytes.len()})
    };
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": described("application/vnd.oci.image.config.v1+json", bytes),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)]});
    let manifest = classify(Bytes::from(manifest.to_string()), Some(OCI_MANIFEST)).expect("a good manifest");
    let mut walk = LayerWalk::new(Limits::default());
    walk.feed(&layer);
    if let Ok(facts) = image_facts(&manifest, bytes, &[Arc::new(walk.finish())], None) {
        assert!(!facts.scan.unknown.is_empty() || !facts.problems.is_empty(), "nothing was asked");
    }
}
