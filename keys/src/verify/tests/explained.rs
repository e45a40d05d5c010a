//! What the trace tells of a candidate is what the checks found.

use super::*;

/// The checks by how they ended, in order, for the first identity.
fn ended(candidate: &UnverifiedSignature, store: &TrustStore, now: i64) -> (bool, Vec<(Step, Ended)>) {
    let mut verifier = Verifier::new(SUBJECT, store, now).explaining();
    verifier.examine(candidate);
    let (verification, trace) = verifier.finish_explained();
    let [one] = trace.as_slice() else { panic!("{trace:?}") };
    assert_eq!(one.counts, !verification.verified.is_empty());
    let lines = &one.identities[0].checks;
    // The failed check tells the reason of the refusal, and no other line has one.
    let told: Vec<&str> = lines.iter().filter_map(|line| line.reason.as_deref()).collect();
    let expected: Vec<&str> = verification.rejected.iter().map(|refused| refused.reason.as_str()).collect();
    assert_eq!(told, expected);
    (one.counts, lines.iter().map(|line| (line.check, line.outcome)).collect())
}

/// All before `failed` passed, all after it did not run.
#[track_caller]
fn fails_at(candidate: UnverifiedSignature, store: &TrustStore, failed: Step) {
    let (counts, lines) = ended(&candidate, store, NOW);
    assert!(!counts);
    let at = lines.iter().position(|(step, _)| *step == failed).unwrap();
    for (place, (step, seen)) in lines.iter().enumerate() {
        let expected = match place.cmp(&at) {
            std::cmp::Ordering::Less => Ended::Passed,
            std::cmp::Ordering::Equal => Ended::Failed,
            std::cmp::Ordering::Greater => Ended::NotRun,
        };
        assert_eq!(*seen, expected, "{step:?} of {lines:?}");
    }
}

#[test]
fn a_good_signature_passed_every_check() {
    for candidate in [simple("p256"), bundle("p256")] {
        let (counts, lines) = ended(&candidate, &release(), NOW);
        assert!(counts && lines.len() == 10, "{lines:?}");
        assert!(lines.iter().all(|(_, seen)| *seen == Ended::Passed), "{lines:?}");
    }
}

#[test]
fn the_check_that_failed_is_named_and_later_ones_did_not_run() {
    fails_at(simple_with(|_, size, _| *size += 1), &release(), Step::Place);
    fails_at(simple_annotated(SIGNATURE_ANNOTATION, None), &release(), Step::Form);
    fails_at(simple_annotated(CERTIFICATE_ANNOTATION, Some("x")), &release(), Step::Path);
    fails_at(simple("p384"), &release(), Step::Signature);
    fails_at(bundle("p384"), &release(), Step::Signature);
    fails_at(payload_with("/critical/type", json!("another")), &release(), Step::Statement);
    fails_at(
        payload_with("/critical/image/docker-manifest-digest", json!(OTHER_DIGEST)),
        &release(),
        Step::Digest,
    );
    let mut closed = release();
    if let Vouches::Keys(keys) = &mut closed.identities[0].vouches {
        keys[0].not_after = Some(NOW - 1);
    }
    fails_at(simple("p256"), &closed, Step::Window);
    let mut annotated = release();
    annotated.identities[0].annotations = [("env".to_owned(), "prod".to_owned())].into();
    fails_at(simple("p256"), &annotated, Step::Annotations);
    let mut exact = release();
    exact.identities[0].repository_match = RepositoryMatch::Exact;
    fails_at(bundle("p256"), &exact, Step::Repository);
}

#[test]
fn each_identity_is_told_by_itself() {
    let mut annotated = identity("strict", &["p256"]);
    annotated.annotations = [("env".to_owned(), "prod".to_owned())].into();
    let store = store(vec![identity("release", &["p256"]), annotated]);
    let mut verifier = Verifier::new(SUBJECT, &store, NOW).explaining();
    verifier.examine(&simple("p256"));
    let (verification, trace) = verifier.finish_explained();
    assert_eq!(verification.verified.len(), 1);
    assert!(trace[0].counts);
    let failed = |explained: &Explained| {
        explained.checks.iter().find(|line| line.outcome == Ended::Failed).map(|line| line.check)
    };
    let told: Vec<_> = trace[0].identities.iter().map(|one| (one.identity.as_deref(), failed(one))).collect();
    assert_eq!(told, [(Some("release"), None), (Some("strict"), Some(Step::Annotations))]);
}

#[test]
fn candidates_survive_being_kept_as_json() {
    for candidate in [simple("p256"), bundle("p256")] {
        let kept = serde_json::to_string(&candidate).unwrap();
        let again: UnverifiedSignature = serde_json::from_str(&kept).unwrap();
        assert_eq!(ended(&again, &release(), NOW), ended(&candidate, &release(), NOW));
    }
}
