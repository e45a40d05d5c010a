//! What a trust store accepts and refuses.

use super::*;

fn accepts(rule: &RepositoryMatch, signed: &str, repository: &str) -> bool {
    rule.accepts(signed, Subject { digest: "", repository })
}

#[test]
fn repositories_match_whole_and_at_path_boundaries() {
    let remap = |prefix: &str, signed: &str| RepositoryMatch::Remap {
        prefix: prefix.to_owned(),
        signed_prefix: signed.to_owned(),
    };
    let mirror = remap("mirror.example/up", "up.example");
    let cases = [
        (&RepositoryMatch::Any, "", "r.example/a", true),
        (&RepositoryMatch::Exact, "r.example/a", "r.example/a", true),
        (&RepositoryMatch::Exact, "r.example:5000/a:1.0", "r.example:5000/a", true),
        (&RepositoryMatch::Exact, "r.example/a@sha256:00", "r.example/a", true),
        (&RepositoryMatch::Exact, "r.example/a:1@sha256:00", "r.example/a", true),
        (&RepositoryMatch::Exact, "r.example/a", "r.example/ab", false),
        (&RepositoryMatch::Exact, "r.example/dev/a", "r.example/a", false),
        (&RepositoryMatch::Exact, "R.example/a", "r.example/a", false),
        (&RepositoryMatch::Exact, "", "", false),
        (&mirror, "up.example/a:1", "mirror.example/up/a", true),
        (&mirror, "up.example/a", "mirror.example/upper/a", false),
        (&mirror, "up.example/b", "mirror.example/up/a", false),
        (&mirror, "mirror.example/up/a", "mirror.example/up/a", false),
        (&mirror, "up.example", "mirror.example/up", true),
    ];
    for (rule, signed, repository, expected) in cases {
        assert_eq!(accepts(rule, signed, repository), expected, "{rule:?} {signed} {repository}");
    }
}

#[test]
fn the_private_half_or_a_certificate_is_not_taken_for_a_public_key() {
    for label in ["PRIVATE KEY", "CERTIFICATE", "ENCRYPTED SIGSTORE PRIVATE KEY", "RSA PUBLIC KEY"] {
        let pem = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        assert_eq!(PublicKey::from_pem(&pem), Err(PublicKeyError::PemLabel(label.to_owned())));
    }
    assert!(matches!(PublicKey::from_pem("cosign.pub"), Err(PublicKeyError::Pem(_))));
    assert!(matches!(PublicKey::from_pem(&"x".repeat(70_000)), Err(PublicKeyError::TooLarge(70_000))));
}

#[test]
fn both_ends_of_a_window_belong_to_it() {
    let key = crate::testing::key("p256").public_key().clone();
    let window = TrustedKey { key, not_before: Some(10), not_after: Some(20) };
    let valid: Vec<i64> = (8..23).filter(|&now| window.is_valid_at(now)).collect();
    assert_eq!(valid, (10..=20).collect::<Vec<_>>());
}
