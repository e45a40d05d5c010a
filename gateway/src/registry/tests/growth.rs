//! An image is measured by the release whose place it takes, and the records tell what images share.

use rusqlite::Connection;
use serde_json::Value;

use super::fixture::{As, Fixture, POLICY, tar_of};
use crate::stored_images::{StoredImages, stored_images};

/// `open/**` and `signed/**` may grow by half.
fn limited() -> Fixture {
    let limit = "scan = { deny = \"nothing-unsafe\", unknown = \"accept-unsafe\" }\nimage = { max-growth = \"50%\" }\n";
    let scan = "scan = { deny = \"nothing-unsafe\", unknown = \"accept-unsafe\" }\n";
    let text = POLICY.replacen(scan, limit, 2);
    assert_ne!(text, POLICY, "the policy has the limit");
    Fixture::open(tempfile::tempdir().unwrap(), &text, 64 * 1024 * 1024)
}

async fn image(fixture: &Fixture, name: &str, sizes: &[usize]) -> Value {
    let archives: Vec<Vec<u8>> = sizes
        .iter()
        .map(|size| tar_of(&[(format!("data/{size}").as_str(), "x".repeat(*size).as_str())]))
        .collect();
    fixture.image_of(name, &archives).await
}

/// Pushes an image of layers of these sizes; gives the status and the refusal's first reason.
async fn push(fixture: &Fixture, name: &str, tag: &str, sizes: &[usize]) -> (u16, Option<String>) {
    let manifest = image(fixture, name, sizes).await;
    let answer = fixture.put_manifest(As::Pusher, name, tag, &manifest).await;
    let status = answer.status.as_u16();
    let reason = (status == 403).then(|| {
        let reason = &answer.json()["errors"][0]["detail"]["reasons"][0];
        assert_eq!(reason["check"], "growth");
        reason["message"].as_str().unwrap().to_owned()
    });
    (status, reason)
}

#[tokio::test]
async fn an_image_may_outgrow_its_release_by_the_budget_and_no_further() {
    let fixture = limited();
    let name = "open/app";
    assert_eq!(push(&fixture, name, "v1", &[1000]).await, (201, None), "the first release has no measure");
    assert_eq!(push(&fixture, name, "v1", &[1000, 500]).await, (201, None));
    // 1500 bytes are released now: 750 more are allowed.
    let (status, reason) = push(&fixture, name, "v1", &[1000, 1251]).await;
    assert_eq!(status, 403);
    let reason = reason.unwrap();
    assert!(
        reason.contains("grew by 751 B from 1.4 KiB to 2.1 KiB since open/app:v1, 50% are allowed"),
        "{reason}"
    );
    assert!(reason.contains("layer 1 is new and has 1.2 KiB"), "{reason}");
    // A new tag is measured by the newest release; another repository begins anew.
    assert_eq!(push(&fixture, name, "v2", &[1000, 1251]).await.0, 403);
    assert_eq!(push(&fixture, "open/other", "v1", &[1000, 1251]).await.0, 201);
    assert_eq!(push(&fixture, name, "v2", &[1000, 1250]).await.0, 201);
    // Each tag by its own release: 2251 would be allowed after v2, and v1 has 1500.
    assert_eq!(push(&fixture, name, "v1", &[1000, 1252]).await.0, 403);
    // What is smaller always may.
    assert_eq!(push(&fixture, name, "v1", &[10]).await.0, 201);
}

#[tokio::test]
async fn what_waits_for_its_signature_is_measured_when_it_would_be_released() {
    let fixture = limited();
    let name = "signed/app";
    let release = async |manifest: &Value| {
        let digest = super::fixture::digest_of(manifest);
        let _ = fixture.put_signed(As::Signer, name, fixture.simple(name, &digest)).await.expect(201);
        fixture.get(As::Consumer, &format!("/v2/{name}/manifests/{digest}")).await.status.as_u16()
    };
    let small = image(&fixture, name, &[100]).await;
    let medium = image(&fixture, name, &[140]).await;
    let large = image(&fixture, name, &[200]).await;
    // Nothing is released yet: all three may be stored, each under the tag that the next one takes over.
    for (tag, manifest) in [("a", &small), ("b", &medium), ("c", &large)] {
        let _ = fixture.put_manifest(As::Pusher, name, tag, manifest).await.expect(201);
    }
    assert_eq!(release(&small).await, 200);
    assert_eq!(release(&large).await, 403, "twice the size of what is released");
    assert_eq!(release(&medium).await, 200);
}

#[tokio::test]
async fn bytes_that_images_share_are_counted_by_their_layers() {
    let fixture = Fixture::new();
    let base = "b".repeat(1000);
    let push = async |name: &str, tag: &str, layers: &[&str]| {
        let manifest = fixture.image(name, layers).await;
        let _ = fixture.put_manifest(As::Pusher, name, tag, &manifest).await.expect(201);
        let sizes = manifest["layers"].as_array().unwrap();
        sizes.iter().map(|layer| layer["size"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let one = push("open/one", "v1", &[&base, "one"]).await;
    let two = push("open/two", "v1", &[&base, "two", &base]).await;
    // The same image in another repository is no other image.
    let _ = push("open/three", "v1", &["alone"]).await;
    let alone = push("open/four", "v2", &["alone"]).await;
    let _ = fixture.referrer(As::Pusher, "open/one", &format!("sha256:{}", "0".repeat(64)), "text/x").await;
    let asked = |repository: Option<&str>| -> StoredImages {
        let ask = |connection: &Connection| {
            Ok::<_, crate::records::RecordError>(stored_images(connection, repository).unwrap())
        };
        fixture.registry.records.read(ask).unwrap()
    };
    let all = asked(None);
    let told: Vec<_> = all
        .images
        .iter()
        .map(|it| (it.repository.as_str(), it.tags.join(","), it.layers, it.bytes, it.shared_bytes))
        .collect();
    assert_eq!(
        told,
        [
            ("open/four", "v2".to_owned(), 1, alone[0], 0),
            ("open/one", "v1".to_owned(), 2, one[0] + one[1], one[0]),
            ("open/three", "v1".to_owned(), 1, alone[0], 0),
            ("open/two", "v1".to_owned(), 3, two[0] + two[1], two[0]),
        ]
    );
    assert_eq!(all.stored_bytes, one[0] + one[1] + two[1] + alone[0]);
    assert_eq!(all.named_bytes, 2 * one[0] + one[1] + two[1] + 2 * alone[0]);
    let one_only = asked(Some("open/one"));
    assert_eq!(one_only.images.len(), 1);
    assert_eq!(one_only.images[0].shared_bytes, one[0], "others are counted, though they are not listed");
    assert_eq!(asked(Some("open/none")), StoredImages::default());
}
