//! What is refused, and what counts as runnable.

use serde_json::json;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const COSIGN: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

fn described(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": DIGEST, "size": 7})
}

fn image() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described(OCI_CONFIG), "layers": [described(OCI_LAYER)]})
}

fn index() -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described(OCI_MANIFEST)]})
}

fn with(mut base: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    base.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.into(), value);
    base
}

fn without(mut base: Value, key: &str) -> Value {
    base.as_object_mut().unwrap().remove(key);
    base
}

fn read(value: &Value, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
    classify(Bytes::from(value.to_string()), content_type)
}

fn kind_name(value: &Value) -> &'static str {
    match read(value, None).unwrap().kind {
        Kind::Artifact { .. } => "artifact",
        Kind::Image { .. } => "image",
        Kind::Index { .. } => "index",
    }
}

#[test]
fn whatever_can_run_is_an_image_whatever_it_declares() {
    let empty = "application/vnd.oci.empty.v1+json";
    let typed = |config: &str, layers: &[&str]| {
        let layers: Vec<_> = layers.iter().map(|layer| described(layer)).collect();
        with(with(image(), "/config", described(config)), "/layers", json!(layers))
    };
    for (expected, manifest) in [
        ("image", image()),
        ("index", index()),
        ("image", typed("application/vnd.docker.container.image.v1+json", &[])),
        ("image", typed("application/octet-stream", &["application/x-tar"])),
        ("image", typed("application/json", &["application/x-tar"])),
        ("image", typed("text/html", &["application/x-tar"])),
        ("image", typed("application/vnd.oci.image.config.v1+json;version=2", &[])),
        ("artifact", typed(empty, &["application/vnd.dev.sigstore.bundle+json;version=0.3"])),
        ("image", typed("Application/Vnd.OCI.Image.Config.v1+JSON", &[])),
        ("image", typed(empty, &[COSIGN, OCI_LAYER, COSIGN])),
        ("image", typed(OCI_CONFIG, &[COSIGN])),
        ("image", typed(empty, &["application/vnd.docker.image.rootfs.diff.tar.gzip"])),
        ("image", with(typed(empty, &[OCI_LAYER]), "/artifactType", json!("application/spdx+json"))),
        ("image", with(image(), "/subject", described(OCI_MANIFEST))),
        ("artifact", typed(empty, &[COSIGN])),
        ("artifact", typed(empty, &[])),
        (
            "artifact",
            typed(
                "application/vnd.cncf.helm.config.v1+json",
                &["application/vnd.cncf.helm.chart.v1.tar+gzip"],
            ),
        ),
    ] {
        assert_eq!(kind_name(&manifest), expected, "{manifest}");
    }
}

#[test]
fn ambiguous_manifests_are_refused() {
    let entry = |media_type: &str| with(index(), "/manifests", json!([described(media_type)]));
    let layer = |value: Value| with(image(), "/layers", json!([value]));
    let many = |count: usize| json!(vec![described(OCI_LAYER); count]);
    for (why, manifest) in [
        ("image with manifests", with(image(), "/manifests", json!([]))),
        ("index with layers", with(index(), "/layers", json!([]))),
        ("index with config", with(index(), "/config", described(OCI_CONFIG))),
        ("image with schema 1 layers", with(image(), "/fsLayers", json!([]))),
        ("artifact manifest blobs", with(image(), "/blobs", json!([]))),
        ("key case", with(image(), "/Layers", json!([]))),
        ("key case, unicode", with(image(), "/layer\u{17f}", json!([]))),
        (
            "descriptor key case",
            layer(json!({"mediaType": OCI_LAYER, "digest": DIGEST, "Digest": DIGEST, "size": 1})),
        ),
        ("schema 1", with(image(), "/schemaVersion", json!(1))),
        ("schema as text", with(image(), "/schemaVersion", json!("2"))),
        ("no schema version", without(image(), "schemaVersion")),
        ("no media type", without(image(), "mediaType")),
        ("empty media type", with(image(), "/mediaType", json!(""))),
        ("parameters in media type", with(image(), "/mediaType", json!(format!("{OCI_MANIFEST}; a=b")))),
        ("unknown media type", with(image(), "/mediaType", json!("application/json"))),
        ("no config", without(image(), "config")),
        ("config null", with(image(), "/config", Value::Null)),
        ("empty config type", with(image(), "/config", described(""))),
        ("no layers", without(image(), "layers")),
        ("layers null", with(image(), "/layers", Value::Null)),
        (
            "urls",
            layer(
                json!({"mediaType": OCI_LAYER, "digest": DIGEST, "size": 1, "urls": ["https://a.example/x"]}),
            ),
        ),
        ("urls as text", layer(json!({"mediaType": OCI_LAYER, "digest": DIGEST, "size": 1, "urls": "x"}))),
        (
            "non-distributable",
            layer(described("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")),
        ),
        ("foreign", layer(described("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"))),
        ("negative size", layer(json!({"mediaType": OCI_LAYER, "digest": DIGEST, "size": -1}))),
        ("fractional size", layer(json!({"mediaType": OCI_LAYER, "digest": DIGEST, "size": 1.5}))),
        ("huge size", layer(json!({"mediaType": OCI_LAYER, "digest": DIGEST, "size": u64::MAX}))),
        ("truncated digest", layer(json!({"mediaType": OCI_LAYER, "digest": &DIGEST[..70], "size": 1}))),
        ("other algorithm", layer(json!({"mediaType": OCI_LAYER, "digest": "md5:abcd", "size": 1}))),
        (
            "data not as digested",
            layer(json!({"mediaType": OCI_LAYER, "digest": DIGEST, "size": 1, "data": "eA=="})),
        ),
        ("nested index", entry(OCI_INDEX)),
        ("nested list", entry(DOCKER_LIST)),
        ("entry of unknown type", entry("application/vnd.in-toto+json")),
        ("platform without os", with(index(), "/manifests/0/platform", json!({}))),
        ("annotations not strings", with(image(), "/annotations", json!({"a": 1}))),
        ("100 000 layers", with(image(), "/layers", many(20_000))),
        ("10 000 children", with(index(), "/manifests", json!(vec![described(OCI_MANIFEST); 10_000]))),
    ] {
        assert!(read(&manifest, None).is_err(), "{why}");
    }
}

#[test]
fn content_type_and_body_must_agree() {
    for content_type in [OCI_INDEX, DOCKER_MANIFEST, "application/json", "text/plain"] {
        assert!(matches!(read(&image(), Some(content_type)), Err(ManifestError::MediaTypeMismatch { .. })));
    }
    let bare = without(image(), "mediaType");
    assert_eq!(read(&bare, Some(OCI_MANIFEST)).unwrap().media_type, OCI_MANIFEST);
    assert!(read(&image(), Some(&format!("{OCI_MANIFEST}; charset=utf-8"))).is_ok());
    assert!(read(&bare, Some(DOCKER_MANIFEST)).is_err(), "docker requires the field");
    assert!(read(&bare, Some(OCI_INDEX)).is_err(), "an image under an index's type");
}

#[test]
fn keys_that_stand_twice_are_refused_at_any_depth() {
    let body = image().to_string();
    let top = body.replacen('{', "{\"schemaVersion\":2,", 1);
    let deep = body.replacen("\"size\":7", "\"size\":7,\"size\":8", 1);
    let escaped = body.replacen('{', "{\"\\u006cayers\":[],", 1);
    for text in
        [top, deep, escaped, format!("{body} {{}}"), format!("\u{feff}{body}"), "[]".into(), String::new()]
    {
        assert!(matches!(classify(Bytes::from(text.clone()), None), Err(ManifestError::Json(_))), "{text}");
    }
    let nested = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    assert!(classify(Bytes::from(nested), None).is_err());
}

#[test]
fn unknown_fields_are_kept_in_the_bytes_and_a_4_mib_manifest_is_the_largest() {
    let padded =
        with(image(), "/padding", json!("x".repeat(MANIFEST_BYTES_MAX - image().to_string().len() - 13)));
    let manifest = read(&padded, None).unwrap();
    assert_eq!(manifest.bytes.len(), MANIFEST_BYTES_MAX);
    assert_eq!(manifest.digest, Digest::sha256_of(padded.to_string().as_bytes()).as_str());
    let over = with(image(), "/padding", json!("x".repeat(MANIFEST_BYTES_MAX)));
    assert!(matches!(read(&over, None), Err(ManifestError::TooLarge(_))));
}

#[test]
fn descriptors_keep_what_the_gate_needs() {
    let entry = json!({"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 9, "annotations": {"a": "b"},
        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}});
    let manifest = read(&with(index(), "/manifests", json!([entry])), None).unwrap();
    let child = &manifest.children()[0];
    assert_eq!(child.platform.as_deref(), Some("linux/arm64/v8"));
    assert_eq!(child.annotations["a"], "b");
    assert_eq!(manifest.blobs().count(), 0);
    assert_eq!(read(&image(), None).unwrap().blobs().count(), 2);
    assert_eq!(read(&image(), None).unwrap().referrer_type(), Some(OCI_CONFIG));
}
