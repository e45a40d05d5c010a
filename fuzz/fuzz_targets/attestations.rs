//! Any bytes as an attestation's manifest, envelope, statement and log entry: nothing verifies, nothing panics.

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keys::attestation::verify;
use keys::cosign::{self, BundleLayer, SimpleSignatureLayer};
use keys::signature::Subject;
use keys::sigstore::{Anchors, CertificateIdentity, CertificateTrust, Pattern, TrustRoot};
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use sha2::{Digest, Sha256};

const ROOT: &[u8] = include_bytes!("../../keys/tests/vectors/keyless/trusted_root.json");
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Its private half was thrown away: what verifies is a finding.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYdp8ebTrKsoIBRcTGX3pT1M+h7x3
GnEgR7WNAMhEhb2kQ8sJNbd9quJZnblj/jzEJxOYrE3E2fk0X8pxPf8X3w==
-----END PUBLIC KEY-----
";
const SIGNATURE: &str =
    "MEUCIQCz5hEL3RDfQJA+/SRlh12nUPNRo6EGqQU+qmPPQf97WwIgLPgNtLyXD8Mh+eSXUdG8cmboBcJTVjQPh/d7wNBFij4=";

fn store() -> &'static TrustStore {
    static STORE: OnceLock<TrustStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let root = Arc::new(TrustRoot::parse(ROOT).expect("the root is one"));
        let anybody = || Pattern::regex(".+").expect("an expression");
        let identity = CertificateIdentity::new(anybody(), anybody(), []).expect("an identity");
        let anchors = Anchors::Root { root, log_entries: 0, certificate_log: false };
        let key = PublicKey::from_pem(KEY).expect("the key above is one");
        let trust = CertificateTrust { identity, anchors };
        let named = |name: &str, vouches| Identity {
            name: name.to_owned(),
            principal: None,
            vouches,
            repository_match: RepositoryMatch::Any,
            annotations: BTreeMap::new(),
        };
        TrustStore {
            identities: vec![
                named("key", Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }])),
                named("certificate", Vouches::Certificate(Box::new(trust))),
            ],
            ..TrustStore::default()
        }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let _ = cosign::attestation_envelopes(bytes);
    let _ = cosign::attestation_bundle_layers(bytes);
    let digest = |bytes: &[u8]| format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
    let envelope = |payload: &[u8]| {
        let payload = STANDARD.encode(payload);
        let signatures = json!([{ "sig": SIGNATURE }]);
        json!({ "payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": signatures })
    };
    let statement = envelope(bytes).to_string().into_bytes();
    let text = String::from_utf8_lossy(bytes).into_owned();
    let certified = BTreeMap::from([
        (cosign::CERTIFICATE_ANNOTATION.to_owned(), text.clone()),
        (cosign::CHAIN_ANNOTATION.to_owned(), text.clone()),
        (cosign::LOG_ANNOTATION.to_owned(), text),
    ]);
    let layer = |bytes: &[u8], annotations| SimpleSignatureLayer {
        payload_digest: digest(bytes),
        size: bytes.len() as u64,
        annotations,
    };
    let bundle = BundleLayer { digest: digest(bytes), size: bytes.len() as u64 };
    let found = [
        layer(bytes, BTreeMap::new()).with_envelope(bytes.to_vec()),
        layer(&statement, BTreeMap::new()).with_envelope(statement.clone()),
        layer(&statement, certified).with_envelope(statement),
        bundle.with_attestation(digest(bytes), DIGEST.to_owned(), bytes.to_vec()),
    ];
    let subject = Subject { digest: DIGEST, repository: "registry.example/app" };
    assert!(verify(&found, subject, store(), 1_795_521_600).verified.is_empty());
});
