//! What a rule may ask of attestations, as cases.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::attestation::{Attestations, UnverifiedAttestation};
use keys::signature::Subject;
use serde_json::{Value, json};

use super::fixture::*;
use super::*;

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";

struct Stated {
    key: Ed25519KeyPair,
    predicate_type: &'static str,
    predicate: Value,
    subject: char,
}

fn stated(predicate_type: &'static str, predicate: Value) -> Stated {
    Stated { key: release_key(), predicate_type, predicate, subject: 'a' }
}

fn envelope(one: &Stated) -> UnverifiedAttestation {
    let hex = digest(one.subject).replace("sha256:", "");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {"sha256": hex}}],
        "predicateType": one.predicate_type,
        "predicate": one.predicate,
    })
    .to_string();
    let payload_type = "application/vnd.in-toto+json";
    // DSSE: pre-authentication encoding.
    let message = format!("DSSEv1 {} {payload_type} {} {statement}", payload_type.len(), statement.len());
    let envelope = json!({
        "payloadType": payload_type,
        "payload": STANDARD.encode(&statement),
        "signatures": [{"sig": STANDARD.encode(one.key.sign(message.as_bytes()))}],
    });
    let envelope = envelope.to_string().into_bytes();
    UnverifiedAttestation::Envelope {
        envelope_digest: crate::digest::Digest::sha256_of(&envelope).to_string(),
        envelope_size: envelope.len() as u64,
        envelope,
        annotations: [("predicateType".to_owned(), "https://anybody.example/says".to_owned())].into(),
    }
}

fn policy_asking(attestation: &str) -> Policy {
    let rule = format!("enforce = \"deny\"\nattestation = [{attestation}]\n");
    parse(&policy_text().replace("enforce = \"deny\"\n", &rule))
}

fn about(all: &[Stated], policy: &Policy) -> Attestations {
    let candidates: Vec<_> = all.iter().map(envelope).collect();
    let name = digest(all.first().map_or('a', |one| one.subject));
    let subject = Subject { digest: &name, repository: REPOSITORY };
    keys::attestation::verify(&candidates, subject, policy.trust_store(), NOW)
}

/// `None`: released; else the message of the refusal.
fn refusal(asked: &str, all: &[Stated]) -> Option<String> {
    let policy = policy_asking(asked);
    let evidence = Evidence { attestations: about(all, &policy), ..signed(clean()) };
    let verdict = decide(Checkpoint::Release, &evidence, &policy);
    // Asked before, the conditions say the same.
    let mut asked_before = evidence.clone();
    ask_conditions(&mut asked_before, &policy);
    let same = decide(Checkpoint::Release, &asked_before, &policy);
    assert_eq!(format!("{verdict:?}"), format!("{same:?}"));
    match verdict {
        Verdict::Allow(_) => None,
        Verdict::Deny(denial) => {
            assert!(denial.reasons.iter().all(|reason| reason.check == "attestation"), "{denial:?}");
            Some(denial.reasons.into_iter().map(|reason| reason.message).collect())
        }
    }
}

#[track_caller]
fn assert_refused(asked: &str, all: &[Stated], because: &str) {
    let message = refusal(asked, all).unwrap_or_else(|| panic!("released under {asked}"));
    assert!(message.contains(because), "{asked}: {message}");
}

fn by_jenkins() -> Value {
    json!({"runDetails": {"builder": {"id": "https://jenkins.example"}, "metadata": {"finishedOn": "2026-06-30T00:00:00Z"}}})
}

fn scan(finished: &str, critical: u32) -> Value {
    json!({"scanner": {"result": {"critical": critical}}, "metadata": {"scanFinishedOn": finished}})
}

const ASKED: &str = "{ predicate = \"slsaprovenance1\", from = \"release\", where = \"predicate.runDetails.builder.id == 'https://jenkins.example'\" }";
const CLEAN: &str =
    "{ predicate = \"vuln\", from = \"release\", where = \"predicate.scanner.result.critical == 0\" }";

#[test]
fn a_statement_that_is_all_the_rule_asks_for_satisfies_it() {
    assert_eq!(refusal(ASKED, &[stated(PROVENANCE, by_jenkins())]), None);
    let junk = stated(PROVENANCE, json!({"runDetails": {"builder": {"id": "https://laptop.example"}}}));
    assert_eq!(refusal(ASKED, &[junk, stated(PROVENANCE, by_jenkins())]), None);
    let two = format!("{ASKED}, {CLEAN}");
    let clean = || stated(VULN, scan("2026-06-30T00:00:00Z", 0));
    assert_eq!(refusal(&two, &[stated(PROVENANCE, by_jenkins()), clean()]), None);
    assert_refused(&two, &[clean()], "no attestation `https://slsa.dev/provenance/v1` by `release`");
}

#[test]
fn a_condition_that_was_asked_is_not_asked_again_and_none_answers_for_another() {
    let policy = policy_asking(CLEAN);
    let all = [stated(VULN, scan("2026-06-30T00:00:00Z", 0)), stated(VULN, scan("2026-07-01T00:00:00Z", 0))];
    let mut evidence = Evidence { attestations: about(&all, &policy), ..signed(clean()) };
    ask_conditions(&mut evidence, &policy);
    let source = "predicate.scanner.result.critical == 0";
    let [older, newer] = evidence.attestations.verified.as_slice() else { panic!("two") };
    // Of the newest only the newest is asked, for that alone is looked at.
    assert_eq!(evidence.conditions.find(source, older), None);
    assert_eq!(evidence.conditions.find(source, newer), Some(&Ok(())));
    assert_eq!(evidence.conditions.find("true", newer), None);
    let newer = newer.clone();
    evidence.conditions.keep(source, &newer, Err("as was said before".to_owned()));
    let Verdict::Deny(denial) = decide(Checkpoint::Release, &evidence, &policy) else {
        panic!("asked again")
    };
    assert!(denial.reasons[0].message.contains("as was said before"), "{denial:?}");
    // Under a rule that asks something else nothing of it counts.
    let other = policy_asking(&CLEAN.replace("== 0", "<= 1"));
    assert!(matches!(decide(Checkpoint::Release, &evidence, &other), Verdict::Allow(_)));
}

#[test]
fn each_part_of_what_is_asked_must_hold() {
    assert_refused(ASKED, &[], "no attestation `https://slsa.dev/provenance/v1` by `release` where");
    let by_qa = Stated { key: qa_key(), ..stated(PROVENANCE, by_jenkins()) };
    assert_refused(ASKED, &[by_qa], "it is by `qa`");
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let by_stranger = Stated { key: stranger, ..stated(PROVENANCE, by_jenkins()) };
    assert_refused(ASKED, &[by_stranger], "1 found that do not count");
    let on_laptop = stated(PROVENANCE, json!({"runDetails": {"builder": {"id": "https://laptop.example"}}}));
    assert_refused(ASKED, &[on_laptop], "its condition is false");
    assert_refused(ASKED, &[stated(PROVENANCE, json!({}))], "its condition cannot be evaluated");
    let either = ASKED.replace("\"release\"", "[\"qa\", \"release\"]");
    assert_eq!(refusal(&either, &[stated(PROVENANCE, by_jenkins())]), None);
}

#[test]
fn the_type_of_one_and_the_word_of_another_make_no_third() {
    // Right type and condition by the wrong person, and anything at all by the right one.
    let by_qa = Stated { key: qa_key(), ..stated(PROVENANCE, by_jenkins()) };
    let other = stated(PROVENANCE, json!({"runDetails": {"builder": {"id": "https://laptop.example"}}}));
    assert_refused(ASKED, &[by_qa, other], "2 found that do not count");
}

#[test]
fn cve_2022_35929_the_predicate_type_is_compared_inside_the_signed_bytes() {
    for predicate_type in ["https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1x", VULN] {
        assert_refused(ASKED, &[stated(predicate_type, by_jenkins())], "no attestation");
    }
    // The layer's annotation says what it likes.
    let asked = ASKED.replace("slsaprovenance1", "https://anybody.example/says");
    assert_refused(&asked, &[stated(PROVENANCE, by_jenkins())], "no attestation");
}

#[test]
fn cve_2022_35930_a_signature_or_another_attestation_is_not_the_one_that_is_asked_for() {
    // The image is signed by `release`; that says nothing about how it was built.
    assert_refused(ASKED, &[], "no attestation");
    assert_refused(ASKED, &[stated(VULN, scan("2026-06-30T00:00:00Z", 0))], "no attestation");
}

#[test]
fn cve_2026_39395_a_failing_report_is_no_signature() {
    let policy = policy_asking(CLEAN);
    let all = [stated(VULN, scan("2026-06-30T00:00:00Z", 7))];
    let evidence = Evidence {
        attestations: about(&all, &policy),
        signatures: keys::verify::Verification::default(),
        ..signed(clean())
    };
    let expected: &[&str] = &["signature", "attestation"];
    check(&evidence, &policy, [&[], expected, expected, expected]);
}

#[test]
fn ghsa_46mp_8w32_6g94_a_key_that_is_not_known_is_a_mistake() {
    for (attestation, problem) in [
        ("{ predicate = \"vuln\", from = \"release\", wher = \"false\" }", "unknown key"),
        ("{ predicate = \"vuln\", from = \"release\", where-regex = \"x\" }", "unknown key"),
        ("{ predicate = \"vuln\" }", "`from` is missing"),
        ("{ from = \"release\" }", "`predicate` is missing"),
        ("{ predicate = \"slsa\", from = \"release\" }", "`slsa` is no predicate type"),
        ("{ predicate = \"vuln\", from = \"jenkins\" }", "`jenkins` is no identity of this policy"),
        ("{ predicate = \"vuln\", from = [] }", "can never be satisfied"),
        ("{ predicate = \"vuln\", from = \"release\", where = \"predicat.x\" }", "uses `predicat`"),
        ("{ predicate = \"vuln\", from = \"release\", where = \"\" }", "is no CEL expression"),
        ("{ predicate = \"vuln\", from = \"release\", max-age = \"0s\" }", "is no span of time"),
        ("{ predicate = \"vuln\", from = \"release\", newest-only = \"yes\" }", "expected `true` or `false`"),
        ("", "has 0 entries"),
    ] {
        let text = policy_text().replace("enforce = \"deny\"", &format!("attestation = [{attestation}]"));
        let errors = Policy::parse(&text, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(errors.to_string().contains(problem), "{attestation}: {errors}");
    }
}

#[test]
fn an_attestation_of_another_image_does_not_count_and_that_of_its_index_does() {
    let policy = policy_asking(ASKED);
    let of_another = Stated { subject: 'e', ..stated(PROVENANCE, by_jenkins()) };
    let mut evidence = Evidence { attestations: about(&[of_another], &policy), ..signed(clean()) };
    assert_eq!(evidence.attestations.verified.len(), 1);
    let expected: &[&str] = &["attestation"];
    check(&evidence, &policy, [&[], expected, expected, expected]);
    evidence.parents = vec![digest('e')];
    check(&evidence, &policy, [&[], &[], &[], &[]]);
}

#[test]
fn before_push_asks_at_push_too() {
    let text = policy_text().replace("before-release", "before-push");
    let policy = parse(&text.replace("enforce = \"deny\"", &format!("attestation = [{ASKED}]")));
    let expected: &[&str] = &["attestation"];
    check(&signed(clean()), &policy, [expected, expected, expected, expected]);
}

#[test]
fn the_newest_report_is_the_last_word() {
    let report = |day: u32, critical| stated(VULN, scan(&format!("2026-06-{day:02}T00:00:00Z"), critical));
    assert_eq!(refusal(CLEAN, &[report(1, 7), report(2, 0)]), None);
    assert_refused(CLEAN, &[report(1, 0), report(2, 7)], "its condition is false");
    assert_refused(CLEAN, &[report(2, 0), report(2, 7)], "its condition is false");
    // One without a time may be the newest.
    let undated = stated(VULN, json!({"scanner": {"result": {"critical": 7}}}));
    assert_refused(CLEAN, &[report(2, 0), undated], "its condition is false");
    // Somebody else's newer one neither helps nor hurts.
    let by_qa = |day, critical| Stated { key: qa_key(), ..report(day, critical) };
    assert_eq!(refusal(CLEAN, &[report(2, 0), by_qa(3, 7)]), None);
    assert_refused(CLEAN, &[report(2, 7), by_qa(3, 0)], "its condition is false");
    // For provenance any one will do, unless the rule says otherwise.
    let other = || {
        stated(
            PROVENANCE,
            json!({"runDetails": {"builder": {"id": "x"}, "metadata": {"finishedOn": "2026-06-30T12:00:00Z"}}}),
        )
    };
    assert_eq!(refusal(ASKED, &[stated(PROVENANCE, by_jenkins()), other()]), None);
    let newest = ASKED.replace(" }", ", newest-only = true }");
    assert_refused(&newest, &[stated(PROVENANCE, by_jenkins()), other()], "its condition is false");
    assert_refused(CLEAN, &[stated(VULN, scan("2027-01-01T00:00:00Z", 0))], "dated in the future");
}

#[test]
fn what_nobody_read_may_be_newer() {
    let policy = policy_asking(CLEAN);
    let mut attestations = about(&[stated(VULN, scan("2026-06-30T00:00:00Z", 0))], &policy);
    attestations.incomplete = true;
    let evidence = Evidence { attestations, ..signed(clean()) };
    assert_eq!(refused(Checkpoint::Release, &evidence, &policy), ["attestation"]);
    let any = policy_asking(&CLEAN.replace(" }", ", newest-only = false }"));
    assert_eq!(refused(Checkpoint::Release, &evidence, &any), Vec::<String>::new());
}

#[test]
fn an_old_report_ends_and_the_answer_with_it() {
    let asked = CLEAN.replace(" }", ", max-age = \"7d\" }");
    let finished = NOW - 7 * 86_400;
    for (moment, expected) in [(NOW, None), (NOW + 1, Some("it is older than 7days"))] {
        let policy = policy_asking(&asked);
        let attestations = about(&[stated(VULN, scan("2026-06-24T00:00:00Z", 0))], &policy);
        let evidence = Evidence { attestations, as_of: moment, ..signed(clean()) };
        let verdict = decide(Checkpoint::Release, &evidence, &policy);
        match (expected, verdict) {
            (None, Verdict::Allow(_)) => {
                assert_eq!(stated_until(&evidence, &policy), Some(finished + 7 * 86_400 + 1));
            }
            (Some(because), Verdict::Deny(denial)) => {
                assert!(denial.reasons[0].message.contains(because), "{denial:?}");
                assert_eq!(stated_until(&evidence, &policy), None);
            }
            (_, verdict) => panic!("{verdict:?} at {moment}"),
        }
    }
    let undated = stated(VULN, json!({"scanner": {"result": {"critical": 0}}}));
    assert_refused(&asked, &[undated], "it does not say when it was made");
}

#[test]
fn what_is_in_force_is_told() {
    let asked = CLEAN.replace(" }", ", max-age = \"7d\" }");
    let told = super::super::explain::explain(&policy_asking(&asked), REPOSITORY);
    let line = "release: the newest https://cosign.sigstore.dev/attestation/vuln/v1 stated by release, at most 7days old, where predicate.scanner.result.critical == 0";
    assert!(told.contains(line), "{told}");
    let effective = serde_json::to_value(policy_asking(&asked).effective()).unwrap();
    assert_eq!(effective["rules"][0]["attestation"][0]["where"], "predicate.scanner.result.critical == 0");
    assert_eq!(effective["rules"][0]["attestation"][0]["max-age"], "7days");
}
