//! The forms of one report, denied and admitted.

use scanner::finding::Severity;

use super::*;
use crate::gate::verdict::LayerReference;

fn report() -> CheckReport {
    let mut finding =
        Reason::new("vulnerability", "prod", "CVE-2026-0001 is critical", "upgrade openssl to 3.0.2");
    finding.severity = Some(Severity::Critical);
    finding.package = Some("openssl 3.0.1".into());
    finding.finding = Some("CVE-2026-0001".into());
    finding.fix = Some("3.0.2".into());
    finding.layer = Some(LayerReference {
        index: 1,
        digest: "sha256:aa".into(),
        instruction: Some("RUN apk add \u{1b}[2Jopenssl".into()),
    });
    let user = Reason::new("user", "prod", "runs as root", "add `USER` to the Dockerfile");
    let mut report = CheckReport {
        schema: SCHEMA,
        image: "oci:image".into(),
        repository: "registry.example/app".into(),
        tag: Some("1".into()),
        digest: Some("sha256:bb".into()),
        checkpoint: Checkpoint::Push,
        verdict: Word::Admitted,
        reasons: Vec::new(),
        omitted: 0,
        warnings: Vec::new(),
        help: None,
        policy: "sha256:cc".into(),
        attestations: Default::default(),
        signatures: Verification::default(),
        scans: Vec::new(),
        stamped_at: None,
    };
    let mut denial = Denial::new("registry.example/app:1".into(), Checkpoint::Push, vec![finding]);
    denial.warnings = vec![user];
    report.deny(denial);
    report
}

#[test]
fn the_table_groups_by_layer_and_cannot_rewrite_the_terminal() {
    let text = report().render(Output::Table, 100).unwrap();
    for expected in [
        "denied: layer 1: RUN apk add",
        "openssl 3.0.1",
        "3.0.2",
        "critical",
        "warning: image",
        "DENIED at push for 1 reasons",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn junit_has_a_failed_test_for_each_reason() {
    let text = report().render(Output::Junit, 0).unwrap();
    for expected in [
        r#"tests="3" skipped="0" errors="0" failures="2""#,
        r#"<testcase name="CVE-2026-0001 openssl 3.0.1" classname="portcullis.vulnerability">"#,
        r#"<failure message="CVE-2026-0001 is critical" type="vulnerability">"#,
        r#"classname="portcullis.user""#,
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains('\u{1b}'));
    let undecided = render_undecided("oci:image", "the disk is gone", Output::Junit).unwrap();
    assert!(undecided.contains(r#"<error message="the disk is gone" type="undecided""#), "{undecided}");
}

#[test]
fn json_keeps_its_keys() {
    let value: serde_json::Value = serde_json::from_str(&report().render(Output::Json, 0).unwrap()).unwrap();
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "attestations",
            "checkpoint",
            "digest",
            "help",
            "image",
            "omitted",
            "policy",
            "reasons",
            "repository",
            "scans",
            "schema",
            "signatures",
            "tag",
            "verdict",
            "warnings"
        ]
    );
    assert_eq!(value["verdict"], "denied");
    assert_eq!(value["reasons"][0]["layer"]["index"], 1);
}

#[test]
fn sarif_has_a_result_for_each_reason_and_names_its_rule() {
    let text = report().render(Output::Sarif, 0).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains("\\u001b"), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let run = &value["runs"][0];
    let cases = [("CVE-2026-0001", "error"), ("portcullis/user", "warning")];
    assert_eq!(run["results"].as_array().unwrap().len(), cases.len());
    for (result, (rule, level)) in run["results"].as_array().unwrap().iter().zip(cases) {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!((&result["ruleId"], &result["level"]), (&rule.into(), &level.into()));
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], rule);
    }
    let undecided = render_undecided("oci:image", "the disk is gone", Output::Sarif).unwrap();
    let value: serde_json::Value = serde_json::from_str(&undecided).unwrap();
    assert_eq!(value["runs"][0]["invocations"][0]["executionSuccessful"], false);
}

#[test]
fn an_undecided_question_is_never_an_empty_success_or_an_inventory() {
    for (output, expected) in [
        (Output::CycloneDx, ""),
        (Output::Spdx, ""),
        (Output::Gitlab, r#""status": "failure""#),
        (Output::Json, r#""undecided""#),
    ] {
        let text = render_undecided("oci:image", "the disk is gone", output).unwrap();
        assert!(if expected.is_empty() { text.is_empty() } else { text.contains(expected) }, "{text}");
    }
}

#[test]
fn an_inventory_of_nothing_says_that_it_is_incomplete() {
    let text = report().render(Output::CycloneDx, 0).unwrap();
    assert!(text.contains(r#""aggregate": "incomplete""#), "{text}");
    assert!(!text.contains("timestamp"), "no moment was given: {text}");
}

#[test]
fn a_document_is_dated_with_what_is_given_and_otherwise_with_nothing() {
    let mut report = report();
    for (stamped_at, expected) in
        [(None, "1970-01-01T00:00:00Z"), (Some(1_700_000_000), "2023-11-14T22:13:20Z")]
    {
        report.stamped_at = stamped_at;
        let text = report.render(Output::Spdx, 0).unwrap();
        assert!(text.contains(expected), "{text}");
        assert_eq!(text, report.render(Output::Spdx, 0).unwrap());
    }
}
