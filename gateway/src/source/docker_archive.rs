//! What `docker save` writes: `manifest.json`, a configuration and plain layers. It has no manifest in the registry's
//! sense, so one is made up for the gate; its digest means nothing outside and is never shown.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use scanner::layer::{Compression, LayerReport, LayerWalk};
use scanner::limits::Limits;
use serde::Deserialize;
use serde_json::{Value, json};

use super::archive::{Archive, ArchiveError};
use super::{CONFIG_BYTES_MAX, Image, LAYER_BYTES_MAX, Loaded, PIECE_BYTES, Parts, Progress, SourceError};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::manifest::{LAYERS_MAX, MANIFEST_BYTES_MAX, OCI_MANIFEST, classify};
use crate::reference::ImageReference;

const FILE: &str = "manifest.json";

/// One image of `manifest.json`, as Docker's image-spec v1.2 describes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn load(
    archive: &Archive,
    tag: Option<&str>,
    progress: Progress<'_>,
) -> Result<Image, SourceError> {
    let unreadable = |source| SourceError::Archive { location: FILE.into(), source };
    let list = archive.bytes(FILE, MANIFEST_BYTES_MAX as u64).map_err(unreadable)?;
    let broken = |problem: String| SourceError::Layout { file: FILE, problem };
    let list: Option<Vec<Saved>> =
        serde_json::from_slice(&list).map_err(|error| broken(error.to_string()))?;
    let saved = choose(list.unwrap_or_default(), tag)?;
    if saved.layers.len() > LAYERS_MAX {
        return Err(broken(format!("{} layers, more than the limit of {LAYERS_MAX}", saved.layers.len())));
    }
    let config = archive.bytes(&saved.config, CONFIG_BYTES_MAX).map_err(unreadable)?;
    let mut reports = Vec::with_capacity(saved.layers.len());
    let mut descriptors = Vec::with_capacity(saved.layers.len());
    for layer in &saved.layers {
        let (descriptor, report) = walk(archive, layer, progress)?;
        descriptors.push(descriptor);
        reports.push(Arc::new(report));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256_of(&config).as_str(),
            "size": config.len(),
        },
        "layers": descriptors,
    });
    let manifest = classify(Bytes::from(manifest.to_string()), None)
        .map_err(|source| SourceError::Manifest { digest: "none (docker-archive)".into(), source })?;
    Ok(Image { digest: None, loaded: Loaded { manifest, parts: Parts::Image { config, reports } } })
}

fn choose(mut list: Vec<Saved>, tag: Option<&str>) -> Result<Saved, SourceError> {
    let available = list.iter().flat_map(|saved| saved.repo_tags.clone().unwrap_or_default()).collect();
    let is_meant = |saved: &Saved| {
        tag.is_none_or(|tag| saved.repo_tags.iter().flatten().any(|written| same_image(written, tag)))
    };
    let meant = list.iter().filter(|saved| is_meant(saved)).count();
    match (meant, list.iter().position(is_meant)) {
        (1, Some(at)) => Ok(list.swap_remove(at)),
        (0, _) if list.is_empty() => {
            Err(SourceError::Layout { file: FILE, problem: "lists no image".into() })
        }
        _ => Err(SourceError::Choice {
            problem: match tag {
                Some(tag) => format!("the archive has {meant} images `{tag}`"),
                None => "the archive has several images; add `:TAG`".into(),
            },
            available,
        }),
    }
}

/// `wanted` may be the whole name or only the tag.
fn same_image(written: &str, wanted: &str) -> bool {
    let whole = |text: &str| ImageReference::parse(text).ok();
    written == wanted
        || written.rsplit(':').next() == Some(wanted)
        || (whole(written).is_some() && whole(written) == whole(wanted))
}

/// Hashes and walks one layer in one pass.
fn walk(archive: &Archive, name: &str, progress: Progress<'_>) -> Result<(Value, LayerReport), SourceError> {
    let unreadable = |source: ArchiveError| SourceError::Archive { location: name.to_owned(), source };
    let mut section = archive.section(name).map_err(unreadable)?;
    let size = section.len();
    if size > LAYER_BYTES_MAX {
        return Err(SourceError::TooLarge { digest: name.to_owned(), size, max: LAYER_BYTES_MAX });
    }
    (progress.expect)(size);
    let mut walk = LayerWalk::new(Limits::default());
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let read = section.read(&mut buffer).map_err(|error| unreadable(error.into()))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        walk.feed(&buffer[..read]);
        (progress.advance)(read as u64);
    }
    let report = walk.finish();
    let media_type = match report.compression {
        Compression::Plain => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    };
    let descriptor = json!({"mediaType": media_type, "digest": hasher.finish().as_str(), "size": size});
    Ok((descriptor, report))
}
