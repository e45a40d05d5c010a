//! Chisel: the manifest of Ubuntu images that are cut from slices of packages.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

use crate::extractors::{
    ExtractError, Extracted, Extractor, FileDigest, OwnedFile, Want, ends_with, field, may_hold_packages,
    relative,
};
use crate::limits::ZSTD_WINDOW_LOG_MAX;
use crate::package::{Package, PackageKind, SourcePackage};

/// Reads `manifest.wall`: JSON lines, packed by zstd. It names packages without their sources, by which advisories go, so
/// that its packages are listed and not judged.
pub struct Chisel;

/// Bytes that a manifest may unpack to: a line a file, and images of slices have few.
const UNPACKED_BYTES_MAX: u64 = 64 << 20;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    arch: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    slices: Vec<String>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    final_sha256: Option<String>,
}

impl Extractor for Chisel {
    fn name(&self) -> &'static str {
        "chisel"
    }

    fn version(&self) -> u32 {
        1
    }

    fn wants(&self, path: &[u8]) -> Want {
        if ends_with(path, b"var/lib/chisel/manifest.wall") { Want::Content } else { Want::No }
    }

    fn extract(&self, _path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(|error| malformed(error.to_string()))?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| malformed(error.to_string()))?;
        let mut reader = BufReader::new(decoder.take(UNPACKED_BYTES_MAX + 1));
        let (mut packages, mut paths, mut read) = (Vec::new(), Vec::new(), 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            let bytes = reader.read_until(b'\n', &mut line).map_err(|error| malformed(error.to_string()))?;
            read += bytes as u64;
            if read > UNPACKED_BYTES_MAX {
                return Err(malformed(format!("unpacks to more than {UNPACKED_BYTES_MAX} bytes")));
            }
            if bytes == 0 {
                break;
            }
            let line: Line = serde_json::from_slice(&line).map_err(|error| malformed(error.to_string()))?;
            match line.kind.as_deref() {
                Some("package") => packages.push(package(&line)?),
                Some("path") => paths.push(line),
                _ => {}
            }
        }
        if packages.is_empty() {
            return Err(malformed("it names no package"));
        }
        let numbers: HashMap<&str, usize> =
            packages.iter().enumerate().map(|(number, package)| (package.name.as_str(), number)).collect();
        let owned = paths.into_iter().filter_map(|line| {
            // `PACKAGE_SLICE`; package names have no underscore (Debian Policy §5.6.1).
            let package = line.slices.first()?.split('_').next()?;
            let number = u32::try_from(*numbers.get(package)?).ok()?;
            let path = relative(line.path.as_deref()?).to_owned();
            let digest = line.final_sha256.or(line.sha256).as_deref().and_then(FileDigest::sha256);
            may_hold_packages(path.as_bytes()).then_some((number, OwnedFile { path, digest }))
        });
        let owned = owned.collect();
        Ok(Extracted::System { packages, owned })
    }
}

fn package(line: &Line) -> Result<Package, ExtractError> {
    let needed = |value: &Option<String>, name| {
        let value = value.as_deref().filter(|value| !value.is_empty());
        let missing = || ExtractError::MissingField { record: "a package".to_owned(), field: name };
        field(name, value.ok_or_else(missing)?)
    };
    let (name, version) = (needed(&line.name, "name")?, needed(&line.version, "version")?);
    let source = Some(SourcePackage { name: name.clone(), version: version.clone() });
    let architecture = line.arch.as_deref().map(|value| field("arch", value)).transpose()?;
    Ok(Package { architecture, source, ..Package::new(PackageKind::Deb, name, version) })
}

fn malformed(problem: impl Into<String>) -> ExtractError {
    ExtractError::Malformed { expected: "a manifest of Chisel", problem: problem.into() }
}
