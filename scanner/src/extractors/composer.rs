//! PHP packages: what Composer has installed.

use serde::Deserialize;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with, field};
use crate::package::{Package, PackageKind};

/// Reads `vendor/composer/installed.json`; a lock file says what was asked for, not what is there.
pub struct Composer;

/// Composer 2 writes an object, Composer 1 wrote the list alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Installed {
    List(Vec<Entry>),
    Object { packages: Vec<Entry> },
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
}

impl Extractor for Composer {
    fn name(&self) -> &'static str {
        "composer"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        if ends_with(path, b"composer/installed.json") { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let installed: Installed = serde_json::from_slice(bytes).map_err(|error| {
            ExtractError::Malformed { expected: "Composer's installed.json", problem: error.to_string() }
        })?;
        let (Installed::List(entries) | Installed::Object { packages: entries }) = installed;
        let package = |entry: Entry| {
            let (name, version) = (field("name", &entry.name)?, field("version", &entry.version)?);
            Ok(Package::new(PackageKind::Composer, name, version))
        };
        entries.into_iter().map(package).collect::<Result<_, _>>().map(Extracted::Packages)
    }
}
