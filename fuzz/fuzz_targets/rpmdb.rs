//! Any bytes as an rpm database of each format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scanner::extractors::Extractor as _;
use scanner::extractors::rpm::Rpm;

const PATH: &[u8] = b"var/lib/rpm/Packages";

fuzz_target!(|bytes: &[u8]| {
    let _ = Rpm.extract(PATH, bytes);
    // The first bytes choose the format; without help the fuzzer would rarely pass them.
    for magic in [&b"SQLite format 3\0"[..], b"RpmP\0\0\0\0"] {
        let mut database = bytes.to_vec();
        if let Some(start) = database.get_mut(..magic.len()) {
            start.copy_from_slice(magic);
            let _ = Rpm.extract(PATH, &database);
        }
    }
    let mut database = bytes.to_vec();
    if let Some(start) = database.get_mut(12..16) {
        start.copy_from_slice(&0x0006_1561_u32.to_le_bytes());
        let _ = Rpm.extract(PATH, &database);
    }
});
