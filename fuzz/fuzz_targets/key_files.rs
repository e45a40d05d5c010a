//! Any bytes as a key file, in PEM and in DER.

#![no_main]

use keys::keyring::{self, Password};
use keys::trust_store::PublicKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = PublicKey::from_der(bytes) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = PublicKey::from_pem(text);
    let _ = keyring::import(text);
    // With the real cost of scrypt in reach, every run would spend its time there: the envelope's numbers are reached
    // only by a text that is already right in every other way.
    let _ = keyring::decrypt(text, &Password::new(Vec::new()));
});
