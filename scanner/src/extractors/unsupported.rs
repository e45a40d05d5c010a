//! Package databases that are known but not read yet: their mere presence makes an image unknown.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with};

/// Recognises portage, xbps and Nix by the places of their databases, and zipped eggs by
/// their name.
pub struct Unsupported;

/// Files that only exist when the package manager has installed something.
const DATABASES: [&[u8]; 3] =
    [b"nix/var/nix/db/db.sqlite", b"var/db/xbps/pkgdb-0.38.plist", b"var/lib/portage/world"];

impl Extractor for Unsupported {
    fn name(&self) -> &'static str {
        "unsupported"
    }

    fn version(&self) -> u32 {
        4
    }

    fn wants(&self, path: &[u8]) -> Want {
        let database = DATABASES.iter().any(|database| ends_with(path, database));
        // A zipped egg is a Python distribution in one file.
        let egg = path.ends_with(b".egg") && memchr::memmem::find(path, b"-packages/").is_some();
        if database || egg { Want::NameOnly } else { Want::No }
    }

    fn extract(&self, _path: &[u8], _bytes: &[u8]) -> Result<Extracted, ExtractError> {
        Ok(Extracted::Unsupported)
    }
}
