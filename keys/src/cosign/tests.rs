//! Where signatures are looked for, and what is not fetched.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::*;

fn layer(change: impl FnOnce(&mut Value)) -> Value {
    let mut layer = json!({
        "mediaType": SIMPLE_SIGNING_MEDIA_TYPE,
        "digest": DIGEST,
        "size": 250,
        "annotations": { SIGNATURE_ANNOTATION: "AAAA" },
    });
    change(&mut layer);
    layer
}

fn manifest(layers: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "layers": layers, "subject": { "digest": OTHER_DIGEST } })
        .to_string()
        .into_bytes()
}

#[test]
fn the_signature_tag_of_a_digest_and_back() {
    let tag = legacy_tag(DIGEST).unwrap();
    assert_eq!(tag, format!("sha256-{}.sig", &DIGEST[7..]));
    assert_eq!(legacy_tag_subject(&tag).as_deref(), Some(DIGEST));
    assert_eq!(legacy_tag(&format!("sha512:{}", "0".repeat(128))), None);
    for no_tag in ["latest", "sha256-.sig", &tag[..70], &tag.to_uppercase(), &tag.replace(".sig", ".att")] {
        assert_eq!(legacy_tag_subject(no_tag), None, "{no_tag}");
    }
}

#[test]
fn layers_are_listed_with_what_is_needed_to_fetch_and_check_them() {
    let found =
        simple_signatures(&manifest(&[layer(|_| ()), layer(|layer| layer["digest"] = json!(OTHER_DIGEST))]));
    let found = found.unwrap();
    assert_eq!(found.subject_digest.as_deref(), Some(OTHER_DIGEST));
    let digests: Vec<&str> = found.layers.iter().map(|layer| layer.payload_digest.as_str()).collect();
    assert_eq!(digests, [DIGEST, OTHER_DIGEST]);
    assert_eq!(
        (found.layers[0].size, found.layers[0].annotations[SIGNATURE_ANNOTATION].as_str()),
        (250, "AAAA")
    );
}

#[test]
fn a_bad_layer_is_skipped_with_a_reason_and_hides_no_other() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 7] = [
        (|layer| layer["size"] = json!(65_537), "larger than any image signature"),
        (|layer| layer["size"] = json!(-1), "no valid size"),
        (|layer| layer["size"] = json!("250"), "no valid size"),
        (|layer| layer["digest"] = json!("sha256:../../etc/passwd"), "no valid digest"),
        (|layer| layer["digest"] = Value::Null, "no valid digest"),
        (|layer| layer["annotations"] = json!({ "a": 1 }), "not a map of strings"),
        (|layer| layer["annotations"] = json!([]), "not a map of strings"),
    ];
    for (change, reason) in cases {
        let found = simple_signatures(&manifest(&[layer(change), layer(|_| ())])).unwrap();
        assert_eq!((found.layers.len(), found.skipped.len()), (1, 1));
        assert!(found.skipped[0].reason.contains(reason), "{:?}", found.skipped);
    }
    let other_type = layer(|layer| layer["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip"));
    assert!(simple_signatures(&manifest(&[other_type])).unwrap().layers.is_empty());
}

#[test]
fn a_manifest_that_could_be_two_things_is_neither() {
    let cases = [
        (r#"{"layers":[],"manifests":[]}"#, DiscoveryError::Ambiguous),
        (r#"{"manifests":[]}"#, DiscoveryError::NoLayers),
        (r#"{"layers":{}}"#, DiscoveryError::NoLayers),
        ("[]", DiscoveryError::NoLayers),
    ];
    for (text, expected) in cases {
        assert_eq!(simple_signatures(text.as_bytes()).err(), Some(expected), "{text}");
    }
    let twice = simple_signatures(br#"{"layers":[],"layers":[]}"#);
    assert!(matches!(twice, Err(DiscoveryError::Json(_))));
    assert!(matches!(simple_signatures(&vec![b' '; (4 << 20) + 1]), Err(DiscoveryError::Json(_))));
    assert_eq!(bundle_layers(br#"{"layers":[]}"#).err(), Some(DiscoveryError::NoSubject));
    assert_eq!(
        bundle_layers(br#"{"layers":[],"subject":{"digest":"x"}}"#).err(),
        Some(DiscoveryError::NoSubject)
    );
}

#[test]
fn bundles_are_listed_whatever_the_manifest_calls_itself() {
    for media_type in BUNDLE_MEDIA_TYPES {
        let bundle = layer(|layer| layer["mediaType"] = json!(media_type));
        let large = layer(|layer| {
            layer["mediaType"] = json!(media_type);
            layer["size"] = json!(262_145);
        });
        let found = bundle_layers(&manifest(&[bundle, large])).unwrap();
        assert_eq!(
            (found.subject_digest.as_str(), found.layers.len(), found.skipped.len()),
            (OTHER_DIGEST, 1, 1)
        );
    }
}

#[test]
fn the_number_of_layers_looked_at_is_bounded() {
    let layers = vec![json!({}); limits::LAYERS_MAX + 1];
    let found = simple_signatures(&manifest(&layers)).unwrap();
    assert!(found.skipped[0].reason.contains("16385 layers"), "{:?}", found.skipped);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = simple_signatures(&bytes);
        let _ = bundle_layers(&bytes);
        let _ = legacy_tag_subject(&String::from_utf8_lossy(&bytes));
    }
}
