//! A trusted root that was fetched is believed until its day, and what rests on it ends with it.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its vectors has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use keys::attestation::{self, UnverifiedAttestation};
use keys::signature::{Subject, UnverifiedSignature};
use keys::sigstore::{Anchors, CertificateIdentity, CertificateTrust, Lease, Pattern, TrustRoot};
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, Vouches};
use keys::verify::{self, Ended, Step, Verifier};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// 2026-11-24T12:00:00Z.
const NOW: i64 = 1_795_521_600;
const SUBJECT: &str = "registry.example/app";

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/keyless");
    std::fs::read(folder.join(name)).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn anchors(lease: Option<Lease>) -> Anchors {
    let root = TrustRoot::parse(&read("trusted_root.json")).unwrap();
    let root = Arc::new(match lease {
        Some(lease) => root.leased(lease),
        None => root,
    });
    Anchors::Root { root, log_entries: 1, certificate_log: true }
}

fn until(until: i64) -> Anchors {
    leased(until.min(NOW), until)
}

fn leased(from: i64, until: i64) -> Anchors {
    anchors(Some(Lease { from, until, ended: "the root of `instance` is stale; fetch it".to_owned() }))
}

fn absent() -> Anchors {
    Anchors::Absent("the root of `instance` is not there; fetch it".into())
}

fn trust_store(anchors: Anchors) -> TrustStore {
    let exact = |text| Pattern::exact(text).unwrap();
    let identity =
        CertificateIdentity::new(exact("https://issuer.fixture.example"), exact("dev@acme.example"), []);
    let trust = CertificateTrust { identity: identity.unwrap(), anchors };
    let identity = Identity {
        name: "dev".to_owned(),
        principal: None,
        vouches: Vouches::Certificate(Box::new(trust)),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    TrustStore { identities: vec![identity], ..TrustStore::default() }
}

/// Digest of the image in `folder`, and the bundle that is about it, with its digests.
fn bundle(folder: &str) -> (String, [String; 2], Vec<u8>) {
    let image = digest(&read(&format!("{folder}/manifest.json")));
    let referrer = read(&format!("{folder}/referrer.json"));
    let bundle = read(&format!("{folder}/bundle.json"));
    let named: Value = serde_json::from_slice(&referrer).unwrap();
    assert_eq!(named["subject"]["digest"], image);
    (image, [digest(&referrer), digest(&bundle)], bundle)
}

#[test]
fn a_signature_counts_while_the_root_is_believed_and_says_until_when() {
    let (image, [manifest_digest, bundle_digest], bytes) = bundle("email");
    let candidate = UnverifiedSignature::SigstoreBundle {
        manifest_digest,
        subject_digest: image.clone(),
        bundle_digest,
        bundle_size: bytes.len() as u64,
        bundle: bytes,
    };
    let subject = Subject { digest: &image, repository: SUBJECT };
    for (anchors, verified, reason) in [
        (anchors(None), Some(None), ""),
        (until(NOW + 1), Some(Some(NOW)), ""),
        (until(NOW), None, "the root of `instance` is stale; fetch it"),
        (until(i64::MIN), None, "the root of `instance` is stale; fetch it"),
        (absent(), None, "the root of `instance` is not there; fetch it"),
        (leased(NOW + 3600, NOW + 7200), Some(Some(NOW + 7199)), ""),
        (leased(NOW + 3601, NOW + 7200), None, "set the clock"),
    ] {
        let store = trust_store(anchors);
        let mut verifier = Verifier::new(subject, &store, NOW).explaining();
        let _ = verifier.examine(&candidate);
        let (answer, trace) = verifier.finish_explained();
        let seen = answer.verified.first().map(|one| one.valid_until());
        assert_eq!(seen, verified, "{answer:?}");
        let told = answer.rejected.first().map_or("", |rejection| rejection.reason.as_str());
        assert!(told.contains(reason), "{told}");
        if verified.is_none() {
            let failed = trace[0].identities[0].checks.iter().find(|line| line.outcome == Ended::Failed);
            assert_eq!(failed.unwrap().check, Step::Chain);
        }
    }
}

/// What cannot be judged may be the newest statement: an older, better one is not taken in its place.
#[test]
fn an_attestation_that_nobody_can_judge_makes_the_answer_incomplete() {
    let (image, [manifest_digest, bundle_digest], bytes) = bundle("provenance");
    let candidate = UnverifiedAttestation::SigstoreBundle {
        manifest_digest,
        subject_digest: image.clone(),
        bundle_digest,
        bundle_size: bytes.len() as u64,
        bundle: bytes,
    };
    let subject = Subject { digest: &image, repository: SUBJECT };
    for (anchors, verified, is_incomplete) in
        [(until(NOW + 1), 1, false), (until(NOW), 0, true), (absent(), 0, true)]
    {
        let store = trust_store(anchors);
        let mut verifier = attestation::Verifier::new(subject, &store, NOW);
        let examined = verifier.examine(&candidate, &|_| true);
        let answer = verifier.finish();
        assert_eq!((answer.verified.len(), answer.incomplete), (verified, is_incomplete), "{answer:?}");
        // Nothing is known about it, so nobody may remember that it does not count.
        assert_eq!(examined == verify::Examined::Not, is_incomplete);
        let ends: Vec<_> = answer.verified.iter().map(|one| one.valid_until()).collect();
        assert_eq!(ends, vec![Some(NOW); verified]);
    }
}
