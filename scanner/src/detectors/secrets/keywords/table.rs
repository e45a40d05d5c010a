//! Keywords by their first three bytes, as a table of bits that stays in the processor's first cache.

use std::ops::Range;

/// Log2 of the bits in the table.
const HASH_BITS: u32 = 16;

/// Words in the table.
const WORDS: usize = 1 << (HASH_BITS - 6);

/// Bytes of a keyword that the table knows.
const GRAM_BYTES: usize = 3;

/// Keywords, and at which places one may begin.
pub(super) struct Table {
    bits: Box<[u64; WORDS]>,
    /// Sorted by hash.
    entries: Vec<Entry>,
    /// Per word of the table, where its entries begin; one more for the end.
    starts: Vec<usize>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: usize,
    number: usize,
    keyword: Vec<u8>,
}

impl Table {
    pub(super) fn new(keywords: Vec<(usize, Vec<u8>)>) -> Self {
        let entry = |(number, keyword): (usize, Vec<u8>)| {
            let hash = hash(packed(*keyword.first_chunk()?));
            Some(Entry { hash, number, keyword })
        };
        let mut entries: Vec<_> = keywords.into_iter().filter_map(entry).collect();
        entries.sort_unstable();
        let mut bits = Box::new([0_u64; WORDS]);
        for Entry { hash, .. } in &entries {
            bits[hash / 64 % WORDS] |= 1 << (hash % 64);
        }
        let starts =
            (0..=WORDS).map(|word| entries.partition_point(|entry| entry.hash / 64 < word)).collect();
        Self { bits, entries, starts }
    }

    /// Hands `visit` each keyword that begins at one of at most four `places`, and where.
    #[inline]
    pub(super) fn look(&self, bytes: &[u8], places: Range<usize>, visit: &mut impl FnMut(usize, usize)) {
        if self.may_begin(bytes, places.start) {
            self.verify(bytes, places, visit);
        }
    }

    /// Whether a keyword may begin at one of four places: one decision for all, since each that goes astray costs more.
    #[inline]
    fn may_begin(&self, bytes: &[u8], at: usize) -> bool {
        let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else { return true };
        let eight = u64::from_le_bytes(*eight);
        self.has(hash(eight))
            | self.has(hash(eight >> 8))
            | self.has(hash(eight >> 16))
            | self.has(hash(eight >> 24))
    }

    #[inline]
    fn has(&self, hash: usize) -> bool {
        self.bits[hash / 64 % WORDS] >> (hash % 64) & 1 == 1
    }

    #[cold]
    fn verify(&self, bytes: &[u8], places: Range<usize>, visit: &mut impl FnMut(usize, usize)) {
        for at in places {
            let Some(rest) = bytes.get(at..) else { return };
            let Some(gram) = rest.first_chunk() else { return };
            let hash = hash(packed(*gram));
            let word = hash / 64 % WORDS;
            let same_word = &self.entries[self.starts[word]..self.starts[word + 1]];
            for entry in same_word.iter().filter(|entry| entry.hash == hash) {
                if rest.starts_with(&entry.keyword) {
                    visit(entry.number, at);
                }
            }
        }
    }
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
