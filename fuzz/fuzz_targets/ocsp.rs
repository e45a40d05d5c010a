//! Any bytes as an OCSP response: nothing panics.

#![no_main]

use keys::x509::OcspResponse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = OcspResponse::from_der(bytes);
});
