//! The distribution spec, as clients speak it.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use super::fixture::{As, EMPTY, Fixture, OCI_INDEX_TYPE, descriptor, digest_of};
use crate::digest::{Algorithm, Digest};
use crate::manifest::OCI_MANIFEST;

const NAME: &str = "open/app";

async fn begin(fixture: &Fixture) -> String {
    let answer = fixture.call(As::Pusher, Method::POST, "/v2/open/app/blobs/uploads/", "").await.expect(202);
    answer.header("location")
}

async fn patch(fixture: &Fixture, location: &str, range: &str, bytes: &[u8]) -> super::fixture::Answer {
    let request =
        Request::patch(location).header("content-range", range).body(Body::from(bytes.to_vec())).unwrap();
    fixture.send(As::Pusher, request).await
}

#[tokio::test]
async fn a_blob_arrives_in_pieces_and_each_must_follow_the_last() {
    let fixture = Fixture::new();
    let location = begin(&fixture).await;
    assert_eq!(patch(&fixture, &location, "0-4", b"hello").await.expect(202).header("range"), "0-4");
    let wrong = patch(&fixture, &location, "0-4", b"hello").await.expect(416);
    assert_eq!(wrong.header("range"), "0-4");
    let _ = patch(&fixture, &location, "9-10", b"xx").await.expect(416);
    let _ = patch(&fixture, &location, "nonsense", b"xx").await.expect(416);
    let status = fixture.get(As::Pusher, &location).await.expect(204);
    assert_eq!(status.header("range"), "0-4");
    let _ = patch(&fixture, &location, "5-6", b", ").await.expect(202);
    let digest = Digest::sha256_of(b"hello, world");
    let put = Request::put(format!("{location}?digest={digest}")).header("content-range", "7-11");
    let _ = fixture.send(As::Pusher, put.body(Body::from("world")).unwrap()).await.expect(201);
    let read = fixture.get(As::Pusher, &format!("/v2/{NAME}/blobs/{digest}")).await.expect(200);
    assert_eq!(&read.body[..], b"hello, world");
    let _ = fixture.get(As::Pusher, &location).await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_blob_arrives_by_every_route_the_spec_knows() {
    let fixture = Fixture::new();
    for (bytes, route) in [(b"one", "post"), (b"two", "put"), (b"six", "stream")] {
        let digest = Digest::sha256_of(bytes);
        match route {
            "post" => {
                let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
                let _ = fixture.call(As::Pusher, Method::POST, &path, bytes.to_vec()).await.expect(201);
            }
            "put" => {
                let path = format!("{}?digest={digest}", begin(&fixture).await);
                let _ = fixture.call(As::Pusher, Method::PUT, &path, bytes.to_vec()).await.expect(201);
            }
            _ => {
                let location = begin(&fixture).await;
                let _ = fixture.call(As::Pusher, Method::PATCH, &location, bytes.to_vec()).await.expect(202);
                let path = format!("{location}?digest={digest}");
                let _ = fixture.call(As::Pusher, Method::PUT, &path, "").await.expect(201);
            }
        }
        let head = fixture
            .call(As::Pusher, Method::HEAD, &format!("/v2/{NAME}/blobs/{digest}"), "")
            .await
            .expect(200);
        assert_eq!(head.header("content-length"), "3", "{route}");
    }
}

#[tokio::test]
async fn an_upload_survives_a_restart_and_its_walk_is_done_again() {
    let fixture = Fixture::new();
    let layer = super::fixture::gzip(&super::fixture::tar("restarted"));
    let location = begin(&fixture).await;
    let (first, rest) = layer.split_at(40);
    let _ = patch(&fixture, &location, "0-39", first).await.expect(202);
    let fixture = fixture.restart();
    assert_eq!(fixture.get(As::Pusher, &location).await.expect(204).header("range"), "0-39");
    let digest = Digest::sha256_of(&layer);
    let path = format!("{location}?digest={digest}");
    let _ = fixture.call(As::Pusher, Method::PUT, &path, rest.to_vec()).await.expect(201);
    let analyzer = scanner::layer::ANALYZER;
    let report = fixture
        .registry
        .records()
        .read(|connection| crate::records::blobs::report(connection, digest.as_str(), analyzer))
        .unwrap();
    let report = scanner::layer::LayerReport::decode(&report.unwrap()).unwrap();
    let diff_id = Digest::sha256_of(&super::fixture::tar("restarted"));
    assert_eq!(report.diff_id.as_deref(), Some(diff_id.as_str()));
}

#[tokio::test]
async fn an_upload_is_cancelled_and_belongs_to_its_repository() {
    let fixture = Fixture::new();
    let location = begin(&fixture).await;
    let elsewhere = location.replace("open/app", "open/other");
    let _ = fixture
        .call(As::Pusher, Method::PATCH, &elsewhere, "x")
        .await
        .expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    let _ = fixture.call(As::Pusher, Method::DELETE, &location, "").await.expect(204);
    let _ = fixture.get(As::Pusher, &location).await.expect(404);
    let _ = fixture.call(As::Pusher, Method::DELETE, &location, "").await.expect(404);
}

#[tokio::test]
async fn parts_of_a_blob_are_served() {
    let fixture = Fixture::new();
    let digest = fixture.put_blob(NAME, b"0123456789").await;
    let path = format!("/v2/{NAME}/blobs/{digest}");
    for (range, status, expected) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=-3", 206, "789"),
        ("bytes=7-", 206, "789"),
        ("bytes=0-99", 206, "0123456789"),
    ] {
        let request = Request::get(&path).header("range", range).body(Body::empty()).unwrap();
        let answer = fixture.send(As::Pusher, request).await.expect(status);
        assert_eq!(&answer.body[..], expected.as_bytes(), "{range}");
        assert!(answer.header("content-range").starts_with("bytes "));
    }
    let request = Request::get(&path).header("range", "bytes=10-").body(Body::empty()).unwrap();
    assert_eq!(fixture.send(As::Pusher, request).await.expect(416).header("content-range"), "bytes */10");
    let request =
        Request::get(&path).header("if-none-match", format!("\"{digest}\"")).body(Body::empty()).unwrap();
    let _ = fixture.send(As::Pusher, request).await.expect(304);
}

#[tokio::test]
async fn tags_and_repositories_are_listed_in_pages() {
    let fixture = Fixture::new();
    let manifest = fixture.image(NAME, &["one"]).await;
    for tag in ["b", "a", "c"] {
        let _ = fixture.put_manifest(As::Pusher, NAME, tag, &manifest).await.expect(201);
    }
    let path = format!("/v2/{NAME}/tags/list");
    assert_eq!(fixture.get(As::Consumer, &path).await.expect(200).json()["tags"], json!(["a", "b", "c"]));
    let first = fixture.get(As::Consumer, &format!("{path}?n=2")).await.expect(200);
    assert_eq!(first.json()["tags"], json!(["a", "b"]));
    assert_eq!(first.header("link"), format!("<{path}?n=2&last=b>; rel=\"next\""));
    let last = fixture.get(As::Consumer, &format!("{path}?n=2&last=b")).await.expect(200);
    assert_eq!(last.json()["tags"], json!(["c"]));
    assert!(!last.headers.contains_key("link"));
    assert_eq!(fixture.get(As::Consumer, &format!("{path}?n=0")).await.expect(200).json()["tags"], json!([]));
    let _ = fixture.get(As::Consumer, &format!("{path}?n=x")).await.expect(400);
    let _ = fixture.push("signed/app", "v1", &["one"]).await;
    let catalog = fixture.get(As::Consumer, "/v2/_catalog").await.expect(200);
    assert_eq!(
        catalog.json()["repositories"],
        json!([NAME]),
        "staged repositories are not shown to consumers"
    );
    let catalog = fixture.get(As::Pusher, "/v2/_catalog?n=1").await.expect(200);
    assert_eq!(catalog.json()["repositories"], json!([NAME]));
    assert!(catalog.header("link").contains("last=open/app"));
}

#[tokio::test]
async fn one_push_by_digest_sets_several_tags() {
    let fixture = Fixture::new();
    let manifest = fixture.image(NAME, &["one"]).await;
    let digest = digest_of(&manifest);
    let reference = format!("{digest}?tag=v1&tag=latest");
    let answer = fixture.put_manifest(As::Pusher, NAME, &reference, &manifest).await.expect(201);
    assert_eq!(answer.headers.get_all("oci-tag").iter().count(), 2);
    for tag in ["v1", "latest"] {
        let answer = fixture.get(As::Consumer, &format!("/v2/{NAME}/manifests/{tag}")).await.expect(200);
        assert_eq!(answer.header("docker-content-digest"), digest);
    }
    let reference = format!("{digest}?tag=.bad");
    let _ =
        fixture.put_manifest(As::Pusher, NAME, &reference, &manifest).await.expect_error(400, "TAG_INVALID");
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_may_come_before_their_subject() {
    let fixture = Fixture::new();
    let manifest = fixture.image(NAME, &["one"]).await;
    let subject = digest_of(&manifest);
    for artifact_type in ["application/vnd.a", "application/vnd.b"] {
        let answer = fixture.referrer(As::Signer, NAME, &subject, artifact_type).await.expect(201);
        assert_eq!(answer.header("oci-subject"), subject);
    }
    let path = format!("/v2/{NAME}/referrers/{subject}");
    let all = fixture.get(As::Consumer, &path).await.expect(200);
    assert_eq!(all.header("content-type"), OCI_INDEX_TYPE);
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let filtered =
        fixture.get(As::Consumer, &format!("{path}?artifactType=application/vnd.b")).await.expect(200);
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json()["manifests"][0]["artifactType"], "application/vnd.b");
    let page = fixture.get(As::Consumer, &format!("{path}?n=1")).await.expect(200);
    let next = page.header("link");
    let next = next.trim_start_matches('<').split('>').next().unwrap();
    let rest = fixture.get(As::Consumer, next).await.expect(200);
    assert_ne!(rest.json()["manifests"][0]["digest"], page.json()["manifests"][0]["digest"]);
    assert!(!rest.headers.contains_key("link"));
    let none = fixture
        .get(As::Consumer, &format!("/v2/{NAME}/referrers/sha256:{}", "0".repeat(64)))
        .await
        .expect(200);
    assert_eq!(none.json()["manifests"], json!([]));
    let _ = fixture
        .get(As::Consumer, &format!("/v2/{NAME}/referrers/sha256:0"))
        .await
        .expect_error(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn sha512_names_blobs_and_manifests_too() {
    let fixture = Fixture::new();
    let digest = Digest::of(Algorithm::Sha512, b"{}");
    let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
    let _ = fixture.call(As::Pusher, Method::POST, &path, "{}").await.expect(201);
    let mut config = descriptor(EMPTY, b"{}");
    config["digest"] = json!(digest.as_str());
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.a",
        "config": config, "layers": []});
    let name = Digest::of(Algorithm::Sha512, manifest.to_string().as_bytes());
    let answer = fixture.put_manifest(As::Pusher, NAME, name.as_str(), &manifest).await.expect(201);
    assert_eq!(answer.header("docker-content-digest"), name.as_str());
    let read = fixture.get(As::Consumer, &format!("/v2/{NAME}/manifests/{name}")).await.expect(200);
    assert_eq!(&read.body[..], manifest.to_string().as_bytes());
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let fixture = Fixture::new();
    let digest = fixture.push(NAME, "v1", &["one"]).await;
    let _ =
        fixture.put_manifest(As::Pusher, NAME, "v2", &fixture.image(NAME, &["one"]).await).await.expect(201);
    let by_tag = format!("/v2/{NAME}/manifests/v1");
    let _ = fixture.call(As::Pusher, Method::DELETE, &by_tag, "").await.expect(401);
    let _ = fixture.call(As::Admin, Method::DELETE, &by_tag, "").await.expect(202);
    let _ = fixture.get(As::Consumer, &by_tag).await.expect_error(404, "MANIFEST_UNKNOWN");
    let by_digest = format!("/v2/{NAME}/manifests/{digest}");
    let read = fixture.get(As::Consumer, &by_digest).await.expect(200);
    let layer = read.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
    let blob = format!("/v2/{NAME}/blobs/{layer}");
    let _ = fixture.call(As::Admin, Method::DELETE, &blob, "").await.expect_error(405, "UNSUPPORTED");
    let _ = fixture.call(As::Admin, Method::DELETE, &by_digest, "").await.expect(202);
    for path in [&by_digest, &format!("/v2/{NAME}/manifests/v2")] {
        let _ = fixture.get(As::Consumer, path).await.expect(404);
        let _ = fixture.get(As::Admin, path).await.expect(404);
    }
    let _ = fixture.call(As::Admin, Method::DELETE, &blob, "").await.expect(202);
    let _ = fixture.get(As::Admin, &blob).await.expect_error(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn errors_have_the_specs_shape_and_callers_are_told_how_to_log_in() {
    let fixture = Fixture::new();
    for (method, path, status, code) in [
        (Method::GET, "/v2/Bad/manifests/v1", 400, "NAME_INVALID"),
        (Method::GET, "/v2/open/app/manifests/.v1", 400, "TAG_INVALID"),
        (Method::GET, "/v2/open/app/blobs/sha256:00", 400, "DIGEST_INVALID"),
        (Method::GET, "/v2/open/app/nothing/here", 404, "UNSUPPORTED"),
        (Method::POST, "/v2/open/app/tags/list", 405, "UNSUPPORTED"),
        (Method::GET, "/v2/open/app/manifests/v1", 404, "MANIFEST_UNKNOWN"),
        (Method::GET, "/v2/open/app/tags/list", 404, "NAME_UNKNOWN"),
    ] {
        let answer = fixture.call(As::Consumer, method, path, "").await.expect_error(status, code);
        assert!(answer.json()["errors"][0]["detail"]["request-id"].is_string());
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{path}");
    }
    let _ = fixture.get(As::Pusher, "/v2/").await.expect(200);
    for path in ["/v2/", "/v2/open/app/manifests/v1"] {
        let answer = fixture.call(As::Nobody, Method::GET, path, "").await;
        assert!(answer.expect_error(401, "UNAUTHORIZED").headers.contains_key("www-authenticate"), "{path}");
    }
    let _ = fixture.call(As::Consumer, Method::POST, "/v2/open/app/blobs/uploads/", "").await.expect(401);
}
