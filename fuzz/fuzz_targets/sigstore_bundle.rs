//! Any bytes as a bundle: only what a certificate's holder signed verifies, and nothing panics.

#![no_main]

use std::sync::{Arc, OnceLock};

use keys::sigstore::{
    Anchors, Artifact, CertificateIdentity, CertificateTrust, Pattern, TrustRoot, verify_bundle,
};
use libfuzzer_sys::fuzz_target;

const ROOT: &[u8] = include_bytes!("../../keys/tests/vectors/keyless/trusted_root.json");
const DIGEST: &str = "sha256:39a7787cfabae599668103f592b5e8e5156dc132a22d3f9746cf8b51bb5508b0";

fn trust() -> &'static CertificateTrust {
    static TRUST: OnceLock<CertificateTrust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let root = Arc::new(TrustRoot::parse(ROOT).expect("the root is one"));
        let exact = |text| Pattern::exact(text).expect("a text");
        let (issuer, subject) = (exact("https://issuer.fixture.example"), exact("dev@acme.example"));
        let identity = CertificateIdentity::new(issuer, subject, []).expect("an identity");
        let anchors = Anchors::Root { root, log_entries: 1, certificate_log: true };
        CertificateTrust { identity, anchors }
    })
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(verified) = verify_bundle(bytes, Artifact::Digest(DIGEST), trust(), 1_795_521_600) {
        let statement = verified.statement().expect("an image is signed by a statement");
        let statement = std::str::from_utf8(statement).expect("a statement is JSON");
        assert!(statement.contains(DIGEST.trim_start_matches("sha256:")));
    }
});
