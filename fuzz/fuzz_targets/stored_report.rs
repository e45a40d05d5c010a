//! Any bytes as a stored report: it is believed only when it is whole.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::image::{Layer, final_tree};
use scanner::layer::LayerReport;

fuzz_target!(|bytes: &[u8]| {
    if let Some(report) = LayerReport::decode(bytes) {
        final_tree(&[Layer { digest: "", report: &report, instruction: None }]);
    }
});
