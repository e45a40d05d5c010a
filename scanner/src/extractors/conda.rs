//! Conda packages: one description a package in `conda-meta`.

use serde::Deserialize;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with, field};
use crate::package::{Package, PackageKind};

/// Reads `conda-meta/NAME-VERSION-BUILD.json`.
pub struct Conda;

#[derive(Deserialize)]
struct Description {
    name: String,
    version: String,
}

impl Extractor for Conda {
    fn name(&self) -> &'static str {
        "conda"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return Want::No };
        let wanted = ends_with(&path[..slash], b"conda-meta") && path.ends_with(b".json");
        if wanted { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let malformed = |problem| ExtractError::Malformed { expected: "a description of conda", problem };
        let read: Description =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if read.name.is_empty() || read.version.is_empty() {
            return Err(malformed("an empty name or version".to_owned()));
        }
        let package =
            Package::new(PackageKind::Conda, field("name", &read.name)?, field("version", &read.version)?);
        Ok(Extracted::Packages(vec![package]))
    }
}
