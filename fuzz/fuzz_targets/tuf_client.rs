//! Any bytes as the files of a TUF repository: a pinned root that did not sign itself verifies nothing, and a client that
//! stands on a good root takes none of them for what that root's roles signed.

#![no_main]

use std::collections::BTreeSet;

use keys::limits::{TUF_FILES_MAX, TUF_TARGETS_BYTES_MAX};
use keys::tuf::{Client, Seen};
use libfuzzer_sys::fuzz_target;

/// A root whose keys nobody holds.
const ROOT: &[u8] = include_bytes!("../../keys/tests/vectors/tuf/1.root.json");
/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;

/// Hands in `rest` for every file that is asked for, once `skipped` files were absent.
fn run(pinned: &[u8], rest: &[u8], skipped: usize) {
    let Ok(mut client) = Client::new(pinned, "trusted_root.json", Seen::default(), NOW) else { return };
    let mut asked = BTreeSet::new();
    for number in 0.. {
        let Some(need) = client.needs() else { break };
        assert!(need.bytes_max <= TUF_TARGETS_BYTES_MAX);
        assert!(!need.path.contains("..") && !need.path.starts_with('/'), "{}", need.path);
        let bytes = (number >= skipped).then_some(rest);
        if client.supply(bytes).is_err() {
            assert!(client.needs().is_none());
            break;
        }
        assert!(asked.insert(need.path), "a file was asked for twice");
    }
    assert!(client.seen().files.len() <= TUF_FILES_MAX + 1);
    // One file cannot be all roles at once.
    assert!(client.finish().is_err());
}

fuzz_target!(|bytes: &[u8]| {
    run(bytes, bytes, 1);
    run(ROOT, bytes, 0);
    run(ROOT, bytes, 1);
});
