//! Keywords by four bytes of each, which few others have and few files.
//!
//! The regular expression that only lists literals is searched with vector instructions as long as there are at most 64, and
//! without where there are more or the processor has none.

use std::cmp::Reverse;
use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a needle.
const NEEDLE_BYTES: usize = 4;

pub(super) struct Literals {
    /// `None` without keywords.
    needles: Option<Regex>,
    places: Vec<Place>,
    offset_max: usize,
}

/// A needle that stands in a keyword.
struct Place {
    needle: Vec<u8>,
    /// The needle as a number, and the bits of it that count: most places are told apart by these.
    head: u32,
    mask: u32,
    /// Where in the keyword.
    offset: usize,
    number: usize,
    keyword: Vec<u8>,
}

impl Literals {
    pub(super) fn new(keywords: Vec<(usize, Vec<u8>)>) -> Self {
        let place = |(number, keyword): &(usize, Vec<u8>)| {
            let (offset, needle) = best(keyword, &keywords);
            let (head, mask) = head(needle);
            Place { needle: needle.to_vec(), head, mask, offset, number: *number, keyword: keyword.clone() }
        };
        let places: Vec<_> = keywords.iter().map(place).collect();
        let mut needles: Vec<_> = places.iter().map(|place| literal(&place.needle)).collect();
        needles.sort_unstable();
        needles.dedup();
        let build = |text: String| {
            RegexBuilder::new(&text).unicode(false).build().expect("escaped bytes are a regular expression")
        };
        Self {
            needles: (!needles.is_empty()).then(|| build(needles.join("|"))),
            offset_max: places.iter().map(|place| place.offset).max().unwrap_or_default(),
            places,
        }
    }

    /// Hands `visit` each keyword that begins in `fresh`, and where.
    pub(super) fn find(&self, bytes: &[u8], fresh: &Range<usize>, visit: &mut impl FnMut(usize, usize)) {
        let Some(needles) = &self.needles else { return };
        let end = fresh.end.saturating_add(self.offset_max + NEEDLE_BYTES).min(bytes.len());
        let mut from = fresh.start;
        while from < end
            && let Some(found) = needles.find_at(&bytes[..end], from)
        {
            let at = found.start();
            let four = four(&bytes[at..]);
            for place in self.places.iter().filter(|place| four & place.mask == place.head) {
                let Some(start) = at.checked_sub(place.offset) else { continue };
                if fresh.contains(&start) && bytes[start..].starts_with(&place.keyword) {
                    visit(place.number, start);
                }
            }
            // Needles may overlap.
            from = at + 1;
        }
    }
}

/// The first bytes as a number; zeros stand for what is missing.
fn four(bytes: &[u8]) -> u32 {
    let mut four = [0; NEEDLE_BYTES];
    for (four, byte) in four.iter_mut().zip(bytes) {
        *four = *byte;
    }
    u32::from_le_bytes(four)
}

/// A needle as a number, and the bits of it that count.
fn head(needle: &[u8]) -> (u32, u32) {
    (four(needle), four(&[u8::MAX; NEEDLE_BYTES][..needle.len().min(NEEDLE_BYTES)]))
}

/// A regular expression for these bytes and no others.
fn literal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!(r"\x{byte:02x}")).collect()
}

/// The part of a keyword that most keywords share, of these the rarest in files, and where in it: the fewer needles, the
/// faster the search.
fn best<'k>(keyword: &'k [u8], keywords: &[(usize, Vec<u8>)]) -> (usize, &'k [u8]) {
    let rank = |(_, needle): &(usize, &[u8])| {
        let holds = |(_, other): &&(usize, Vec<u8>)| other.windows(NEEDLE_BYTES).any(|part| part == *needle);
        let common: u64 = needle.iter().map(|byte| often(*byte)).product();
        (Reverse(keywords.iter().filter(holds).count()), common)
    };
    keyword.windows(NEEDLE_BYTES).enumerate().min_by_key(rank).unwrap_or((0, keyword))
}

/// How often a byte stands in the files of an image, roughly: letters as in English, signs as in programs, and `A`
/// as in zeros that were made text by base64.
fn often(byte: u8) -> u64 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 40,
        b'd' | b'l' | b'c' | b'u' | b'm' | b'p' | b'f' | b'h' | b'_' | b'.' | b'/' | b' ' => 20,
        b'g' | b'y' | b'b' | b'v' | b'w' | b'k' | b'x' | b'A' | b'0'..=b'9' | b'-' | b':' => 8,
        _ => 3,
    }
}
