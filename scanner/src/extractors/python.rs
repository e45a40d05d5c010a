//! Python distributions: `*.dist-info/METADATA` and the egg layouts before it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::extractors::{
    ExtractError, Extracted, Extractor, FileDigest, OwnedFile, Want, ends_with, field, text,
};
use crate::package::{Package, PackageKind};

/// Reads core metadata (packaging.python.org, core-metadata), which is the same in all layouts, and of `RECORD`, the list
/// of a distribution's files, those that show whether its code is still there.
pub struct Python;

/// Files of one distribution that are kept.
const RECORDED_MAX: usize = 2000;

impl Extractor for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn version(&self) -> u32 {
        2
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else {
            return if path.ends_with(b".egg-info") { Want::Content } else { Want::No };
        };
        let (directory, name) = (&path[..slash], &path[slash + 1..]);
        let wanted = match name {
            b"METADATA" | b"RECORD" => directory.ends_with(b".dist-info"),
            b"PKG-INFO" => directory.ends_with(b".egg-info") || ends_with(directory, b"EGG-INFO"),
            // distutils wrote the metadata as one file.
            name => name.ends_with(b".egg-info"),
        };
        if wanted { Want::Content } else { Want::No }
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        if path.ends_with(b"/RECORD") {
            return Ok(Extracted::Owned(recorded(path, &text)));
        }
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

/// `PATH,HASH,SIZE` a line (PEP 376), relative to the folder of all distributions: top modules and compiled ones.
fn recorded(path: &[u8], text: &str) -> Vec<OwnedFile> {
    let path = String::from_utf8_lossy(path);
    let Some((folder, _)) = path.trim_end_matches("/RECORD").rsplit_once('/') else { return Vec::new() };
    let files = text.lines().map(|line| {
        let (file, rest) = line.split_once(',').unwrap_or((line, ""));
        (file.trim_matches('"'), rest.split(',').next().unwrap_or_default())
    });
    let telling = files.filter(|(file, _)| {
        let top = match file.split_once('/') {
            None => file.ends_with(".py"),
            Some((_, rest)) => rest == "__init__.py",
        };
        (top || file.ends_with(".so")) && !file.split('/').any(|part| part == "..")
    });
    let owned = telling.take(RECORDED_MAX).map(|(file, digest)| {
        let digest = digest.strip_prefix("sha256=").and_then(|digest| URL_SAFE_NO_PAD.decode(digest).ok());
        let digest = digest.and_then(|digest| FileDigest::sha256(&hex::encode(digest)));
        OwnedFile { path: format!("{folder}/{file}"), digest }
    });
    owned.collect()
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
