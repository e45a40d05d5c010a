//! The system's own name: `os-release`(5) of freedesktop.org.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field, text};
use crate::package::Distribution;

/// Reads every file whose name holds `os-release`: `etc/os-release` is often a link to one of another name, and links
/// are resolved only when the layers are stacked.
pub struct OsRelease;

impl Extractor for OsRelease {
    fn name(&self) -> &'static str {
        "os-release"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        if memchr::memmem::find(name, b"os-release").is_some() { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        let value = |key: &'static str| -> Result<Option<String>, ExtractError> {
            // A later assignment wins, as in a shell.
            let assigned =
                text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            match assigned.map(unquote) {
                None => Ok(None),
                Some(value) if value.is_empty() => Ok(None),
                Some(value) => field(key, &value).map(Some),
            }
        };
        // os-release(5) gives `ID` the default `linux`; such an image says nothing about itself.
        let id = value("ID")?
            .ok_or(ExtractError::MissingField { record: "os-release".to_owned(), field: "ID" })?;
        Ok(Extracted::Distribution(Distribution {
            id: id.to_ascii_lowercase(),
            version_id: value("VERSION_ID")?,
            codename: value("VERSION_CODENAME")?,
            pretty_name: value("PRETTY_NAME")?,
            repositories: Vec::new(),
        }))
    }
}

/// Undoes the shell quoting that os-release(5) allows.
fn unquote(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)) {
            return if quote == '"' { unescape(inner) } else { inner.to_owned() };
        }
    }
    unescape(value)
}

fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}
