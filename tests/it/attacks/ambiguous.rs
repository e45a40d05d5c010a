//! Groups 1, 2, 3 and 6: manifests that two readers would read differently, or that lie about what they are.

use serde_json::{Value, json};

use tests::image_builder::{
    Archive, Blob, Compression, Image, ImageBuilder, alpine_image, artifact, index, media_type,
};
use tests::test_gateway::{FIXED, TestGateway, VULNERABLE, push, push_blob, push_manifest};

const REPOSITORY: &str = "team-a/app";

fn good() -> Image {
    alpine_image("good", FIXED).build()
}

fn vulnerable_layer() -> tests::image_builder::Layer {
    Archive::new().alpine("3.20", VULNERABLE).layer(Compression::Gzip)
}

/// The manifest of `image` with fields added or replaced.
fn changed(image: &Image, fields: &Value) -> Blob {
    let mut body: Value = serde_json::from_slice(&image.manifest.bytes).expect("our own manifest");
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    Blob::json(&image.manifest.media_type, &body)
}

/// Pushes blobs, then the manifest; it must be refused with one of `statuses`, and nothing of it may be had.
#[track_caller]
fn refused(gateway: &TestGateway, image: &Image, manifest: &Blob, statuses: &[u16]) -> String {
    let builder = gateway.caller("builder");
    for blob in &image.blobs {
        push_blob(&builder, REPOSITORY, blob);
    }
    let answer = push_manifest(&builder, REPOSITORY, "attack", manifest);
    assert!(statuses.contains(&answer.status), "{}: {}", answer.status, answer.text());
    assert!(!answer.error_code().is_empty(), "the error is not of the spec's shape: {}", answer.text());
    let hidden = Image { blobs: image.blobs.clone(), manifest: manifest.clone() };
    gateway.assert_hidden(REPOSITORY, &["attack"], &hidden);
    answer.text()
}

#[test]
fn an_image_with_manifests_and_an_index_with_layers_or_config_are_refused() {
    let gateway = TestGateway::open();
    let image = good();
    let list = index(&[&image]);
    let listed = Image { blobs: image.blobs.clone(), manifest: list };
    let config = image.blobs[0].descriptor();
    for (base, fields) in [
        (&image, json!({ "manifests": [] })),
        (&image, json!({ "manifests": [image.manifest.descriptor()] })),
        (&listed, json!({ "layers": [] })),
        (&listed, json!({ "config": config })),
        (&image, json!({ "fsLayers": [] })),
    ] {
        refused(&gateway, base, &changed(base, &fields), &[400]);
    }
}

#[test]
fn keys_that_stand_twice_are_refused() {
    let gateway = TestGateway::open();
    let image = good();
    let text = String::from_utf8(image.manifest.bytes.clone()).expect("JSON is text");
    let twice = text.replacen('{', r#"{"layers":[],"#, 1);
    refused(&gateway, &image, &Blob::new(media_type::MANIFEST, twice), &[400]);
}

#[test]
fn unknown_fields_are_stored_byte_by_byte() {
    let gateway = TestGateway::open();
    let image = good();
    let manifest = changed(&image, &json!({ "org.example.extra": { "a": [1, 2.50, "\u{e9}"] } }));
    let builder = gateway.caller("builder");
    let answer = push(&builder, REPOSITORY, "extra", &Image { manifest: manifest.clone(), ..image });
    assert_eq!(answer.status, 201, "{}", answer.text());
    let served = builder.get(&format!("/v2/{REPOSITORY}/manifests/extra"));
    assert_eq!(served.body, manifest.bytes);
}

#[test]
fn a_content_type_that_disagrees_with_the_body_is_refused() {
    let gateway = TestGateway::open();
    let image = good();
    for wrong in [media_type::INDEX, media_type::DOCKER_MANIFEST, media_type::DOCKER_LIST, "text/plain"] {
        let manifest = Blob::new(wrong, image.manifest.bytes.clone());
        refused(&gateway, &image, &manifest, &[400, 415]);
    }
    let untyped = changed(&image, &json!({ "mediaType": Value::Null }));
    refused(&gateway, &image, &untyped, &[400]);
}

#[test]
fn schema_1_is_refused() {
    let gateway = TestGateway::open();
    let body =
        json!({ "schemaVersion": 1, "name": REPOSITORY, "tag": "attack", "fsLayers": [], "history": [] });
    for name in
        [media_type::SCHEMA1, "application/vnd.docker.distribution.manifest.v1+json", "application/json"]
    {
        refused(
            &gateway,
            &Image { blobs: Vec::new(), manifest: Blob::json(name, &body) },
            &Blob::json(name, &body),
            &[400, 415],
        );
    }
}

#[test]
fn what_accept_asks_for_never_changes_the_bytes_or_their_type() {
    let gateway = TestGateway::open();
    let image = good();
    assert_eq!(push(&gateway.caller("builder"), REPOSITORY, "1.0", &image).status, 201);
    let path = format!("/v2/{REPOSITORY}/manifests/{}", image.manifest.digest);
    for accept in [media_type::SCHEMA1, media_type::DOCKER_LIST, media_type::INDEX, "text/html", "*/*"] {
        let answer = gateway.caller("consumer").send("GET", &path, &[("Accept", accept)], &[]);
        match answer.status {
            200 => {
                assert_eq!(answer.body, image.manifest.bytes);
                assert_eq!(answer.header("content-type"), Some(media_type::MANIFEST));
            }
            status => assert!(matches!(status, 404 | 406), "{accept}: {status}"),
        }
    }
}

#[test]
fn a_runnable_image_that_calls_itself_something_else_is_judged_as_an_image() {
    let gateway = TestGateway::strict();
    let subject = good();
    assert_eq!(push(&gateway.caller("builder"), REPOSITORY, "subject", &subject).status, 201);
    let disguises = [
        json!({ "artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json" }),
        json!({ "artifactType": "application/spdx+json", "subject": subject.manifest.descriptor() }),
        json!({ "artifactType": "application/vnd.in-toto+json" }),
        json!({ "subject": subject.manifest.descriptor() }),
    ];
    for disguise in &disguises {
        let image = alpine_image("bad", VULNERABLE).manifest(disguise).build();
        let shown = refused(&gateway, &image, &image.manifest, &[403]);
        assert!(shown.contains("badlib"), "{shown}");
        let shown = push(&gateway.caller("signer"), REPOSITORY, "attack", &image);
        assert_ne!(shown.status, 201, "an account that may only sign pushed a runnable image");
    }
    // Under the very tag where cosign looks for a signature.
    let image = alpine_image("bad", VULNERABLE).build();
    let tag = format!("{}.sig", subject.manifest.digest.replace(':', "-"));
    let answer = push(&gateway.caller("builder"), REPOSITORY, &tag, &image);
    assert_eq!(answer.status, 403, "{}", answer.text());
    gateway.assert_hidden(REPOSITORY, &[&tag], &image);
}

#[test]
fn a_layer_of_a_type_that_is_no_layer_hides_nothing() {
    let gateway = TestGateway::strict();
    for name in [
        "application/octet-stream",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.example.model",
        "application/vnd.oci.image.layer.v1.tar+unknown",
    ] {
        let decoy = vulnerable_layer().typed(name);
        let image = alpine_image("decoy", FIXED).layer(decoy, "COPY decoy /").build();
        refused(&gateway, &image, &image.manifest, &[400, 403]);
    }
    let all = ImageBuilder::new()
        .layer(vulnerable_layer().typed("application/vnd.example.data"), "COPY . /")
        .build();
    refused(&gateway, &all, &all.manifest, &[400, 403]);
}

#[test]
fn a_config_that_calls_itself_empty_does_not_turn_layers_into_an_artifact() {
    let gateway = TestGateway::strict();
    let image = alpine_image("bad", VULNERABLE).build();
    for name in [media_type::EMPTY, "application/vnd.example.config"] {
        let config = Blob::new(name, image.blobs[0].bytes.clone());
        let manifest = changed(&image, &json!({ "config": config.descriptor() }));
        refused(&gateway, &image, &manifest, &[400, 403]);
    }
}

#[test]
fn an_index_in_an_index_and_an_index_that_refers_to_itself_end() {
    let gateway = TestGateway::open();
    let image = good();
    let builder = gateway.caller("builder");
    assert_eq!(push(&builder, REPOSITORY, "child", &image).status, 201);
    let inner = index(&[&image]);
    assert_eq!(push_manifest(&builder, REPOSITORY, "inner", &inner).status, 201);
    let body =
        json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [inner.descriptor()] });
    refused(
        &gateway,
        &Image { blobs: Vec::new(), manifest: inner.clone() },
        &Blob::json(media_type::INDEX, &body),
        &[400, 403],
    );

    // A digest cannot name itself, but two referrers can name each other's subject before either exists.
    let ghost =
        json!({ "mediaType": media_type::MANIFEST, "digest": inner.digest, "size": inner.bytes.len() });
    let note = artifact("application/vnd.example.note", Blob::new("text/plain", "note"), Some(ghost));
    assert_eq!(push(&builder, REPOSITORY, &note.manifest.digest, &note).status, 201);
    let of_note = artifact(
        "application/vnd.example.note",
        Blob::new("text/plain", "x"),
        Some(note.manifest.descriptor()),
    );
    assert_eq!(push(&builder, REPOSITORY, &of_note.manifest.digest, &of_note).status, 201);
    let referrers = builder.get(&format!("/v2/{REPOSITORY}/referrers/{}", inner.digest));
    assert_eq!(referrers.status, 200);
    assert_eq!(referrers.json()["manifests"].as_array().map(Vec::len), Some(1));
}

#[test]
fn ten_thousand_children_and_a_hundred_thousand_layers_are_refused_at_once() {
    let gateway = TestGateway::open();
    let image = good();
    let builder = gateway.caller("builder");
    assert_eq!(push(&builder, REPOSITORY, "child", &image).status, 201);
    let short = json!({ "mediaType": media_type::MANIFEST, "digest": image.manifest.digest, "size": image.manifest.bytes.len() });
    let children =
        json!({ "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": vec![short; 10_000] });
    let layers = vec![image.blobs[1].descriptor(); 20_000];
    let empties = vec![json!({}); 1_300_000];
    let started = std::time::Instant::now();
    for manifest in [
        Blob::json(media_type::INDEX, &children),
        changed(&image, &json!({ "layers": layers })),
        changed(&image, &json!({ "layers": empties })),
    ] {
        let answer = push_manifest(&builder, REPOSITORY, "attack", &manifest);
        assert!(matches!(answer.status, 400 | 413), "{}: {}", answer.status, answer.text());
    }
    assert!(started.elapsed().as_secs() < 10, "took {:?}", started.elapsed());
    let too_large = Blob::new(media_type::MANIFEST, vec![b' '; 5 << 20]);
    assert!(matches!(push_manifest(&builder, REPOSITORY, "attack", &too_large).status, 400 | 413));
    assert_eq!(builder.get("/v2/").status, 200, "the gateway lives");
}
