//! Python distributions: `*.dist-info/METADATA` and the egg layouts before it.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with, field, text};
use crate::package::{Package, PackageKind};

/// Reads core metadata (packaging.python.org, core-metadata), which is the same in all layouts.
pub struct Python;

impl Extractor for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else {
            return if path.ends_with(b".egg-info") { Want::Content } else { Want::No };
        };
        let (directory, name) = (&path[..slash], &path[slash + 1..]);
        let wanted = match name {
            b"METADATA" => directory.ends_with(b".dist-info"),
            b"PKG-INFO" => directory.ends_with(b".egg-info") || ends_with(directory, b"EGG-INFO"),
            // distutils wrote the metadata as one file.
            name => name.ends_with(b".egg-info"),
        };
        if wanted { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        // Headers end at the first empty line; the description below may hold lines that look like headers.
        let headers = || text.lines().take_while(|line| !line.trim().is_empty());
        let value = |key: &'static str| {
            let line = headers()
                .find(|line| line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case(key)));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim())
                .filter(|value| !value.is_empty())
                .ok_or(ExtractError::MissingField { record: "the metadata".to_owned(), field: key })
        };
        Ok(Extracted::Packages(vec![Package {
            kind: PackageKind::Python,
            name: field("Name", &normalised(value("Name")?))?,
            version: field("Version", value("Version")?)?,
            architecture: None,
            source: None,
            module: None,
            vendor: None,
        }]))
    }
}

/// PEP 503: lower case, runs of `-`, `_` and `.` as one `-`.
fn normalised(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '-' | '_' | '.' if plain.ends_with('-') => {}
            '-' | '_' | '.' => plain.push('-'),
            character => plain.push(character.to_ascii_lowercase()),
        }
    }
    plain
}
