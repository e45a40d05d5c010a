//! What verified in one form is served in another: signed again by the gate, while the image is served, for nobody's
//! benefit at the gate itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use keys::cosign;
use keys::signature::{SignatureForm, Subject, UnverifiedSignature};
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::verify;

use super::fixture::*;
use crate::gate::policy::Policy;

const NAME: &str = "registry.example/signed/app";

fn policy_serving(forms: &str, require: &str) -> Policy {
    let text = format!(
        "[[identity]]\nname = 'release'\ncosign = {{ key = 'release.pub' }}\n\
         [[identity]]\nname = 'gate'\ncosign = {{ key = 'gate.pub' }}\n\
         [[rule]]\nimages = ['registry.example/**']\npin = {{ pull = 'tag' }}\n\
         signatures = {{ require = [['{require}']], serve-as = [{forms}] }}\n\
         scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n"
    );
    let read = |path: &std::path::Path| {
        let signer = if path.ends_with("gate.pub") { receipt_signer() } else { signer() };
        Ok(signer.public_key().to_pem().into_bytes())
    };
    Policy::parse(&text, &read).unwrap_or_else(|errors| panic!("{errors}"))
}

async fn blob(fixture: &Fixture, digest: &str) -> Vec<u8> {
    fixture.get(As::Consumer, &format!("/v2/signed/app/blobs/{digest}")).await.expect(200).body.to_vec()
}

/// The forms in which a consumer who trusts the gate's key finds the image signed.
async fn served(fixture: &Fixture, digest: &str) -> Vec<SignatureForm> {
    let mut candidates: Vec<UnverifiedSignature> = Vec::new();
    let tag = cosign::legacy_tag(digest).unwrap();
    let answer = fixture.get(As::Consumer, &format!("/v2/signed/app/manifests/{tag}")).await;
    if answer.status == 200 {
        for layer in cosign::simple_signatures(&answer.body).unwrap().layers {
            let payload = blob(fixture, &layer.payload_digest).await;
            candidates.push(layer.with_payload(payload));
        }
    }
    let listed = fixture.get(As::Consumer, &format!("/v2/signed/app/referrers/{digest}")).await;
    for entry in listed.json()["manifests"].as_array().cloned().unwrap_or_default() {
        let referrer = entry["digest"].as_str().unwrap();
        let manifest = fixture.get(As::Consumer, &format!("/v2/signed/app/manifests/{referrer}")).await;
        if manifest.status != 200 {
            continue;
        }
        let bundles = cosign::bundle_layers(&manifest.body).unwrap();
        for layer in bundles.layers {
            let bytes = blob(fixture, &layer.digest).await;
            candidates.push(layer.with_bundle(referrer.to_owned(), bundles.subject_digest.clone(), bytes));
        }
    }
    let key = receipt_signer().public_key().clone();
    let gate = Identity {
        name: "gate".to_owned(),
        principal: None,
        vouches: Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }]),
        repository_match: RepositoryMatch::Exact,
        annotations: BTreeMap::new(),
    };
    let any = Identity { repository_match: RepositoryMatch::Any, ..gate };
    let store = TrustStore { identities: vec![any], ..TrustStore::default() };
    let subject = Subject { digest, repository: NAME };
    let mut forms: Vec<SignatureForm> = verify(&candidates, subject, &store, fixture.clock.now())
        .verified
        .iter()
        .map(|one| one.form())
        .collect();
    forms.sort_unstable();
    forms
}

async fn released(fixture: &Fixture, forms: &str, as_simple: bool) -> String {
    fixture.policy.store(Arc::new(policy_serving(forms, "release")));
    let digest = fixture.push("signed/app", "v1", &["one"]).await;
    let signed = if as_simple { fixture.simple("signed/app", &digest) } else { fixture.bundle(&digest) };
    let _ = fixture.put_signed(As::Signer, "signed/app", signed).await.expect(201);
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
    digest
}

#[tokio::test]
async fn the_gate_signs_again_in_the_forms_that_the_rule_names_and_nobody_else_made() {
    use SignatureForm::{CosignSimple, SigstoreBundle};
    for (forms, as_simple, expected) in [
        ("", false, &[][..]),
        ("'simple'", false, &[CosignSimple]),
        ("'bundle'", true, &[SigstoreBundle]),
        ("'simple', 'bundle'", true, &[SigstoreBundle]),
        ("'simple', 'bundle'", false, &[CosignSimple]),
        ("'bundle'", false, &[]),
    ] {
        let fixture = Fixture::new();
        let digest = released(&fixture, forms, as_simple).await;
        assert_eq!(served(&fixture, &digest).await, expected, "{forms}, signed simple: {as_simple}");
    }
}

#[tokio::test]
async fn others_signatures_under_the_tag_stay() {
    let fixture = Fixture::new();
    let stranger =
        keys::signer::Signer::new(keys::keyring::generate(keys::keyring::NewKey::EcdsaP256).unwrap());
    fixture.policy.store(Arc::new(policy_serving("'simple'", "release")));
    let digest = fixture.push("signed/app", "v1", &["one"]).await;
    let strangers = stranger.sign_simple(&digest, NAME, &BTreeMap::new(), None).unwrap();
    let _ = fixture.put_signed(As::Signer, "signed/app", strangers).await.expect(201);
    let signed = fixture.bundle(&digest);
    let _ = fixture.put_signed(As::Signer, "signed/app", signed).await.expect(201);
    let tag = cosign::legacy_tag(&digest).unwrap();
    let manifest = fixture.get(As::Consumer, &format!("/v2/signed/app/manifests/{tag}")).await.expect(200);
    assert_eq!(cosign::simple_signatures(&manifest.body).unwrap().layers.len(), 2);
    assert_eq!(served(&fixture, &digest).await, [SignatureForm::CosignSimple]);
    // And stay when ours goes.
    fixture.registry.judge().withdraw("signed/app", &digest, "ops", "bad".to_owned()).await.unwrap();
    let path = format!("/v2/signed/app/manifests/{tag}");
    let left = fixture.get(As::Pusher, &path).await.expect(200);
    assert_eq!(cosign::simple_signatures(&left.body).unwrap().layers.len(), 1);
}

#[tokio::test]
async fn an_index_and_each_platform_are_signed_again() {
    let fixture = Fixture::new();
    fixture.policy.store(Arc::new(policy_serving("'simple'", "release")));
    let child = fixture.push("signed/app", "child", &["one"]).await;
    let size =
        fixture.get(As::Pusher, &format!("/v2/signed/app/manifests/{child}")).await.expect(200).body.len();
    let entry = serde_json::json!({"mediaType": crate::manifest::OCI_MANIFEST, "digest": child, "size": size,
        "platform": {"os": "linux", "architecture": "amd64"}});
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": [entry]});
    let answer = fixture.put_manifest(As::Pusher, "signed/app", "index", &index).await.expect(201);
    let digest = answer.header("docker-content-digest");
    let signed = fixture.bundle(&digest);
    let _ = fixture.put_signed(As::Signer, "signed/app", signed).await.expect(201);
    for digest in [&digest, &child] {
        assert_eq!(served(&fixture, digest).await, [SignatureForm::CosignSimple], "{digest}");
    }
}

#[tokio::test]
async fn what_the_gate_said_goes_with_an_image_that_is_deleted() {
    let fixture = Fixture::new();
    let digest = released(&fixture, "'simple'", false).await;
    let tag = format!("/v2/signed/app/manifests/{}", cosign::legacy_tag(&digest).unwrap());
    let listed = fixture.get(As::Consumer, &format!("/v2/signed/app/referrers/{digest}")).await.json();
    // The signer's bundle and our receipt.
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 2);
    let path = format!("/v2/signed/app/manifests/{digest}");
    let _ = fixture.call(As::Admin, http::Method::DELETE, &path, "").await.expect(202);
    let _ = fixture.get(As::Pusher, &tag).await.expect(404);
    let listed = fixture.get(As::Pusher, &format!("/v2/signed/app/referrers/{digest}")).await.json();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1, "{listed}");
}

/// The key is gone from the configuration, what it signed is still there: neither served for an image that is refused,
/// nor of any worth at the gate.
#[tokio::test]
async fn a_gate_without_its_key_keeps_what_it_said_with_the_image() {
    let fixture = Fixture::new();
    let digest = released(&fixture, "'simple'", false).await;
    let fixture = fixture.restart_without_key();
    fixture.policy.store(Arc::new(policy_serving("", "gate")));
    let path = format!("/v2/signed/app/manifests/{digest}");
    let _ = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED");
    let tag = format!("/v2/signed/app/manifests/{}", cosign::legacy_tag(&digest).unwrap());
    let _ = fixture.get(As::Consumer, &tag).await.expect_error(403, "DENIED");
}

#[tokio::test]
async fn what_the_gate_signed_goes_with_the_image_and_vouches_for_nothing() {
    let fixture = Fixture::new();
    let digest = released(&fixture, "'simple'", false).await;
    assert_eq!(served(&fixture, &digest).await.len(), 1);
    // A policy that believes the gate's own key gets nothing from it.
    fixture.policy.store(Arc::new(policy_serving("'simple'", "gate")));
    let path = format!("/v2/signed/app/manifests/{digest}");
    let text = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("no valid signature by `gate`"), "{text}");
    // And the signature is not served while the image is refused.
    let tag = cosign::legacy_tag(&digest).unwrap();
    let tag = format!("/v2/signed/app/manifests/{tag}");
    let _ = fixture.get(As::Consumer, &tag).await.expect_error(403, "DENIED");
    fixture.policy.store(Arc::new(policy_serving("'simple'", "release")));
    let _ = fixture.get(As::Consumer, &path).await.expect(200);
    let _ = fixture.get(As::Consumer, &tag).await.expect(200);
    fixture.registry.judge().withdraw("signed/app", &digest, "ops", "bad".to_owned()).await.unwrap();
    let _ = fixture.get(As::Consumer, &tag).await.expect(404);
}

#[tokio::test]
async fn what_is_no_longer_asked_for_is_taken_away() {
    let fixture = Fixture::new();
    let digest = released(&fixture, "'simple'", false).await;
    assert_eq!(served(&fixture, &digest).await.len(), 1);
    fixture.policy.store(Arc::new(policy_serving("", "release")));
    let _ = fixture.get(As::Consumer, &format!("/v2/signed/app/manifests/{digest}")).await.expect(200);
    for _ in 0..100 {
        if served(&fixture, &digest).await.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("still served");
}
