//! Receipts: given with a release, gone with it, and of no worth anywhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::Method;
use keys::attestation::{self, UnverifiedAttestation};
use keys::receipt::{Expected, Receipt, ReceiptError};
use keys::signature::Subject;
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, TrustedKey, Vouches};

use super::fixture::*;

const NAME: &str = "registry.example/open/app";

/// What a consumer finds about an image, and what a verifier that trusts the gate's key makes of it.
async fn fetch(fixture: &Fixture, digest: &str) -> Vec<attestation::VerifiedAttestation> {
    let listed =
        fixture.get(As::Consumer, &format!("/v2/open/app/referrers/{digest}")).await.expect(200).json();
    let mut candidates = Vec::new();
    for entry in listed["manifests"].as_array().unwrap() {
        let referrer = entry["digest"].as_str().unwrap();
        let path = format!("/v2/open/app/manifests/{referrer}");
        let manifest = fixture.get(As::Consumer, &path).await.expect(200).json();
        let blob = manifest["layers"][0]["digest"].as_str().unwrap();
        let bundle = fixture.get(As::Consumer, &format!("/v2/open/app/blobs/{blob}")).await.expect(200).body;
        candidates.push(UnverifiedAttestation::SigstoreBundle {
            manifest_digest: referrer.to_owned(),
            subject_digest: manifest["subject"]["digest"].as_str().unwrap().to_owned(),
            bundle_digest: blob.to_owned(),
            bundle_size: bundle.len() as u64,
            bundle: bundle.to_vec(),
        });
    }
    let key = receipt_signer().public_key().clone();
    let gate = Identity {
        name: "gate".to_owned(),
        principal: None,
        vouches: Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }]),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    let store = TrustStore { identities: vec![gate], ..TrustStore::default() };
    let subject = Subject { digest, repository: NAME };
    attestation::verify(&candidates, subject, &store, fixture.clock.now()).verified
}

async fn receipts(
    fixture: &Fixture,
    digest: &str,
    policy: Option<&str>,
) -> Vec<Result<Receipt, ReceiptError>> {
    let expected = Expected { repository: NAME, verifier: Some("https://registry.example"), policy };
    let found = fetch(fixture, digest).await;
    found.iter().map(|one| keys::receipt::verify(one, expected, fixture.clock.now())).collect()
}

#[tokio::test]
async fn a_released_image_has_one_receipt_that_verifies_without_the_gate() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "v1", &["one"]).await;
    let policy = fixture.policy.load().digest().to_owned();
    let found = receipts(&fixture, &digest, Some(&policy)).await;
    let [Ok(receipt)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(receipt.expires, receipt.time_verified + 3600);
    assert_eq!(receipt.evidence.len(), 1, "its one layer");
    // Pushing it again makes no second one.
    let _ = fixture.push("open/app", "v2", &["one"]).await;
    assert_eq!(receipts(&fixture, &digest, None).await.len(), 1);
}

#[tokio::test]
async fn what_is_only_staged_or_cannot_run_has_none() {
    let fixture = Fixture::new();
    let staged = fixture.push("signed/app", "v1", &["one"]).await;
    let path = format!("/v2/signed/app/referrers/{staged}");
    let listed = fixture.get(As::Pusher, &path).await.expect(200).json();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 0);
    let image = fixture.push("open/app", "v1", &["one"]).await;
    let answer = fixture.referrer(As::Pusher, "open/app", &image, "application/x.sbom").await.expect(201);
    let sbom = answer.header("docker-content-digest");
    assert!(fetch(&fixture, &sbom).await.is_empty());
}

#[tokio::test]
async fn an_index_and_its_platforms_each_have_one() {
    let fixture = Fixture::new();
    let child = fixture.push("open/app", "child", &["one"]).await;
    let path = format!("/v2/open/app/manifests/{child}");
    let size = fixture.get(As::Pusher, &path).await.expect(200).body.len();
    let entry = serde_json::json!({"mediaType": crate::manifest::OCI_MANIFEST, "digest": child, "size": size,
        "platform": {"os": "linux", "architecture": "amd64"}});
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": [entry]});
    let answer = fixture.put_manifest(As::Pusher, "open/app", "index", &index).await.expect(201);
    for digest in [&child, &answer.header("docker-content-digest")] {
        let found = receipts(&fixture, digest, None).await;
        assert!(matches!(found.as_slice(), [Ok(_)]), "{found:?}");
    }
}

#[tokio::test]
async fn a_receipt_is_taken_away_with_its_image() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "v1", &["one"]).await;
    assert_eq!(receipts(&fixture, &digest, None).await.len(), 1);
    let withdrawal = format!("/v2/open/app/_portcullis/withdrawals/{digest}");
    let _ = fixture.call(As::Admin, Method::PUT, &withdrawal, r#"{"reason": "r"}"#).await.expect(204);
    assert!(fetch(&fixture, &digest).await.is_empty());
    let _ = fixture.call(As::Admin, Method::DELETE, &withdrawal, Body::empty()).await.expect(204);
    assert_eq!(receipts(&fixture, &digest, None).await.len(), 1);
}

#[tokio::test]
async fn under_a_policy_that_refuses_the_image_its_receipt_is_neither_served_nor_good() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "v1", &["one"]).await;
    let kept = fetch(&fixture, &digest).await;
    let listed =
        fixture.get(As::Consumer, &format!("/v2/open/app/referrers/{digest}")).await.expect(200).json();
    let receipt = listed["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let revoked = format!("{POLICY}\n[[revocation]]\ndigest = \"{digest}\"\nreason = \"backdoor\"\n");
    fixture.policy.store(Arc::new(policy(&revoked)));
    let path = format!("/v2/open/app/manifests/{receipt}");
    let text = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("is revoked: backdoor"), "{text}");
    assert!(fetch(&fixture, &digest).await.is_empty());
    // One that somebody kept is for another policy, and ends by itself.
    let now = fixture.clock.now();
    let in_force = fixture.policy.load().digest().to_owned();
    let expected = Expected { repository: NAME, verifier: None, policy: Some(&in_force) };
    let refused = keys::receipt::verify(&kept[0], expected, now).unwrap_err();
    assert!(matches!(refused, ReceiptError::Policy { .. }), "{refused}");
    let lenient = Expected { policy: None, ..expected };
    assert!(keys::receipt::verify(&kept[0], lenient, now).is_ok());
    let refused = keys::receipt::verify(&kept[0], lenient, now + 3601).unwrap_err();
    assert!(matches!(refused, ReceiptError::Expired { .. }), "{refused}");
    // And the gate takes its own away when it would have to renew it.
    fixture.clock.advance(3000);
    fixture.registry.judge().renew_receipts().await;
    let gone = fixture.get(As::Pusher, &path).await;
    let _ = gone.expect_error(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn receipts_are_renewed_in_their_second_half_and_follow_the_policy() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "v1", &["one"]).await;
    let first = receipts(&fixture, &digest, None).await.remove(0).unwrap();
    fixture.clock.advance(1000);
    fixture.registry.judge().renew_receipts().await;
    assert_eq!(receipts(&fixture, &digest, None).await, [Ok(first.clone())], "still in its first half");
    fixture.policy.store(Arc::new(policy(&format!("# changed\n{POLICY}"))));
    fixture.clock.advance(1000);
    fixture.registry.judge().renew_receipts().await;
    let both = receipts(&fixture, &digest, None).await.into_iter().map(Result::unwrap);
    let (old, new): (Vec<_>, Vec<_>) = both.partition(|one| *one == first);
    assert_eq!(old.len(), 1, "whoever has just read the list still finds the one before");
    let [renewed] = new.as_slice() else { panic!("{new:?}") };
    assert_eq!(renewed.expires, first.expires + 2000, "{renewed:?}");
    assert_ne!(renewed.policy, first.policy);
    assert_eq!(renewed.evidence, first.evidence);
    fixture.clock.advance(2000);
    fixture.registry.judge().renew_receipts().await;
    assert_eq!(fetch(&fixture, &digest).await.len(), 2, "the first is gone");
}

#[tokio::test]
async fn a_receipt_vouches_for_nothing_and_is_not_told_as_a_refused_signature() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "v1", &["one"]).await;
    let strict = POLICY.replace("require = \"nobody-unsafe\"", "require = [[\"release\"]]");
    fixture.policy.store(Arc::new(policy(&strict)));
    let path = format!("/v2/open/app/manifests/{digest}");
    let text = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("no valid signature by `release`"), "{text}");
    assert!(!text.contains("do not count"), "{text}");
}
