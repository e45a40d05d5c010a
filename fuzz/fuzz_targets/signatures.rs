//! Any bytes as a signature manifest, a payload and a bundle: nothing verifies, nothing panics.

#![no_main]

use std::collections::BTreeMap;

use keys::cosign::{self, BundleLayer, SimpleSignatureLayer};
use keys::signature::Subject;
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::verify;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Its private half was thrown away: what verifies is a finding.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYdp8ebTrKsoIBRcTGX3pT1M+h7x3
GnEgR7WNAMhEhb2kQ8sJNbd9quJZnblj/jzEJxOYrE3E2fk0X8pxPf8X3w==
-----END PUBLIC KEY-----
";

fuzz_target!(|bytes: &[u8]| {
    let _ = cosign::simple_signatures(bytes);
    let _ = cosign::bundle_layers(bytes);
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
    let size = bytes.len() as u64;
    let signature =
        "MEUCIQCz5hEL3RDfQJA+/SRlh12nUPNRo6EGqQU+qmPPQf97WwIgLPgNtLyXD8Mh+eSXUdG8cmboBcJTVjQPh/d7wNBFij4=";
    let annotations = BTreeMap::from([(cosign::SIGNATURE_ANNOTATION.to_owned(), signature.to_owned())]);
    let simple = SimpleSignatureLayer { payload_digest: digest.clone(), size, annotations };
    let bundle = BundleLayer { digest: digest.clone(), size };
    let candidates =
        [simple.with_payload(bytes.to_vec()), bundle.with_bundle(digest, DIGEST.to_owned(), bytes.to_vec())];
    let key = PublicKey::from_pem(KEY).expect("the key above is one");
    let store = TrustStore {
        identities: vec![Identity {
            name: "release".to_owned(),
            principal: None,
            vouches: Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }]),
            repository_match: RepositoryMatch::Any,
            annotations: BTreeMap::new(),
        }],
        ..TrustStore::default()
    };
    let subject = Subject { digest: DIGEST, repository: "registry.example/app" };
    assert!(verify(&candidates, subject, &store, 0).verified.is_empty());
});
