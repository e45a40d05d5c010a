//! Layers whose scan goes on after their upload was answered: whoever needs the report waits, and nothing passes unseen.

use super::fixture::{As, Fixture, gzip, tar_of};
use crate::records::blobs;

const NAME: &str = "open/app";

/// Half of it is left when it is compressed: more than an upload waits for.
fn noise(seed: u64) -> String {
    let mut state = seed;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 40) % 16).unwrap())
    };
    (0..3 << 20).map(letter).collect()
}

/// What counts stands in the last file, so that only a walk to the end finds it.
fn layer(seed: u64, last: &str) -> Vec<u8> {
    tar_of(&[("srv/data", &noise(seed)), ("srv/settings", last)])
}

fn secret() -> String {
    format!("token = \"glpat-{}\"\n", "x7Kq2ZmW9rTb4LsVd8Yc")
}

fn has_report(fixture: &Fixture, digest: &str) -> bool {
    let analyzer = scanner::layer::ANALYZER;
    fixture.registry.records().read(|connection| blobs::has_report(connection, digest, analyzer)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_waits_for_the_scans_of_all_its_layers() {
    let fixture = Fixture::new();
    for place in 0..4_usize {
        let layers: Vec<Vec<u8>> = (0..4_usize)
            .map(|number| {
                let last = if number == place { secret() } else { "quiet\n".to_owned() };
                layer((10 * place + number) as u64, &last)
            })
            .collect();
        let manifest = fixture.image_of(NAME, &layers).await;
        let answer = fixture.put_manifest(As::Pusher, NAME, "1", &manifest).await.expect_error(403, "DENIED");
        let text = answer.json().to_string();
        assert!(text.contains("srv/settings") && text.contains("secret"), "{text}");
        for described in manifest["layers"].as_array().unwrap() {
            assert!(has_report(&fixture, described["digest"].as_str().unwrap()));
        }
    }
    let clean = fixture.image_of(NAME, &[layer(1, "quiet\n"), layer(2, "quiet\n")]).await;
    let _ = fixture.put_manifest(As::Pusher, NAME, "1", &clean).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_upload_gets_its_report_without_being_asked_for() {
    let fixture = Fixture::new();
    let digest = fixture.put_blob(NAME, &gzip(&layer(5, "quiet\n"))).await;
    fixture.registry.ingest.pending().settled([digest.as_str()].into_iter()).await;
    assert!(has_report(&fixture, &digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_a_restart_cut_off_is_done_when_a_manifest_needs_it() {
    let fixture = Fixture::new();
    let manifest = fixture.image_of(NAME, &[layer(6, &secret())]).await;
    let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    // As after a kill between the record of the blob and that of its report.
    fixture.registry.ingest.pending().settled([digest.as_str()].into_iter()).await;
    let lost = digest.clone();
    fixture
        .registry
        .records()
        .write(NAME, move |connection| -> Result<_, crate::records::RecordError> {
            Ok(connection.execute("DELETE FROM layer_reports WHERE digest = ?1", [lost])?)
        })
        .await
        .unwrap();
    let fixture = fixture.restart();
    assert!(!has_report(&fixture, &digest));
    let answer = fixture.put_manifest(As::Pusher, NAME, "1", &manifest).await.expect_error(403, "DENIED");
    assert!(answer.json().to_string().contains("srv/settings"), "{}", answer.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_layer_that_is_gone_is_not_kept() {
    let fixture = Fixture::new();
    let digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let put = move |connection: &rusqlite::Connection| {
        blobs::put_report(connection, digest, scanner::layer::ANALYZER, b"report")
    };
    fixture.registry.records().write(NAME, put).await.unwrap();
    assert!(!has_report(&fixture, digest));
}
