//! An image that waits for a statement about it: released when it comes, refused when a newer one speaks against it or
//! the last one grows old.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fixture::*;

const POLICY: &str = r#"
[[identity]]
name = "release"
cosign = { key = "release.pub" }
[[rule]]
images = ["registry.example/**"]
signatures = { require = [["release"]] }
attestation = [{ predicate = "vuln", from = "release", where = "predicate.scanner.result.critical == 0", max-age = "7d" }]
pin = { pull = "tag" }
scan = { deny = "nothing-unsafe", unknown = "accept-unsafe" }
"#;
const VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
const DAY: i64 = 86_400;

fn report(finished: &str, critical: u32) -> Value {
    json!({"scanner": {"result": {"critical": critical}}, "metadata": {"scanFinishedOn": finished}})
}

fn descriptor_of(digest: &str) -> keys::signer::ImageDescriptor<'_> {
    keys::signer::ImageDescriptor { digest, media_type: crate::manifest::OCI_MANIFEST, size: 7 }
}

async fn attest(fixture: &Fixture, digest: &str, predicate: &Value) {
    let made = signer().attest_bundle(descriptor_of(digest), VULN, predicate, 0).unwrap();
    let _ = fixture.put_signed(As::Signer, "signed/app", made).await.expect(201);
}

async fn staged(fixture: &Fixture) -> String {
    fixture.policy.store(Arc::new(policy(POLICY)));
    let digest = fixture.push("signed/app", "v1", &["one"]).await;
    let signed = fixture.bundle(&digest);
    let _ = fixture.put_signed(As::Signer, "signed/app", signed).await.expect(201);
    digest
}

async fn refusal(fixture: &Fixture) -> String {
    let answer = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await;
    answer.expect_error(403, "DENIED").json().to_string()
}

#[tokio::test]
async fn a_statement_releases_and_a_newer_one_speaks_against_it() {
    let fixture = Fixture::new();
    let digest = staged(&fixture).await;
    let text = refusal(&fixture).await;
    assert!(text.contains("no attestation"), "{text}");
    // The fixture's clock stands at 2027-01-15T08:00:00Z.
    attest(&fixture, &digest, &report("2027-01-14T00:00:00Z", 0)).await;
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
    attest(&fixture, &digest, &report("2027-01-15T00:00:00Z", 2)).await;
    let text = refusal(&fixture).await;
    assert!(text.contains("its condition is false"), "{text}");
    attest(&fixture, &digest, &report("2027-01-15T07:00:00Z", 0)).await;
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
}

#[tokio::test]
async fn an_answer_does_not_outlive_the_report_it_rests_on() {
    let fixture = Fixture::new();
    let digest = staged(&fixture).await;
    attest(&fixture, &digest, &report("2027-01-14T00:00:00Z", 0)).await;
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
    fixture.clock.advance(5 * DAY);
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
    fixture.clock.advance(DAY);
    let text = refusal(&fixture).await;
    assert!(text.contains("it is older than 7days"), "{text}");
}

#[tokio::test]
async fn the_older_form_counts_and_the_decision_log_names_what_was_stated() {
    let fixture = Fixture::new();
    let digest = staged(&fixture).await;
    let predicate = report("2027-01-14T00:00:00Z", 0);
    let made = signer().attest_envelope(&digest, VULN, &predicate, None).unwrap();
    let blob = made.blobs[0].digest.clone();
    let _ = fixture.put_signed(As::Signer, "signed/app", made).await.expect(201);
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
    let log = fixture
        .registry
        .records
        .read(|connection| {
            let mut statement = connection.prepare("SELECT entry FROM decisions")?;
            let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            rows.collect::<Result<Vec<_>, _>>().map_err(crate::records::RecordError::from)
        })
        .unwrap();
    let told = format!("attestation:{blob}");
    assert!(log.iter().any(|entry| String::from_utf8_lossy(entry).contains(&told)), "{log:?}");
}

#[tokio::test]
async fn ten_thousand_junk_referrers_hide_no_good_statement() {
    let fixture = Fixture::new();
    let digest = staged(&fixture).await;
    fixture.add_junk(&digest, 10_000, b"{}").await;
    attest(&fixture, &digest, &report("2027-01-14T00:00:00Z", 0)).await;
    let _ = fixture.get(As::Consumer, "/v2/signed/app/manifests/v1").await.expect(200);
}
