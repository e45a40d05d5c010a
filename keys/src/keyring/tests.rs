//! Keys opened, refused and kept secret.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{KINDS, key};

fn password(text: &str) -> Password {
    Password::new(text.as_bytes().to_vec())
}

/// A key that cosign 3.1.1 wrote (password `pw`), and its public half; it protects nothing.
const COSIGN_KEY: &str = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiIvK3Byd3JjazkzM1JwYTNLTDFEUFVPeTFscnBEV3NX
dWNrZGxHTE5SNEZNPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJCRHkxcmN0ek1uWStmQkhNWmQ2QzFXZldKUXBHVHROeSJ9LCJj
aXBoZXJ0ZXh0IjoiMWQzUHdDa29LK0FKTDNxUjlJWlBjZlVUYWQxTFUwbCtjOFBp
b2xqbm1ZeHFZQW1iRGRoMnJvKzF4VnRIY0ZaRmdYcVZHWEM3dDZLanFmY09YLzBs
RVhhZkIxbFRWSG0zNlI2RFhaKzdFbzVoTE1MMFBDQmUxTHo2OVVNY0RNSlkvdjNI
MlVWNFYwdW1xSXlKY0d5SDcxQnBlc3ZtcHFHVXd2MmZNWFEwdWZJS0NoTzJrMVdB
elRaVjlrSzNxSVB0V2hiSS9ZaGNmanh2Y1E9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
";
const COSIGN_PUB: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+dFwyLo6W6ebUbFGLp10f1n1dq81
iFl29A5GutYJ4KWpY/gHuKz2XRnLFnur413BZmTVHWcnNEnWs9fFl9mS5w==
-----END PUBLIC KEY-----
";

fn envelope(pem: &str) -> Value {
    serde_json::from_slice(&pem_rfc7468::decode_vec(pem.as_bytes()).unwrap().1).unwrap()
}

fn as_pem(label: &str, envelope: &Value) -> String {
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, envelope.to_string().as_bytes()).unwrap()
}

#[test]
fn a_key_that_cosign_wrote_opens() {
    let key = decrypt(COSIGN_KEY, &password("pw")).unwrap();
    assert_eq!(key.public_key().to_pem(), COSIGN_PUB);
    let old = as_pem("ENCRYPTED COSIGN PRIVATE KEY", &envelope(COSIGN_KEY));
    assert!(decrypt(&old, &password("pw")).is_ok());
}

#[test]
fn every_kind_of_key_comes_back_from_its_file() {
    for kind in KINDS {
        let file = encrypt(key(kind), &password("päss wörd")).unwrap();
        assert!(file.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"), "{file}");
        let parameters = &envelope(&file)["kdf"]["params"];
        assert_eq!(*parameters, json!({ "N": 65536, "r": 8, "p": 1 }));
        let opened = decrypt(&file, &password("päss wörd")).unwrap();
        assert_eq!(opened.public_key(), key(kind).public_key());
        assert_eq!(opened.pkcs8, key(kind).pkcs8);
    }
}

#[test]
fn two_files_of_one_key_share_neither_salt_nor_nonce() {
    let [one, two] = [(), ()].map(|()| envelope(&encrypt(key("p256"), &password("pw")).unwrap()));
    for path in ["/kdf/salt", "/cipher/nonce", "/ciphertext"] {
        assert_ne!(one.pointer(path), two.pointer(path), "{path}");
    }
}

#[test]
fn a_wrong_password_or_a_changed_file_opens_nothing() {
    assert_eq!(decrypt(COSIGN_KEY, &password("PW")).err(), Some(KeyringError::Password));
    assert_eq!(decrypt(COSIGN_KEY, &password("")).err(), Some(KeyringError::Password));
    let mut changed = envelope(COSIGN_KEY);
    let mut ciphertext = STANDARD.decode(changed["ciphertext"].as_str().unwrap()).unwrap();
    ciphertext[40] ^= 1;
    changed["ciphertext"] = json!(STANDARD.encode(ciphertext));
    assert_eq!(decrypt(&as_pem(LABEL, &changed), &password("pw")).err(), Some(KeyringError::Password));
}

#[test]
fn a_key_file_cannot_choose_how_much_memory_it_takes() {
    for (n, r, p) in [
        (1u64 << 19, 8, 1),
        (1 << 40, 8, 1),
        (65535, 8, 1),
        (0, 8, 1),
        (1, 8, 1),
        (65536, 9, 1),
        (65536, 8, 5),
    ] {
        let mut changed = envelope(COSIGN_KEY);
        changed["kdf"]["params"] = json!({ "N": n, "r": r, "p": p });
        let error = decrypt(&as_pem(LABEL, &changed), &password("pw")).err();
        assert_eq!(error, Some(KeyringError::Parameters { n, r, p }));
    }
}

#[test]
fn other_ciphers_and_broken_envelopes_are_named() {
    let cases: [(&str, Value, &str); 6] = [
        ("/kdf/name", json!("argon2"), "key derivation: expected `scrypt`, found `\\\"argon2\\\"`"),
        ("/cipher/name", json!("aes"), "cipher: expected `nacl/secretbox`"),
        ("/cipher/nonce", json!("AAAA"), "length of the nonce: expected `24`, found `3`"),
        ("/cipher/nonce", json!("%"), "nonce: expected `base64`"),
        ("/kdf/salt", Value::Null, "salt: expected `base64`"),
        ("/ciphertext", json!(7), "ciphertext: expected `base64`"),
    ];
    for (path, value, expected) in cases {
        let mut changed = envelope(COSIGN_KEY);
        *changed.pointer_mut(path).unwrap() = value;
        let seen = decrypt(&as_pem(LABEL, &changed), &password("pw")).err().unwrap().to_string();
        assert!(seen.contains(expected), "{seen}, expected {expected}");
    }
    let label = decrypt(&COSIGN_KEY.replace("ENCRYPTED SIGSTORE ", ""), &password("pw")).err();
    assert_eq!(label, Some(KeyringError::PemLabel("PRIVATE KEY".to_owned())));
    assert_eq!(import(COSIGN_KEY).err(), Some(KeyringError::PemLabel(LABEL.to_owned())));
    assert!(matches!(decrypt("", &password("")), Err(KeyringError::Pem(_))));
    assert_eq!(decrypt(&"x".repeat(70_000), &password("")).err(), Some(KeyringError::TooLarge(70_000)));
}

#[test]
fn plain_keys_of_openssl_are_imported_in_all_three_forms() {
    for kind in KINDS {
        let pem =
            pem_rfc7468::encode_string("PRIVATE KEY", pem_rfc7468::LineEnding::LF, &key(kind).pkcs8).unwrap();
        assert_eq!(import(&pem).unwrap().public_key(), key(kind).public_key(), "{kind}");
    }
    assert_eq!(import(SEC1).unwrap().algorithm(), KeyAlgorithm::EcdsaP256);
    let KeyPair::Rsa(_) = &key("rsa2048").pair else { panic!("RSA") };
    // PKCS#1 is what PKCS#8 wraps: version, algorithm, then the octets.
    let mut document = Reader::new(&key("rsa2048").pkcs8).nested(der::SEQUENCE).unwrap();
    document.unsigned().unwrap();
    document.nested(der::SEQUENCE).unwrap();
    let pkcs1 = document.element(4).unwrap();
    let pem = pem_rfc7468::encode_string("RSA PRIVATE KEY", pem_rfc7468::LineEnding::LF, pkcs1).unwrap();
    assert_eq!(import(&pem).unwrap().public_key(), key("rsa2048").public_key());
}

#[test]
fn weak_and_foreign_keys_are_not_imported() {
    for (name, pem) in [("RSA-1024", RSA1024), ("secp256k1", SECP256K1)] {
        assert!(matches!(import(pem), Err(KeyringError::Key | KeyringError::PublicKey(_))), "{name}");
    }
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(import(junk).err(), Some(KeyringError::Key));
}

#[test]
fn neither_password_nor_private_key_is_shown() {
    assert_eq!(format!("{:?}", password("secret")), "****");
    let shown = format!("{:?}", key("p256"));
    assert_eq!(
        shown,
        format!("PrivateKey(****, PublicKey(ECDSA P-256, {}))", key("p256").public_key().key_id())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let pem = |label| pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, &bytes).unwrap();
        prop_assert!(import(&text).is_err());
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            prop_assert!(import(&pem(label)).is_err());
        }
        prop_assert!(decrypt(&pem(LABEL), &password("")).is_err());
        prop_assert!(PublicKey::from_pem(&pem("PUBLIC KEY")).is_err());
    }
}

/// Made for these tests with openssl; they protect nothing.
const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIIaaizUllCbdNqTX46+DRPucraAK6TviK+jDXCmzwR5goAoGCCqGSM49
AwEHoUQDQgAEHXORCYkBhPdThtF40PsjKR6GMRV3Twe718AW5SHn67Y8oSVfpFJp
29RPOaH35gSbb2KlEtnIzGoV625tMJLnLw==
-----END EC PRIVATE KEY-----
";
const RSA1024: &str = "-----BEGIN PRIVATE KEY-----
MIICdQIBADANBgkqhkiG9w0BAQEFAASCAl8wggJbAgEAAoGBAOgTkgUq2cn37yyi
7F737mFLd+HnBFP8Q6u8bjyXa0p3bI7rJ+X//trBVGLg3TybpJzm5wpgdKIcyVHR
mNdtCWD7/BelVuqibEKnaTtRflbEikS/cbBaDdnrwDhdR2ZEFcxXnN8g2uLWqaVy
qkyROTWPP+SCgNqiY+v4I49vY5o7AgMBAAECgYA9+FvZfWPChq4bITY09cd1u407
iVCijI4VYa+eBmDj9ZfLYge5Zu5Kw60g6iKpeHYwX4f6QV9jmoQ3kNxbSgZimTjN
RZLofpLQ7hCf1gZy4D5O52bpDbjQiGt7MakRsd/EBn5hJv8LajhSmTWOTp0IlR5I
IrRYE4QsJrnIJ6zNAQJBAPYpcPVO5HYzMSC0eUxBe+eo0WxAOzGMcnByllcme7Li
Oi+vwb1c+2wc+YLnB/6QmjDENbuRs4EUzC5p4zlfJpsCQQDxWgRGlgIOGSB+MuMK
0liDGjjJIabx02iEUHJ+XyBbdsarMnWbqaMriJBLoMBi+qfcEke4EIYZ0Mv0ALm0
3MThAkB8yMkwMUvy90RiNdp/Y3qyFowC+hSHq5CfnBbGGwX9ylyAq/HkUmxJg+6g
Awm0bA0dx3kNmnCKcMaIiLjc7nUdAkAp5sjrQEvnCrG7dzY3wMEhMcI+GRuUzHFO
13CpQ/aoKnzfaAlHFzJ+8lyq5KPCC2ZtLLdK24OMo9Vk7WNQZSvBAkAKB09EPqz0
Esvxlnfoblmogx0u4fd5ydJzoxe/ZMpTvVRUCnWlqcC5dhEPlnhlr2SAZTif/fiH
jM1U59uBfAy2
-----END PRIVATE KEY-----
";
const SECP256K1: &str = "-----BEGIN EC PRIVATE KEY-----
MHQCAQEEINaki+ZPh71gscBG1byZKXZOeM5K5DUc0+U06dnLiQyVoAcGBSuBBAAK
oUQDQgAEYDXgFUq/vFTeHI6MQ2/kug/kVRE7/1Q4sDHCPliRW/9NUSW+TaaoFYGd
TgsTGo9x/r1t4jyh5i5o+OUvWVpRbQ==
-----END EC PRIVATE KEY-----
";
