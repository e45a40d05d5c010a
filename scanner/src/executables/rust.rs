//! The list of crates that `cargo auditable` writes into the section `.dep-v0`: zlib-packed JSON.

use serde::Deserialize;

use super::malformed;
use crate::detectors::Window;
use crate::extractors::{ExtractError, field};
use crate::package::{Package, PackageKind};

/// Begin of the unpacked list.
const BEGIN: &[u8] = b"{\"packages\":";

/// Bytes that a list may unpack to; the format's own guide names this bound.
const LIST_BYTES_MAX: usize = 8 << 20;

/// Places that look like packed data and are unpacked to see. A gigabyte of random bytes has below 200; more are
/// made to cost time.
const TRIALS_MAX: u32 = 10_000;

/// Bytes of a deflate block's begin that are looked at.
const LOOK_BYTES: usize = 16;

/// Searches one executable.
#[derive(Default)]
pub(super) struct Search {
    trials: u32,
    unpacker: Option<flate2::Decompress>,
}

impl Search {
    pub(super) fn exhausted(&self) -> bool {
        self.trials >= TRIALS_MAX
    }

    /// Where lists begin in the fresh part of a window.
    pub(super) fn for_each_mark(&mut self, window: &Window<'_>, visit: &mut dyn FnMut(usize)) {
        let fresh = &window.bytes[window.fresh.clone()];
        for at in memchr::memchr_iter(0x78, fresh).map(|at| at + window.fresh.start) {
            let packed = &window.bytes[at..];
            if !self.exhausted() && may_begin(packed) && self.unpacks(packed) {
                visit(at);
            }
        }
    }

    fn unpacks(&mut self, packed: &[u8]) -> bool {
        self.trials += 1;
        let unpacker = self.unpacker.get_or_insert_with(|| flate2::Decompress::new(true));
        unpacker.reset(true);
        let mut begin = [0; BEGIN.len()];
        // A list that is cut off here is an error of its own, later.
        let _ = unpacker.decompress(packed, &mut begin, flate2::FlushDecompress::None);
        begin == BEGIN
    }
}

/// Whether zlib data (RFC 1950) with a first block that may hold text begins here. Cheap, since every `x` of a program is
/// asked; only what passes is unpacked.
fn may_begin(packed: &[u8]) -> bool {
    let Some([_, flags, block @ ..]) = packed.get(..LOOK_BYTES) else { return false };
    if !matches!(flags, 0x01 | 0x5e | 0x9c | 0xda) {
        return false;
    }
    match block[0] >> 1 & 3 {
        // Stored: the length and its complement, then the text (RFC 1951 §3.2.4).
        0 => block[5..].starts_with(&BEGIN[..2]),
        // Fixed codes: `{"` always looks the same behind the three bits of the block's head (§3.2.6).
        1 => block[0] & 0xfe == 0xaa && block[1] == 0x56,
        2 => has_complete_code(block),
        _ => false,
    }
}

/// Whether the code by which a dynamic block writes its other codes is complete (§3.2.7), which random bytes seldom are.
fn has_complete_code(block: &[u8]) -> bool {
    let bits = |at: usize, count: usize| -> usize {
        (0..count).map(|bit| usize::from(block[(at + bit) / 8] >> ((at + bit) % 8) & 1) << bit).sum()
    };
    let (literals, distances, lengths) = (bits(3, 5), bits(8, 5), bits(13, 4) + 4);
    let filled: usize = (0..lengths)
        .map(|index| bits(17 + 3 * index, 3))
        .filter(|length| *length > 0)
        .map(|length| 128 >> length)
        .sum();
    literals <= 29 && distances <= 29 && filled == 128
}

#[derive(Deserialize)]
struct List {
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    #[serde(default)]
    kind: Option<String>,
}

/// The crates of a list; those that only the build needed are not in the executable.
pub(super) fn packages(packed: &[u8]) -> Result<Vec<Package>, ExtractError> {
    let mut plain = Vec::new();
    let reader = flate2::bufread::ZlibDecoder::new(packed);
    let limit = u64::try_from(LIST_BYTES_MAX).unwrap_or(u64::MAX);
    let read = std::io::Read::read_to_end(&mut std::io::Read::take(reader, limit + 1), &mut plain);
    read.map_err(|_| malformed("the packed list of crates is broken or too large"))?;
    if plain.len() > LIST_BYTES_MAX {
        return Err(malformed(format!("a list of crates of more than {LIST_BYTES_MAX} bytes")));
    }
    let list: List = serde_json::from_slice(&plain).map_err(|error| malformed(error.to_string()))?;
    let runtime = list.packages.into_iter().filter(|entry| entry.kind.as_deref() != Some("build"));
    runtime
        .map(|entry| {
            let (name, version) = (field("name", &entry.name)?, field("version", &entry.version)?);
            Ok(Package::new(PackageKind::Cargo, name, version))
        })
        .collect()
}
