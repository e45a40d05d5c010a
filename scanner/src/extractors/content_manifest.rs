//! Which repositories an image of Red Hat was built from: `root/buildinfo/content_manifests/*.json`, and the newer
//! `usr/share/buildinfo/content-sets.json`.
//!
//! Red Hat's advisories speak of products, and a product's fixes are in its own repositories: an image that was built from
//! those of longer support (EUS) gets other versions than one built from the release's own.

use serde::Deserialize;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with, field};

/// Reads the list of repositories.
pub struct ContentManifest;

/// Repositories of one image; the largest real lists have a few dozen.
const REPOSITORIES_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    content_sets: Option<Vec<String>>,
}

impl Extractor for ContentManifest {
    fn name(&self) -> &'static str {
        "content-manifest"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return Want::No };
        let (folder, name) = (&path[..slash], &path[slash + 1..]);
        let manifest = name.ends_with(b".json") && ends_with(folder, b"root/buildinfo/content_manifests");
        let sets = name == b"content-sets.json" && ends_with(folder, b"usr/share/buildinfo");
        if manifest || sets { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let malformed = |problem: String| ExtractError::Malformed { expected: "a content manifest", problem };
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        let names = manifest.content_sets.unwrap_or_default();
        if names.len() > REPOSITORIES_MAX {
            return Err(malformed(format!("{} repositories, more than {REPOSITORIES_MAX}", names.len())));
        }
        let names = names.iter().map(|name| field("content set", name)).collect::<Result<_, _>>()?;
        Ok(Extracted::Repositories(names))
    }
}
