//! A registry that is busy, lies, or says no.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

use super::*;

/// Answers from a thread of its own; `busy` requests get 503 first.
fn registry(busy: usize) -> ImageReference {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let manifest = move |Path(reference): Path<String>| {
        let asked = Arc::clone(&asked);
        async move {
            if asked.fetch_add(1, Ordering::Relaxed) < busy {
                return (StatusCode::SERVICE_UNAVAILABLE, String::from("busy"));
            }
            let error = |status, code: &str, detail| {
                (status, json!({"errors": [{"code": code, "message": "no", "detail": detail}]}).to_string())
            };
            match reference.as_str() {
                "denied" => error(StatusCode::FORBIDDEN, "DENIED", json!({"checkpoint": "push"})),
                "absent" => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", json!(null)),
                "plain" => (StatusCode::NOT_FOUND, String::from("404 page not found")),
                "large" => (StatusCode::OK, "x".repeat(MANIFEST_BYTES_MAX + 1)),
                _ => (StatusCode::OK, String::from("{}")),
            }
        }
    };
    let blob = || async { "hello".into_response() };
    let router = Router::new()
        .route("/v2/", get(|| async { StatusCode::OK }))
        .route("/v2/app/manifests/{reference}", get(manifest))
        .route("/v2/app/blobs/{digest}", get(blob));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    ImageReference::parse(&format!("{address}/app:1")).unwrap()
}

fn remote(reference: &ImageReference) -> Remote {
    let access = Access {
        auth: RegistryAuth::Anonymous,
        certificate_authorities: Vec::new(),
        insecure_plain_http: PlainHttp::Loopback,
    };
    Remote::connect(reference, access).unwrap()
}

#[test]
fn a_busy_registry_is_asked_again_but_not_for_ever() {
    assert_eq!(remote(&registry(2)).manifest_bytes("1").unwrap().unwrap(), b"{}");
    assert!(matches!(remote(&registry(100)).manifest_bytes("1"), Err(RemoteError::Unavailable(_))));
}

#[test]
fn answers_are_told_apart() {
    let remote = remote(&registry(0));
    assert!(remote.manifest_bytes("absent").unwrap().is_none());
    assert!(remote.manifest_bytes("plain").unwrap().is_none());
    let denied = remote.manifest_bytes("denied");
    assert!(matches!(denied, Err(RemoteError::Denied { checkpoint: Some(at), .. }) if at == "push"));
    assert!(matches!(remote.manifest_bytes("large"), Err(RemoteError::Manifest(_))));
    let away = ImageReference::parse("127.0.0.1:1/app:1").unwrap();
    assert!(matches!(super::tests::remote(&away).manifest_bytes("1"), Err(RemoteError::Connection(_))));
}

#[test]
fn bytes_that_are_not_what_was_asked_for_are_refused() {
    let remote = remote(&registry(0));
    let other = Digest::sha256_of(b"other");
    assert!(remote.manifest_bytes(other.as_str()).is_err());
    assert!(matches!(remote.small_blob(&other, 100), Err(RemoteError::Answer(_))));
    let hello = Digest::sha256_of(b"hello");
    assert_eq!(remote.small_blob(&hello, 5).unwrap(), b"hello");
    assert!(matches!(remote.small_blob(&hello, 4), Err(RemoteError::TooLarge { .. })));
}
