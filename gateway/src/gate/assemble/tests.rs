use std::io::Write as _;

use bytes::Bytes;
use scanner::layer::LayerWalk;
use scanner::limits::Limits;
use scanner::report::Unknown;
use serde_json::{Value, json};

use super::*;
use crate::manifest::classify;

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layer blob and its media type.
type Blob = (&'static str, Vec<u8>);

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn walk(blob: &[u8]) -> Arc<LayerReport> {
    let mut walk = LayerWalk::new(Limits::default());
    walk.feed(blob);
    Arc::new(walk.finish())
}

fn layers() -> Vec<Blob> {
    vec![
        (PLAIN, tar(&[("etc/os-release", b"ID=alpine\nVERSION_ID=3.20\n")])),
        (GZIP, gzip(&tar(&[("app", b"1")]))),
    ]
}

fn configuration(layers: &[Blob]) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|(_, blob)| walk(blob).diff_id.clone()).collect();
    json!({
        "os": "linux", "architecture": "amd64",
        "config": {"User": "1000"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [
            {"created_by": "ADD rootfs.tar /"}, {"created_by": "ENV A=b", "empty_layer": true}, {"created_by": "COPY app /"}
        ]
    })
}

fn manifest(layers: &[Blob], configuration: &[u8], annotations: &Value) -> Manifest {
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::sha256_of(bytes).as_str(), "size": bytes.len()});
    let layers: Vec<Value> = layers.iter().map(|(media_type, blob)| descriptor(media_type, blob)).collect();
    let body = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", configuration),
        "layers": layers, "annotations": annotations
    });
    classify(Bytes::from(body.to_string()), None).unwrap()
}

fn facts_of(layers: &[Blob], configuration: &[u8]) -> ImageFacts {
    let reports: Vec<_> = layers.iter().map(|(_, blob)| walk(blob)).collect();
    image_facts(&manifest(layers, configuration, &json!({})), configuration, &reports, None).unwrap()
}

#[test]
fn an_honest_image_has_facts_and_no_problems() {
    let layers = layers();
    let configuration = configuration(&layers).to_string();
    let annotations = json!({
        "org.opencontainers.image.base.name": "docker.io/library/alpine:3.20",
        "org.opencontainers.image.base.digest": "not a digest"
    });
    let manifest = manifest(&layers, configuration.as_bytes(), &annotations);
    let reports: Vec<_> = layers.iter().map(|(_, blob)| walk(blob)).collect();
    let facts = image_facts(&manifest, configuration.as_bytes(), &reports, None).unwrap();
    assert_eq!(facts.problems, [""; 0]);
    assert_eq!(facts.user, "1000");
    assert_eq!(facts.size, layers.iter().map(|(_, blob)| blob.len() as u64).sum::<u64>());
    // What is no digest is no claim.
    let base = BaseImage { name: Some("docker.io/library/alpine:3.20".to_owned()), digest: None };
    assert_eq!(facts.base, Some(base));
    let instructions: Vec<_> = facts.scan.layers.iter().map(|layer| layer.instruction.as_deref()).collect();
    assert_eq!(instructions, [Some("ADD rootfs.tar /"), Some("COPY app /")]);
}

#[test]
fn what_contradicts_itself_is_a_problem() {
    let sound = configuration(&layers());
    let with = |pointer: &str, value: Value| {
        let mut configuration = sound.clone();
        *configuration.pointer_mut(pointer).unwrap() = value;
        configuration.to_string()
    };
    let text = sound.to_string();
    let cases = [
        (with("/rootfs/diff_ids/0", json!(format!("sha256:{}", "0".repeat(64)))), "names diff_id"),
        (with("/rootfs/diff_ids/0", json!(7)), "something else than texts"),
        (with("/rootfs/diff_ids", json!([])), "names 0 layers, the manifest has 2"),
        (with("/rootfs/diff_ids", json!("x")), "no list"),
        (with("/rootfs", json!(null)), "no `rootfs`"),
        (with("/config", json!("x")), "`config` is no object"),
        (with("/config/User", json!(0)), "`config.User` is no text"),
        (with("/history", json!({})), "`history` is no list"),
        (
            text.replace("\"User\":\"1000\"", "\"User\":\"1000\",\"user\":\"0\""),
            "which some engines read as `User`",
        ),
        (text.replace("\"User\":\"1000\"", "\"User\":\"1000\",\"User\":\"0\""), "not acceptable JSON"),
        (text.replace("\"config\"", "\"Config\""), "which some engines read as `config`"),
        ("[]".to_owned(), "expected a JSON object"),
        ("\u{0}".to_owned(), "not acceptable JSON"),
    ];
    for (configuration, expected) in cases {
        let problems = facts_of(&layers(), configuration.as_bytes()).problems;
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
    }
}

#[test]
fn the_type_declared_must_be_the_type_found() {
    let plain = tar(&[("app", b"1")]);
    let cases = [
        (PLAIN, plain.clone(), true),
        (GZIP, plain.clone(), false),
        (PLAIN, gzip(&plain), false),
        (GZIP, gzip(&plain), true),
        ("application/vnd.oci.image.layer.v1.tar+zstd", gzip(&plain), false),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip(&plain), true),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", plain, false),
    ];
    for (media_type, blob, honest) in cases {
        let layers = vec![(media_type, blob)];
        let problems = facts_of(&layers, configuration(&layers).to_string().as_bytes()).problems;
        assert_eq!(problems.is_empty(), honest, "{media_type}: {problems:?}");
    }
}

#[test]
fn a_layer_that_is_no_archive_is_unreadable_not_clean() {
    let layers = vec![(PLAIN, b"#!/bin/sh\necho not a tar\n".to_vec())];
    let mut configuration = configuration(&layers);
    configuration["rootfs"]["diff_ids"] = json!([format!("sha256:{}", "0".repeat(64))]);
    let facts = facts_of(&layers, configuration.to_string().as_bytes());
    assert!(
        facts.scan.unknown.iter().any(|unknown| matches!(unknown, Unknown::UnreadableLayer { layer: 0, .. }))
    );
}

#[test]
fn a_history_that_does_not_fit_blames_no_instruction() {
    let layers = layers();
    let mut configuration = configuration(&layers);
    configuration["history"].as_array_mut().unwrap().pop();
    let facts = facts_of(&layers, configuration.to_string().as_bytes());
    assert!(facts.problems.is_empty());
    assert!(facts.scan.layers.iter().all(|layer| layer.instruction.is_none()));
}

#[test]
fn what_does_not_belong_together_is_an_error() {
    let layers = layers();
    let text = configuration(&layers).to_string();
    let manifest = manifest(&layers, text.as_bytes(), &json!({}));
    let reports: Vec<_> = layers.iter().map(|(_, blob)| walk(blob)).collect();
    let other = image_facts(&manifest, b"{}", &reports, None);
    assert!(matches!(other, Err(AssembleError::Configuration { .. })));
    let fewer = image_facts(&manifest, text.as_bytes(), &reports[..1], None);
    assert!(matches!(fewer, Err(AssembleError::Layers { layers: 2, reports: 1, .. })));
}
