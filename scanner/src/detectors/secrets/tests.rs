//! What is a credential and what only looks like one. The values are made up.

use super::*;
use crate::layer::EntryKind;

fn rules(path: &str, text: &str) -> Vec<String> {
    let entry =
        Entry { path: path.as_bytes(), kind: EntryKind::File, mode: 0, size: 0, hash: None, target: b"" };
    let window = Window { bytes: text.as_bytes(), fresh: 0..text.len(), first: true, offset: 0 };
    let mut found = Vec::new();
    Secrets.inspect(&entry, &window, &mut found);
    let rule = |detected| match detected {
        Detected::Secret { rule, .. } => rule,
        Detected::Permission(_) => unreachable!("this detector finds secrets"),
    };
    found.into_iter().map(rule).collect()
}

#[test]
fn every_rule_builds_and_has_a_way_in() {
    assert_eq!(ENGINE.patterns.len(), RULES.len());
    for rule in RULES {
        assert!(!rule.keywords.is_empty() || !rule.files.is_empty(), "{}", rule.name);
    }
    let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn credentials_are_found() {
    // Assembled here, so that no scanner of source code takes this file for a leak.
    let join = |parts: &[&str]| parts.concat();
    let cases = [
        ("x", join(&["id = AKIA", "2IBYYURL7B6KJ6HB"]), "aws-access-key-id"),
        (
            "x",
            join(&["aws_secret_access_key = qsxRpvED5hJRaOvRTYZPNvS", "/I4k9GvvK9JkmW378\n"]),
            "aws-secret-access-key",
        ),
        (".netrc", "machine h login ci password GzLtr9MWixrZ19".to_owned(), "netrc-password"),
        (
            ".docker/config.json",
            r#"{"auths":{"r":{"auth":"ZGVwbG95Ym90OnVGTVY4"}}}"#.to_owned(),
            "docker-config-auth",
        ),
        ("x", join(&["glpat", "-qnFCraP_c0YsHh47lft6"]), "gitlab-pat"),
        ("x", join(&["postgres://shop:aymbA5t0", "BQ09E4qs3G@db:5432/shop"]), "database-url-password"),
        ("x", join(&["sk_", "live_YpX4nVrRtdVlC1fDBUiTue7f"]), "stripe-live-key"),
    ];
    for (path, text, rule) in cases {
        assert_eq!(rules(path, &text), [rule], "{path}");
    }
}

#[test]
fn look_alikes_are_not_reported() {
    let cases = [
        ("x", "AKIAIOSFODNN7EXAMPLE"),
        ("x", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("x", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("x", "ghp_hOgLvd1UBCrvi3ah0vbD3cThzOpzQMzH0onB"),
        ("x", "postgres://user:password@localhost/db"),
        ("x", "postgres://$USER:$PASS@localhost/db"),
        ("x", "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n"),
        ("x", "//registry/:_authToken=${NPM_TOKEN_OF_THE_BUILD}"),
        ("x", "npm_config_cache=/var/cache/npm/and/some/more"),
        ("x", r#"{"auth": "c29tZXRoaW5nIGVsc2U="}"#),
    ];
    for (path, text) in cases {
        assert_eq!(rules(path, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn protected_keys_are_not_reported() {
    let body = "MIIEpAIBAAKCAQEAzntdDJr924Uc1E7eRJXQB/oHIwBklN8i+SBzX3h2HrR78W2J\n".repeat(4);
    let key =
        |label: &str, head: &str| format!("-----BEGIN {label}-----\n{head}{body}-----END {label}-----\n");
    assert_eq!(rules("x", &key("RSA PRIVATE KEY", "")), ["rsa-private-key"]);
    for library in ["usr/lib/libgnutls.so.30.29.1", "usr/lib/libgnutls.so", "usr/lib/libgnutls.a"] {
        assert_eq!(
            rules(library, &key("RSA PRIVATE KEY", "")),
            Vec::<String>::new(),
            "a key to test itself with"
        );
    }
    assert_eq!(rules("x", &key("PRIVATE KEY", "")), ["private-key"]);
    assert_eq!(rules("x", &key("ENCRYPTED PRIVATE KEY", "")), Vec::<String>::new());
    let head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n";
    assert_eq!(rules("x", &key("RSA PRIVATE KEY", head)), Vec::<String>::new());
    assert_eq!(rules("x", &key("OPENSSH PRIVATE KEY", "")), Vec::<String>::new(), "not OpenSSH's format");
}
