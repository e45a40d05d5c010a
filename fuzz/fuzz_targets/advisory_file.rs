//! Any bytes as the body of an advisory file with good digests: errors, never a panic.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use scanner::advisory::{Advisories, Builder, Ecosystem};
use sha2::{Digest as _, Sha256};

const HEADER_BYTES: usize = 160;
const SECDB: &[u8] =
    br#"{"distroversion":"v3.20","reponame":"main","packages":[{"pkg":{"name":"a","secfixes":{"1-r0":["CVE-2026-0001"]}}}]}"#;

fuzz_target!(|changes: Vec<(u16, u8)>| {
    let mut builder = Builder::new();
    builder.add("fuzz", None, SECDB).expect("a good document");
    let mut file = builder.finish(0).expect("a file");
    for (place, value) in changes {
        let place = HEADER_BYTES + usize::from(place) % (file.len() - HEADER_BYTES);
        file[place] = value;
    }
    let body = Sha256::digest(&file[HEADER_BYTES..]);
    file[20..52].copy_from_slice(&body);
    let header = Sha256::digest(&file[..128]);
    file[128..HEADER_BYTES].copy_from_slice(&header);
    if let Ok(advisories) = Advisories::open(Arc::new(file))
        && let Ok(entries) = advisories.lookup(&Ecosystem::alpine("v3.20"), "a")
    {
        entries.for_each(drop);
    }
});
