//! Groups 10 and 11: signatures that vouch for something else, for nobody, or from the wrong place.

use std::collections::BTreeMap;

use keys::keyring::{self, NewKey};
use keys::signer::Signer;
use serde_json::json;

use tests::image_builder::{Blob, Image, alpine_image, artifact, index, media_type};
use tests::test_gateway::{
    FIXED, TestGateway, push, push_blob, push_manifest, push_signature, sign_bundle, sign_simple,
};

const REPOSITORY: &str = "team-a/app";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn staged(gateway: &TestGateway, message: &str) -> Image {
    let image = alpine_image(message, FIXED).build();
    let answer = push(&gateway.caller("builder"), REPOSITORY, "1.0", &image);
    assert_eq!(answer.status, 201, "{}", answer.text());
    image
}

#[track_caller]
fn still_hidden(gateway: &TestGateway, image: &Image) {
    gateway.assert_hidden(REPOSITORY, &["1.0"], image);
}

fn sig_tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

#[test]
fn a_signature_for_another_digest_does_not_release() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let image = staged(&gateway, "this");
    let other = alpine_image("that", FIXED).build();
    // Under the other image's tag, moved under this one's, and as a referrer that names this one as subject.
    let mut moved = sign_simple(&gateway.signer(), REPOSITORY, &other.manifest.digest);
    moved.tag = Some(sig_tag(&image.manifest.digest));
    push_signature(&builder, REPOSITORY, &moved);
    still_hidden(&gateway, &image);
    let bundle = sign_bundle(&gateway.signer(), &other.manifest);
    let stolen = Blob::new(BUNDLE, bundle.blobs.last().expect("a bundle").bytes.clone());
    for blob in &bundle.blobs {
        push_blob(&builder, REPOSITORY, &Blob::new("application/octet-stream", blob.bytes.clone()));
    }
    let referrer = artifact(BUNDLE, stolen, Some(image.manifest.descriptor()));
    push(&builder, REPOSITORY, &referrer.manifest.digest, &referrer);
    still_hidden(&gateway, &image);
}

#[test]
fn a_signature_by_a_stranger_does_not_release_in_either_form() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let image = staged(&gateway, "stranger");
    for kind in [NewKey::EcdsaP256, NewKey::Ed25519] {
        let stranger = Signer::new(keyring::generate(kind).expect("a key"));
        push_signature(&builder, REPOSITORY, &sign_simple(&stranger, REPOSITORY, &image.manifest.digest));
        push_signature(&builder, REPOSITORY, &sign_bundle(&stranger, &image.manifest));
        still_hidden(&gateway, &image);
    }
}

#[test]
fn an_object_that_is_merely_present_does_not_release() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let image = staged(&gateway, "dummy");
    for (artifact_type, content) in [
        (BUNDLE, Blob::new(BUNDLE, "{}")),
        (BUNDLE, Blob::new(BUNDLE, "not JSON")),
        (SIMPLE, Blob::new(SIMPLE, r#"{"critical":{}}"#)),
        ("application/vnd.example", Blob::new("text/plain", "signed, honestly")),
    ] {
        let dummy = artifact(artifact_type, content.clone(), Some(image.manifest.descriptor()));
        push(&builder, REPOSITORY, &dummy.manifest.digest, &dummy);
        push_manifest(&builder, REPOSITORY, &sig_tag(&image.manifest.digest), &dummy.manifest);
        still_hidden(&gateway, &image);
    }
}

#[test]
fn ten_thousand_signatures_and_one_of_64_mib_end_in_bounded_time_and_hide_no_good_one() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let image = staged(&gateway, "flood");
    let payload = Blob::new(SIMPLE, "{}");
    push_blob(&builder, REPOSITORY, &payload);
    let empty = Blob::new(media_type::EMPTY, "{}");
    let mut layer = payload.descriptor();
    layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": "AAAA" });
    let body = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": empty.descriptor(), "layers": vec![layer; 10_000],
    });
    let started = std::time::Instant::now();
    let flood = Blob::json(media_type::MANIFEST, &body);
    push_manifest(&builder, REPOSITORY, &sig_tag(&image.manifest.digest), &flood);
    let huge = Blob::new(BUNDLE, vec![b'['; 64 << 20]);
    let huge = artifact(BUNDLE, huge, Some(image.manifest.descriptor()));
    push(&builder, REPOSITORY, &huge.manifest.digest, &huge);
    for number in 0..100 {
        let dummy = artifact(
            BUNDLE,
            Blob::new(BUNDLE, format!("{{\"n\":{number}}}")),
            Some(image.manifest.descriptor()),
        );
        push(&builder, REPOSITORY, &dummy.manifest.digest, &dummy);
    }
    still_hidden(&gateway, &image);
    let good = sign_bundle(&gateway.signer(), &image.manifest);
    assert_eq!(push_signature(&builder, REPOSITORY, &good).status, 201);
    assert!(started.elapsed().as_secs() < 60, "took {:?}", started.elapsed());
    let path = format!("/v2/{REPOSITORY}/manifests/{}", image.manifest.digest);
    assert_eq!(gateway.caller("consumer").get(&path).status, 200, "junk hid a good signature");
}

#[test]
fn a_signature_on_the_index_covers_its_children_and_one_on_a_child_covers_that_child_alone() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let consumer = gateway.caller("consumer");
    let child = alpine_image("child one", FIXED).build();
    let sibling = alpine_image("child two", FIXED).build();
    for image in [&child, &sibling] {
        assert_eq!(push(&builder, REPOSITORY, &image.manifest.digest, image).status, 201);
    }
    let list = index(&[&child, &sibling]);
    assert_eq!(push_manifest(&builder, REPOSITORY, "1.0", &list).status, 201);
    let by_digest = |digest: &str| format!("/v2/{REPOSITORY}/manifests/{digest}");

    let of_child = sign_simple(&gateway.signer(), REPOSITORY, &child.manifest.digest);
    assert_eq!(push_signature(&builder, REPOSITORY, &of_child).status, 201);
    assert_eq!(consumer.get(&by_digest(&child.manifest.digest)).status, 200);
    assert_ne!(
        consumer.get(&by_digest(&list.digest)).status,
        200,
        "one child's signature released the index"
    );
    assert_ne!(consumer.get(&by_digest(&sibling.manifest.digest)).status, 200, "and its sibling");

    let of_index = sign_bundle(&gateway.signer(), &list);
    assert_eq!(push_signature(&builder, REPOSITORY, &of_index).status, 201);
    for digest in [&list.digest, &child.manifest.digest, &sibling.manifest.digest] {
        assert_eq!(consumer.get(&by_digest(digest)).status, 200, "{digest}");
    }
}

#[test]
fn a_bad_signature_in_one_form_neither_hides_nor_replaces_a_good_one_in_the_other() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let stranger = Signer::new(keyring::generate(NewKey::EcdsaP256).expect("a key"));
    let image = staged(&gateway, "disagree");
    push_signature(&builder, REPOSITORY, &sign_simple(&stranger, REPOSITORY, &image.manifest.digest));
    still_hidden(&gateway, &image);
    push_signature(&builder, REPOSITORY, &sign_bundle(&gateway.signer(), &image.manifest));
    let path = format!("/v2/{REPOSITORY}/manifests/{}", image.manifest.digest);
    assert_eq!(gateway.caller("consumer").get(&path).status, 200);
}

#[test]
fn a_fallback_tag_written_by_an_attacker_vouches_for_nothing() {
    let gateway = TestGateway::strict();
    let builder = gateway.caller("builder");
    let image = staged(&gateway, "fallback");
    let other = alpine_image("attacker", FIXED).build();
    let foreign = sign_bundle(&gateway.signer(), &other.manifest);
    push_signature(&builder, REPOSITORY, &foreign);
    let entry = json!({
        "mediaType": media_type::MANIFEST,
        "digest": foreign.manifest.digest,
        "size": foreign.manifest.bytes.len(),
        "artifactType": BUNDLE,
    });
    let body = json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [entry] });
    let tag = image.manifest.digest.replace(':', "-");
    push_manifest(&builder, REPOSITORY, &tag, &Blob::json(media_type::INDEX, &body));
    still_hidden(&gateway, &image);
}

#[test]
fn a_signature_made_for_another_repository_counts_only_where_the_identity_allows_it() {
    let policy = tests::test_gateway::POLICY_STRICT.replace(
        r#"cosign = { key = "release.pub" }"#,
        "cosign = { key = \"release.pub\", repository = \"exact\" }",
    );
    let gateway = TestGateway::start(&policy, "");
    let builder = gateway.caller("builder");
    let image = staged(&gateway, "elsewhere");
    let digest = &image.manifest.digest;
    let elsewhere =
        gateway.signer().sign_simple(digest, "registry.example/other/app", &BTreeMap::new(), None);
    push_signature(&builder, REPOSITORY, &elsewhere.expect("the digest is signed"));
    still_hidden(&gateway, &image);
    push_signature(&builder, REPOSITORY, &sign_simple(&gateway.signer(), REPOSITORY, digest));
    let path = format!("/v2/{REPOSITORY}/manifests/{digest}");
    assert_eq!(gateway.caller("consumer").get(&path).status, 200);
}

#[test]
fn a_key_whose_window_is_over_releases_nothing() {
    let policy = tests::test_gateway::POLICY_STRICT
        .replace("[[identity]]\n", "[[identity]]\nnot-after = 2020-01-01\n");
    let gateway = TestGateway::start(&policy, "");
    let image = staged(&gateway, "expired");
    push_signature(&gateway.caller("builder"), REPOSITORY, &sign_bundle(&gateway.signer(), &image.manifest));
    push_signature(
        &gateway.caller("builder"),
        REPOSITORY,
        &sign_simple(&gateway.signer(), REPOSITORY, &image.manifest.digest),
    );
    still_hidden(&gateway, &image);
}
