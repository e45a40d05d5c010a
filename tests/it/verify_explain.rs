//! `portcullis verify --explain` against a running registry: what it tells of each check, and the same again offline.

use serde_json::{Value, json};
use tests::clients::Outcome;
use tests::image_builder::alpine_image;
use tests::test_gateway::{POLICY_OPEN, TestGateway, push, push_signature, sign_bundle, sign_simple};

/// The checks of one candidate for one identity, as `check outcome`, and the reason of the one that failed.
fn checks(trace: &Value, form: &str) -> (Vec<String>, Option<String>) {
    let candidate = trace.as_array().and_then(|all| all.iter().find(|one| one["form"] == form));
    let lines = &candidate.unwrap_or_else(|| panic!("no `{form}`: {trace}"))["identities"][0]["checks"];
    let lines = lines.as_array().expect("checks");
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let told = lines.iter().map(|line| format!("{} {}", text(line, "check"), text(line, "outcome")));
    let reason = lines.iter().find_map(|line| line["reason"].as_str().map(str::to_owned));
    (told.collect(), reason)
}

fn json_of(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}", outcome.stdout))
}

#[test]
fn every_check_of_every_candidate_is_told_and_told_again_without_the_registry() {
    let mut gateway = TestGateway::start(POLICY_OPEN, "");
    let image = alpine_image("explained", &[]).build();
    assert_eq!(push(&gateway.caller("builder"), "app", "v1", &image).status, 201);
    let (signer, caller) = (gateway.signer(), gateway.caller("signer"));
    for signature in
        [sign_simple(&signer, "app", &image.manifest.digest), sign_bundle(&signer, &image.manifest)]
    {
        assert_eq!(push_signature(&caller, "app", &signature).status, 201);
    }
    gateway.command(&["keys", "generate", "--output", "other"]).succeeded("keys generate");
    let reference = gateway.reference(&format!("app@{}", image.manifest.digest));
    let verify = |gateway: &TestGateway, more: &[&str]| {
        gateway.command(&[&["verify", &reference, "--explain", "--output", "json"], more].concat())
    };

    // By the right key each check passed, in the order made, for both forms.
    let good = verify(&gateway, &["--key", "release.pub", "--save", "question.json"]);
    assert_eq!(good.code, 0, "{}", good.shown);
    let report = json_of(&good);
    for form in ["cosign-simple", "sigstore-bundle"] {
        let (told, reason) = checks(&report["trace"], form);
        assert_eq!(told.first().map(String::as_str), Some("place passed"), "{told:?}");
        assert!(told.iter().all(|line| line.ends_with(" passed")) && reason.is_none(), "{told:?} {reason:?}");
        assert!(told.contains(&"signature passed".to_owned()) && told.contains(&"digest passed".to_owned()));
    }
    assert_eq!(report["verified"].as_array().map(Vec::len), Some(2), "{report}");

    // By another key it fails at the signature; what comes later was not run, and the text says both.
    let bad = verify(&gateway, &["--key", "other.pub"]);
    assert_eq!(bad.code, 1, "{}", bad.shown);
    let report = json_of(&bad);
    for form in ["cosign-simple", "sigstore-bundle"] {
        let (told, reason) = checks(&report["trace"], form);
        let at =
            told.iter().position(|line| line == "signature failed").unwrap_or_else(|| panic!("{told:?}"));
        assert!(told[..at].iter().all(|line| line.ends_with(" passed")), "{told:?}");
        assert!(
            told[at + 1..].iter().all(|line| line.ends_with(" not-run")) && at + 1 < told.len(),
            "{told:?}"
        );
        assert!(reason.is_some());
    }
    assert_eq!(report["verified"], json!([]));
    gateway
        .command(&["verify", &reference, "--explain", "--key", "other.pub"])
        .failed_showing("verify --explain", &["no signature that counts"]);

    // What was saved is asked again with the registry gone: the same answer, and another of another key.
    gateway.kill();
    let again = verify(&gateway, &["--key", "release.pub", "--replay", "question.json"]);
    assert_eq!((again.code, json_of(&again)), (0, json_of(&good)), "{}", again.shown);
    assert_eq!(verify(&gateway, &["--key", "other.pub", "--replay", "question.json"]).code, 1);
    let gone = verify(&gateway, &["--key", "release.pub"]);
    assert_eq!(gone.code, 3, "without the file nobody can decide: {}", gone.shown);
}
