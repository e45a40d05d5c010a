//! Any bytes as an RFC 3161 token and as a certificate revocation list: without a root no time is proven, nothing panics.

#![no_main]

use keys::x509::RevocationList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(keys::timestamp::verify(bytes, b"message", &[]).is_err());
    let _ = RevocationList::from_file(bytes);
});
