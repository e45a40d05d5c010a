//! An image signed with notation: released when the policy trusts its authority and names its signer, and nobody else.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fixture::{As, Fixture};
use crate::digest::Digest;
use crate::gate::policy::{Policy, PolicyErrors};

const AUTHORITY: &[u8] = include_bytes!("../../../../keys/tests/vectors/notation/trust/ecroot-ca.crt");
const OTHER_AUTHORITY: &[u8] = include_bytes!("../../../../keys/tests/vectors/notation/trust/other-ca.crt");
const MANIFEST: &[u8] = include_bytes!("../../../../keys/tests/vectors/notation/image/manifest.json");
const CONFIG: &[u8] = include_bytes!("../../../../keys/tests/vectors/notation/image/config.json");
const LAYER: &[u8] = include_bytes!("../../../../keys/tests/vectors/notation/image/layer.tar.gz");
const SIGNATURE: &[u8] = include_bytes!("../../../../keys/tests/vectors/notation/image/signature.json");
const ENVELOPE: &[u8] = include_bytes!("../../../../keys/tests/vectors/notation/image/envelope.jws");

const SIGNER: &str = "store = 'vendor', subject = 'C=US, O=Acme Fixtures'";

/// A `trustpolicy.json` for the registry of the fixture.
fn trust_policy(name: &str) -> Option<Vec<u8>> {
    let (level, stores, scope) = match name {
        "strict.json" => ("strict", "ca:vendor", "*"),
        "audit.json" => ("audit", "ca:other", "*"),
        "elsewhere.json" => ("strict", "ca:vendor", "registry.example/elsewhere"),
        "skip.json" => {
            return Some(
                br#"{"version":"1.0","trustPolicies":[{"name":"p","registryScopes":["registry.example/app"],
                "signatureVerification":{"level":"skip"}}]}"#
                    .to_vec(),
            );
        }
        _ => return None,
    };
    let text = format!(
        r#"{{"version":"1.0","trustPolicies":[{{"name":"p","registryScopes":["{scope}"],
        "signatureVerification":{{"level":"{level}"}},"trustStores":["{stores}"],"trustedIdentities":["*"]}}]}}"#
    );
    Some(text.into_bytes())
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let path = path.to_str().unwrap_or_default();
    match path.strip_prefix("truststore/x509/ca/").unwrap_or(path) {
        "vendor" => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        "vendor/" => Ok(b"root.crt".to_vec()),
        "vendor/root.crt" | "root.crt" => Ok(AUTHORITY.to_vec()),
        "other" => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        "other/" => Ok(b"root.crt".to_vec()),
        "other/root.crt" | "other.crt" => Ok(OTHER_AUTHORITY.to_vec()),
        "empty" => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        "empty/" => Ok(Vec::new()),
        "broken.crt" => Ok(b"no certificate".to_vec()),
        "broken.json" => Ok(b"{}".to_vec()),
        name => trust_policy(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
}

fn parse(notation: &str) -> Result<Policy, PolicyErrors> {
    let text = format!(
        "[[identity]]\nname = 'vendor'\nnotation = {{ {notation} }}\n[[rule]]\nimages = ['**']\n\
         signatures = {{ require = [['vendor']] }}\npin = {{ pull = 'tag' }}\nimage = {{ user = 'any' }}\n\
         scan = {{ deny = 'nothing-unsafe', unknown = 'accept-unsafe' }}\n"
    );
    Policy::parse(&text, &read_file)
}

async fn pushed_under(notation: &str, signature: &[u8], envelope: &[u8]) -> u16 {
    let fixture = Fixture::new();
    fixture.policy.store(Arc::new(parse(notation).unwrap_or_else(|errors| panic!("{errors}"))));
    for blob in [CONFIG, LAYER, envelope, b"{}"] {
        fixture.put_blob("app", blob).await;
    }
    let _ = fixture.put_bytes(As::Pusher, "app", "v1", MANIFEST.to_vec()).await.expect(201);
    let _ = fixture.get(As::Consumer, "/v2/app/manifests/v1").await.expect_error(403, "DENIED");
    let digest = Digest::sha256_of(signature);
    let _ = fixture.put_bytes(As::Signer, "app", digest.as_str(), signature.to_vec()).await.expect(201);
    fixture.get(As::Consumer, "/v2/app/manifests/v1").await.status.as_u16()
}

#[tokio::test]
async fn a_notation_signature_releases_the_image_for_its_signer_only() {
    for (notation, expected) in [
        (SIGNER.to_owned(), 200),
        ("store = ['other.crt', 'root.crt'], subject = 'any-unsafe'".to_owned(), 200),
        (SIGNER.replace("O=Acme Fixtures", "O=Acme Fixtures, CN=signer p256"), 200),
        (SIGNER.replace("O=Acme Fixtures", "O=Acme"), 403),
        (SIGNER.replace("'vendor'", "'other'"), 403),
        (SIGNER.replace("store", "authority-store"), 403),
        (format!("{SIGNER}, annotations = {{ build = '42' }}"), 403),
        // The signature has no timestamp, and its certificate is valid.
        (format!("{SIGNER}, timestamp-store = 'other'"), 403),
        (format!("{SIGNER}, timestamp-store = 'other', timestamps = 'after-expiry'"), 200),
        ("trustpolicy = 'strict.json', stores = 'truststore'".to_owned(), 200),
        ("trustpolicy = 'elsewhere.json', stores = 'truststore'".to_owned(), 403),
        // Notation itself accepts these two: a stranger is only logged at `audit`, and `skip` looks at nothing.
        ("trustpolicy = 'audit.json', stores = 'truststore'".to_owned(), 403),
        ("trustpolicy = 'skip.json', stores = 'truststore'".to_owned(), 403),
    ] {
        assert_eq!(pushed_under(&notation, SIGNATURE, ENVELOPE).await, expected, "{notation}");
    }
}

#[tokio::test]
async fn a_signature_of_another_image_or_another_type_of_manifest_releases_nothing() {
    let signature: serde_json::Value = serde_json::from_slice(SIGNATURE).unwrap();
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut signature = signature.clone();
        change(&mut signature);
        signature.to_string().into_bytes()
    };
    let tampered = String::from_utf8_lossy(ENVELOPE).replacen("\"payload\":\"e", "\"payload\":\"f", 1);
    let tampered_digest = Digest::sha256_of(tampered.as_bytes());
    for (what, signature, envelope, expected) in [
        ("good", changed(&|_| ()), ENVELOPE, 200),
        ("kind", changed(&|s| s["artifactType"] = "application/spdx+json".into()), ENVELOPE, 403),
        ("form", changed(&|s| s["layers"][0]["mediaType"] = "application/cose".into()), ENVELOPE, 403),
        (
            "envelope",
            changed(&|s| s["layers"][0]["digest"] = tampered_digest.as_str().into()),
            tampered.as_bytes(),
            403,
        ),
    ] {
        assert_eq!(pushed_under(SIGNER, &signature, envelope).await, expected, "{what}");
    }
}

#[test]
fn a_notation_identity_that_names_nobody_is_no_policy() {
    for (notation, problem) in [
        ("subject = 'O=Acme'", "`store` is missing"),
        ("store = 'vendor'", "`subject` is missing"),
        ("store = 'vendor', subject = '*'", "write `any-unsafe`"),
        ("store = 'vendor', subject = 'C=US'", "has neither `O` nor `CN`"),
        ("store = 'vendor', subject = 'Acme'", "is not `TYPE=value`"),
        ("store = [], subject = 'O=Acme'", "an empty list names no store"),
        ("store = 'absent', subject = 'O=Acme'", "cannot read `absent`"),
        ("store = 'empty', subject = 'O=Acme'", "`empty` holds 0 files"),
        ("store = 'broken.crt', subject = 'O=Acme'", "no block at all"),
        ("store = 'vendor', subject = 'O=Acme', level = 'audit'", "is not a word known"),
        ("store = 'vendor', subject = 'O=Acme', timestamps = 'always'", "there is no `timestamp-store`"),
        ("timestamp-store = 'vendor', subject = 'O=Acme'", "`store` is missing"),
        ("store = 'vendor', subject = 'O=Acme', crls = 'broken.crt'", "field `PEM` is malformed"),
        ("store = 'vendor', subject = 'O=Acme', crls = 'absent.crl'", "cannot read `absent.crl`"),
        ("store = 'vendor', subject = 'O=Acme', ocsp = 'broken.crt'", "`OCSPResponse` is malformed"),
        ("store = 'vendor', subject = 'O=Acme', ocsp = ['absent.ocsp']", "cannot read `absent.ocsp`"),
        ("store = 'vendor', subject = 'O=Acme', repository = 'exact'", "signs no repository"),
        ("store = 'vendor', subject = 'O=Acme', issuer = 'x'", "unknown key"),
        ("trustpolicy = 'broken.json', stores = 'truststore'", "`version` is absent"),
        ("trustpolicy = 'strict.json'", "`stores` is missing"),
        ("trustpolicy = 'strict.json', stores = 'nowhere'", "cannot read `nowhere/x509/ca/vendor`"),
        ("trustpolicy = 'strict.json', stores = 'truststore', subject = 'O=Acme'", "unknown key"),
    ] {
        let errors = parse(notation).expect_err(notation).to_string();
        assert!(errors.contains(problem), "{notation}: {errors}");
    }
    let both = "[[identity]]\nname = 'a'\ncosign = { key = 'a.pub' }\nnotation = { store = 'vendor' }\n";
    let errors = Policy::parse(both, &read_file).unwrap_err().to_string();
    assert!(errors.contains("an identity signs one way"), "{errors}");
}
