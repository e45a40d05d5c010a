//! Any bytes as the certificate of a bundle: whom it names is read before anything is proven.

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::cosign::{self, BundleLayer};
use keys::signature::Subject;
use keys::sigstore::{Anchors, CertificateIdentity, CertificateTrust, Pattern, TrustRoot};
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, Vouches};
use keys::verify::verify;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use sha2::{Digest, Sha256};

const ROOT: &[u8] = include_bytes!("../../keys/tests/vectors/keyless/trusted_root.json");
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn store() -> &'static TrustStore {
    static STORE: OnceLock<TrustStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let root = Arc::new(TrustRoot::parse(ROOT).expect("the root is one"));
        let anybody = || Pattern::regex(".+").expect("an expression");
        let identity = CertificateIdentity::new(anybody(), anybody(), []).expect("an identity");
        let anchors = Anchors::Root { root, log_entries: 0, certificate_log: false };
        let trust = CertificateTrust { identity, anchors };
        let identity = Identity {
            name: "anybody".to_owned(),
            principal: None,
            vouches: Vouches::Certificate(Box::new(trust)),
            repository_match: RepositoryMatch::Any,
            annotations: BTreeMap::new(),
        };
        TrustStore { identities: vec![identity], ..TrustStore::default() }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let bundle = json!({
        "mediaType": cosign::BUNDLE_MEDIA_TYPE,
        "verificationMaterial": { "certificate": { "rawBytes": STANDARD.encode(bytes) } },
        "dsseEnvelope": {
            "payload": STANDARD.encode("{}"),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{ "sig": "AAAA" }],
        },
    });
    let bundle = bundle.to_string().into_bytes();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bundle)));
    let layer = BundleLayer { digest: digest.clone(), size: bundle.len() as u64 };
    let found = [layer.with_bundle(digest, DIGEST.to_owned(), bundle)];
    let subject = Subject { digest: DIGEST, repository: "registry.example/app" };
    assert!(verify(&found, subject, store(), 1_795_521_600).verified.is_empty());
});
