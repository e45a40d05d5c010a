//! Where token characters stand together: told for lanes of four bytes, in a form that compilers turn into vector
//! instructions.

use std::borrow::Cow;
use std::ops::Range;

use super::Standing;

/// Bytes of one lane.
pub(super) const LANE_BYTES: usize = 4;

/// Lanes that are told at once, one bit each.
const LANES: usize = 64;

const TILE_BYTES: usize = LANE_BYTES * LANES;

/// Wherever it begins, a run of so many bytes fills four lanes: up to three bytes stand before the first.
pub(in super::super) const RUN_BYTES: usize = 4 * LANE_BYTES + (LANE_BYTES - 1);

/// Wherever it begins, a run of so many bytes fills eight lanes.
pub(in super::super) const LONG_RUN_BYTES: usize = 8 * LANE_BYTES + (LANE_BYTES - 1);

/// Bytes around the fresh ones that tell whether a run reaches into them.
const AROUND_BYTES: usize = 2 * LONG_RUN_BYTES;

/// Letters, digits and the signs of tokens; what else lies between `+` and `=`, and between the letters' cases, makes two
/// comparisons of many.
#[inline]
pub(in super::super) const fn is_token(byte: u8) -> bool {
    let letter_or_sign = (byte | 0x20).wrapping_sub(b'a') <= 0x7f - b'a';
    let digit_or_sign = byte.wrapping_sub(b'+') <= b'=' - b'+';
    letter_or_sign | digit_or_sign
}

/// What a token must not follow, as it would then be the middle of a word.
#[inline]
const fn is_word(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    letter | (byte.wrapping_sub(b'0') < 10) | (byte == b'_')
}

/// Hands `look` each four places in or around `fresh` of which one may begin a run, and all that touch a long one.
#[inline]
pub(super) fn search(bytes: &[u8], fresh: &Range<usize>, mut look: impl FnMut(Standing, Range<usize>)) {
    let end = fresh.end.saturating_add(AROUND_BYTES).min(bytes.len());
    let mut at = fresh.start.saturating_sub(AROUND_BYTES);
    // The lanes of the tile before and of this one. Those in the middle are settled: what tells about them is all here.
    let mut tokens = 0_u128;
    loop {
        tokens = tokens >> LANES | u128::from(full_lanes(&tile(bytes, at), is_token)) << LANES;
        let begin = run_begins(tokens);
        if begin != 0 {
            let place = |lane: u32| (at + lane as usize * LANE_BYTES).saturating_sub(TILE_BYTES / 2);
            // A run's first byte is one of the lane's first and the three before it: what stands before it, in the lane
            // before.
            let mut lanes = settled(begin) & !words_before(bytes, at);
            while lanes != 0 {
                let first = place(lanes.trailing_zeros());
                look(Standing::BeginsRun, first.saturating_sub(LANE_BYTES - 1)..first + 1);
                lanes &= lanes - 1;
            }
            for_each_group(settled(long_runs(begin)), |lanes| {
                look(Standing::InLongRun, place(lanes.start)..place(lanes.end));
            });
        }
        if at >= end {
            return;
        }
        at += TILE_BYTES;
    }
}

fn settled(lanes: u128) -> u64 {
    u64::try_from(lanes >> (LANES / 2) & u128::from(u64::MAX)).unwrap_or_default()
}

/// Bits that stand together.
#[inline]
fn for_each_group(mut lanes: u64, mut visit: impl FnMut(Range<u32>)) {
    let mut passed = 0;
    while lanes != 0 {
        let start = lanes.trailing_zeros();
        let count = (lanes >> start).trailing_ones();
        visit(passed + start..passed + start + count);
        passed += start + count;
        lanes = lanes.checked_shr(start + count).unwrap_or_default();
    }
}

/// A bit for each settled lane, set when the lane before consists of a word's characters.
fn words_before(bytes: &[u8], at: usize) -> u64 {
    const BEFORE: usize = TILE_BYTES / 2 + LANE_BYTES;
    if let Some(start) = at.checked_sub(BEFORE) {
        return full_lanes(&tile(bytes, start), is_word);
    }
    // Before the first byte stands no word.
    let mut padded = [0; TILE_BYTES];
    for (padded, byte) in padded[BEFORE - at..].iter_mut().zip(bytes) {
        *padded = *byte;
    }
    full_lanes(&padded, is_word)
}

/// Lanes with which four full ones begin.
fn run_begins(full: u128) -> u128 {
    let two = full & full >> 1;
    two & two >> 2
}

/// Lanes of eight full ones and the lane on either side: a run's first and last bytes fill none.
fn long_runs(run_begins: u128) -> u128 {
    let eight = run_begins & run_begins >> 4;
    let two = eight | eight << 1;
    let four = two | two << 2;
    let all = four | four << 4;
    all | all << 1 | all >> 1
}

/// The tile at a place; zeros, which are of neither class, stand for what is missing.
#[inline]
fn tile(bytes: &[u8], at: usize) -> Cow<'_, [u8; TILE_BYTES]> {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(tile) = rest.first_chunk() {
        return Cow::Borrowed(tile);
    }
    let mut tile = [0; TILE_BYTES];
    tile[..rest.len()].copy_from_slice(rest);
    Cow::Owned(tile)
}

/// A bit for each lane, set when all its bytes are of the class. Three plain loops, as compilers make vectors of them.
#[inline(never)]
fn full_lanes(tile: &[u8; TILE_BYTES], class: impl Fn(u8) -> bool) -> u64 {
    let mut of_class = [0_u8; TILE_BYTES];
    for (of_class, byte) in of_class.iter_mut().zip(tile) {
        *of_class = if class(*byte) { u8::MAX } else { 0 };
    }
    let mut full = [0_u8; LANES];
    for (full, lane) in full.iter_mut().zip(of_class.as_chunks::<LANE_BYTES>().0) {
        *full = u8::from(u32::from_ne_bytes(*lane) == u32::MAX);
    }
    let mut bits = 0;
    for (number, eight) in full.as_chunks::<8>().0.iter().enumerate() {
        // The product moves the lowest bit of byte `n` to bit `56 + n`.
        let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= gathered << (8 * number);
    }
    bits
}
