//! R packages: the `DESCRIPTION` of each package in a library.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, field, text};
use crate::package::{Package, PackageKind};

/// Reads `library/NAME/DESCRIPTION` and `site-library/NAME/DESCRIPTION` (Writing R Extensions §1.1.1).
pub struct Cran;

impl Extractor for Cran {
    fn name(&self) -> &'static str {
        "cran"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let mut parts = path.rsplit(|byte| *byte == b'/');
        let wanted = parts.next() == Some(b"DESCRIPTION")
            && parts.next().is_some()
            && matches!(parts.next(), Some(b"library" | b"site-library"));
        if wanted { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        let value = |key: &'static str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let found = found.map(str::trim).filter(|value| !value.is_empty());
            found.ok_or(ExtractError::MissingField { record: "the description".to_owned(), field: key })
        };
        let (name, version) = (value("Package")?, value("Version")?);
        let package = Package::new(PackageKind::Cran, field("Package", name)?, field("Version", version)?);
        Ok(Extracted::Packages(vec![package]))
    }
}
