//! The life of trust: a key is rotated, expires, is revoked; an image is withdrawn and given back.

use std::sync::Arc;

use axum::body::Body;
use http::Method;
use keys::keyring::{NewKey, generate};
use keys::signer::Signer;

use super::fixture::*;
use crate::gate::policy::Policy;
use crate::gate::verdict::Verdict;
use crate::judge::Asker;

const RULE: &str = r#"
[[rule]]
images = ["registry.example/**"]
signatures = { require = [["release"]] }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
"#;
/// The second at which the fixture's clock stands: 2027-01-15T08:00:00Z.
const DAY: i64 = 86_400;

/// The fixture's own key is `old.pub`, this one `new.pub`.
fn new_signer() -> Signer {
    Signer::new(generate(NewKey::EcdsaP256).unwrap())
}

fn policy_with(identity: &str, more: &str, new: &Signer) -> Policy {
    let text = format!("[[identity]]\nname = \"release\"\n{identity}\n{RULE}\n{more}");
    let read = |path: &std::path::Path| {
        let signer = if path.ends_with("new.pub") { new } else { signer() };
        Ok(signer.public_key().to_pem().into_bytes())
    };
    Policy::parse(&text, &read).unwrap_or_else(|errors| panic!("{errors}"))
}

async fn pull(fixture: &Fixture, digest: &str) -> Answer {
    fixture.get(As::Consumer, &format!("/v2/signed/app/manifests/{digest}")).await
}

async fn signed_by(fixture: &Fixture, signer: &Signer, digest: &str) {
    let image = keys::signer::ImageDescriptor { digest, media_type: crate::manifest::OCI_MANIFEST, size: 7 };
    let artifact = signer.sign_bundle(image, &std::collections::BTreeMap::new(), 0).unwrap();
    let _ = fixture.put_signed(As::Signer, "signed/app", artifact).await.expect(201);
}

#[tokio::test]
async fn a_key_is_rotated_and_then_revoked() {
    let (fixture, new) = (Fixture::new(), new_signer());
    let take_up = |policy| fixture.policy.store(Arc::new(policy));
    take_up(policy_with("cosign = { key = \"old.pub\" }", "", &new));
    let digest = fixture.push("signed/app", "v1", &["one"]).await;
    signed_by(&fixture, signer(), &digest).await;
    let blob = layer_of(&fixture, &digest).await;
    let _ = pull(&fixture, &digest).await.expect(200);

    // Overlap: both count. What the new key alone signed is released, too.
    take_up(policy_with(
        "cosign = { keys = [{ file = \"old.pub\", not-after = 2027-01-16 }, \"new.pub\"] }",
        "",
        &new,
    ));
    let _ = pull(&fixture, &digest).await.expect(200);
    let second = fixture.push("signed/app", "v2", &["two"]).await;
    signed_by(&fixture, &new, &second).await;
    let _ = pull(&fixture, &second).await.expect(200);

    // The overlap ends while the gateway runs: no file was changed, no answer is left over.
    fixture.clock.advance(2 * DAY);
    let text = pull(&fixture, &digest).await.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("may vouch until 2027-01-16"), "{text}");
    let _ = fixture.get(As::Consumer, &blob).await.expect_error(403, "DENIED");
    let _ = pull(&fixture, &second).await.expect(200);

    // Signed anew, it is served again.
    signed_by(&fixture, &new, &digest).await;
    let _ = pull(&fixture, &digest).await.expect(200);

    // The new key leaks: everything it vouched for is refused, and the reason shown at every door.
    let key_id = new.public_key().key_id();
    let revocation = format!("[[revocation]]\nkey = \"{key_id}\"\nreason = \"laptop stolen\"");
    take_up(policy_with("cosign = { key = \"new.pub\" }", &revocation, &new));
    for refused in [&digest, &second] {
        let text = pull(&fixture, refused).await.expect_error(403, "DENIED").json().to_string();
        assert!(text.contains(&format!("key `{key_id}` is revoked: laptop stolen")), "{text}");
        let row = fixture
            .registry
            .records
            .read(|connection| crate::records::manifests::find(connection, "signed/app", refused))
            .unwrap()
            .unwrap();
        let asker = Asker { caller: "node", door: "kubernetes" };
        let admitted =
            fixture.registry.judge().admit(asker, "signed/app", None, &row, Default::default()).await;
        assert!(matches!(admitted.unwrap(), Verdict::Deny(_)));
    }
}

async fn layer_of(fixture: &Fixture, digest: &str) -> String {
    let manifest = pull(fixture, digest).await.expect(200).json();
    format!("/v2/signed/app/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap())
}

#[tokio::test]
async fn an_expired_exception_ends_the_answers_that_rested_on_it() {
    let fixture = Fixture::new();
    let rule = r#"
[[rule]]
images = ["registry.example/**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
image = { max-layers = 1 }

[[exception]]
check = "layers"
images = ["registry.example/**"]
reason = "being squashed"
owner = "a@example"
expires = 2027-01-16
"#;
    fixture.policy.store(Arc::new(policy(rule)));
    let digest = fixture.push("signed/app", "v1", &["one", "two"]).await;
    let _ = pull(&fixture, &digest).await.expect(200);
    fixture.clock.advance(2 * DAY);
    let text = pull(&fixture, &digest).await.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("layers"), "{text}");
}

#[tokio::test]
async fn a_revoked_digest_is_refused_whoever_signed_it() {
    let (fixture, new) = (Fixture::new(), new_signer());
    let identity = "cosign = { key = \"old.pub\" }";
    fixture.policy.store(Arc::new(policy_with(identity, "", &new)));
    let digest = fixture.push("signed/app", "v1", &["one"]).await;
    signed_by(&fixture, signer(), &digest).await;
    let _ = pull(&fixture, &digest).await.expect(200);
    let revocation = format!("[[revocation]]\ndigest = \"{digest}\"\nreason = \"backdoor\"");
    fixture.policy.store(Arc::new(policy_with(identity, &revocation, &new)));
    let text = pull(&fixture, &digest).await.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("is revoked: backdoor"), "{text}");
    let manifest = fixture.image("signed/app", &["one"]).await;
    let again = fixture.put_manifest(As::Pusher, "signed/app", "v2", &manifest).await;
    let text = again.expect_error(403, "DENIED").json().to_string();
    assert!(text.contains("is revoked: backdoor"), "{text}");
}

#[tokio::test]
async fn a_withdrawn_image_stays_away_until_it_is_given_back() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "v1", &["one"]).await;
    let path = format!("/v2/open/app/manifests/{digest}");
    let withdrawal = format!("/v2/open/app/_portcullis/withdrawals/{digest}");
    let _ = fixture.get(As::Consumer, &path).await.expect(200);
    let _ = fixture.get(As::Admin, &withdrawal).await.expect_error(404, "MANIFEST_UNKNOWN");
    let reason = r#"{"reason": "data leak in v1"}"#;
    let _ = fixture.call(As::Admin, Method::PUT, &withdrawal, reason).await.expect(204);
    for reference in [digest.as_str(), "v1"] {
        let path = format!("/v2/open/app/manifests/{reference}");
        let text = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED").json().to_string();
        assert!(text.contains("withdrawn after its release: data leak in v1"), "{text}");
    }
    assert_eq!(fixture.get(As::Admin, &withdrawal).await.expect(200).json()["reason"], "data leak in v1");
    // Neither pushing nor signing brings it back.
    let _ = fixture.push("open/app", "v2", &["one"]).await;
    let _ = fixture.put_signed(As::Signer, "open/app", fixture.bundle(&digest)).await.expect(201);
    let _ = fixture.get(As::Consumer, &path).await.expect_error(403, "DENIED");
    let _ = fixture.call(As::Admin, Method::DELETE, &withdrawal, Body::empty()).await.expect(204);
    let _ = fixture.get(As::Consumer, &path).await.expect(200);
    let again = fixture.call(As::Admin, Method::DELETE, &withdrawal, Body::empty()).await;
    let _ = again.expect_error(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn an_index_takes_with_it_what_no_other_index_lists() {
    let fixture = Fixture::new();
    let mut digests = Vec::new();
    for content in ["own", "shared"] {
        digests.push(fixture.push("open/app", content, &[content]).await);
    }
    let index = |children: &[&String]| {
        let entry = |digest: &&String| {
            serde_json::json!({"mediaType": crate::manifest::OCI_MANIFEST, "digest": digest, "size": 0,
                "platform": {"os": "linux", "architecture": "amd64"}})
        };
        let manifests: Vec<_> = children.iter().map(entry).collect();
        serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX_TYPE, "manifests": manifests})
    };
    let mut pushed = Vec::new();
    for (tag, children) in [("one", vec![&digests[0], &digests[1]]), ("two", vec![&digests[1]])] {
        let mut index = index(&children);
        for entry in index["manifests"].as_array_mut().unwrap() {
            let path = format!("/v2/open/app/manifests/{}", entry["digest"].as_str().unwrap());
            entry["size"] = fixture.get(As::Pusher, &path).await.expect(200).body.len().into();
        }
        let answer = fixture.put_manifest(As::Pusher, "open/app", tag, &index).await.expect(201);
        pushed.push(answer.header("docker-content-digest"));
    }
    let withdrawal = format!("/v2/open/app/_portcullis/withdrawals/{}", pushed[0]);
    let _ = fixture.call(As::Admin, Method::PUT, &withdrawal, r#"{"reason": "r"}"#).await.expect(204);
    for (digest, expected) in [(&pushed[0], 403), (&digests[0], 403), (&pushed[1], 200), (&digests[1], 200)] {
        let path = format!("/v2/open/app/manifests/{digest}");
        let _ = fixture.get(As::Consumer, &path).await.expect(expected);
    }
    let _ = fixture.call(As::Admin, Method::DELETE, &withdrawal, Body::empty()).await.expect(204);
    for digest in [&pushed[0], &digests[0]] {
        let _ = fixture.get(As::Consumer, &format!("/v2/open/app/manifests/{digest}")).await.expect(200);
    }
}

#[tokio::test]
async fn only_an_admin_withdraws_and_only_with_a_reason() {
    let fixture = Fixture::new();
    let digest = fixture.push("open/app", "v1", &["one"]).await;
    let withdrawal = format!("/v2/open/app/_portcullis/withdrawals/{digest}");
    for who in [As::Consumer, As::Signer, As::Pusher] {
        let _ = fixture.call(who, Method::PUT, &withdrawal, r#"{"reason": "r"}"#).await.expect(401);
        let _ = fixture.call(who, Method::DELETE, &withdrawal, Body::empty()).await.expect(401);
    }
    let _ = fixture.get(As::Consumer, &withdrawal).await.expect(401);
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(501));
    for body in
        ["", "{}", r#"{"reason": " "}"#, r#"{"reason": "a\u001b"}"#, r#"{"reason": "r", "x": 1}"#, &long]
    {
        let _ = fixture.call(As::Admin, Method::PUT, &withdrawal, body.to_owned()).await.expect(400);
    }
    let absent = format!("/v2/open/app/_portcullis/withdrawals/sha256:{}", "0".repeat(64));
    let unknown = fixture.call(As::Admin, Method::PUT, &absent, r#"{"reason": "r"}"#).await;
    let _ = unknown.expect_error(404, "MANIFEST_UNKNOWN");
    let _ = fixture.get(As::Consumer, &format!("/v2/open/app/manifests/{digest}")).await.expect(200);
}
