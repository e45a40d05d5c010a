//! Ruby gems: the specification of each installed gem.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field, text};
use crate::package::{Package, PackageKind};

/// Reads `specifications/NAME-VERSION.gemspec` and `specifications/default/…`.
pub struct Ruby;

impl Extractor for Ruby {
    fn name(&self) -> &'static str {
        "ruby"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(stem) = path.strip_suffix(b".gemspec") else { return Want::No };
        let Some(slash) = stem.iter().rposition(|&byte| byte == b'/') else { return Want::No };
        let folder = &stem[..slash];
        let folder = folder.strip_suffix(b"/default").unwrap_or(folder);
        if folder.ends_with(b"/specifications") { Want::Content } else { Want::No }
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let (text, path) = (text(bytes), text(path));
        let stem = path.rsplit('/').next().unwrap_or(&path).trim_end_matches(".gemspec");
        // RubyGems writes specifications in one form; by hand, they may be any program, and the file's name must do.
        let (name, version) = match (assigned(&text, "name"), assigned(&text, "version")) {
            (Some(name), Some(version)) => (name, version),
            _ => from_file_name(stem).ok_or(ExtractError::MissingField {
                record: format!("the specification `{}`", stem.chars().take(60).collect::<String>()),
                field: "version",
            })?,
        };
        let package = Package::new(PackageKind::Gem, field("name", name)?, field("version", version)?);
        Ok(Extracted::Packages(vec![package]))
    }
}

/// The text of `s.KEY = "…".freeze`.
fn assigned<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        if left.trim().rsplit_once('.')?.1 != key {
            return None;
        }
        let right = right.trim_start();
        let quote = right.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        right[1..].split_once(quote).map(|(value, _)| value).filter(|value| !value.is_empty())
    })
}

/// `NAME-VERSION`, with a platform behind it or not.
fn from_file_name(stem: &str) -> Option<(&str, &str)> {
    let digit = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    let at = stem.match_indices('-').find(|(at, _)| digit(&stem[at + 1..]))?.0;
    let version = stem[at + 1..].split('-').next()?;
    (at > 0).then_some((&stem[..at], version))
}
