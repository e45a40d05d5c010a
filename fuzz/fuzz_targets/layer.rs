//! Any bytes as a layer: decompressor, archive reader, extractors and detectors. The pieces must not matter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::layer::{LayerReport, LayerWalk};
use scanner::limits::Limits;

fn walk(bytes: &[u8], piece: usize) -> LayerReport {
    let mut walk = LayerWalk::new(Limits { uncompressed_bytes_max: 1 << 22, ..Limits::default() });
    bytes.chunks(piece).for_each(|piece| walk.feed(piece));
    walk.finish()
}

fuzz_target!(|bytes: &[u8]| {
    let whole = walk(bytes, bytes.len().max(1));
    assert_eq!(whole, walk(bytes, 13));
    assert_eq!(LayerReport::decode(&whole.encode()), Some(whole));
});
