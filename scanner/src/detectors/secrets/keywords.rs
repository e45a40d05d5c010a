//! Finds hundreds of short literals in one pass: every second group of three bytes is looked up in a table of bits that
//! stays in the processor's first cache.

use std::ops::Range;

/// Log2 of the bits in the table.
const HASH_BITS: u32 = 16;

/// Words in the table.
const WORDS: usize = 1 << (HASH_BITS - 6);

/// Bytes of one group.
const GRAM_BYTES: usize = 3;

/// The literals, prepared.
pub(super) struct Keywords {
    keywords: Vec<Vec<u8>>,
    bits: Box<[u64; WORDS]>,
    /// Sorted by hash.
    places: Vec<Place>,
    /// Per word of the table, where its places begin; one more for the end.
    starts: Vec<usize>,
    offset_max: usize,
}

/// A group that stands in a keyword.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    hash: usize,
    keyword: usize,
    /// Where in the keyword.
    offset: usize,
    /// The keyword's first bytes, and which bits of eight bytes they are: most candidates are told apart by these.
    head: u64,
    mask: u64,
}

impl Keywords {
    /// Keywords have at least three bytes, and what follows one of three is a letter, a digit or one of `_-.~`.
    pub(super) fn new(keywords: Vec<Vec<u8>>) -> Self {
        let mut places = Vec::new();
        for (number, keyword) in keywords.iter().enumerate() {
            let rarest = rarest(keyword);
            let (head, mask) = head(keyword);
            for (offset, gram) in grams(keyword, rarest).into_iter().chain(grams(keyword, rarest + 1)) {
                places.push(Place { hash: hash(packed(gram)), keyword: number, offset, head, mask });
            }
        }
        places.sort_unstable();
        places.dedup();
        let mut bits = Box::new([0_u64; WORDS]);
        for Place { hash, .. } in &places {
            bits[hash / 64 % WORDS] |= 1 << (hash % 64);
        }
        let starts = (0..=WORDS).map(|word| places.partition_point(|place| place.hash / 64 < word)).collect();
        let offset_max = places.iter().map(|place| place.offset).max().unwrap_or_default();
        Self { keywords, bits, places, starts, offset_max }
    }

    /// Hands `visit` each keyword that begins in `fresh`, and where.
    pub(super) fn find(&self, bytes: &[u8], fresh: Range<usize>, mut visit: impl FnMut(usize, usize)) {
        let end = bytes.len().min(fresh.end + self.offset_max);
        let mut at = fresh.start;
        while at < end
            && let Some(eight) = bytes[at..].first_chunk::<8>()
        {
            let eight = u64::from_le_bytes(*eight);
            let (first, second, third) = (hash(eight), hash(eight >> 16), hash(eight >> 32));
            if self.has(first) | self.has(second) | self.has(third) {
                for (step, hash) in [(0, first), (2, second), (4, third)] {
                    if self.has(hash) {
                        self.verify(bytes, &fresh, at + step, hash, &mut visit);
                    }
                }
            }
            at += 6;
        }
        while at < end {
            let byte = |at: usize| bytes.get(at).copied().unwrap_or(b'_');
            let hash = hash(packed([byte(at), byte(at + 1), byte(at + 2)]));
            if self.has(hash) {
                self.verify(bytes, &fresh, at, hash, &mut visit);
            }
            at += 2;
        }
    }

    #[inline]
    fn has(&self, hash: usize) -> bool {
        self.bits[hash / 64 % WORDS] >> (hash % 64) & 1 == 1
    }

    #[cold]
    fn verify(
        &self,
        bytes: &[u8],
        fresh: &Range<usize>,
        at: usize,
        hash: usize,
        visit: &mut impl FnMut(usize, usize),
    ) {
        let word = hash / 64 % WORDS;
        let same_word = &self.places[self.starts[word]..self.starts[word + 1]];
        for place in same_word.iter().filter(|place| place.hash == hash) {
            let Some(start) = at.checked_sub(place.offset) else { continue };
            let Some(rest) = bytes.get(start..) else { continue };
            let other = |eight: &[u8; 8]| u64::from_le_bytes(*eight) & place.mask != place.head;
            if rest.first_chunk::<8>().is_some_and(other) || !fresh.contains(&start) {
                continue;
            }
            if rest.starts_with(&self.keywords[place.keyword]) {
                visit(place.keyword, start);
            }
        }
    }
}

/// The groups that stand at `offset`: one, or behind a keyword of three bytes one for each byte that may follow.
fn grams(keyword: &[u8], offset: usize) -> Vec<(usize, [u8; GRAM_BYTES])> {
    match keyword.get(offset..) {
        Some([a, b, c, ..]) => vec![(offset, [*a, *b, *c])],
        Some([a, b]) if keyword.len() == GRAM_BYTES => {
            let may_follow = |next: &u8| next.is_ascii_alphanumeric() || b"_-.~".contains(next);
            (0..=u8::MAX).filter(may_follow).map(|next| (offset, [*a, *b, next])).collect()
        }
        _ => Vec::new(),
    }
}

/// Where in a keyword two groups follow each other that are rare in files.
fn rarest(keyword: &[u8]) -> usize {
    let common = |offset: usize| -> u64 {
        let often =
            |(_, gram): &(usize, [u8; GRAM_BYTES])| gram.iter().map(|byte| often(*byte)).product::<u64>();
        grams(keyword, offset).iter().map(often).sum()
    };
    let last = keyword.len().saturating_sub(GRAM_BYTES + 1);
    (0..=last).min_by_key(|offset| common(*offset) + common(offset + 1)).unwrap_or_default()
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

/// The first eight bytes of a keyword as a number, and the bits of it that count.
fn head(keyword: &[u8]) -> (u64, u64) {
    let (mut bytes, mut mask) = ([0; 8], [0; 8]);
    let length = keyword.len().min(bytes.len());
    bytes[..length].copy_from_slice(&keyword[..length]);
    mask[..length].fill(u8::MAX);
    (u64::from_le_bytes(bytes), u64::from_le_bytes(mask))
}

fn packed(gram: [u8; GRAM_BYTES]) -> u64 {
    let [a, b, c] = gram;
    u64::from(u32::from_le_bytes([a, b, c, 0]))
}

/// Multiplicative hashing (Knuth) of the lowest three bytes: the middle of a product depends on all of them.
#[inline]
fn hash(bytes: u64) -> usize {
    let product = (bytes & 0xff_ffff).wrapping_mul(0x9E37_79B1) >> 16 & ((1 << HASH_BITS) - 1);
    usize::try_from(product).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyword_is_found_wherever_it_begins_and_only_in_the_fresh_part() {
        let words: [&[u8]; 6] = [b"SG.", b"sk-", b"sk-ant-", b"AKIA", b"PRIVATE KEY-----", b"aab"];
        let keywords = Keywords::new(words.iter().map(|word| word.to_vec()).collect());
        // What follows a keyword at the end of the bytes is nothing at all.
        for pad in 0..20 {
            for tail in 0..20 {
                for (number, word) in words.iter().enumerate() {
                    let bytes = [&vec![b'a'; pad][..], word, &vec![b'b'; tail]].concat();
                    for fresh in [0..bytes.len(), 0..pad, pad..bytes.len(), pad + 1..bytes.len()] {
                        let mut found = Vec::new();
                        keywords.find(&bytes, fresh.clone(), |number, at| found.push((number, at)));
                        found.sort_unstable();
                        let naive = words.iter().enumerate().flat_map(|(number, word)| {
                            let starts = fresh.clone().filter(|at| bytes[*at..].starts_with(word));
                            starts.map(move |at| (number, at)).collect::<Vec<_>>()
                        });
                        let naive: Vec<_> = naive.collect();
                        assert_eq!(found, naive, "{pad} {tail} {number} {fresh:?}");
                    }
                }
            }
        }
    }
}
