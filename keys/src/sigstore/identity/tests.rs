//! Patterns match in full or not at all, and an identity without an issuer or a subject cannot be asked for.

use std::collections::BTreeMap;

use super::*;

fn check(pattern: Pattern, matching: &[&str], other: &[&str]) {
    for text in matching {
        assert!(pattern.matches(text), "{pattern} should match {text}");
    }
    for text in other {
        assert!(!pattern.matches(text), "{pattern} should not match {text}");
    }
}

#[test]
fn an_exact_text_matches_itself_with_its_letter_case_alone() {
    check(
        Pattern::exact("dev@acme.example").unwrap(),
        &["dev@acme.example"],
        &["Dev@acme.example", "dev@acme.example ", ""],
    );
    check(Pattern::exact("a*").unwrap(), &["a*"], &["ab"]);
}

#[test]
fn one_star_stays_within_a_part_and_two_cross_slashes() {
    let job = "https://jenkins.example/job/app/*";
    check(
        Pattern::glob(job).unwrap(),
        &["https://jenkins.example/job/app/7"],
        &[
            "https://jenkins.example/job/app/7/x",
            "https://jenkinsXexample/job/app/7",
            "https://evil.example/?https://jenkins.example/job/app/7",
        ],
    );
    let any = Pattern::glob("https://git.example/acme/**@refs/tags/v*").unwrap();
    check(
        any,
        &["https://git.example/acme/a/b.yml@refs/tags/v1"],
        &["https://git.example/acme/a@refs/heads/v1"],
    );
}

#[test]
fn an_expression_is_anchored_whatever_it_holds() {
    check(Pattern::regex("acme").unwrap(), &["acme"], &["xacme", "acmex", "acme\n"]);
    check(Pattern::regex("a|b").unwrap(), &["a", "b"], &["ab", "xb"]);
    check(Pattern::regex("(?m)^a$").unwrap(), &["a"], &["x\na", "a\nx"]);
}

#[test]
fn a_pattern_that_names_nobody_or_everybody_is_refused() {
    for pattern in [Pattern::exact(""), Pattern::glob(""), Pattern::regex("")] {
        assert!(matches!(pattern, Err(IdentityError::Empty(_))), "{pattern:?}");
    }
    for pattern in [Pattern::glob("*"), Pattern::glob("**"), Pattern::regex(".*"), Pattern::regex("(?s).*|x")]
    {
        assert!(matches!(pattern, Err(IdentityError::Everybody(_))), "{pattern:?}");
    }
    let long = "a".repeat(limits::PATTERN_CHARS_MAX + 1);
    for pattern in ["a)|(b", "(", "(a{1000}){1000}", &long] {
        let pattern = Pattern::regex(pattern);
        assert!(matches!(pattern, Err(IdentityError::Pattern { .. })), "{pattern:?}");
    }
}

fn signer() -> CertificateSigner {
    CertificateSigner {
        subject: "s".to_owned(),
        issuer: "i".to_owned(),
        extensions: BTreeMap::from([("source-repository-id".to_owned(), "42".to_owned())]),
    }
}

/// Kyverno's CVE-2025-29778: a field that the policy names must be compared, not passed over.
#[test]
fn every_field_of_an_identity_is_compared() {
    let exact = |text: &str| Pattern::exact(text).unwrap();
    let extension = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let cases = [
        ("i", "s", vec![], true),
        ("i", "s", extension("source-repository-id", "42"), true),
        ("i", "s", extension("1.3.6.1.4.1.57264.1.15", "42"), true),
        ("x", "s", vec![], false),
        ("i", "x", vec![], false),
        ("i", "s", extension("source-repository-id", "43"), false),
        ("i", "s", extension("source-repository-owner-id", "42"), false),
    ];
    for (issuer, subject, extensions, expected) in cases {
        let identity = CertificateIdentity::new(exact(issuer), exact(subject), extensions).unwrap();
        let verdict = identity.check(&signer());
        assert_eq!(verdict.is_ok(), expected, "{identity}: {verdict:?}");
        assert!(matches!(verdict, Ok(()) | Err(SigstoreError::Identity(_))));
    }
}

#[test]
fn an_extension_that_nobody_knows_is_refused() {
    for name in ["", "source-repo", "issuer", "1.3.6.1.4.1.57264.1.8", "1.2.3"] {
        let exact = || Pattern::exact("x").unwrap();
        let identity = CertificateIdentity::new(exact(), exact(), [(name.to_owned(), String::new())]);
        assert!(matches!(identity, Err(IdentityError::Extension(_))), "{name}: {identity:?}");
    }
}
