//! What attackers send, by the groups of our list; each must end in a refusal, or in nothing that a consumer could see.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use super::fixture::{As, CONFIG, EMPTY, Fixture, LAYER, OCI_INDEX_TYPE, descriptor, digest_of, gzip, tar};
use crate::digest::Digest;
use crate::gc::{self, GcConfig};
use crate::manifest::OCI_MANIFEST;

const NAME: &str = "open/app";

fn with(mut manifest: Value, key: &str, value: Value) -> Value {
    manifest[key] = value;
    manifest
}

// Group 1.
#[tokio::test]
async fn manifests_of_two_kinds_are_refused() {
    let fixture = Fixture::new();
    let image = fixture.image(NAME, &["one"]).await;
    let _ = fixture.put_manifest(As::Pusher, NAME, "v1", &image).await.expect(201);
    let entry =
        json!({"mediaType": OCI_MANIFEST, "digest": digest_of(&image), "size": image.to_string().len()});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": [entry]});
    for forged in [
        with(image.clone(), "manifests", json!([])),
        with(image.clone(), "Layers", json!([])),
        with(index.clone(), "layers", json!([])),
        with(index, "config", descriptor(CONFIG, b"{}")),
    ] {
        let answer = fixture.put_manifest(As::Pusher, NAME, "forged", &forged).await;
        let _ = answer.expect_error(400, "MANIFEST_INVALID");
    }
    let twice = image.to_string().replacen('{', "{\"layers\":[],", 1).into_bytes();
    let _ = fixture.put_bytes(As::Pusher, NAME, "forged", twice).await.expect_error(400, "MANIFEST_INVALID");
    let _ = fixture.get(As::Pusher, &format!("/v2/{NAME}/manifests/forged")).await.expect(404);
}

// Group 2.
#[tokio::test]
async fn a_content_type_that_disagrees_with_the_body_is_refused_and_accept_changes_nothing() {
    let fixture = Fixture::new();
    let image = fixture.image(NAME, &["one"]).await;
    for content_type in
        [OCI_INDEX_TYPE, "application/json", "application/vnd.docker.distribution.manifest.v1+prettyjws"]
    {
        let request = Request::put(format!("/v2/{NAME}/manifests/v1")).header("content-type", content_type);
        let answer = fixture.send(As::Pusher, request.body(Body::from(image.to_string())).unwrap()).await;
        let _ = answer.expect_error(400, "MANIFEST_INVALID");
    }
    let _ = fixture.put_manifest(As::Pusher, NAME, "v1", &image).await.expect(201);
    let request = Request::get(format!("/v2/{NAME}/manifests/v1")).header("accept", OCI_INDEX_TYPE);
    let answer = fixture.send(As::Consumer, request.body(Body::empty()).unwrap()).await.expect(200);
    assert_eq!(answer.header("content-type"), OCI_MANIFEST);
}

// Group 3.
#[tokio::test]
async fn a_runnable_image_that_declares_itself_a_signature_is_judged_as_an_image() {
    let fixture = Fixture::new();
    let image = fixture.image("small/app", &["one", "two"]).await;
    let signature = "application/vnd.dev.cosign.simplesigning.v1+json";
    let retyped = |index: usize| {
        let mut image = image.clone();
        image["layers"][index]["mediaType"] = json!(signature);
        image
    };
    let mut all = retyped(0);
    all["layers"][1]["mediaType"] = json!(signature);
    let subject = json!({"mediaType": OCI_MANIFEST, "digest": digest_of(&image), "size": 7});
    for (why, forged) in [
        ("artifactType", with(image.clone(), "artifactType", json!("application/spdx+json"))),
        ("subject", with(image.clone(), "subject", subject)),
        ("one signature layer among real ones", retyped(0)),
        ("all layers typed as signatures, archives by their bytes", all),
        ("empty config type", {
            let mut image = image.clone();
            image["config"]["mediaType"] = json!(EMPTY);
            image
        }),
    ] {
        let answer = fixture.put_manifest(As::Pusher, "small/app", "v1", &forged).await;
        assert_eq!(answer.status.as_u16(), 403, "{why}");
    }
}

// Group 4 (the walk itself is the scanner's): what contradicts itself is refused at the door.
#[tokio::test]
async fn layers_that_are_not_what_they_are_declared_as_are_refused() {
    let fixture = Fixture::new();
    let archive = tar("one");
    let plain_as_gzip = archive.clone();
    let hidden = [gzip(&archive), gzip(b"after the end")].concat();
    for (why, layer, diff_id) in [
        ("plain declared as gzip", plain_as_gzip, Digest::sha256_of(&archive)),
        ("another diff_id", gzip(&archive), Digest::sha256_of(b"else")),
        ("no archive", b"just text".to_vec(), Digest::sha256_of(b"just text")),
        ("bytes after the end", hidden, Digest::sha256_of(&archive)),
        ("empty", Vec::new(), Digest::sha256_of(b"")),
    ] {
        fixture.put_blob(NAME, &layer).await;
        let config = json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id.as_str()]}})
        .to_string();
        fixture.put_blob(NAME, config.as_bytes()).await;
        let image = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(CONFIG, config.as_bytes()), "layers": [descriptor(LAYER, &layer)]});
        let answer = fixture.put_manifest(As::Pusher, NAME, "v1", &image).await;
        assert_eq!(answer.status.as_u16(), 403, "{why}: {}", answer.json());
    }
}

// Group 5.
#[tokio::test]
async fn bytes_that_are_not_what_the_digest_says_are_discarded() {
    let fixture = Fixture::new();
    let wrong = Digest::sha256_of(b"expected");
    let path = format!("/v2/{NAME}/blobs/uploads/?digest={wrong}");
    let _ = fixture.call(As::Pusher, Method::POST, &path, "other").await.expect_error(400, "DIGEST_INVALID");
    let begun = fixture.call(As::Pusher, Method::POST, "/v2/open/app/blobs/uploads/", "").await.expect(202);
    let location = begun.header("location");
    let _ = fixture.call(As::Pusher, Method::PATCH, &location, "oth").await.expect(202);
    let path = format!("{location}?digest={wrong}");
    let _ = fixture.call(As::Pusher, Method::PUT, &path, "er").await.expect_error(400, "DIGEST_INVALID");
    let _ = fixture.get(As::Pusher, &location).await.expect(404);
    let _ = fixture.get(As::Pusher, &format!("/v2/{NAME}/blobs/{wrong}")).await.expect(404);
    let left = std::fs::read_dir(fixture.folder.path().join("uploads")).unwrap().count();
    assert_eq!(left, 0, "nothing of it stays on the disk");
}

#[tokio::test]
async fn foreign_layers_wrong_sizes_and_missing_blobs_are_refused() {
    let fixture = Fixture::new();
    let image = fixture.image(NAME, &["one"]).await;
    let layer = |key: &str, value: Value| {
        let mut image = image.clone();
        image["layers"][0][key] = value;
        image
    };
    let absent = format!("sha256:{}", "0".repeat(64));
    for (forged, code) in [
        (layer("urls", json!(["https://evil.example/layer"])), "MANIFEST_INVALID"),
        (layer("size", json!(1)), "MANIFEST_INVALID"),
        (layer("digest", json!(absent)), "MANIFEST_BLOB_UNKNOWN"),
        (layer("digest", json!(&absent[..40])), "MANIFEST_INVALID"),
    ] {
        let _ = fixture.put_manifest(As::Pusher, NAME, "v1", &forged).await.expect_error(400, code);
    }
    let wrong = format!("sha256:{}", "1".repeat(64));
    let _ = fixture.put_manifest(As::Pusher, NAME, &wrong, &image).await.expect_error(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_blob_over_the_limit_is_refused_announced_or_not() {
    let fixture = Fixture::open(tempfile::tempdir().unwrap(), super::fixture::POLICY, 1000);
    let digest = Digest::sha256_of(&[0; 1001]);
    let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
    let announced =
        Request::post(&path).header("content-length", "1001").body(Body::from(vec![0; 1001])).unwrap();
    let _ = fixture.send(As::Pusher, announced).await.expect_error(413, "SIZE_INVALID");
    let _ =
        fixture.call(As::Pusher, Method::POST, &path, vec![0; 1001]).await.expect_error(413, "SIZE_INVALID");
}

// Group 6.
#[tokio::test]
async fn indexes_that_nest_or_swell_are_refused() {
    let fixture = Fixture::new();
    let entry = |media_type: &str| json!({"mediaType": media_type, "digest": format!("sha256:{}", "0".repeat(64)), "size": 1});
    let index =
        |entries: Vec<Value>| json!({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": entries});
    for (forged, code) in [
        (index(vec![entry(OCI_INDEX_TYPE)]), "MANIFEST_INVALID"),
        (index(vec![entry(OCI_MANIFEST); 10_000]), "MANIFEST_INVALID"),
        (index(vec![entry(OCI_MANIFEST)]), "MANIFEST_BLOB_UNKNOWN"),
    ] {
        let _ = fixture.put_manifest(As::Pusher, NAME, "v1", &forged).await.expect_error(400, code);
    }
    let large = with(index(Vec::new()), "padding", json!("x".repeat(5 << 20)));
    let _ = fixture.put_manifest(As::Pusher, NAME, "v1", &large).await.expect_error(413, "MANIFEST_INVALID");
}

// Group 7.
#[tokio::test]
async fn moving_a_tag_after_the_release_shows_consumers_nothing_new() {
    let fixture = Fixture::new();
    let name = "signed/app";
    let good = fixture.push(name, "v1", &["good"]).await;
    let _ = fixture.put_signed(As::Signer, name, fixture.simple(name, &good)).await.expect(201);
    let evil = fixture.push(name, "v1", &["evil"]).await;
    // The signature of the good one again, and one whose subject is forged: neither vouches for the evil one.
    let _ = fixture.put_signed(As::Signer, name, fixture.simple(name, &good)).await.expect(201);
    let _ = fixture
        .referrer(As::Signer, name, &evil, "application/vnd.dev.sigstore.bundle.v0.3+json")
        .await
        .expect(201);
    let mut stolen = fixture.bundle(&good);
    let manifest = String::from_utf8(stolen.manifest.bytes).unwrap().replace(&good, &evil).into_bytes();
    stolen.manifest.digest = Digest::sha256_of(&manifest).to_string();
    stolen.manifest.bytes = manifest;
    let _ = fixture.put_signed(As::Signer, name, stolen).await.expect(201);
    let seen = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
    assert_eq!(seen.header("docker-content-digest"), good);
    let _ =
        fixture.get(As::Consumer, &format!("/v2/{name}/manifests/{evil}")).await.expect_error(403, "DENIED");
}

// Group 8.
#[tokio::test]
async fn no_road_leads_to_the_blobs_of_an_image_that_is_not_released() {
    let fixture = Fixture::new();
    let image = fixture.image("signed/app", &["secret"]).await;
    let _ = fixture.put_manifest(As::Pusher, "signed/app", "v1", &image).await.expect(201);
    let layer = image["layers"][0]["digest"].as_str().unwrap();
    let config = image["config"]["digest"].as_str().unwrap();
    for digest in [layer, config] {
        let path = format!("/v2/signed/app/blobs/{digest}");
        let _ = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED");
        let _ = fixture.call(As::Consumer, Method::HEAD, &path, "").await.expect(403);
        let part = Request::get(&path).header("range", "bytes=0-0").body(Body::empty()).unwrap();
        let _ = fixture.send(As::Consumer, part).await.expect(403);
        // Known through another repository only.
        let _ = fixture
            .get(As::Consumer, &format!("/v2/open/app/blobs/{digest}"))
            .await
            .expect_error(404, "BLOB_UNKNOWN");
        let _ = fixture
            .get(As::Pusher, &format!("/v2/open/app/blobs/{digest}"))
            .await
            .expect_error(404, "BLOB_UNKNOWN");
    }
    let manifest = digest_of(&image);
    let _ = fixture.get(As::Consumer, &format!("/v2/open/app/manifests/{manifest}")).await.expect(404);
    let referrers =
        fixture.get(As::Consumer, &format!("/v2/signed/app/referrers/{manifest}")).await.expect(200);
    assert_eq!(referrers.json()["manifests"], json!([]));
    // A manifest in another repository that names the blobs without their being there.
    let _ =
        fixture.put_manifest(As::Pusher, NAME, "v1", &image).await.expect_error(400, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn a_mount_is_a_pull_and_is_asked_about_like_one() {
    let fixture = Fixture::new();
    let _ = fixture.push("signed/app", "v1", &["staged"]).await;
    let _ = fixture.push("open/app", "v1", &["released"]).await;
    let layer = |content: &str| Digest::sha256_of(&gzip(&tar(content)));
    let mount =
        |digest: Digest, from: &str| format!("/v2/open/new/blobs/uploads/?mount={digest}&from={from}");
    for (path, status) in [
        (mount(layer("released"), "open/app"), 201),
        (mount(layer("released"), "open/none"), 202),
        (mount(layer("absent"), "open/app"), 202),
        (mount(layer("released"), "../open/app"), 202),
        (format!("/v2/open/new/blobs/uploads/?mount={}", layer("released")), 202),
    ] {
        let _ = fixture.call(As::Pusher, Method::POST, &path, "").await.expect(status);
    }
}

// Group 9.
#[tokio::test]
async fn a_refused_image_is_judged_again_under_another_name() {
    let fixture = Fixture::new();
    for name in ["small/app", "small/other"] {
        let image = fixture.image(name, &["one", "two"]).await;
        let _ = fixture.put_manifest(As::Pusher, name, "v1", &image).await.expect_error(403, "DENIED");
    }
    let _ = fixture.push(NAME, "v1", &["one", "two"]).await;
}

// Group 10 (most of it is the keys crate's).
#[tokio::test]
async fn signatures_beyond_counting_are_refused() {
    let fixture = Fixture::new();
    let subject = fixture.push("signed/app", "v1", &["one"]).await;
    fixture.add_junk(&subject, crate::staging::REFERRERS_MAX, b"{}").await;
    let more = fixture.referrer(As::Signer, "signed/app", &subject, "application/vnd.more").await;
    let _ = more.expect_error(400, "MANIFEST_INVALID");
}

/// Every junk bundle is well made, names a key of the policy, and is about this very digest: only its signature is
/// wrong. They are pushed before the good one, and examined again after a start.
#[tokio::test]
async fn ten_thousand_junk_referrers_hide_no_good_signature() {
    const JUNK: usize = 10_000;
    let fixture = Fixture::new();
    let subject = fixture.push("signed/app", "v1", &["one"]).await;
    let mut bundle: Value = serde_json::from_slice(&fixture.bundle(&subject).blobs[0].bytes).unwrap();
    let mut other: Value =
        serde_json::from_slice(&fixture.bundle(&format!("sha256:{}", "0".repeat(64))).blobs[0].bytes)
            .unwrap();
    bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"].take();
    fixture.add_junk(&subject, JUNK, bundle.to_string().as_bytes()).await;
    let _ = fixture.put_signed(As::Signer, "signed/app", fixture.bundle(&subject)).await.expect(201);
    let path = format!("/v2/signed/app/manifests/{subject}");
    let _ = fixture.get(As::Consumer, &path).await.expect(200);
    // Known by now: another policy is another question, a restart forgets, and neither is misled.
    fixture.policy.store(std::sync::Arc::new(super::fixture::policy(&format!(
        "# changed\n{}",
        super::fixture::POLICY
    ))));
    let _ = fixture.get(As::Consumer, &path).await.expect(200);
    let fixture = fixture.restart();
    let _ = fixture.get(As::Consumer, &path).await.expect(200);
}

// Group 11 and 12.
#[tokio::test]
async fn who_may_only_sign_pushes_signatures_and_nothing_that_runs() {
    let fixture = Fixture::new();
    let image = fixture.image(NAME, &["one"]).await;
    let digest = digest_of(&image);
    let _ = fixture.put_manifest(As::Signer, NAME, "v1", &image).await.expect(401);
    let _ = fixture.put_manifest(As::Signer, NAME, &digest, &image).await.expect(401);
    let tag = format!("sha256-{}.sig", "0".repeat(64));
    let _ = fixture.put_manifest(As::Signer, NAME, &tag, &image).await.expect(401);
    let subject = json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": 7});
    let about_itself = with(image, "subject", subject);
    let _ =
        fixture.put_manifest(As::Signer, NAME, &digest_of(&about_itself), &about_itself).await.expect(401);
    let _ = fixture.referrer(As::Signer, NAME, &digest, "application/vnd.a").await.expect(201);
}

// Group 14.
#[tokio::test]
async fn two_uploads_of_one_digest_at_once_both_succeed() {
    let fixture = Fixture::new();
    let bytes = vec![7_u8; 3 << 20];
    let digest = Digest::sha256_of(&bytes);
    let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
    let one = || fixture.call(As::Pusher, Method::POST, &path, bytes.clone());
    let (first, second, third) = tokio::join!(one(), one(), one());
    for answer in [first, second, third] {
        let _ = answer.expect(201);
    }
    let read = fixture.get(As::Pusher, &format!("/v2/{NAME}/blobs/{digest}")).await.expect(200);
    assert!(read.body == bytes);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let fixture = Fixture::new();
    let open = fixture.push(NAME, "v1", &["one"]).await;
    let staged = fixture.push("signed/app", "v1", &["two"]).await;
    let refused = fixture.image("small/app", &["one", "two"]).await;
    let _ = fixture.put_manifest(As::Pusher, "small/app", "v1", &refused).await.expect(403);
    let fixture = fixture.restart();
    let _ = fixture.get(As::Consumer, &format!("/v2/{NAME}/manifests/{open}")).await.expect(200);
    let _ = fixture.get(As::Consumer, &format!("/v2/signed/app/manifests/{staged}")).await.expect(403);
    let _ = fixture.get(As::Pusher, &format!("/v2/signed/app/manifests/{staged}")).await.expect(200);
    let _ = fixture.get(As::Consumer, "/v2/small/app/manifests/v1").await.expect_error(403, "DENIED");
}

// Group 16: garbage collection.
#[tokio::test]
async fn garbage_collection_takes_what_nobody_holds_and_nothing_else() {
    let fixture = Fixture::new();
    let config = GcConfig::default();
    let released = fixture.push(NAME, "v1", &["kept"]).await;
    let staged = fixture.push("signed/app", "v1", &["staged"]).await;
    let orphan = fixture.put_blob(NAME, b"orphan").await;
    assert_eq!(gc::run(&fixture.registry, config).await.unwrap().blobs, []);
    fixture.clock.advance(config.unreferenced_seconds + 1);
    let fresh = fixture.put_blob(NAME, b"fresh").await;
    let listed = gc::dry_run(&fixture.registry, config).unwrap();
    assert_eq!(listed.links, [(NAME.to_owned(), orphan.clone())]);
    let collected = gc::run(&fixture.registry, config).await.unwrap();
    let removed: Vec<_> = collected.blobs.iter().map(|(digest, _)| digest.as_str()).collect();
    assert_eq!(removed, [orphan.as_str()]);
    let _ = fixture.get(As::Pusher, &format!("/v2/{NAME}/blobs/{orphan}")).await.expect(404);
    let _ = fixture.get(As::Pusher, &format!("/v2/{NAME}/blobs/{fresh}")).await.expect(200);
    assert_eq!(fixture.put_blob(NAME, b"orphan").await, orphan, "it can be pushed again");
    fixture.clock.advance(config.staged_seconds + 1);
    let collected = gc::run(&fixture.registry, config).await.unwrap();
    assert_eq!(collected.manifests, [("signed/app".to_owned(), staged)]);
    let read = fixture.get(As::Consumer, &format!("/v2/{NAME}/manifests/{released}")).await.expect(200);
    let layer = read.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
    let _ = fixture.get(As::Consumer, &format!("/v2/{NAME}/blobs/{layer}")).await.expect(200);
}

#[tokio::test]
async fn garbage_collection_never_breaks_a_push_that_was_acknowledged() {
    let fixture = Fixture::new();
    // Everything is garbage at once, as soon as the clock moves.
    let config = GcConfig { unreferenced_seconds: -1, staged_seconds: 3600, ..GcConfig::default() };
    let collecting = async {
        for _ in 0..60 {
            gc::run(&fixture.registry, config).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let pushing = async {
        let mut acknowledged = Vec::new();
        for number in 0..30 {
            let content = format!("layer {}", number % 3);
            let layer = gzip(&tar(&content));
            let config = json!({"architecture": "amd64", "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [Digest::sha256_of(&tar(&content)).as_str()]},
                "author": number.to_string()})
            .to_string();
            for bytes in [&layer[..], config.as_bytes()] {
                let path = format!("/v2/{NAME}/blobs/uploads/?digest={}", Digest::sha256_of(bytes));
                let _ = fixture.call(As::Pusher, Method::POST, &path, bytes.to_vec()).await.expect(201);
            }
            let image = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": descriptor(CONFIG, config.as_bytes()), "layers": [descriptor(LAYER, &layer)]});
            let answer = fixture.put_manifest(As::Pusher, NAME, "v1", &image).await;
            match answer.status.as_u16() {
                201 => acknowledged.push(image),
                // The collection was first: the client is told, and pushes the blob again.
                400 => drop(answer.expect_error(400, "MANIFEST_BLOB_UNKNOWN")),
                other => panic!("{other}: {}", answer.json()),
            }
        }
        acknowledged
    };
    let (acknowledged, ()) = tokio::join!(pushing, collecting);
    gc::run(&fixture.registry, config).await.unwrap();
    for image in acknowledged {
        for digest in [&image["config"]["digest"], &image["layers"][0]["digest"]] {
            let path = format!("/v2/{NAME}/blobs/{}", digest.as_str().unwrap());
            let _ = fixture.get(As::Consumer, &path).await.expect(200);
        }
    }
}
