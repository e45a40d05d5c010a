//! Any bytes as the parts of a delta with a good head, and good deltas with bytes changed: errors, or the promised file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::advisory::Builder;
use scanner::advisory::delta::{apply, make};

const MAX: u64 = 1 << 20;
/// Mark, version, two digests, the header of the newer file.
const HEAD_BYTES: usize = 12 + 64 + 160;

fn file(fixed: &str) -> Vec<u8> {
    let feed = format!(
        r#"{{"distroversion":"v3.20","reponame":"main","packages":[{{"pkg":{{"name":"a","secfixes":{{"{fixed}":["CVE-2026-0001"]}}}}}}]}}"#
    );
    let mut builder = Builder::new();
    builder.add("fuzz", None, feed.as_bytes()).expect("a good document");
    builder.finish(0).expect("a file")
}

fuzz_target!(|input: (bool, Vec<(u16, u8)>, Vec<u8>)| {
    let (whole, changes, parts) = input;
    let (base, newer) = (file("1-r0"), file("1-r1"));
    let mut delta = make(&base, &newer).expect("a delta");
    if whole {
        delta.truncate(HEAD_BYTES);
        delta.extend_from_slice(&parts);
    } else {
        for (place, value) in changes {
            let place = usize::from(place) % delta.len();
            delta[place] = value;
        }
    }
    if let Ok(made) = apply(&base, &delta, MAX) {
        assert_eq!(made, newer, "only the promised file comes out");
    }
    let _ = apply(&base, &parts, MAX);
});
