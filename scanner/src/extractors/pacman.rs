//! Arch Linux packages: one folder a package below `var/lib/pacman/local`.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with, field, text};
use crate::package::{Package, PackageKind, SourcePackage};

/// Reads `local/NAME-VERSION/desc` (libalpm's local database).
pub struct Pacman;

impl Extractor for Pacman {
    fn name(&self) -> &'static str {
        "pacman"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(folder) = path.strip_suffix(b"/desc") else { return Want::No };
        let Some(slash) = folder.iter().rposition(|&byte| byte == b'/') else { return Want::No };
        if ends_with(&folder[..slash], b"pacman/local") { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        let name = value(&text, "%NAME%")?;
        let version = value(&text, "%VERSION%")?;
        let needed = |value: Option<String>, field| {
            value.ok_or(ExtractError::MissingField { record: "a package's description".to_owned(), field })
        };
        let (name, version) = (needed(name, "%NAME%")?, needed(version, "%VERSION%")?);
        // Without a base, a package is its own.
        let base = value(&text, "%BASE%")?.unwrap_or_else(|| name.clone());
        Ok(Extracted::Packages(vec![Package {
            architecture: value(&text, "%ARCH%")?,
            source: Some(SourcePackage { name: base, version: version.clone() }),
            ..Package::new(PackageKind::Alpm, name, version)
        }]))
    }
}

/// The line after a key.
fn value(text: &str, key: &'static str) -> Result<Option<String>, ExtractError> {
    let mut lines = text.lines().map(str::trim);
    if !lines.by_ref().any(|line| line == key) {
        return Ok(None);
    }
    let found = lines.next().filter(|value| !value.is_empty());
    if lines.any(|line| line == key) {
        return Err(ExtractError::Malformed {
            expected: "a pacman description",
            problem: format!("`{key}` stands twice"),
        });
    }
    found.map(|value| field(key, value)).transpose()
}
