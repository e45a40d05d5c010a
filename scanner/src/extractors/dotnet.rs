//! .NET libraries: the `*.deps.json` beside each published application and framework.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field};
use crate::package::{Package, PackageKind};

/// Reads the keys of `libraries`, which are `NAME/VERSION`.
pub struct Dotnet;

#[derive(Deserialize)]
struct Dependencies {
    #[serde(default)]
    libraries: BTreeMap<String, IgnoredAny>,
}

impl Extractor for Dotnet {
    fn name(&self) -> &'static str {
        "dotnet"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        if path.ends_with(b".deps.json") { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let malformed = |problem| ExtractError::Malformed { expected: "a .deps.json", problem };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let read: Dependencies =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        let mut packages = Vec::new();
        for key in read.libraries.keys() {
            let (name, version) = key
                .split_once('/')
                .filter(|(name, version)| !name.is_empty() && !version.is_empty())
                .ok_or_else(|| {
                    malformed(format!(
                        "the library `{}` has no version",
                        key.chars().take(60).collect::<String>()
                    ))
                })?;
            // A self-contained application names the runtime that it brings so; advisories name the package.
            let name = name.strip_prefix("runtimepack.").unwrap_or(name);
            packages.push(Package::new(PackageKind::Nuget, field("name", name)?, field("version", version)?));
        }
        Ok(Extracted::Packages(packages))
    }
}
