//! Every recorded image loads, or is refused cleanly, as its expectation file says.

use std::path::Path;

use super::*;

fn quiet() -> Progress<'static> {
    Progress { expect: &|_| {}, advance: &|_| {} }
}

fn load(location: &str) -> Result<Image, SourceError> {
    let location: Location = location.parse().unwrap();
    Source::open(&location)?.load(quiet())
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Archives that have no manifest, or one that nobody may interpret; `None`: loads.
fn refusal(name: &str) -> Option<&'static str> {
    Some(match name {
        "ggcr-no-manifest" | "scalibr-empty" => "no file `manifest.json`",
        "ggcr-null-manifest" => "lists no image",
        "ggcr-sparse-foreign" => "no file",
        "hostile-ambiguous-manifest" => "does not belong",
        "hostile-digest-mismatch" => "digest mismatch",
        "hostile-size-mismatch" => "size mismatch",
        _ => return None,
    })
}

#[test]
fn every_recorded_image_loads_or_is_refused_cleanly() {
    let test = "every_recorded_image_loads_or_is_refused_cleanly";
    let Some(data) = crate::test_data::recorded(test, "images") else {
        return;
    };
    let list = std::fs::read_to_string(data.join("images.jsonl")).unwrap();
    let mut seen = 0;
    for line in list.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = data.join(entry["file"].as_str().unwrap());
        let name = file
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .split(".tar")
            .next()
            .unwrap()
            .trim_end_matches(".oci");
        let scheme = entry["format"].as_str().unwrap();
        let tags: Vec<String> = match entry["refs"].as_array() {
            Some(refs) => refs.iter().map(|tag| format!(":{}", tag.as_str().unwrap())).collect(),
            None => vec![String::new()],
        };
        for tag in tags {
            let outcome = load(&format!("{scheme}:{}{tag}", file.display()));
            match (refusal(name), outcome) {
                (None, Ok(image)) => assert_eq!(image.digest.is_some(), scheme == "oci-archive", "{name}"),
                (Some(expected), Err(error)) => {
                    let text = chain(&error);
                    assert!(text.contains(expected), "{name}: {text}");
                }
                (None, Err(error)) => panic!("{name} must load: {}", chain(&error)),
                (Some(expected), Ok(_)) => panic!("{name} must be refused: {expected}"),
            }
            seen += 1;
        }
    }
    assert!(seen >= 63, "only {seen} images were tried");
}

#[test]
fn locations_are_told_apart_by_their_prefix() {
    for (text, shown) in [
        ("oci:dir", "oci:dir"),
        ("oci:a/b:v1", "oci:a/b:v1"),
        ("oci-archive:x.tar", "oci-archive:x.tar"),
        ("docker-archive:x.tar:app:1", "docker-archive:x.tar:app:1"),
        ("docker://a.example/app:1", "a.example/app:1"),
        ("oci", "docker.io/library/oci"),
    ] {
        assert_eq!(text.parse::<Location>().unwrap().to_string(), shown);
    }
}

/// A layout directory with one image of one plain layer.
fn layout(directory: &Path, layer: &[u8]) {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::sha256_of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        serde_json::json!({"digest": digest.as_str(), "size": bytes.len()})
    };
    let typed = |mut descriptor: serde_json::Value, media_type: &str| {
        descriptor["mediaType"] = media_type.into();
        descriptor
    };
    let config = typed(put(b"{}"), "application/vnd.oci.image.config.v1+json");
    let layer = typed(put(layer), "application/vnd.oci.image.layer.v1.tar");
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": manifest::OCI_MANIFEST, "config": config, "layers": [layer]});
    let manifest = typed(put(manifest.to_string().as_bytes()), manifest::OCI_MANIFEST);
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_layout_directory_is_read_and_its_bytes_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    layout(directory.path(), &[0; 1024]);
    let location = format!("oci:{}", directory.path().display());
    assert!(
        matches!(load(&location).unwrap().loaded.parts, Parts::Image { reports, .. } if reports.len() == 1)
    );
    let layer = directory.path().join("blobs/sha256").join(Digest::sha256_of(&[0; 1024]).hex());
    for (bytes, expected) in [
        (vec![1; 1024], "digest mismatch"),
        (vec![0; 1023], "read 1023"),
        (vec![0; 4096], "expected 1024 bytes"),
    ] {
        std::fs::write(&layer, bytes).unwrap();
        let text = chain(&load(&location).unwrap_err());
        assert!(text.contains(expected), "{text}");
    }
    std::fs::remove_file(&layer).unwrap();
    assert!(matches!(load(&location), Err(SourceError::File { .. })));
    assert!(chain(&load(&format!("{location}:other")).unwrap_err()).contains("has no image `other`"));
}
