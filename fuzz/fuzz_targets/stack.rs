//! Any bytes as two layers and a configuration: the stack, the waste, the whole report.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::image::{Layer, scan};
use scanner::layer::LayerWalk;
use scanner::limits::Limits;

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (lower, upper, config) = input;
    let reports = [lower, upper].map(|bytes| {
        let mut walk = LayerWalk::new(Limits { uncompressed_bytes_max: 1 << 22, ..Limits::default() });
        walk.feed(bytes);
        walk.finish()
    });
    let layers = reports.each_ref().map(|report| Layer { digest: "", report, instruction: None });
    scan(&layers, config, None);
});
