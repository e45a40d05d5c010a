//! Erlang and Elixir applications: the resource file beside their compiled modules.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field, text};
use crate::package::{Package, PackageKind};

/// Reads `ebin/NAME.app` (Erlang, `app(4)`): an Erlang term, of which the application's name and `vsn` are taken.
pub struct Erlang;

impl Extractor for Erlang {
    fn name(&self) -> &'static str {
        "erlang"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let mut parts = path.rsplit(|byte| *byte == b'/');
        let wanted =
            parts.next().is_some_and(|name| name.ends_with(b".app")) && parts.next() == Some(b"ebin");
        if wanted { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        let missing = |field| ExtractError::MissingField { record: "the application".to_owned(), field };
        let name = behind(&text, "{application").and_then(|rest| rest.split(',').next());
        let name = name.map(|name| name.trim().trim_matches('\'')).filter(|name| !name.is_empty());
        let version =
            behind(&text, "{vsn").and_then(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
        let version = version.filter(|version| !version.is_empty());
        let name = field("application", name.ok_or_else(|| missing("application"))?)?;
        let version = field("vsn", version.ok_or_else(|| missing("vsn"))?)?;
        Ok(Extracted::Packages(vec![Package::new(PackageKind::Hex, name, version)]))
    }
}

/// What follows `{KEY,`, white space aside.
fn behind<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.match_indices(key).find_map(|(at, _)| text[at + key.len()..].trim_start().strip_prefix(','))
}
