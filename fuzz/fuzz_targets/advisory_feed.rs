//! Any bytes as a document of any feed; what is accepted must build, open and answer.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use scanner::advisory::{Advisories, Builder, Ecosystem};

fuzz_target!(|bytes: &[u8]| {
    let mut builder = Builder::new();
    if builder.add("fuzz", None, bytes).is_ok() {
        let file = builder.finish(1_795_392_000).expect("what was accepted builds");
        let advisories = Advisories::open(Arc::new(file)).expect("what was built opens");
        let entries = advisories.lookup(&Ecosystem::npm(), "a").expect("what was built is sound");
        entries.for_each(|entry| drop(entry.expect("what was built is sound")));
    }
});
