//! What a trust store accepts and refuses.

use proptest::prelude::*;

use super::*;
use crate::testing::{KINDS, key};

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
        (&mirror, "up.exampleper/a", "mirror.example/upper/a", false),
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
    let key = key("p256").public_key().clone();
    let window = TrustedKey { key, not_before: Some(10), not_after: Some(20) };
    let valid: Vec<i64> = (8..23).filter(|&now| window.is_valid_at(now)).collect();
    assert_eq!(valid, (10..=20).collect::<Vec<_>>());
}

/// One wrong byte or one more in the encoding, and it is another key or none.
#[test]
fn a_key_has_one_encoding() {
    for kind in KINDS {
        let good = key(kind).public_key().spki_der().to_vec();
        assert_eq!(PublicKey::from_der(&good).unwrap(), *key(kind).public_key(), "{kind}");
        let longer = [good.as_slice(), &[0]].concat();
        for wrong in [&longer, &good[..good.len() - 1], &[]] {
            assert!(PublicKey::from_der(wrong).is_err(), "{kind}");
        }
        // Unused bits in the bit string.
        let mut unused = good.clone();
        let at = good.windows(2).rposition(|pair| pair == [0, 4]).filter(|_| kind.starts_with('p'));
        if let Some(at) = at {
            unused[at] = 1;
            assert_eq!(PublicKey::from_der(&unused), Err(PublicKeyError::Der), "{kind}");
        }
    }
}

#[test]
fn points_off_the_curve_and_compressed_points_are_refused() {
    let good = key("p256").public_key().spki_der().to_vec();
    let mut off = good.clone();
    *off.last_mut().unwrap() ^= 1;
    assert_eq!(PublicKey::from_der(&off), Err(PublicKeyError::Refused(KeyAlgorithm::EcdsaP256)));
    // 0x3059 3013 … 0342 00 04 x y, as 0x3039 3013 … 0322 00 02 x.
    let x = &good[27..59];
    let compressed = [&[0x30, 0x39], &good[2..23], &[0x03, 0x22, 0x00, 0x02], x].concat();
    assert_eq!(PublicKey::from_der(&compressed), Err(PublicKeyError::Refused(KeyAlgorithm::EcdsaP256)));
}

#[test]
fn weak_and_foreign_keys_are_refused_by_name() {
    assert_eq!(PublicKey::from_pem(RSA1024), Err(PublicKeyError::RsaBits(1024)));
    assert_eq!(PublicKey::from_pem(SECP256K1), Err(PublicKeyError::UnknownAlgorithm));
    assert_eq!(PublicKey::from_pem(X25519), Err(PublicKeyError::UnknownAlgorithm));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(PublicKey::from_der(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_gives_another_key_or_none(at: prop::sample::Index, change in 1u8..) {
        for kind in KINDS {
            let mut der = key(kind).public_key().spki_der().to_vec();
            let at = at.index(der.len());
            der[at] ^= change;
            if let Ok(other) = PublicKey::from_der(&der) {
                prop_assert_ne!(other.key_id(), key(kind).public_key().key_id());
            }
        }
    }
}

/// Made for these tests with openssl.
const RSA1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDoE5IFKtnJ9+8souxe9+5hS3fh
5wRT/EOrvG48l2tKd2yO6yfl//7awVRi4N08m6Sc5ucKYHSiHMlR0ZjXbQlg+/wX
pVbqomxCp2k7UX5WxIpEv3GwWg3Z68A4XUdmRBXMV5zfINri1qmlcqpMkTk1jz/k
goDaomPr+COPb2OaOwIDAQAB
-----END PUBLIC KEY-----
";
const SECP256K1: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEYDXgFUq/vFTeHI6MQ2/kug/kVRE7/1Q4
sDHCPliRW/9NUSW+TaaoFYGdTgsTGo9x/r1t4jyh5i5o+OUvWVpRbQ==
-----END PUBLIC KEY-----
";
const X25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEA4Jx9GVVq2HHnD6uLPqMsDbNQ4TdhIxvoeCylCqHK4QY=
-----END PUBLIC KEY-----
";
