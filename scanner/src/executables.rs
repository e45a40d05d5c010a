//! What executables say about themselves: the modules that Go and the crates that `cargo auditable` write into them.
//!
//! An executable may be larger than memory allows and no path tells it, so that each is searched while its windows pass,
//! and only what stands at a mark is kept. Packages are found by the marks themselves, not by section headers, which stand
//! at the end of a file and which `strip` and packers remove.

use crate::detectors::Window;
use crate::extractors::{ExtractError, Extracted};
use crate::package::Package;

mod go;
mod rust;

/// Name and version in [`crate::layer::ANALYZER`]'s contract.
pub(crate) const NAME: &str = "executable";
/// Raised whenever the same bytes would give another answer.
#[cfg(test)]
pub(crate) const VERSION: u32 = 4;

/// Begin of an ELF file (System V ABI, "ELF Header").
const ELF_MAGIC: &[u8] = b"\x7fELF";

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
    /// Whether the first bytes are those of an executable.
    pub(crate) fn recognises(first: &[u8]) -> bool {
        first.starts_with(ELF_MAGIC)
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
        packages.sort();
        packages.dedup();
        marked.then_some(Ok(Extracted::Packages(packages)))
    }
}

/// An ELF program or library whose header names no sections (System V ABI, "ELF Header": `e_type`, `e_shoff`).
fn is_sectionless(first: &[u8]) -> bool {
    let Some(header) = first.get(..64).filter(|_| first.len() >= SECTIONLESS_BYTES_MIN) else { return false };
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
