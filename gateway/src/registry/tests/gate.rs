//! What is served was judged: staged, released, refused, withdrawn, as each class of caller sees it.

use http::Method;
use serde_json::json;

use super::fixture::{As, Fixture, OCI_INDEX_TYPE, POLICY, digest_of, policy};
use crate::manifest::OCI_MANIFEST;

#[tokio::test]
async fn an_unsigned_image_is_seen_by_producers_and_by_no_consumer() {
    let fixture = Fixture::new();
    let digest = fixture.push("signed/app", "v1", &["one"]).await;
    for reference in ["v1", digest.as_str()] {
        let path = format!("/v2/signed/app/manifests/{reference}");
        let _ = fixture.get(As::Pusher, &path).await.expect(200);
        let answer = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED");
        assert!(
            answer.json()["errors"][0]["message"].as_str().unwrap().contains("signature"),
            "{}",
            answer.json()
        );
        let _ = fixture.call(As::Consumer, Method::HEAD, &path, "").await.expect(403);
    }
    let tags = fixture.get(As::Consumer, "/v2/signed/app/tags/list").await;
    let _ = tags.expect_error(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn a_signature_of_either_form_releases_the_image_before_or_after_it() {
    for form in ["simple", "bundle"] {
        for first in ["image", "signature"] {
            let fixture = Fixture::new();
            let name = "signed/app";
            let manifest = fixture.image(name, &["one"]).await;
            let digest = digest_of(&manifest);
            let signature =
                || if form == "simple" { fixture.simple(name, &digest) } else { fixture.bundle(&digest) };
            if first == "signature" {
                let _ = fixture.put_signed(As::Signer, name, signature()).await.expect(201);
            }
            let _ = fixture.put_manifest(As::Pusher, name, "v1", &manifest).await.expect(201);
            if first == "image" {
                let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(403);
                let _ = fixture.put_signed(As::Signer, name, signature()).await.expect(201);
            }
            for reference in ["v1", digest.as_str()] {
                let path = format!("/v2/signed/app/manifests/{reference}");
                let answer = fixture.get(As::Consumer, &path).await;
                assert_eq!(
                    answer.expect(200).header("docker-content-digest"),
                    digest,
                    "{form}, {first} first"
                );
            }
            let layer = manifest["layers"][0]["digest"].as_str().unwrap();
            let _ = fixture.get(As::Consumer, &format!("/v2/signed/app/blobs/{layer}")).await.expect(200);
        }
    }
}

#[tokio::test]
async fn consumers_keep_the_previous_release_while_a_new_one_waits() {
    let fixture = Fixture::new();
    let old = fixture.push("signed/app", "v1", &["one"]).await;
    let _ =
        fixture.put_signed(As::Pusher, "signed/app", fixture.simple("signed/app", &old)).await.expect(201);
    let new = fixture.push("signed/app", "v1", &["two"]).await;
    let seen = async |who| {
        let answer = fixture.get(who, "/v2/signed/app/manifests/v1").await.expect(200);
        answer.header("docker-content-digest")
    };
    assert_eq!(seen(As::Consumer).await, old);
    assert_eq!(seen(As::Pusher).await, new);
    let _ = fixture.put_signed(As::Pusher, "signed/app", fixture.bundle(&new)).await.expect(201);
    assert_eq!(seen(As::Consumer).await, new);
}

#[tokio::test]
async fn a_refused_push_stores_nothing_and_the_fix_goes_over_the_same_tag() {
    let fixture = Fixture::new();
    let manifest = fixture.image("small/app", &["one", "two"]).await;
    let digest = digest_of(&manifest);
    let answer =
        fixture.put_manifest(As::Pusher, "small/app", "v1", &manifest).await.expect_error(403, "DENIED");
    let error = answer.json()["errors"][0].clone();
    assert!(error["message"].as_str().unwrap().contains("layers"), "{error}");
    assert_eq!(error["detail"]["reasons"][0]["check"], "layers");
    for reference in ["v1", digest.as_str()] {
        let path = format!("/v2/small/app/manifests/{reference}");
        let _ = fixture.call(As::Pusher, Method::HEAD, &path, "").await.expect(404);
        let _ = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED");
    }
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let _ =
        fixture.get(As::Consumer, &format!("/v2/small/app/blobs/{layer}")).await.expect_error(403, "DENIED");
    let fixed = fixture.push("small/app", "v1", &["one"]).await;
    let answer = fixture.get(As::Consumer, "/v2/small/app/manifests/v1").await.expect(200);
    assert_eq!(answer.header("docker-content-digest"), fixed);
}

#[tokio::test]
async fn an_index_is_released_with_its_children() {
    let fixture = Fixture::new();
    let name = "signed/multi";
    let mut entries = Vec::new();
    for platform in ["amd64", "arm64"] {
        let manifest = fixture.image(name, &[platform]).await;
        let digest = digest_of(&manifest);
        let _ = fixture.put_manifest(As::Pusher, name, &digest, &manifest).await.expect(201);
        entries.push(json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": manifest.to_string().len(),
            "platform": {"os": "linux", "architecture": platform}}));
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": entries});
    let digest = digest_of(&index);
    let _ = fixture.put_manifest(As::Pusher, name, "v1", &index).await.expect(201);
    let child = format!("/v2/{name}/manifests/{}", entries[1]["digest"].as_str().unwrap());
    let _ = fixture.get(As::Consumer, &child).await.expect(403);
    let _ = fixture.put_signed(As::Signer, name, fixture.simple(name, &digest)).await.expect(201);
    let _ = fixture.get(As::Consumer, "/v2/signed/multi/manifests/v1").await.expect(200);
    let _ = fixture.get(As::Consumer, &child).await.expect(200);
}

#[tokio::test]
async fn a_pinned_rule_names_the_digest_to_ask_for() {
    let fixture = Fixture::new();
    let digest = fixture.push("pinned/app", "v1", &["one"]).await;
    let answer = fixture.get(As::Consumer, "/v2/pinned/app/manifests/v1").await.expect_error(403, "DENIED");
    assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains(&digest));
    let _ = fixture.get(As::Consumer, &format!("/v2/pinned/app/manifests/{digest}")).await.expect(200);
}

#[tokio::test]
async fn a_stricter_policy_holds_at_once_and_nothing_warm_survives_it() {
    let fixture = Fixture::new();
    let _ = fixture.push("open/app", "v1", &["one", "two"]).await;
    for _ in 0..2 {
        let _ = fixture.get(As::Consumer, "/v2/open/app/manifests/v1").await.expect(200);
    }
    let stricter = POLICY.replace("[\"registry.example/open/**\"", "[\"registry.example/none/**\"");
    let stricter = stricter.replace("[\"registry.example/small/**\"", "[\"registry.example/open/**\"");
    fixture.policy.store(std::sync::Arc::new(policy(&stricter)));
    for _ in 0..2 {
        let _ = fixture.get(As::Consumer, "/v2/open/app/manifests/v1").await.expect_error(403, "DENIED");
    }
    fixture.policy.store(std::sync::Arc::new(policy(POLICY)));
    let _ = fixture.get(As::Consumer, "/v2/open/app/manifests/v1").await.expect(200);
}

#[tokio::test]
async fn no_rule_means_no() {
    let fixture = Fixture::new();
    let manifest = fixture.image("unruled/app", &["one"]).await;
    let _ =
        fixture.put_manifest(As::Pusher, "unruled/app", "v1", &manifest).await.expect_error(403, "DENIED");
}

#[tokio::test]
async fn what_is_staged_is_released_by_the_sweep_once_the_policy_allows_it() {
    let fixture = Fixture::new();
    let _ = fixture.push("signed/app", "v1", &["one"]).await;
    let looser = POLICY.replace("[[\"release\"]]", "\"nobody-unsafe\"");
    fixture.policy.store(std::sync::Arc::new(policy(&looser)));
    fixture.registry.judge().sweep().await;
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
}
