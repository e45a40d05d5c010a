//! Any bytes as a layer: decompressor, archive reader, extractors and detectors. The pieces must not matter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::layer::{LayerOutcome, LayerReport, LayerWalk};
use scanner::limits::Limits;

fn walk(bytes: &[u8], piece: usize) -> LayerReport {
    let mut walk = LayerWalk::new(Limits { uncompressed_bytes_max: 1 << 22, ..Limits::default() });
    bytes.chunks(piece).for_each(|piece| walk.feed(piece));
    walk.finish()
}

fuzz_target!(|bytes: &[u8]| {
    let whole = walk(bytes, bytes.len().max(1));
    // Of a sound layer the pieces must not matter. A damaged one may meet another of its faults first, or meet it later.
    let pieces = walk(bytes, 13);
    if matches!((&whole.outcome, &pieces.outcome), (LayerOutcome::Walked, LayerOutcome::Walked)) {
        assert_eq!(whole, pieces);
    }
    assert_eq!(LayerReport::decode(&whole.encode()), Some(whole));
});
