//! Groups 7, 8, 9, 12 and 14: getting at what was not released, by another way in, another name, or at another moment.

use std::thread;

use serde_json::json;

use tests::http::Client;
use tests::image_builder::{Archive, Compression, Image, alpine_image, index};
use tests::test_gateway::{
    FIXED, PASSWORD, POLICY_STRICT, TestGateway, VULNERABLE, push, push_blob, push_manifest, push_signature,
    sign_bundle, sign_simple,
};

const REPOSITORY: &str = "team-a/app";

/// Pushes an image and its signature; it is released.
#[track_caller]
fn release(gateway: &TestGateway, repository: &str, tag: &str, image: &Image) {
    let builder = gateway.caller("builder");
    let answer = push(&builder, repository, tag, image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let signature = sign_simple(&gateway.signer(), repository, &image.manifest.digest);
    assert_eq!(push_signature(&builder, repository, &signature).status, 201);
    let path = format!("/v2/{repository}/manifests/{}", image.manifest.digest);
    assert_eq!(gateway.caller("consumer").get(&path).status, 200, "the signed image is not released");
}

#[test]
fn a_released_tag_moves_only_with_the_next_release() {
    let gateway = TestGateway::strict();
    let consumer = gateway.caller("consumer");
    let first = alpine_image("first", FIXED).build();
    release(&gateway, REPOSITORY, "1.0", &first);
    let path = format!("/v2/{REPOSITORY}/manifests/1.0");
    let unsigned = alpine_image("second", FIXED).build();
    assert_eq!(push(&gateway.caller("builder"), REPOSITORY, "1.0", &unsigned).status, 201);
    assert_eq!(consumer.get(&path).body, first.manifest.bytes, "the tag moved before the release");
    let refused = alpine_image("third", VULNERABLE).build();
    assert_eq!(push(&gateway.caller("builder"), REPOSITORY, "1.0", &refused).status, 403);
    assert_eq!(consumer.get(&path).body, first.manifest.bytes, "a refused push moved the tag");
    let signature = sign_bundle(&gateway.signer(), &unsigned.manifest);
    assert_eq!(push_signature(&gateway.caller("builder"), REPOSITORY, &signature).status, 201);
    assert_eq!(consumer.get(&path).body, unsigned.manifest.bytes, "the signed image was not released");
}

#[test]
fn a_child_that_is_replaced_in_a_released_index_is_not_served() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let child = alpine_image("child", FIXED).build();
    assert_eq!(push(&builder, REPOSITORY, &child.manifest.digest, &child).status, 201);
    let list = index(&[&child]);
    assert_eq!(push_manifest(&builder, REPOSITORY, "1.0", &list).status, 201);
    let signature = sign_simple(&gateway.signer(), REPOSITORY, &list.digest);
    assert_eq!(push_signature(&builder, REPOSITORY, &signature).status, 201);
    let consumer = gateway.caller("consumer");
    assert_eq!(consumer.get(&format!("/v2/{REPOSITORY}/manifests/1.0")).body, list.bytes);
    let other = alpine_image("other child", FIXED).build();
    assert_eq!(push(&builder, REPOSITORY, &other.manifest.digest, &other).status, 201);
    let replaced = index(&[&other]);
    assert_eq!(push_manifest(&builder, REPOSITORY, "1.0", &replaced).status, 201);
    assert_eq!(consumer.get(&format!("/v2/{REPOSITORY}/manifests/1.0")).body, list.bytes);
    gateway.assert_hidden(REPOSITORY, &[], &Image { blobs: Vec::new(), manifest: other.manifest });
    gateway.assert_hidden(REPOSITORY, &[], &Image { blobs: Vec::new(), manifest: replaced });
}

#[test]
fn nothing_of_a_refused_image_is_served_by_any_way_in() {
    let gateway = TestGateway::strict();
    let image = alpine_image("refused", VULNERABLE).build();
    let answer = push(&gateway.caller("builder"), REPOSITORY, "1.0", &image);
    assert_eq!((answer.status, answer.error_code().as_str()), (403, "DENIED"));
    gateway.assert_hidden(REPOSITORY, &["1.0", "latest"], &image);
    let builder = gateway.caller("builder");
    for reference in ["1.0", image.manifest.digest.as_str()] {
        let answer = builder.get(&format!("/v2/{REPOSITORY}/manifests/{reference}"));
        assert_eq!(answer.status, 404, "a producer's probe of a refused image: {}", answer.text());
    }
    let tags = gateway.caller("consumer").get(&format!("/v2/{REPOSITORY}/tags/list"));
    assert!(!tags.text().contains("1.0"), "{}", tags.text());
}

#[test]
fn a_mount_or_a_known_digest_opens_no_door_to_another_repository() {
    let gateway = TestGateway::strict();
    let image = alpine_image("secret of another team", FIXED).build();
    assert_eq!(push(&gateway.caller("admin"), "other/app", "1.0", &image).status, 201);
    let team = gateway.caller("team-a");
    for blob in &image.blobs {
        let digest = &blob.digest;
        let mount = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={digest}&from=other/app");
        let answer = team.send("POST", &mount, &[], &[]);
        assert!(
            matches!(answer.status, 202 | 401 | 403 | 404),
            "mounted from a foreign repository: {}",
            answer.status
        );
        assert_eq!(
            team.head(&format!("/v2/{REPOSITORY}/blobs/{digest}")).status,
            404,
            "known through deduplication"
        );
        let read = team.get(&format!("/v2/other/app/blobs/{digest}"));
        assert!(matches!(read.status, 401 | 403 | 404), "{}", read.status);
    }
    let answer = push_manifest(&team, REPOSITORY, "1.0", &image.manifest);
    assert!(matches!(answer.status, 400 | 404), "a manifest over foreign blobs: {}", answer.status);
}

#[test]
fn a_refused_image_is_refused_again_under_another_name_or_with_a_changed_config() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let image = alpine_image("again", VULNERABLE).build();
    for repository in [REPOSITORY, "team-a/renamed", "team-a/deep/er/name"] {
        assert_eq!(push(&builder, repository, "1.0", &image).status, 403, "{repository}");
    }
    let changed = alpine_image("again", VULNERABLE).config(&json!({ "Labels": { "a": "b" } })).build();
    assert_eq!(push(&builder, REPOSITORY, "1.0", &changed).status, 403);
}

#[test]
fn headers_that_clients_choose_change_no_answer() {
    let gateway = TestGateway::strict();
    let image = alpine_image("staged", FIXED).build();
    assert_eq!(push(&gateway.caller("builder"), REPOSITORY, "1.0", &image).status, 201);
    let path = format!("/v2/{REPOSITORY}/manifests/{}", image.manifest.digest);
    for (name, value) in [
        ("User-Agent", "cosign/v2.5.0"),
        ("User-Agent", "portcullis/1.0"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-User", "builder"),
        ("X-Remote-User", "admin"),
        ("X-Original-URL", "/healthz"),
        ("X-HTTP-Method-Override", "PUT"),
        ("Forwarded", "for=127.0.0.1;proto=https"),
        ("Host", "registry.example"),
    ] {
        for caller in [gateway.caller("consumer"), gateway.anonymous()] {
            let status = caller.send("GET", &path, &[(name, value)], &[]).status;
            assert!(matches!(status, 401 | 403 | 404), "{name}: {value}: {status}");
        }
    }
    for name in ["robot$builder", "builder ", "BUILDER", "$builder", "builder\u{0}", "team-a/builder"] {
        let status = Client::basic(&gateway.address, name, PASSWORD).get(&path).status;
        assert_eq!(status, 401, "account `{name}`");
    }
}

#[test]
fn two_uploads_of_one_digest_at_once_both_succeed() {
    let gateway = TestGateway::open();
    let content: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let layer = Archive::new().file("big", 0o644, &content).layer(Compression::Plain);
    let uploads: Vec<_> = (0..4)
        .map(|_| {
            let (client, blob) = (gateway.caller("builder"), layer.blob.clone());
            thread::spawn(move || push_blob(&client, REPOSITORY, &blob).status)
        })
        .collect();
    for upload in uploads {
        assert_eq!(upload.join().expect("the thread ends"), 201);
    }
    let path = format!("/v2/{REPOSITORY}/blobs/{}", layer.blob.digest);
    assert_eq!(gateway.caller("builder").get(&path).body, layer.blob.bytes);
}

#[test]
fn a_cancelled_upload_leaves_nothing_and_blocks_nobody() {
    let gateway = TestGateway::open();
    let builder = gateway.caller("builder");
    let image = alpine_image("cancelled", FIXED).build();
    let layer = &image.blobs[1];
    let started = builder.send("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), &[], &[]);
    let location = started.header("location").expect("a location");
    let location = location.trim_start_matches(&format!("http://{}", gateway.address)).to_owned();
    let half = &layer.bytes[..layer.bytes.len() / 2];
    assert_eq!(builder.send("PATCH", &location, &[], half).status, 202);
    assert_eq!(builder.send("DELETE", &location, &[], &[]).status, 204);
    assert_eq!(builder.get(&location).status, 404);
    // One that just goes away in the middle of a request.
    let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", layer.digest);
    let length = layer.bytes.len() as u64;
    let mut torn = std::io::Cursor::new(half);
    drop(std::net::TcpStream::connect(&gateway.address).map(|mut stream| {
        use std::io::Write as _;
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        let _ = std::io::copy(&mut torn, &mut stream);
    }));
    assert_eq!(builder.head(&format!("/v2/{REPOSITORY}/blobs/{}", layer.digest)).status, 404);
    assert_eq!(push(&builder, REPOSITORY, "1.0", &image).status, 201);
}

#[test]
fn a_policy_that_became_stricter_holds_for_what_was_staged_before_a_restart() {
    let mut gateway = TestGateway::open();
    let builder = gateway.caller("builder");
    let image = alpine_image("before", VULNERABLE).build();
    assert_eq!(push(&builder, REPOSITORY, "1.0", &image).status, 201);
    let path = format!("/v2/{REPOSITORY}/manifests/1.0");
    assert_eq!(gateway.caller("consumer").get(&path).status, 200);
    gateway.kill();
    std::fs::write(gateway.folder().join("policy.toml"), POLICY_STRICT).expect("the policy is written");
    gateway.start_again();
    gateway.assert_hidden(REPOSITORY, &["1.0"], &Image { blobs: Vec::new(), manifest: image.manifest });
}

#[test]
fn a_push_over_blobs_that_were_never_sent_is_refused() {
    let gateway = TestGateway::open();
    let image = alpine_image("absent", FIXED).build();
    let answer = push_manifest(&gateway.caller("builder"), REPOSITORY, "1.0", &image.manifest);
    assert!(matches!(answer.status, 400 | 404), "{}", answer.status);
    assert_eq!(answer.error_code(), "MANIFEST_BLOB_UNKNOWN");
    let list = index(&[&image]);
    let answer = push_manifest(&gateway.caller("builder"), REPOSITORY, "1.0", &list);
    assert!(matches!(answer.status, 400 | 404), "{}", answer.status);
}
