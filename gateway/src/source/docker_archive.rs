//! What `docker save` writes: `manifest.json`, a configuration and plain layers.

use std::io::Read;

use scanner::layer::LayerWalk;
use serde::Deserialize;

use super::archive::{Archive, ArchiveError};
use super::made_up::{self, ReadLayer};
use super::{CONFIG_BYTES_MAX, Image, LAYER_BYTES_MAX, PIECE_BYTES, Progress, SourceError};
use crate::digest::{Algorithm, Hasher};
use crate::manifest::{LAYERS_MAX, MANIFEST_BYTES_MAX};
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
    new_walk: &dyn Fn() -> LayerWalk,
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
    let walk = |layer: &String| walk(archive, layer, new_walk(), progress);
    let layers = saved.layers.iter().map(walk).collect::<Result<_, _>>()?;
    made_up::image(config, layers, "docker-archive")
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
fn walk(
    archive: &Archive,
    name: &str,
    mut walk: LayerWalk,
    progress: Progress<'_>,
) -> Result<ReadLayer, SourceError> {
    let unreadable = |source: ArchiveError| SourceError::Archive { location: name.to_owned(), source };
    let mut section = archive.section(name).map_err(unreadable)?;
    let size = section.len();
    if size > LAYER_BYTES_MAX {
        return Err(SourceError::TooLarge { digest: name.to_owned(), size, max: LAYER_BYTES_MAX });
    }
    (progress.expect)(size);
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
    Ok(ReadLayer { digest: hasher.finish(), size, report: walk.finish() })
}
