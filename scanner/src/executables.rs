//! What executables say about themselves: the modules that Go and the crates that `cargo auditable` write into them, and the
//! versions that well-known programs print.
//!
//! An executable may be larger than memory allows and no path tells it, so that each is searched while its windows pass,
//! and only what stands at a mark is kept. Packages are found by the marks themselves, not by section headers, which stand
//! at the end of a file and which `strip` and packers remove.

use crate::detectors::Window;
use crate::extractors::{ExtractError, Extracted};
use crate::package::Package;

mod go;
mod rust;
mod versions;

/// Name and version in [`crate::layer::ANALYZER`]'s contract.
pub(crate) const NAME: &str = "executable";
/// Raised whenever the same bytes would give another answer.
#[cfg(test)]
pub(crate) const VERSION: u32 = 7;

/// Begin of an ELF file (System V ABI, "ELF Header").
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Begin of a program for Windows, where it tells where its header begins, and that header's begin (PE Format, "MS-DOS
/// Stub", "Signature").
const DOS_MAGIC: &[u8] = b"MZ";
const PE_OFFSET_AT: usize = 0x3c;
const PE_MAGIC: &[u8] = b"PE\0\0";

/// Begins of a program for macOS, of 32 and 64 bits in both orders of bytes, and of several in one file.
const MACH_MAGICS: [[u8; 4]; 4] =
    [*b"\xfe\xed\xfa\xce", *b"\xfe\xed\xfa\xcf", *b"\xce\xfa\xed\xfe", *b"\xcf\xfa\xed\xfe"];
const MACH_FAT_MAGIC: &[u8] = b"\xca\xfe\xba\xbe";
/// Classes of Java begin alike, and tell their version, 45 and above, where such a file tells how many programs it has.
const MACH_FAT_PROGRAMS_MAX: u32 = 30;

/// What UPX leaves in the programs that it packs, and where it is looked for.
const PACKER: &[u8] = b"UPX!";
const PACKER_BYTES: usize = 1 << 10;

/// Smaller programs without a table of sections hold nothing that could be listed.
const SECTIONLESS_BYTES_MIN: usize = 16 << 10;

/// Bytes kept at one mark. The module list of Kubernetes has 30 KB, the crates of a large program pack to 20 KB.
const CAPTURE_BYTES_MAX: usize = 1 << 20;

/// Marks followed in one executable. A program that embeds others has a few; more are made to cost memory.
const CAPTURES_MAX: usize = 16;

/// Collects what stands at the marks of one executable.
#[derive(Default)]
pub(crate) struct Executable {
    captures: Vec<Capture>,
    crates: rust::Search,
    versions: versions::Search,
    too_many: bool,
    packed: bool,
    /// No table of sections: linkers always write one, `strip` keeps it, packers do not.
    sectionless: bool,
    /// Built by Go, whether it tells its modules or not.
    of_go: bool,
}

/// Which list begins at a mark.
#[derive(Clone, Copy)]
enum Kind {
    Crates,
    Modules,
}

struct Capture {
    kind: Kind,
    bytes: Vec<u8>,
}

impl Executable {
    /// Whether the first bytes are those of an executable, of whatever system: programs for others are shipped in images
    /// to be handed out, and tell as well what was built into them.
    pub(crate) fn recognises(first: &[u8]) -> bool {
        Self::is_native(first) || is_pe(first) || is_mach(first)
    }

    /// Whether the first bytes are those of an executable that Linux runs.
    pub(crate) fn is_native(first: &[u8]) -> bool {
        first.starts_with(ELF_MAGIC)
    }

    /// A search of the file at `path`: its name tells which product's version it may print.
    pub(crate) fn new(path: &[u8]) -> Self {
        Self { versions: versions::Search::of(path), ..Self::default() }
    }

    /// Searches the fresh part of a window; lists that begin near its end go on in the next.
    pub(crate) fn inspect(&mut self, window: &Window<'_>) {
        for capture in &mut self.captures {
            let room = CAPTURE_BYTES_MAX - capture.bytes.len();
            let fresh = &window.bytes[window.fresh.clone()];
            capture.bytes.extend_from_slice(&fresh[..fresh.len().min(room)]);
        }
        // Its loader bears the mark, right behind the headers; the tool itself bears it elsewhere.
        self.packed |= window.first
            && memchr::memmem::find(&window.bytes[..window.bytes.len().min(PACKER_BYTES)], PACKER).is_some();
        self.sectionless |= window.first && is_sectionless(window.bytes);
        self.versions.inspect(window);
        self.of_go = self.of_go || go::is_program(window);
        for at in go::marks(window) {
            self.keep(Kind::Modules, window, at);
        }
        let mut crates = std::mem::take(&mut self.crates);
        crates.for_each_mark(window, &mut |at| self.keep(Kind::Crates, window, at));
        self.crates = crates;
    }

    fn keep(&mut self, kind: Kind, window: &Window<'_>, at: usize) {
        if self.captures.len() >= CAPTURES_MAX {
            self.too_many = true;
            return;
        }
        self.captures.push(Capture { kind, bytes: window.bytes[at..window.fresh.end].to_vec() });
    }

    /// What was found; `None` when there was no mark.
    pub(crate) fn finish(self) -> Option<Result<Extracted, ExtractError>> {
        if self.packed {
            return Some(Err(malformed("packed by UPX, so that nothing in it can be read")));
        }
        if self.sectionless {
            return Some(Err(malformed("without a table of sections, as packers leave it")));
        }
        if self.too_many || self.crates.exhausted() {
            return Some(Err(malformed("more marks of package lists than can be followed")));
        }
        let mut packages: Vec<Package> = Vec::new();
        let (mut marked, mut modules) = (false, false);
        for capture in &self.captures {
            let found = match capture.kind {
                Kind::Crates => rust::packages(&capture.bytes).map(Some),
                Kind::Modules => go::packages(&capture.bytes),
            };
            match found {
                Ok(None) => {}
                Ok(Some(found)) => {
                    marked = true;
                    modules |= matches!(capture.kind, Kind::Modules);
                    packages.extend(found);
                }
                Err(error) => return Some(Err(error)),
            }
        }
        if self.of_go && !modules {
            return Some(Err(malformed("a program of Go whose list of modules was taken out")));
        }
        let versions = self.versions.finish();
        marked |= !versions.is_empty();
        packages.extend(versions);
        packages.sort();
        packages.dedup();
        marked.then_some(Ok(Extracted::Packages(packages)))
    }
}

fn is_pe(first: &[u8]) -> bool {
    let offset = first.get(PE_OFFSET_AT..PE_OFFSET_AT + 4).filter(|_| first.starts_with(DOS_MAGIC));
    let offset = offset.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_le_bytes);
    let offset = offset.and_then(|offset| usize::try_from(offset).ok());
    offset.and_then(|offset| first.get(offset..)).is_some_and(|header| header.starts_with(PE_MAGIC))
}

fn is_mach(first: &[u8]) -> bool {
    let (Some(magic), number) = (first.get(..4), first.get(4..8)) else { return false };
    let programs = number.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_be_bytes);
    MACH_MAGICS.iter().any(|known| known == magic)
        || magic == MACH_FAT_MAGIC
            && programs.is_some_and(|count| (1..=MACH_FAT_PROGRAMS_MAX).contains(&count))
}

/// An ELF program or library whose header names no sections (System V ABI, "ELF Header": `e_type`, `e_shoff`).
fn is_sectionless(first: &[u8]) -> bool {
    let long_enough = first.len() >= SECTIONLESS_BYTES_MIN && Executable::is_native(first);
    let Some(header) = first.get(..64).filter(|_| long_enough) else { return false };
    let number = |at: usize, bytes: usize| {
        let field = header[at..at + bytes].iter();
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if header[5] == 2 { field.fold(0, join) } else { field.rev().fold(0, join) }
    };
    let offset = match header[4] {
        1 => number(32, 4),
        2 => number(40, 8),
        _ => return false,
    };
    matches!(number(16, 2), 2 | 3) && offset == 0
}

fn malformed(problem: impl Into<String>) -> ExtractError {
    ExtractError::Malformed { expected: "a readable executable", problem: problem.into() }
}

#[cfg(test)]
mod tests;
