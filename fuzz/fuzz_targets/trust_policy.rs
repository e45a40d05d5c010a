//! Any bytes as a Notation trust policy document: what is accepted judges one repository by at most one statement.

#![no_main]

use keys::notation::TrustPolicy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(policy) = TrustPolicy::parse(bytes) {
        let _ = policy.statement_for("registry.example/app");
        assert!(policy.stores().all(|store| store.contains(':')));
    }
});
