//! Any bytes as a trusted root, and as the certificates of own authorities: read or refused, never a panic.

#![no_main]

use keys::sigstore::{Authorities, TrustRoot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = TrustRoot::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Authorities::parse_pem(text);
    }
});
