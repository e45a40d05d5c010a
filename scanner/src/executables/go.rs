//! Go's build information: the version of Go, the main module and all modules that were built in (`debug/buildinfo`).

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::malformed;
use crate::detectors::Window;
use crate::extractors::{ExtractError, field, text};
use crate::package::{Package, PackageKind};

/// Begin of the information; it stands at a multiple of [`ALIGNMENT`] in the file.
const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: u64 = 16;
/// Mark, pointer size, flags, and room for two pointers.
const HEADER_BYTES: usize = 32;
/// The texts follow the header, since Go 1.18.
const FLAG_INLINE: u8 = 2;
/// What Go puts before and after the list of modules.
const FRAME_BYTES: usize = 16;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MAGIC));

/// Where information begins in the fresh part of a window. Tools that read such information hold the mark as text too;
/// that stands at no multiple, or is followed by no information.
pub(super) fn marks<'w>(window: &'w Window<'_>) -> impl Iterator<Item = usize> + 'w {
    let fresh = window.fresh.clone();
    let aligned = move |at: &usize| (window.offset + *at as u64).is_multiple_of(ALIGNMENT);
    FINDER
        .find_iter(&window.bytes[fresh.start..])
        .map(move |at| at + fresh.start)
        .filter(aligned)
        .filter(move |at| *at < fresh.end)
}

/// What the linker writes before the first function, and what ends it; and the name of a function that every program has,
/// which stands among others of the runtime's.
const BUILD_ID: &[u8] = b"\xff Go build ID: \"";
const BUILD_ID_END: &[u8] = b"\"\n \xff";
const FUNCTION: &[u8] = b"\0runtime.goexit\0";
/// Bytes of the package's name in it.
const FUNCTION_PACKAGE_BYTES: usize = 9;
/// How far the end, or another function, may be. Build IDs have 83 bytes, names of the runtime's functions twenty.
const NEAR_BYTES: usize = 128;

static PROGRAM: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new(BUILD_ID), Finder::new(FUNCTION)]);

/// Whether Go built what this window shows. Tools that look for such programs, like this one, hold the marks too; but not
/// what stands around them.
pub(super) fn is_program(window: &Window<'_>) -> bool {
    let [build_id, function] = &*PROGRAM;
    let end = window.bytes.len().min(window.fresh.end + FUNCTION.len());
    let (bytes, fresh) = (window.bytes, &window.bytes[window.fresh.start..end]);
    let at = |found: usize| found + window.fresh.start;
    let mut ids = build_id.find_iter(fresh).map(|found| at(found) + BUILD_ID.len());
    let mut names = function.find_iter(fresh).map(at);
    let near = |from: usize, what: &[u8]| {
        let piece = &bytes[from.min(bytes.len())..bytes.len().min(from + NEAR_BYTES)];
        memchr::memmem::find(piece, what).is_some()
    };
    let package = &FUNCTION[..FUNCTION_PACKAGE_BYTES];
    ids.any(|at| near(at, BUILD_ID_END))
        || names.any(|at| {
            let before = &bytes[at.saturating_sub(NEAR_BYTES)..at];
            // The zero that ends this name begins the next.
            memchr::memmem::find(before, package).is_some() || near(at + FUNCTION.len() - 1, package)
        })
}

/// The modules; `None` when no information follows the mark.
pub(super) fn packages(bytes: &[u8]) -> Result<Option<Vec<Package>>, ExtractError> {
    let Some(header) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
    let (pointer_bytes, flags) = (header[MAGIC.len()], header[MAGIC.len() + 1]);
    // Go's own tools hold the mark as text, and by chance in a place where it could be one.
    if !matches!(pointer_bytes, 4 | 8) || flags > 3 {
        return Ok(None);
    }
    if flags & FLAG_INLINE == 0 {
        return Err(malformed("built by a Go older than 1.18, which does not tell its version in place"));
    }
    let cut = || malformed("Go's build information is cut short");
    let (version, rest) = string(&bytes[HEADER_BYTES..]).ok_or_else(cut)?;
    let (modules, _) = string(rest).ok_or_else(cut)?;
    let version = text(version);
    if !version.starts_with("go1.") && !version.starts_with("devel") {
        return Ok(None);
    }
    let version = field("Go version", version.split(' ').next().unwrap_or_default())?;
    let mut packages = vec![Package::new(PackageKind::Golang, "stdlib".to_owned(), version)];
    if let Some(framed) = modules.get(FRAME_BYTES..modules.len().saturating_sub(FRAME_BYTES)) {
        read_modules(&text(framed), &mut packages)?;
    }
    Ok(Some(packages))
}

/// Lines of tabs: `mod`, `dep` and, for the one before it, `=>`, each with path and version.
fn read_modules(lines: &str, packages: &mut Vec<Package>) -> Result<(), ExtractError> {
    for line in lines.lines() {
        let mut words = line.split('\t');
        let (kind, path, version) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match kind {
            Some("mod" | "dep") => {
                let version = if version.is_empty() { DEVELOPED } else { version };
                let (path, version) = (field("module", path)?, field("version", version)?);
                packages.push(Package::new(PackageKind::Golang, path, version));
            }
            Some("=>") => {
                let replaced = packages.last_mut().filter(|package| package.name != "stdlib");
                let replaced = replaced.ok_or_else(|| malformed("a replacement of no module"))?;
                // A folder in its place has no version; what it holds keeps the module's name.
                if version.is_empty() {
                    replaced.version = DEVELOPED.to_owned();
                } else {
                    (replaced.name, replaced.version) = (field("module", path)?, field("version", version)?);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// How Go itself writes that a module was built from a working copy.
const DEVELOPED: &str = "(devel)";

/// A length (LEB128) and as many bytes.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at_checked(length);
        }
    }
    None
}
