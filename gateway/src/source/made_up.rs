//! An image manifest for what has none in the registry's sense, made up for the gate; its digest means nothing outside and is
//! never shown.

use std::sync::Arc;

use bytes::Bytes;
use scanner::layer::{Compression, LayerReport};
use serde_json::{Value, json};

use super::{Image, Loaded, Parts, SourceError};
use crate::digest::Digest;
use crate::manifest::{OCI_MANIFEST, classify};

/// One layer as it was read.
pub(super) struct ReadLayer {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) report: LayerReport,
}

impl ReadLayer {
    fn descriptor(&self) -> Value {
        let media_type = match self.report.compression {
            Compression::Plain => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        json!({"mediaType": media_type, "digest": self.digest.as_str(), "size": self.size})
    }
}

/// An image of a configuration and its layers, oldest first. `what` it was read from is told if it cannot be one.
pub(super) fn image(config: Vec<u8>, layers: Vec<ReadLayer>, what: &str) -> Result<Image, SourceError> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256_of(&config).as_str(),
            "size": config.len(),
        },
        "layers": layers.iter().map(ReadLayer::descriptor).collect::<Vec<_>>(),
    });
    let manifest = classify(Bytes::from(manifest.to_string()), None)
        .map_err(|source| SourceError::Manifest { digest: format!("none ({what})"), source })?;
    let reports = layers.into_iter().map(|layer| Arc::new(layer.report)).collect();
    Ok(Image { digest: None, loaded: Loaded { manifest, parts: Parts::Image { config, reports } } })
}
