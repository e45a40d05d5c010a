//! Toolchains and runtimes that come as an archive and say in a file of their own which they are: Go and Java.

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with, field, text};
use crate::package::{Package, PackageKind};

/// Reads `go/VERSION`, and `release` in the folder of a Java runtime.
pub struct Runtimes;

impl Extractor for Runtimes {
    fn name(&self) -> &'static str {
        "runtimes"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        let java = path.strip_suffix(b"/release").is_some_and(|folder| {
            let folder = folder.to_ascii_lowercase();
            [&b"java"[..], b"jdk", b"jre", b"jvm"]
                .iter()
                .any(|word| memchr::memmem::find(&folder, word).is_some())
        });
        if java || ends_with(path, b"go/VERSION") { Want::Content } else { Want::No }
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let text = text(bytes);
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim().trim_matches('"')).filter(|value| !value.is_empty())
        };
        // Other files of these names say nothing of the kind.
        let package = if path.ends_with(b"/VERSION") {
            let version = text.lines().next().filter(|line| line.starts_with("go1."));
            version.map(|version| (PackageKind::Golang, "toolchain", version))
        } else {
            value("JAVA_VERSION").map(|version| (PackageKind::Binary, "openjdk", version))
        };
        let package = package.map(|(kind, name, version)| {
            Ok(Package::new(kind, name.to_owned(), field("version", version.trim())?))
        });
        Ok(Extracted::Packages(package.into_iter().collect::<Result<_, ExtractError>>()?))
    }
}
