//! Reads image archives (OCI and docker), and walks their layers.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use scanner::image::Layer;
use scanner::layer::{LayerReport, LayerWalk};
use scanner::limits::Limits;
use serde_json::Value;

/// Folder of the shared test data, where it exists.
pub(crate) fn test_data() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    #[expect(clippy::disallowed_methods, reason = "where test data lies is the environment's to say")]
    let folder = std::env::var_os("PORTCULLIS_TEST_DATA").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// One image of an archive.
pub(crate) struct Image {
    /// Reference name in the archive.
    pub(crate) name: String,
    /// The configuration's bytes.
    pub(crate) config: Vec<u8>,
    /// Digest and bytes of each layer, oldest first.
    pub(crate) layers: Vec<(String, Vec<u8>)>,
}

/// All images of an archive.
pub(crate) fn images(path: &Path) -> Vec<Image> {
    let mut bytes = std::fs::read(path).expect("the archive is readable");
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("gzip");
        bytes = plain;
    }
    let mut files = HashMap::new();
    let mut archive = tar::Archive::new(&bytes[..]);
    for entry in archive.entries().expect("tar") {
        let mut entry = entry.expect("tar entry");
        let name = entry.path().expect("a path").to_string_lossy().trim_start_matches("./").to_owned();
        if let Some(target) = entry.link_name().expect("a link") {
            // `docker save` of old writes repeated layers as links.
            let base = Path::new(&name).parent().expect("a parent").join(target);
            let mut parts: Vec<String> = Vec::new();
            for part in base.components() {
                match part {
                    std::path::Component::ParentDir => drop(parts.pop()),
                    part => parts.push(part.as_os_str().to_string_lossy().into_owned()),
                }
            }
            files.insert(name, Err(parts.join("/")));
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        files.insert(name, Ok(content));
    }
    let file = |name: &str| -> Vec<u8> {
        match &files[name] {
            Ok(bytes) => bytes.clone(),
            Err(target) => files[target].clone().expect("one link deep"),
        }
    };
    if files.contains_key("index.json") {
        let blob =
            |digest: &Value| file(&format!("blobs/{}", digest.as_str().expect("a digest").replace(':', "/")));
        let index: Value = serde_json::from_slice(&file("index.json")).expect("an index");
        return index["manifests"]
            .as_array()
            .expect("manifests")
            .iter()
            .map(|descriptor| {
                let manifest: Value =
                    serde_json::from_slice(&blob(&descriptor["digest"])).expect("a manifest");
                let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
                let digest = |layer: &Value| layer["digest"].as_str().expect("a digest").to_owned();
                Image {
                    name: descriptor["annotations"]["org.opencontainers.image.ref.name"]
                        .as_str()
                        .unwrap_or("")
                        .to_owned(),
                    config: blob(&manifest["config"]["digest"]),
                    layers: layers.iter().map(|layer| (digest(layer), blob(&layer["digest"]))).collect(),
                }
            })
            .collect();
    }
    let manifests: Value = serde_json::from_slice(&file("manifest.json")).expect("a docker manifest");
    manifests
        .as_array()
        .expect("manifests")
        .iter()
        .map(|manifest| {
            let layers = manifest["Layers"].as_array().cloned().unwrap_or_default();
            let name = |layer: &Value| layer.as_str().expect("a file name").to_owned();
            Image {
                name: String::new(),
                config: file(manifest["Config"].as_str().expect("a file name")),
                layers: layers.iter().map(|layer| (name(layer), file(&name(layer)))).collect(),
            }
        })
        .collect()
}

/// Walks one blob in one piece.
pub(crate) fn walk(bytes: &[u8]) -> LayerReport {
    walk_in_pieces(bytes, bytes.len().max(1))
}

/// Walks one blob in pieces of a size.
pub(crate) fn walk_in_pieces(bytes: &[u8], piece: usize) -> LayerReport {
    let mut walk = LayerWalk::new(Limits::default());
    bytes.chunks(piece).for_each(|piece| walk.feed(piece));
    walk.finish()
}

/// The walked layers of an image.
pub(crate) struct Walked(pub(crate) Vec<(String, LayerReport)>);

impl Walked {
    pub(crate) fn new(image: &Image) -> Self {
        Self(image.layers.iter().map(|(digest, bytes)| (digest.clone(), walk(bytes))).collect())
    }

    pub(crate) fn layers(&self) -> Vec<Layer<'_>> {
        self.0.iter().map(|(digest, report)| Layer { digest, report, instruction: None }).collect()
    }
}
