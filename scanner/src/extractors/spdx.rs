//! Inventories that vendors put beside what they built: SPDX documents of Bitnami and of Photon's and Wolfi's builders.

use serde::Deserialize;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field};
use crate::package::{Package, PackageKind};

/// Reads `opt/bitnami/**/.spdx-*.spdx` and `var/lib/db/sbom/*.spdx.json`. Packages of a system are left to its database.
pub struct Spdx;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    packages: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default, rename = "externalRefs")]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default, rename = "referenceType")]
    kind: String,
    #[serde(default, rename = "referenceLocator")]
    locator: String,
}

impl Extractor for Spdx {
    fn name(&self) -> &'static str {
        "spdx"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let bitnami =
            path.starts_with(b"opt/bitnami/") && name.starts_with(b".spdx-") && name.ends_with(b".spdx");
        let built = path.starts_with(b"var/lib/db/sbom/") && name.ends_with(b".spdx.json");
        if bitnami || built { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let read: Document = serde_json::from_slice(bytes).map_err(|error| ExtractError::Malformed {
            expected: "an SPDX document",
            problem: error.to_string(),
        })?;
        let mut packages = Vec::new();
        for listed in read.packages {
            let purl = listed.references.iter().find(|reference| reference.kind == "purl");
            if let Some((kind, name, version)) = purl.and_then(|reference| parse(&reference.locator)) {
                packages.push(Package::new(kind, field("name", &name)?, field("version", &version)?));
            }
        }
        packages.sort();
        packages.dedup();
        Ok(Extracted::Packages(packages))
    }
}

/// `pkg:TYPE/NAMESPACE/NAME@VERSION?…` (purl-spec); `None` for packages of a system and what has no version.
fn parse(purl: &str) -> Option<(PackageKind, String, String)> {
    let rest = purl.strip_prefix("pkg:")?.split(['?', '#']).next()?;
    let (rest, version) = rest.rsplit_once('@').filter(|(_, version)| !version.is_empty())?;
    let (kind, path) = rest.split_once('/')?;
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let last = parts.last()?.clone();
    let (kind, name) = match kind {
        "bitnami" | "generic" | "github" => (PackageKind::Binary, last),
        "cargo" => (PackageKind::Cargo, last),
        "composer" => (PackageKind::Composer, parts.join("/")),
        "gem" => (PackageKind::Gem, last),
        "golang" => (PackageKind::Golang, parts.join("/")),
        "maven" => (PackageKind::Maven, parts.join(":")),
        "npm" => (PackageKind::Npm, parts.join("/")),
        "nuget" => (PackageKind::Nuget, last),
        "pypi" => (PackageKind::Python, last),
        _ => return None,
    };
    Some((kind, name, decoded(version)))
}

/// Undoes percent-encoding; what is not encoded right stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| first == b'%').and_then(|digits| hex::decode(digits).ok());
        match hex {
            Some(byte) => {
                bytes.extend(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
