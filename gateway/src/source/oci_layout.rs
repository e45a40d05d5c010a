//! An OCI image layout (image-spec "Image Layout Specification"): which of its manifests is meant, and its files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::SourceError;
use crate::digest::Digest;
use crate::manifest::{Descriptor, INDEX_ENTRIES_MAX, json};

/// What `index.json` calls an image (image-spec "Pre-Defined Annotation Keys").
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full name that containerd and BuildKit add.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The one manifest meant by `tag`, or the only one. Several without a tag are refused: which one an engine would load is
/// not ours to guess.
pub(super) fn choose(index: &[u8], tag: Option<&str>) -> Result<Descriptor, SourceError> {
    let broken = |problem: String| SourceError::Layout { file: "index.json", problem };
    let index = json::parse_object(index).map_err(|error| broken(error.to_string()))?;
    let entries = index
        .get("manifests")
        .and_then(Value::as_array)
        .ok_or_else(|| broken("has no list `manifests`".into()))?;
    if entries.len() > INDEX_ENTRIES_MAX {
        return Err(broken(format!(
            "lists {} manifests, more than the limit of {INDEX_ENTRIES_MAX}",
            entries.len()
        )));
    }
    let name = |entry: &Value, key: &str| entry["annotations"][key].as_str().map(str::to_owned);
    let available = || {
        entries
            .iter()
            .map(|entry| {
                name(entry, REF_NAME)
                    .or_else(|| name(entry, CONTAINERD_NAME))
                    .unwrap_or_else(|| "(no name)".into())
            })
            .collect()
    };
    let matching: Vec<&Value> = match tag {
        None => entries.iter().collect(),
        Some(tag) => entries
            .iter()
            .filter(|entry| {
                [REF_NAME, CONTAINERD_NAME].iter().any(|key| name(entry, key).as_deref() == Some(tag))
            })
            .collect(),
    };
    match (matching.as_slice(), tag) {
        ([entry], _) => {
            descriptor(entry).ok_or_else(|| broken("has an entry without media type, digest and size".into()))
        }
        ([], Some(tag)) => Err(SourceError::Choice {
            problem: format!("the layout has no image `{tag}`"),
            available: available(),
        }),
        ([], None) => Err(broken("lists no manifest".into())),
        (_, Some(tag)) => Err(SourceError::Choice {
            problem: format!("the layout has several images `{tag}`"),
            available: available(),
        }),
        (_, None) => Err(SourceError::Choice {
            problem: "the layout has several images; add `:TAG`".into(),
            available: available(),
        }),
    }
}

fn descriptor(entry: &Value) -> Option<Descriptor> {
    Some(Descriptor {
        media_type: entry["mediaType"].as_str()?.to_owned(),
        digest: Digest::parse(entry["digest"].as_str()?).ok()?.to_string(),
        size: entry["size"].as_u64()?,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
        artifact_type: None,
    })
}

/// A regular file; a pipe or a device would never end.
pub(super) fn open_file(path: &Path) -> Result<File, SourceError> {
    let failed = |source| SourceError::File { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("not a regular file")));
    }
    File::open(path).map_err(failed)
}

pub(super) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    open_file(path)?
        .take(bytes_max)
        .read_to_end(&mut bytes)
        .map_err(|source| SourceError::File { path: path.to_owned(), source })?;
    Ok(bytes)
}
