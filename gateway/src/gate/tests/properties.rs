//! Laws that hold for all evidence and all policies.

use proptest::prelude::*;
use scanner::finding::Severity;
use scanner::report::{PermissionFinding, PermissionKind, SecretFinding, Unknown};

use super::super::evidence::{Content, Evidence, ImageFacts, IndexChild, Runtime, State};
use super::super::policy::Policy;
use super::super::verdict::Verdict;
use super::super::{Checkpoint, decide};
use super::fixture::*;

fn severity() -> impl Strategy<Value = Severity> {
    prop::sample::select(vec![
        Severity::Unknown,
        Severity::Negligible,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ])
}

/// One thing that speaks against an image, or at most leaves it as it is.
#[derive(Clone, Debug)]
enum Against {
    Finding(u8, Severity, bool),
    Permission(PermissionKind),
    Problem,
    Secret(u8),
    Size(u64),
    Unknown(Unknown),
    Waste(u64),
}

fn against() -> impl Strategy<Value = Against> {
    let kinds = vec![PermissionKind::Setgid, PermissionKind::Setuid, PermissionKind::WorldWritable];
    let unknowns = vec![
        Unknown::NoAdvisoryData,
        Unknown::NoDistribution,
        Unknown::NoSourcePackages { kind: "deb".to_owned(), packages: 2 },
        Unknown::IncompleteDocument { problem: "x".to_owned() },
        Unknown::NothingRecognised,
        Unknown::UnreadableLayer { layer: 7, problem: "x".to_owned() },
    ];
    prop_oneof![
        (0_u8..4, severity(), any::<bool>())
            .prop_map(|(id, severity, fix)| Against::Finding(id, severity, fix)),
        prop::sample::select(kinds).prop_map(Against::Permission),
        Just(Against::Problem),
        (0_u8..3).prop_map(Against::Secret),
        (0_u64..1 << 22).prop_map(Against::Size),
        prop::sample::select(unknowns).prop_map(Against::Unknown),
        (0_u64..2000).prop_map(Against::Waste),
    ]
}

fn add(facts: &mut ImageFacts, against: &Against) {
    match against {
        Against::Finding(id, severity, fix) => {
            let finding = finding(&format!("CVE-2026-000{id}"), *severity, fix.then_some("9"));
            scan_mut(facts).findings.push(finding);
        }
        Against::Permission(kind) => {
            let finding = PermissionFinding { kind: *kind, path: "bin/x".to_owned(), mode: 0o6777, layer: 0 };
            scan_mut(facts).permissions.push(finding);
        }
        Against::Problem => facts.problems.push("contradiction".to_owned()),
        Against::Secret(value) => {
            let value_sha256 = value.to_string().repeat(64);
            scan_mut(facts).secrets.push(SecretFinding { value_sha256, ..secret() });
        }
        Against::Size(bytes) => facts.size = facts.size.saturating_add(*bytes),
        Against::Unknown(unknown) => scan_mut(facts).unknown.push(unknown.clone()),
        Against::Waste(bytes) => scan_mut(facts).waste.hidden_bytes += bytes,
    }
}

fn a_policy() -> impl Strategy<Value = (Policy, String)> {
    let word = |words: &'static [&'static str]| prop::sample::select(words.to_vec());
    let levels = || word(&["deny", "warn", "off"]);
    let deny = word(&[
        "[\"critical\"]",
        "[\"critical\", \"high-fixable\"]",
        "[\"negligible\"]",
        "\"nothing-unsafe\"",
    ]);
    let unknown = word(&["deny", "accept-unsafe"]);
    let exception = word(&[
        "",
        "finding = \"CVE-2026-0001\"\nimages = [\"**\"]",
        "check = \"unknown\"\nimages = [\"registry.example/prod/app\"]",
        "check = \"size\"\nimages = [\"registry.example/prod/*\"]",
        "finding = \"CVE-2026-0002\"\nimages = [\"registry.example/other\"]",
    ]);
    (deny, unknown, levels(), levels(), exception).prop_map(|(deny, unknown, secrets, setuid, exception)| {
        let mut text = policy_text();
        text += &format!("scan = {{ deny = {deny}, unknown = \"{unknown}\", secrets = \"{secrets}\" }}\n");
        text += &format!("image = {{ max-size = \"1MiB\", max-wasted = \"50%\", setuid = \"{setuid}\" }}\n");
        if !exception.is_empty() {
            text +=
                &format!("[[exception]]\n{exception}\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-01\n");
        }
        (parse(&text), text)
    })
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    prop::sample::select(super::ALL.to_vec())
}

fn content(facts: ImageFacts) -> impl Strategy<Value = Content> {
    let child = |content| IndexChild { digest: digest('c'), platform: "linux/amd64".to_owned(), content };
    prop::sample::select(vec![
        Content::Image(facts.clone()),
        Content::Index(vec![child(Content::Image(facts.clone())), child(Content::Image(clean()))]),
        Content::Index(vec![child(Content::Judged), child(Content::Image(facts))]),
        Content::Index(Vec::new()),
        Content::Artifact { artifact_type: String::new(), size: 0 },
        Content::Judged,
    ])
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let states = vec![State::Released, State::Staged, State::Unknown, State::Withdrawn];
    let facts = prop::collection::vec(against(), 0..6).prop_map(|list| {
        let mut facts = clean();
        list.iter().for_each(|against| add(&mut facts, against));
        facts
    });
    (facts.prop_flat_map(content), prop::sample::select(states), any::<[bool; 5]>(), "\\PC{0,30}").prop_map(
        |(content, state, [known, is_signed, tagged, pinned, privileged], name)| {
            let mut evidence = signed(clean());
            evidence.content = content;
            evidence.state = state;
            if !known {
                evidence.repository = name;
            }
            if !is_signed {
                evidence.signatures = keys::verify::Verification::default();
            }
            evidence.tag = tagged.then(|| "latest".to_owned());
            evidence.runtime = Runtime { pinned, privileged, ..Runtime::default() };
            evidence
        },
    )
}

fn allowed(checkpoint: Checkpoint, evidence: &Evidence, policy: &Policy) -> bool {
    matches!(decide(checkpoint, evidence, policy), Verdict::Allow(_))
}

proptest! {
    #[test]
    fn every_question_has_an_answer_and_the_same_one_twice(
        checkpoint in checkpoint(), evidence in evidence(), (policy, _) in a_policy()
    ) {
        let verdict = decide(checkpoint, &evidence, &policy);
        prop_assert_eq!(&verdict, &decide(checkpoint, &evidence, &policy));
        if let Verdict::Deny(denial) = verdict {
            prop_assert!(!denial.reasons.is_empty());
            prop_assert!(denial.reasons.iter().all(|reason| super::super::verdict::CHECKS.contains(&reason.check.as_str())));
            prop_assert!(denial.reasons.iter().all(|reason| !reason.next_step.is_empty()));
        }
    }

    #[test]
    fn more_evidence_against_never_turns_deny_into_allow(
        checkpoint in checkpoint(),
        list in prop::collection::vec(against(), 0..6),
        more in against(),
        (policy, _) in a_policy(),
    ) {
        let mut facts = clean();
        list.iter().for_each(|against| add(&mut facts, against));
        let before = allowed(checkpoint, &signed(facts.clone()), &policy);
        add(&mut facts, &more);
        let after = allowed(checkpoint, &signed(facts), &policy);
        prop_assert!(before || !after);
    }

    #[test]
    fn a_missing_signature_never_helps(checkpoint in checkpoint(), evidence in evidence(), (policy, _) in a_policy()) {
        let before = allowed(checkpoint, &evidence, &policy);
        let unsigned = Evidence { signatures: keys::verify::Verification::default(), ..evidence };
        prop_assert!(before || !allowed(checkpoint, &unsigned, &policy));
    }

    #[test]
    fn what_is_allowed_later_was_allowed_before(evidence in evidence(), (policy, _) in a_policy()) {
        prop_assume!(!matches!(evidence.content, Content::Judged));
        let at = |checkpoint| allowed(checkpoint, &evidence, &policy);
        prop_assert!(!at(Checkpoint::Release) || at(Checkpoint::Push));
        prop_assert!(!at(Checkpoint::Pull) || at(Checkpoint::Release));
        prop_assert!(!at(Checkpoint::Admit) || at(Checkpoint::Release));
    }

    #[test]
    fn the_order_of_findings_is_irrelevant(
        checkpoint in checkpoint(),
        list in prop::collection::vec(against(), 0..6),
        (policy, _) in a_policy(),
    ) {
        let mut forward = clean();
        list.iter().for_each(|against| add(&mut forward, against));
        let mut backward = clean();
        list.iter().rev().for_each(|against| add(&mut backward, against));
        prop_assert_eq!(
            decide(checkpoint, &signed(forward), &policy),
            decide(checkpoint, &signed(backward), &policy)
        );
    }

    #[test]
    fn an_exception_elsewhere_changes_nothing(
        checkpoint in checkpoint(), evidence in evidence(), (policy, text) in a_policy()
    ) {
        let elsewhere = "[[exception]]\ncheck = \"vulnerability\"\nimages = [\"elsewhere.example/**\"]\nreason = \"r\"\nowner = \"o\"\nexpires = 2027-01-01\n";
        let more = parse(&(text + elsewhere));
        prop_assert_eq!(decide(checkpoint, &evidence, &policy), decide(checkpoint, &evidence, &more));
    }

    #[test]
    fn shadow_never_refuses_what_is_released(
        checkpoint in checkpoint(),
        list in prop::collection::vec(against(), 0..6),
        (_, text) in a_policy(),
        pinned in any::<bool>(),
    ) {
        let mut facts = clean();
        list.iter().for_each(|against| add(&mut facts, against));
        let mut evidence = signed(facts);
        evidence.signatures = keys::verify::Verification::default();
        evidence.runtime = Runtime { pinned, privileged: true, ..Runtime::default() };
        let shadow = parse(&text.replace("enforce = \"deny\"", "enforce = \"shadow\""));
        prop_assert!(allowed(checkpoint, &evidence, &shadow));
    }
}
