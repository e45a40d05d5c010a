//! Any text as the checkpoint of a good bundle: the log's own text verifies, whoever adds witnesses, and no other.

#![no_main]

use std::sync::{Arc, OnceLock};

use keys::sigstore::{
    Anchors, Artifact, CertificateIdentity, CertificateTrust, Pattern, TrustRoot, verify_bundle,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ROOT: &[u8] = include_bytes!("../../keys/tests/vectors/keyless/trusted_root.json");
const BUNDLE: &str = include_str!("../../keys/tests/vectors/keyless/email/bundle.json");
const DIGEST: &str = "sha256:39a7787cfabae599668103f592b5e8e5156dc132a22d3f9746cf8b51bb5508b0";
const SIGNED: &str = "rekor.fixture.example\n2\nVifvqpcNyluHKS0D8zC8UBYZDLOKZONw/r29Dgat4QM=\n\n";

fn prepared() -> &'static (CertificateTrust, Value) {
    static PREPARED: OnceLock<(CertificateTrust, Value)> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let root = Arc::new(TrustRoot::parse(ROOT).expect("the root is one"));
        let anybody = || Pattern::regex(".+").expect("an expression");
        let identity = CertificateIdentity::new(anybody(), anybody(), []).expect("an identity");
        let anchors = Anchors::Root { root, log_entries: 1, certificate_log: true };
        let bundle = serde_json::from_str(BUNDLE).expect("the bundle is JSON");
        (CertificateTrust { identity, anchors }, bundle)
    })
}

fuzz_target!(|note: &str| {
    let (trust, bundle) = prepared();
    let mut bundle = bundle.clone();
    let proof = &mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"];
    proof["checkpoint"]["envelope"] = note.into();
    let verdict =
        verify_bundle(bundle.to_string().as_bytes(), Artifact::Digest(DIGEST), trust, 1_795_521_600);
    assert!(verdict.is_err() || note.starts_with(SIGNED));
});
