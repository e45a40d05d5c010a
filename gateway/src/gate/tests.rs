//! What the gate promises, as cases.

mod attestation;
mod evasion;
mod fixture;
mod properties;

use super::evidence::{BaseImage, Content, Evidence, IndexChild, Previous, Runtime, State};
use super::verdict::Verdict;
use super::*;
use fixture::*;
use scanner::finding::{Decimal, Epss, Exploited, Finding, Risk, Severity, Unfixed};
use scanner::release::Support;
use scanner::report::{
    AttackKind, Coverage, CoverageSum, EngineAttack, Malware, MalwareFinding, PermissionFinding,
    PermissionKind, ProgramFile, SecretFinding, Unknown, Unsearched, UnsearchedFile, WastedPath,
};

/// The checks that refused; empty for "allow".
fn refused(checkpoint: Checkpoint, evidence: &Evidence, policy: &Policy) -> Vec<String> {
    match decide(checkpoint, evidence, policy) {
        Verdict::Allow(admitted) => {
            assert_eq!(admitted.digest(), evidence.digest);
            Vec::new()
        }
        Verdict::Deny(denial) => {
            assert!(!denial.reasons.is_empty());
            let mut checks: Vec<String> = denial.reasons.into_iter().map(|reason| reason.check).collect();
            checks.dedup();
            checks
        }
    }
}

const ALL: [Checkpoint; 4] = [Checkpoint::Push, Checkpoint::Release, Checkpoint::Pull, Checkpoint::Admit];

#[track_caller]
fn check(evidence: &Evidence, policy: &Policy, expected: [&[&str]; 4]) {
    for (checkpoint, expected) in ALL.into_iter().zip(expected) {
        assert_eq!(refused(checkpoint, evidence, policy), expected, "at {checkpoint}");
    }
}

#[test]
fn a_clean_signed_released_image_passes_everywhere() {
    check(&signed(clean()), &policy(""), [&[], &[], &[], &[]]);
}

#[test]
fn an_unsigned_image_is_stored_but_goes_no_further() {
    let mut evidence = signed(clean());
    evidence.signatures = keys::verify::Verification::default();
    check(&evidence, &policy(""), [&[], &["signature"], &["signature"], &["signature"]]);
    let before_push = policy_text().replace("before-release", "before-push");
    check(&evidence, &parse(&before_push), [&["signature"], &["signature"], &["signature"], &["signature"]]);
}

#[test]
fn a_signature_for_another_digest_does_not_count() {
    let mut evidence = signed(clean());
    evidence.digest = digest('e');
    check(&evidence, &policy(""), [&[], &["signature"], &["signature"], &["signature"]]);
}

#[test]
fn a_signature_on_the_index_vouches_for_its_children() {
    let mut evidence = signed(clean());
    evidence.parents = vec![evidence.digest.clone()];
    evidence.digest = digest('e');
    check(&evidence, &policy(""), [&[], &[], &[], &[]]);
}

#[test]
fn two_lists_ask_for_two_people() {
    let two = policy_text().replace("[[\"release\"]]", "[[\"release\"], [\"release\", \"qa\"]]");
    check(&signed(clean()), &parse(&two), [&[], &["signature"], &["signature"], &["signature"]]);
    let mut evidence = signed(clean());
    evidence.signatures = verification(&evidence.digest, &[release_key(), qa_key()]);
    check(&evidence, &parse(&two), [&[], &[], &[], &[]]);
}

#[test]
fn only_released_images_are_pulled_and_run() {
    let at = |state| Evidence { state, ..signed(clean()) };
    check(&at(State::Staged), &policy(""), [&[], &[], &["state"], &["state"]]);
    check(&at(State::Withdrawn), &policy(""), [&[], &[], &["state"], &["state"]]);
    // A pipeline or admission door without a store weighs the facts alone; nobody pulls from it.
    check(&at(State::Unknown), &policy(""), [&[], &[], &["state"], &[]]);
}

#[test]
fn a_judged_image_passes_by_state_pin_and_runtime_alone() {
    let judged = |state| Evidence { state, content: Content::Judged, ..signed(clean()) };
    check(&judged(State::Released), &policy(""), [&["content"], &["content"], &[], &[]]);
    check(&judged(State::Staged), &policy(""), [&["content"], &["content"], &["state"], &["state"]]);
    check(&judged(State::Unknown), &policy(""), [&["content"], &["content"], &["state"], &["state"]]);
    let mut by_tag = judged(State::Released);
    by_tag.tag = Some("1.2".to_owned());
    by_tag.runtime.pinned = false;
    check(&by_tag, &policy(""), [&["content"], &["content"], &["pin"], &["pin"]]);
}

#[test]
fn a_tag_is_refused_with_the_digest_to_use() {
    let mut evidence = signed(clean());
    evidence.tag = Some("1.2".to_owned());
    evidence.runtime.pinned = false;
    check(&evidence, &policy(""), [&[], &[], &["pin"], &["pin"]]);
    let Verdict::Deny(denial) = decide(Checkpoint::Pull, &evidence, &policy("")) else { panic!("allowed") };
    assert_eq!(denial.reasons[0].next_step, format!("use `{REPOSITORY}@{}`", digest('a')));
    let by_tag = policy_text().replace("pull = \"digest\"", "pull = \"tag\"");
    check(&evidence, &parse(&by_tag), [&[], &[], &[], &[]]);
}

#[test]
fn no_matching_rule_means_deny() {
    let evidence = Evidence { repository: "registry.example.evil/prod/app".to_owned(), ..signed(clean()) };
    check(&evidence, &policy(""), [&["rule"], &["rule"], &["rule"], &["rule"]]);
}

#[test]
fn what_is_exploited_or_likely_to_be_refuses_whatever_its_severity() {
    let exploited = Some(Exploited { since: 1_753_401_600, ransomware: true });
    let epss = |probability| {
        let share = |number| Decimal::new(number).unwrap();
        Some(Epss { probability: share(probability), percentile: share(0.99) })
    };
    for (deny, risk, fix, denied) in [
        ("known-exploited", Risk { exploited, ..Risk::default() }, None, true),
        ("known-exploited-fixable", Risk { exploited, ..Risk::default() }, None, false),
        ("known-exploited-fixable", Risk { exploited, ..Risk::default() }, Some("2"), true),
        ("known-exploited", Risk { epss: epss(1.0), ..Risk::default() }, None, false),
        ("epss-0.5", Risk { epss: epss(0.5), ..Risk::default() }, None, true),
        ("epss-0.5", Risk { epss: epss(0.49999), ..Risk::default() }, None, false),
        ("epss-0.5-fixable", Risk { epss: epss(0.9), ..Risk::default() }, None, false),
        ("epss-0.5", Risk { exploited, ..Risk::default() }, None, false),
        ("critical", Risk { exploited, epss: epss(1.0), ..Risk::default() }, None, false),
    ] {
        let rule = policy(&format!("scan = {{ deny = [\"{deny}\"] }}"));
        let mut facts = clean();
        let known = scan_mut(&mut facts);
        let revision = known.advisories.as_mut().unwrap();
        (revision.exploited, revision.scored) = (Some(NOW), Some(NOW));
        known.findings.push(Finding { risk, ..finding("CVE-2026-0001", Severity::Low, fix) });
        let expected: &[&str] = if denied { &["vulnerability"] } else { &[] };
        check(&signed(facts), &rule, [expected; 4]);
    }
}

#[test]
fn a_refusal_tells_since_when_and_how_likely_a_problem_is_used() {
    let rule = policy("scan = { deny = [\"known-exploited\"] }");
    let share = |number| Decimal::new(number).unwrap();
    let risk = Risk {
        exploited: Some(Exploited { since: 1_753_401_600, ransomware: true }),
        epss: Some(Epss { probability: share(0.94), percentile: share(0.999) }),
        ..Risk::default()
    };
    let unfixed = Some(Unfixed::Elsewhere { version: "2~esm1".to_owned(), channel: "Ubuntu Pro".to_owned() });
    let mut facts = clean();
    scan_mut(&mut facts).advisories.as_mut().unwrap().exploited = Some(NOW);
    let found = Finding { risk, unfixed, ..finding("CVE-2026-0001", Severity::Low, None) };
    scan_mut(&mut facts).findings.push(found);
    let Verdict::Deny(denial) = decide(Checkpoint::Push, &signed(facts), &rule) else { panic!("allowed") };
    let reason = &denial.reasons[0];
    assert_eq!(
        reason.message,
        "low CVE-2026-0001 in openssl 3.0.1, known exploited since 2025-07-25 (by ransomware), EPSS 0.94 (percentile 0.999), \
         fixed in 2~esm1 of Ubuntu Pro only"
    );
    assert!(reason.next_step.starts_with("build with packages of Ubuntu Pro"), "{}", reason.next_step);
    let json = serde_json::to_value(reason).unwrap();
    assert_eq!((&json["exploited_since"], &json["epss"]), (&"2025-07-25".into(), &0.94.into()));
}

#[test]
fn a_rule_that_asks_what_the_advisories_do_not_hold_is_not_satisfied() {
    for (deny, exploited, scored, known) in [
        ("known-exploited", None, Some(NOW), false),
        ("epss-0.1", Some(NOW), None, false),
        ("known-exploited", Some(NOW), None, true),
        ("epss-0.1", None, Some(NOW), true),
        ("critical", None, None, true),
    ] {
        let rule = policy(&format!("scan = {{ deny = [\"{deny}\"] }}"));
        let mut facts = clean();
        let revision = scan_mut(&mut facts).advisories.as_mut().unwrap();
        (revision.exploited, revision.scored) = (exploited, scored);
        let expected: &[&str] = if known { &[] } else { &["unknown"] };
        check(&signed(facts), &rule, [expected; 4]);
    }
}

#[test]
fn a_probability_is_a_share_of_one() {
    for word in
        ["epss-0", "epss-1.1", "epss-", "epss-50%", "epss-NaN", "exploited", "known-exploited-", "epss--1"]
    {
        let text = policy_text().replace("enforce", &format!("scan = {{ deny = [\"{word}\"] }}\nenforce"));
        let mistakes = Policy::parse(&text, &|_| Ok(Vec::new())).expect_err(word).to_string();
        assert!(mistakes.contains(&format!("`{word}` is no severity")), "{mistakes}");
    }
}

#[test]
fn vulnerabilities_are_weighed_by_severity_and_fix() {
    let cases = [
        (Severity::Critical, None, true),
        (Severity::Critical, Some("2"), true),
        (Severity::High, None, false),
        (Severity::High, Some("2"), true),
        (Severity::Medium, Some("2"), false),
        // Unrated counts as high.
        (Severity::Unknown, None, false),
        (Severity::Unknown, Some("2"), true),
    ];
    for (severity, fix, denied) in cases {
        let mut facts = clean();
        scan_mut(&mut facts).findings.push(finding("CVE-2026-0001", severity, fix));
        let expected: &[&str] = if denied { &["vulnerability"] } else { &[] };
        check(&signed(facts), &policy(""), [expected; 4]);
    }
}

#[test]
fn whatever_could_not_be_judged_refuses() {
    let unknowns = [
        (Unknown::NoDistribution, "unknown"),
        (Unknown::NoAdvisories { ecosystem: "amzn 2023".to_owned(), packages: 3 }, "unknown"),
        (Unknown::NoAdvisoryData, "unknown"),
        (Unknown::BrokenDatabase { path: "a".to_owned(), layer: 0, problem: "b".to_owned() }, "unknown"),
        (Unknown::UnsupportedDatabase { path: "a".to_owned(), layer: 9 }, "unknown"),
        (Unknown::NothingRecognised, "unknown"),
        (Unknown::UnorderableVersion { package: "a 1".to_owned() }, "unknown"),
        (
            Unknown::UnreadableExecutable { path: "a".to_owned(), layer: 1, problem: "b".to_owned() },
            "unknown",
        ),
        (Unknown::UnidentifiedPackage { package: "a 1".to_owned() }, "unknown"),
        (Unknown::MisplacedDatabase { path: "a".to_owned(), layer: 0 }, "unknown"),
        (Unknown::UnlistedSystem { path: "a".to_owned(), layer: 0 }, "unknown"),
        (Unknown::HiddenPackages { path: "a".to_owned(), layer: 0, problem: "b".to_owned() }, "unknown"),
        (Unknown::UnreadableLayer { layer: 0, problem: "path escapes".to_owned() }, "integrity"),
    ];
    let accepting = policy_text() + "scan = { unknown = \"accept-unsafe\" }\n";
    for (unknown, expected) in unknowns {
        let mut facts = clean();
        scan_mut(&mut facts).unknown.push(unknown);
        check(&signed(facts.clone()), &policy(""), [&[expected]; 4]);
        // Accepting the unknown never accepts a layer that was not read.
        let expected: &[&str] = if expected == "integrity" { &["integrity"] } else { &[] };
        check(&signed(facts), &parse(&accepting), [expected; 4]);
    }
}

#[test]
fn what_is_aimed_at_the_engine_refuses_unless_the_policy_says_otherwise() {
    let mut facts = clean();
    let attack = |kind, place: &str, layer| EngineAttack {
        kind,
        place: place.to_owned(),
        layer,
        problem: "x".to_owned(),
    };
    scan_mut(&mut facts).attacks = vec![
        attack(AttackKind::ReservedLabel, "config.Labels[a]", None),
        attack(AttackKind::DeviceNode, "dev/sda", Some(1)),
    ];
    let evidence = signed(facts);
    check(&evidence, &policy(""), [&["attack"]; 4]);
    let Verdict::Deny(denial) = decide(Checkpoint::Push, &evidence, &policy("")) else { panic!("admitted") };
    let told = denial.message(4096);
    assert!(told.contains("`config.Labels[a]`: x (as in CVE-2026-53488); remove the label"), "{told}");
    assert!(
        told.contains("`dev/sda`: x (layer 1: `RUN apt-get install -y openssl`); remove the device"),
        "{told}"
    );
    for (word, denied) in [("deny", true), ("warn", false), ("off", false)] {
        let text = policy_text() + &format!("image = {{ attacks = \"{word}\" }}\n");
        let expected: &[&str] = if denied { &["attack"] } else { &[] };
        check(&evidence, &parse(&text), [expected; 4]);
    }
}

#[test]
fn known_bad_programs_refuse_in_every_layer_and_no_exception_helps() {
    let text = policy_text() + "scan = { known-bad = \"bad.txt\", unknown = \"accept-unsafe\" }\n";
    let program = |digit: &str, deleted_later| ProgramFile {
        path: "usr/bin/miner".to_owned(),
        layer: 0,
        deleted_later,
        sha256: digit.repeat(64),
    };
    for (digit, deleted_later, denied) in [("b", false, true), ("b", true, true), ("a", false, false)] {
        let mut facts = clean();
        scan_mut(&mut facts).programs = vec![program("0", false), program(digit, deleted_later)];
        let expected: &[&str] = if denied { &["known-bad"] } else { &[] };
        check(&signed(facts.clone()), &parse(&text), [expected; 4]);
        check(&signed(facts), &policy(""), [&[]; 4]);
    }
    let waived = "[[exception]]\ncheck = \"known-bad\"\nimages = [\"**\"]\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-01\n";
    let read = |_: &std::path::Path| Ok(Vec::new());
    assert!(
        Policy::parse(&(policy_text() + waived), &read)
            .is_err_and(|mistakes| mistakes.to_string().contains("known-bad"))
    );
}

/// What YARA rules match refuses wherever there are rules; where the policy asks for rules, none are not enough.
#[test]
fn what_yara_rules_match_refuses_and_what_they_did_not_see_is_unknown() {
    let found = |rule: &str, deleted_later| MalwareFinding {
        rule: rule.to_owned(),
        rule_file: "linux/miner.yar".to_owned(),
        path: "usr/bin/m".to_owned(),
        layer: 1,
        deleted_later,
    };
    let unsearched = |why| UnsearchedFile { path: "usr/lib/big".to_owned(), layer: 0, why };
    let asked = || Malware { rules: Some("0".repeat(64)), ..Malware::default() };
    let matched = Malware { matches: vec![found("miner", true)], ..asked() };
    let slow = Malware { unsearched: vec![unsearched(Unsearched::TimedOut)], ..asked() };
    let large = Malware { unsearched: vec![unsearched(Unsearched::Oversize { bytes: 7 })], ..asked() };
    let cases: [(&Malware, &str, &[&str]); 15] = [
        (&Malware::default(), "", &[]),
        (&asked(), "", &[]),
        (&matched, "", &["malware"]),
        (&slow, "", &["unknown"]),
        (&large, "", &[]),
        (&Malware::default(), "malware = \"deny\"", &["malware"]),
        (&Malware::default(), "malware = \"warn\"", &[]),
        (&asked(), "malware = \"deny\"", &[]),
        (&matched, "malware = \"warn\"", &[]),
        (&matched, "malware = \"off\"", &[]),
        (&slow, "malware = \"off\"", &[]),
        (&slow, "malware = \"warn\"", &["unknown"]),
        (&slow, "unknown = \"accept-unsafe\"", &[]),
        (&large, "malware-oversize = \"deny\"", &["malware-oversize"]),
        (&large, "malware-oversize = \"deny\", malware = \"off\"", &[]),
    ];
    for (malware, rule, expected) in cases {
        let mut facts = clean();
        scan_mut(&mut facts).malware = malware.clone();
        check(&signed(facts), &policy(&format!("scan = {{ {rule} }}")), [expected; 4]);
    }

    let mut facts = clean();
    scan_mut(&mut facts).malware =
        Malware { matches: vec![found("miner", false), found("other", true)], ..asked() };
    let Verdict::Deny(denial) = decide(Checkpoint::Push, &signed(facts.clone()), &policy("")) else {
        panic!("a match refuses")
    };
    let [miner, other] = &denial.reasons[..] else { panic!("two rules, {:?}", denial.reasons) };
    assert!(miner.message.contains("`miner` (`linux/miner.yar`) matches `usr/bin/m`"), "{}", miner.message);
    assert!(other.message.contains("still ships"), "{}", other.message);
    let instruction = miner.layer.as_ref().and_then(|layer| layer.instruction.as_deref());
    assert_eq!(
        (instruction, miner.finding.as_deref()),
        (Some("RUN apt-get install -y openssl"), Some("miner"))
    );
    // An exception names one rule; the check as a whole cannot be waived.
    let exception = |what: &str| {
        format!(
            "[[exception]]\n{what}\nimages = [\"**\"]\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-12-31\n"
        )
    };
    let waiving = parse(&(policy_text() + &exception("malware = \"miner\"")));
    let Verdict::Deny(denial) = decide(Checkpoint::Push, &signed(facts), &waiving) else {
        panic!("the other rule refuses")
    };
    assert_eq!(denial.reasons.len(), 1);
    assert_eq!(denial.reasons[0].finding.as_deref(), Some("other"));
    let read = |_: &std::path::Path| Ok(Vec::new());
    assert!(Policy::parse(&(policy_text() + &exception("check = \"malware\"")), &read).is_err());
}

#[test]
fn unexplained_programs_refuse_past_the_limit() {
    let class = |files, bytes| CoverageSum { files, bytes };
    let mut facts = clean();
    scan_mut(&mut facts).coverage = Coverage {
        owned: class(9, 900),
        modified: class(1, 40),
        unexplained: class(1, 60),
        ..Coverage::default()
    };
    let cases = [
        ("deny", true),
        ("warn", false),
        ("off", false),
        ("10%", false),
        ("9.99%", true),
        ("100B", false),
        ("99B", true),
    ];
    for (word, denied) in cases {
        let text = policy_text() + &format!("scan = {{ unexplained = \"{word}\" }}\n");
        let expected: &[&str] = if denied { &["unexplained"] } else { &[] };
        check(&signed(facts.clone()), &parse(&text), [expected; 4]);
        check(&signed(clean()), &parse(&text), [&[]; 4]);
    }
    check(&signed(facts), &policy(""), [&[]; 4]);
}

#[test]
fn stale_and_future_advisories_refuse() {
    for (built, denied) in [(0, false), (-7, false), (-8, true), (1, true)] {
        let mut facts = clean();
        scan_mut(&mut facts).advisories.as_mut().unwrap().built = NOW + built * 86_400;
        let expected: &[&str] = if denied { &["advisory-age"] } else { &[] };
        check(&signed(facts), &policy(""), [expected; 4]);
    }
}

#[test]
fn a_release_without_support_refuses_where_the_policy_says_so() {
    let denying = policy_text() + "scan = { end-of-life = \"deny\" }\n";
    for (ends, denied) in [(0, false), (-1, true), (1, false), (-400, true)] {
        let mut facts = clean();
        scan_mut(&mut facts).support = Some(Support::Ends(NOW + ends * 86_400));
        let expected: &[&str] = if denied { &["end-of-life"] } else { &[] };
        check(&signed(facts.clone()), &parse(&denying), [expected; 4]);
        check(&signed(facts), &policy(""), [&[]; 4]);
    }
    let mut facts = clean();
    scan_mut(&mut facts).support = Some(Support::Unknown);
    check(&signed(facts), &parse(&denying), [&[]; 4]);
}

#[test]
fn secrets_in_any_layer_refuse() {
    let mut facts = clean();
    scan_mut(&mut facts).secrets.push(secret());
    check(&signed(facts), &policy(""), [&["secret"]; 4]);
}

#[test]
fn image_limits_refuse_only_past_the_limit() {
    let limited = policy_text()
        + "image = { max-size = \"1MiB\", max-layers = 2, max-wasted = \"10%\", user = \"non-root\", setuid = \"deny\", setgid = \"warn\" }\n";
    let limited = parse(&limited);
    check(&signed(clean()), &limited, [&[]; 4]);
    let change = |change: fn(&mut super::evidence::ImageFacts)| {
        let mut facts = clean();
        change(&mut facts);
        signed(facts)
    };
    check(&change(|facts| facts.size = 1 << 20), &limited, [&[]; 4]);
    check(&change(|facts| facts.size = (1 << 20) + 1), &limited, [&["size"]; 4]);
    let three_layers = |facts: &mut super::evidence::ImageFacts| {
        let layer = facts.scan.layers[0].clone();
        scan_mut(facts).layers.push(layer);
        facts.diff_ids.push(digest('d'));
    };
    check(&change(three_layers), &limited, [&["layers"]; 4]);
    let wasted = |facts: &mut super::evidence::ImageFacts| {
        scan_mut(facts).waste.hidden_bytes = 101;
        scan_mut(facts).waste.paths =
            vec![WastedPath { path: "big".to_owned(), bytes: 101, layer: 0, hidden_by: 1 }];
    };
    check(&change(wasted), &limited, [&["waste"]; 4]);
    let permission = |kind| PermissionFinding { kind, path: "usr/bin/su".to_owned(), mode: 0o4755, layer: 0 };
    let mut facts = clean();
    scan_mut(&mut facts).permissions.push(permission(PermissionKind::Setuid));
    check(&signed(facts), &limited, [&["permission-setuid"]; 4]);
    let mut facts = clean();
    scan_mut(&mut facts).permissions.push(permission(PermissionKind::Setgid));
    check(&signed(facts), &limited, [&[]; 4]);
}

#[test]
fn growth_refuses_past_its_budget_and_names_the_layer() {
    let limited = parse(&(policy_text() + "image = { max-growth = \"10%\" }\n"));
    let grown = |bytes: u64| {
        let mut facts = clean();
        let scan = scan_mut(&mut facts);
        scan.layers[1].file_bytes = bytes;
        scan.layers[1].diff_id = Some(digest('9'));
        facts
    };
    let after = |previous: Option<Content>, facts| {
        let mut evidence = signed(facts);
        evidence.previous = previous.map(|content| Previous { name: "app:1".to_owned(), content });
        evidence
    };
    let before = || Some(Content::Image(clean()));
    // 400 + 400 bytes before: 80 more are allowed.
    check(&after(before(), clean()), &limited, [&[]; 4]);
    check(&after(before(), grown(480)), &limited, [&[]; 4]);
    check(&after(before(), grown(481)), &limited, [&["growth"]; 4]);
    check(&after(before(), grown(1)), &limited, [&[]; 4]);
    check(&after(None, grown(9000)), &limited, [&[]; 4]);
    check(&after(before(), grown(9000)), &policy(""), [&[]; 4]);
    // An index is no way around the budget: what has no counterpart is compared with the largest image.
    let child = |platform: &str, facts| IndexChild {
        digest: digest('b'),
        platform: platform.to_owned(),
        content: Content::Image(facts),
    };
    let index = Content::Index(vec![child("linux/amd64", grown(500)), child("linux/arm64", clean())]);
    for (platform, expected) in [("linux/amd64", [&[] as &[&str]; 4]), ("linux/arm64", [&["growth"]; 4])] {
        let mut evidence = after(Some(index.clone()), clean());
        evidence.content = Content::Index(vec![child(platform, grown(500))]);
        check(&evidence, &limited, expected);
    }
    let mut evidence = after(Some(index), clean());
    evidence.content = Content::Index(vec![child("linux/s390x", grown(591))]);
    check(&evidence, &limited, [&["growth"]; 4]);
    evidence.content = Content::Index(vec![child("linux/s390x", grown(590))]);
    check(&evidence, &limited, [&[]; 4]);

    let evidence = after(before(), grown(900));
    let Verdict::Deny(denial) = decide(Checkpoint::Push, &evidence, &limited) else { panic!("it grew") };
    let reason = &denial.reasons[0];
    assert_eq!(
        reason.message,
        "files grew by 500 B from 800 B to 1.2 KiB since app:1, 10% are allowed; packages: 0 before, 0 now; \
         layer 1 has grown by 500 B: `RUN apt-get install -y openssl`"
    );
    assert_eq!(reason.layer.as_ref().map(|layer| layer.index), Some(1));
}

#[test]
fn root_by_any_spelling_is_root() {
    let policies = ["non-root", "non-root-numeric"]
        .map(|user| parse(&(policy_text() + &format!("image = {{ user = \"{user}\" }}\n"))));
    let cases = [
        ("", [true, true]),
        ("0", [true, true]),
        ("000", [true, true]),
        ("+0", [true, true]),
        ("-0", [true, true]),
        ("0:1000", [true, true]),
        ("root", [true, true]),
        ("root:users", [true, true]),
        (" 0", [true, true]),
        (":1000", [true, true]),
        ("1000", [false, false]),
        ("1000:0", [false, false]),
        ("app", [false, true]),
    ];
    for (user, denied) in cases {
        for (policy, denied) in policies.iter().zip(denied) {
            let mut facts = clean();
            facts.user = user.to_owned();
            let expected: &[&str] = if denied { &["user"] } else { &[] };
            check(&signed(facts), policy, [expected; 4]);
        }
    }
}

#[test]
fn base_images_are_held_to_the_list() {
    let pinned = digest('b');
    let rule = format!(
        "base = {{ allow = [\"docker.io/library/debian@{pinned}\", \"registry.example/base/*\"] }}\n"
    );
    let limited = parse(&(policy_text() + &rule));
    let cases = [
        (None, None, true),
        (Some("docker.io/library/debian:12"), Some(digest('b')), false),
        (Some("docker.io/library/debian:12"), Some(digest('c')), true),
        (Some("docker.io/library/debian:12"), None, true),
        (Some("registry.example/base/java:21"), None, false),
        (Some("registry.example/base/java/x"), None, true),
        (Some("registry.example:5000/base/java:21"), None, true),
    ];
    for (name, digest, denied) in cases {
        let mut facts = clean();
        facts.base = Some(BaseImage { name: name.map(str::to_owned), digest });
        let expected: &[&str] = if denied { &["base"] } else { &[] };
        check(&signed(facts), &limited, [expected; 4]);
    }
    let unpinned = policy_text().replace("pull = \"digest\"", "pull = \"digest\", base-image = \"digest\"");
    check(&signed(clean()), &parse(&unpinned), [&["pin"]; 4]);
}

#[test]
fn runtime_wishes_are_asked_at_admission_only() {
    let mut evidence = signed(clean());
    evidence.runtime = Runtime {
        privileged: true,
        apparmor_unconfined: true,
        host_binds: vec!["/".to_owned()],
        pinned: true,
    };
    check(&evidence, &policy(""), [&[], &[], &[], &["privileged", "apparmor"]]);
    evidence.runtime = Runtime { host_binds: vec!["/".to_owned()], pinned: true, ..Runtime::default() };
    let Verdict::Allow(admitted) = decide(Checkpoint::Admit, &evidence, &policy("")) else {
        panic!("denied")
    };
    assert_eq!(admitted.warnings()[0].check, "host-bind-mount");
}

#[test]
fn contradictions_refuse() {
    let mut facts = clean();
    facts.problems.push("layer 0 is declared gzip, its bytes are zstd".to_owned());
    check(&signed(facts), &policy(""), [&["integrity"]; 4]);
    let mut facts = clean();
    facts.diff_ids.pop();
    check(&signed(facts), &policy(""), [&["integrity"]; 4]);
}

#[test]
fn every_platform_of_an_index_must_pass() {
    let child =
        |platform: &str, content| IndexChild { digest: digest('c'), platform: platform.to_owned(), content };
    let attestation =
        || Content::Artifact { artifact_type: "application/vnd.in-toto+json".to_owned(), size: 10 };
    let mut bad = clean();
    scan_mut(&mut bad).findings.push(finding("CVE-2026-0001", Severity::Critical, None));
    let index = |children| Evidence { content: Content::Index(children), ..signed(clean()) };
    let good =
        index(vec![child("linux/amd64", Content::Image(clean())), child("unknown/unknown", attestation())]);
    check(&good, &policy(""), [&[]; 4]);
    let mixed =
        index(vec![child("linux/amd64", Content::Image(clean())), child("linux/arm64", Content::Image(bad))]);
    check(&mixed, &policy(""), [&["vulnerability"]; 4]);
    let Verdict::Deny(denial) = decide(Checkpoint::Push, &mixed, &policy("")) else { panic!("allowed") };
    assert_eq!(denial.reasons[0].platform.as_deref(), Some("linux/arm64"));
    for unweighed in [Content::Judged, Content::Index(Vec::new())] {
        let evidence =
            index(vec![child("linux/amd64", Content::Image(clean())), child("linux/arm64", unweighed)]);
        check(&evidence, &policy(""), [&["content"]; 4]);
    }
}

#[test]
fn what_cannot_run_is_stored_and_served_but_never_admitted() {
    let artifact = Content::Artifact { artifact_type: "application/spdx+json".to_owned(), size: 10 };
    let child =
        IndexChild { digest: digest('c'), platform: "unknown/unknown".to_owned(), content: artifact.clone() };
    for content in [artifact, Content::Index(Vec::new()), Content::Index(vec![child])] {
        let evidence =
            Evidence { content, signatures: keys::verify::Verification::default(), ..signed(clean()) };
        check(&evidence, &policy(""), [&[], &[], &[], &["content"]]);
    }
}

#[test]
fn an_exception_waives_what_it_names_and_nothing_else() {
    let exception = |what: &str, images: &str, expires: &str| {
        let scope = format!("images = [\"{images}\"]\nreason = \"not reachable\"\nowner = \"a@example\"\n");
        policy(&format!("[[exception]]\n{what}\n{scope}expires = {expires}\n"))
    };
    let mut facts = clean();
    scan_mut(&mut facts).findings.push(finding("CVE-2026-0001", Severity::Critical, None));
    let evidence = signed(facts);
    let waived: [&[&str]; 4] = [&[]; 4];
    let denied: [&[&str]; 4] = [&["vulnerability"]; 4];
    let today = "2026-07-01";
    let cases = [
        ("finding = \"CVE-2026-0001\"", REPOSITORY, today, waived),
        ("finding = \"cve-2026-0001\"", "**", today, waived),
        ("finding = \"GHSA-alias\"", "**", today, waived),
        ("check = \"vulnerability\"", "**", today, waived),
        ("finding = \"CVE-2026-0001\"\npackage = \"openssl\"", "**", today, waived),
        ("finding = \"CVE-2026-0001\"\npackage = \"zlib\"", "**", today, denied),
        ("finding = \"CVE-2026-0002\"", "**", today, denied),
        ("finding = \"CVE-2026-0001\"", "registry.example/prod/app2", today, denied),
        ("check = \"unknown\"", "**", today, denied),
        // The last day still counts, the next one does not.
        ("finding = \"CVE-2026-0001\"", "**", "2026-06-30", denied),
    ];
    for (what, images, expires, expected) in cases {
        check(&evidence, &exception(what, images, expires), expected);
    }
    let Verdict::Allow(admitted) = decide(Checkpoint::Push, &evidence, &exception(cases[0].0, "**", today))
    else {
        panic!("denied")
    };
    let message = &admitted.warnings()[0].message;
    assert!(message.ends_with("(waived by a@example until 2026-07-01: not reachable)"), "{message}");
    let Verdict::Deny(denial) =
        decide(Checkpoint::Push, &evidence, &exception(cases[0].0, "**", "2026-06-30"))
    else {
        panic!("allowed")
    };
    assert!(denial.reasons[0].message.ends_with("(the exception by a@example ended on 2026-06-30)"));
}

#[test]
fn an_exception_for_one_secret_waives_that_secret() {
    let mut facts = clean();
    scan_mut(&mut facts).secrets.push(secret());
    let text = |value: &str| {
        format!(
            "[[exception]]\nsecret = \"{value}\"\nimages = [\"**\"]\nreason = \"test key\"\nowner = \"a\"\nexpires = 2027-01-01\n"
        )
    };
    check(&signed(facts.clone()), &policy(&text(&"5".repeat(64))), [&[]; 4]);
    check(&signed(facts.clone()), &policy(&text(&"6".repeat(64))), [&["secret"]; 4]);
    scan_mut(&mut facts).secrets.push(SecretFinding { value_sha256: "7".repeat(64), ..secret() });
    check(&signed(facts), &policy(&text(&"5".repeat(64))), [&["secret"]; 4]);
}

#[test]
fn warn_tells_and_shadow_only_logs() {
    let mut facts = clean();
    scan_mut(&mut facts).findings.push(finding("CVE-2026-0001", Severity::Critical, None));
    let evidence = signed(facts);
    let enforce =
        |word: &str| parse(&policy_text().replace("enforce = \"deny\"", &format!("enforce = \"{word}\"")));
    let Verdict::Allow(warned) = decide(Checkpoint::Push, &evidence, &enforce("warn")) else {
        panic!("denied")
    };
    assert_eq!((warned.warnings().len(), warned.shadowed().len()), (1, 0));
    let Verdict::Allow(shadowed) = decide(Checkpoint::Push, &evidence, &enforce("shadow")) else {
        panic!("denied")
    };
    assert_eq!((shadowed.warnings().len(), shadowed.shadowed().len()), (0, 1));
    // What is not released is not served, whatever the rule enforces.
    let staged = Evidence { state: State::Staged, ..evidence };
    check(&staged, &enforce("shadow"), [&[], &[], &["state"], &["state"]]);
}

#[test]
fn a_refusal_reads_as_a_developer_needs_it() {
    let mut facts = clean();
    scan_mut(&mut facts).findings.push(finding("CVE-2026-0002", Severity::High, Some("3.0.2")));
    scan_mut(&mut facts).findings.push(finding("CVE-2026-0001", Severity::Critical, None));
    scan_mut(&mut facts).secrets.push(secret());
    let mut evidence = Evidence { tag: Some("1.2".to_owned()), ..signed(facts) };
    evidence.signatures = keys::verify::Verification::default();
    let Verdict::Deny(denial) = decide(Checkpoint::Release, &evidence, &policy("")) else {
        panic!("allowed")
    };
    insta::assert_snapshot!(denial.message(super::explain::MESSAGE_BYTES_MAX), @r##"
    registry.example/prod/app:1.2@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa was refused at release by policy rule `prod`, 4 reasons:
    1. [signature] no valid signature by `release`; sign it: `portcullis sign registry.example/prod/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --key …`, or cosign
    2. [secret] aws-access-key-id `AKIA12…` in `root/.aws/credentials`, which a later layer deletes, but it still ships (layer 0: `ADD rootfs.tar /`); revoke it, for it counts as stolen; pass it as a build secret instead
    3. [vulnerability] critical CVE-2026-0001 in openssl 3.0.1, not fixed yet (layer 1: `RUN apt-get install -y openssl`); remove the package, choose another base image, or ask for an exception
    4. [vulnerability] high CVE-2026-0002 in openssl 3.0.1, fixed in 3.0.2 (layer 1: `RUN apt-get install -y openssl`); update openssl to 3.0.2 or later and build again
    help: https://wiki.example/gate
    "##);
    insta::assert_snapshot!(denial.message(560), @r##"
    registry.example/prod/app:1.2@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa was refused at release by policy rule `prod`, 4 reasons:
    1. [signature] no valid signature by `release`; sign it: `portcullis sign registry.example/prod/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --key …`, or cosign
    … and 3 more
    help: https://wiki.example/gate
    "##);
}

#[test]
fn a_refusal_is_bounded_and_counts_what_it_leaves_out() {
    let mut facts = clean();
    for number in 0..1500 {
        scan_mut(&mut facts).findings.push(finding(
            &format!("CVE-2026-{number:05}"),
            Severity::Critical,
            None,
        ));
    }
    let Verdict::Deny(denial) = decide(Checkpoint::Push, &signed(facts), &policy("")) else {
        panic!("allowed")
    };
    assert_eq!((denial.reasons.len(), denial.omitted), (1000, 500));
    for bytes_max in [0, 10, 100, 500, 4096] {
        let message = denial.message(bytes_max);
        assert!(message.len() <= bytes_max);
        assert!(bytes_max < 500 || message.contains("more"), "{message}");
    }
}

#[test]
fn a_policy_explains_itself() {
    insta::assert_snapshot!(super::explain::explain(&policy(""), REPOSITORY), @r##"
    registry.example/prod/app: rule `prod` (registry.example/prod/**)
      release: signed by release
      pull, admit: only by digest
      push: vulnerabilities denied: critical or worse, high or worse with a fix; unrated counts as high
      push: secrets: denied
      push: what cannot be judged: denied; advisories at most 7days old
      push: what YARA rules match: denied, where the gate has rules
      push: what is aimed at the engine: denied
      admit: privileged containers: denied
      admit: containers without AppArmor: denied
      admit: binding paths of the host: warned about
    "##);
    assert!(super::explain::explain(&policy(""), "other.example/x").contains("no rule matches"));
}
