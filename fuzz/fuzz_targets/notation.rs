//! Any bytes as a signature manifest and as a Notation envelope in both forms: nothing verifies, nothing panics.

#![no_main]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use keys::notation::{
    Artifact, COSE_MEDIA_TYPE, JWS_MEDIA_TYPE, Level, TrustPolicy, TrustStores, signature_layers, verify,
};
use libfuzzer_sys::fuzz_target;

const ARTIFACT: Artifact<'static> = Artifact {
    media_type: "application/vnd.oci.image.manifest.v1+json",
    digest: "sha256:130630f55243681523a49b1353e66b442dc4db1cdc529355003b9b51df7060c1",
    size: 401,
};

/// Nobody is trusted, at the level that enforces who signed.
fn policy() -> &'static TrustPolicy {
    static POLICY: OnceLock<TrustPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        TrustPolicy::for_all_repositories("p", Level::PERMISSIVE, &["ca:none"], Vec::new(), false)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let _ = signature_layers(bytes);
    let statement = policy().statement_for("registry.example/app").expect("it is for all of them");
    let stores = TrustStores::default();
    for media_type in [JWS_MEDIA_TYPE, COSE_MEDIA_TYPE] {
        let judged =
            verify((bytes, media_type), ARTIFACT, (statement, &stores), &BTreeMap::new(), 1_800_000_000);
        assert!(judged.is_err());
    }
});
