//! What a signer writes, and what it refuses to overwrite.

use serde_json::{Value, json};

use super::*;
use crate::attestation::{self, UnverifiedAttestation};
use crate::testing::*;
use crate::verify::verify;

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn no_annotations() -> BTreeMap<String, String> {
    BTreeMap::new()
}

#[test]
fn a_simple_signature_is_laid_out_as_cosign_does() {
    let artifact = signer("p256").sign_simple(DIGEST, REPOSITORY, &no_annotations(), None).unwrap();
    assert_eq!(artifact.tag, cosign::legacy_tag(DIGEST));
    let [payload, config] = artifact.blobs.as_slice() else { panic!("{artifact:?}") };
    assert_eq!(String::from_utf8_lossy(&payload.bytes), simple_payload().to_string());
    assert_eq!(parse(&config.bytes)["rootfs"]["diff_ids"], json!([payload.digest]));
    let mut manifest = parse(&artifact.manifest.bytes);
    assert!(manifest["layers"][0]["annotations"][SIGNATURE_ANNOTATION].take().is_string());
    assert_eq!(
        manifest,
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "size": config.bytes.len(),
                "digest": config.digest,
            },
            "layers": [{
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "size": payload.bytes.len(),
                "digest": payload.digest,
                "annotations": { SIGNATURE_ANNOTATION: null },
            }],
        })
    );
}

#[test]
fn a_bundle_is_laid_out_as_cosign_does() {
    let artifact = signer("p256").sign_bundle(IMAGE, &no_annotations(), 1_795_458_951).unwrap();
    assert_eq!(artifact.tag, None);
    let [bundle, config] = artifact.blobs.as_slice() else { panic!("{artifact:?}") };
    assert_eq!(config.digest, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_eq!(
        parse(&artifact.manifest.bytes),
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": config.digest },
            "layers": [{
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "size": bundle.bytes.len(),
                "digest": bundle.digest,
            }],
            "subject": { "mediaType": IMAGE.media_type, "size": 401, "digest": DIGEST },
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
                "org.opencontainers.image.created": "2026-11-23T18:35:51Z",
            },
        })
    );
    let envelope = &parse(&bundle.bytes)["dsseEnvelope"];
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    assert_eq!(parse(&payload), statement());
}

#[test]
fn signatures_are_added_and_none_is_lost() {
    let mut artifact = signer("p256").sign_simple(DIGEST, REPOSITORY, &no_annotations(), None).unwrap();
    let mut blobs = artifact.blobs.clone();
    for kind in ["ed25519", "rsa2048"] {
        let annotations = BTreeMap::from([("by".to_owned(), kind.to_owned())]);
        let existing = Some(artifact.manifest.bytes.as_slice());
        artifact = signer(kind).sign_simple(DIGEST, REPOSITORY, &annotations, existing).unwrap();
        blobs.extend(artifact.blobs.clone());
    }
    artifact.blobs = blobs;
    let kinds = ["p256", "ed25519", "rsa2048"];
    let store = store(kinds.iter().map(|kind| identity(kind, &[kind])).collect());
    let seen = verify(&candidates(&artifact), SUBJECT, &store, NOW);
    assert_eq!(seen.verified.iter().map(|found| found.identity()).collect::<Vec<_>>(), kinds);
    assert!(seen.rejected.is_empty(), "{seen:?}");
}

#[test]
fn what_is_no_signature_manifest_is_not_overwritten() {
    let full = json!({ "layers": vec![json!({}); SIGNATURES_MAX] }).to_string();
    for (existing, expected) in [
        (r#"{"manifests":[]}"#, "it is an index"),
        (r#"{"layers":1}"#, "it has no layers"),
        ("[]", "it is not an object"),
        (r#"{"layers":[],"layers":[]}"#, "duplicate key"),
        (full.as_str(), "500 signatures already"),
    ] {
        let error =
            signer("p256").sign_simple(DIGEST, REPOSITORY, &no_annotations(), Some(existing.as_bytes()));
        assert!(error.as_ref().is_err_and(|error| error.to_string().contains(expected)), "{error:?}");
    }
}

#[test]
fn only_a_digest_is_signed() {
    for digest in ["", "latest", &DIGEST.to_uppercase(), &format!("sha512:{}", "0".repeat(128))] {
        let error = SignError::Digest(digest.to_owned());
        let simple = signer("p256").sign_simple(digest, REPOSITORY, &no_annotations(), None);
        assert_eq!(simple.err().map(|error| error.to_string().len() > 10), Some(true));
        let bundle = signer("p256").sign_bundle(ImageDescriptor { digest, ..IMAGE }, &no_annotations(), NOW);
        assert!(matches!(bundle, Err(SignError::Digest(_))), "{error}");
    }
}

#[test]
fn an_attestation_is_a_bundle_that_verifies_as_such_and_never_as_a_signature() {
    let signer = signer("p256");
    let says = json!({ "verificationResult": "PASSED" });
    let artifact = signer.attest_bundle(IMAGE, "https://slsa.dev/verification_summary/v1", &says, 0).unwrap();
    let manifest = parse(&artifact.manifest.bytes);
    assert_eq!(
        manifest["annotations"]["dev.sigstore.bundle.predicateType"],
        "https://slsa.dev/verification_summary/v1"
    );
    let attestation = UnverifiedAttestation::SigstoreBundle {
        manifest_digest: artifact.manifest.digest.clone(),
        subject_digest: DIGEST.to_owned(),
        bundle_digest: artifact.blobs[0].digest.clone(),
        bundle_size: artifact.blobs[0].bytes.len() as u64,
        bundle: artifact.blobs[0].bytes.clone(),
    };
    let found = attestation::verify(&[attestation], SUBJECT, &release(), NOW);
    assert_eq!(found.verified[0].predicate(), &says);
    let verification = verify(&candidates(&artifact), SUBJECT, &release(), NOW);
    assert!(verification.verified.is_empty(), "{verification:?}");
}

#[test]
fn the_predicate_type_of_signatures_is_signed_by_signing_only() {
    for refused in ["", SIGN_PREDICATE_TYPE] {
        let error = signer("p256").attest_bundle(IMAGE, refused, &json!({}), 0).unwrap_err();
        assert_eq!(error, SignError::PredicateType(refused.to_owned()));
    }
}

#[derive(Debug)]
struct Token {
    told: PublicKey,
    signing: &'static str,
}

impl RemoteKey for Token {
    fn public_key(&self) -> &PublicKey {
        &self.told
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        signer(self.signing).sign(message).map_err(|error| error.to_string())
    }
}

#[test]
fn a_token_whose_halves_do_not_belong_together_signs_nothing() {
    for (signing, is_good) in [("p256", true), ("p256-other", false), ("ed25519", false)] {
        let told = key("p256").public_key().clone();
        let remote = Signer::remote(Box::new(Token { told, signing }));
        let signed = remote.sign(b"message");
        assert_eq!(signed.is_ok(), is_good, "{signing}: {signed:?}");
    }
}

#[test]
fn a_public_key_is_the_same_from_its_numbers() {
    for kind in ["p256", "p384", "p521", "rsa2048"] {
        let known = key(kind).public_key();
        let mut outer = der::Reader::new(known.spki_der());
        let mut spki = outer.nested(der::SEQUENCE).unwrap();
        let mut identifier = spki.nested(der::SEQUENCE).unwrap();
        identifier.element(der::OBJECT_IDENTIFIER).unwrap();
        let bits = spki.bits().unwrap();
        let rebuilt = if kind == "rsa2048" {
            let mut whole = der::Reader::new(bits);
            let mut numbers = whole.nested(der::SEQUENCE).unwrap();
            let (modulus, exponent) = (numbers.unsigned().unwrap(), numbers.unsigned().unwrap());
            PublicKey::from_rsa_numbers(modulus, exponent)
        } else {
            let curve =
                der::encode(der::OBJECT_IDENTIFIER, identifier.element(der::OBJECT_IDENTIFIER).unwrap());
            assert_eq!(PublicKey::from_ec_point(&curve, bits).as_ref(), Ok(known), "{kind}, bare point");
            PublicKey::from_ec_point(&curve, &der::encode(der::OCTET_STRING, bits))
        };
        assert_eq!(rebuilt.as_ref(), Ok(known), "{kind}");
    }
    assert!(PublicKey::from_ec_point(&[], &[]).is_err());
    assert!(PublicKey::from_rsa_numbers(&[0], &[3]).is_err());
}

/// A point begins with 4, which is also the tag of a string; here what would be its length fits, too.
#[test]
fn a_bare_point_that_looks_like_a_string_is_a_point() {
    let generated = || Signer::new(crate::keyring::generate(crate::keyring::NewKey::EcdsaP256).unwrap());
    let known = (0..100_000).map(|_| generated().public_key().clone()).find(|key| {
        let der = key.spki_der();
        der[der.len() - 65..][..2] == [4, 63]
    });
    let known = known.unwrap();
    let point = &known.spki_der()[known.spki_der().len() - 65..];
    let curve = der::encode(der::OBJECT_IDENTIFIER, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    assert_eq!(PublicKey::from_ec_point(&curve, point).as_ref(), Ok(&known));
    let string = der::encode(der::OCTET_STRING, point);
    assert_eq!(PublicKey::from_ec_point(&curve, &string).as_ref(), Ok(&known));
}

#[test]
fn the_two_numbers_of_a_signature_are_told_apart_from_anything_else() {
    for (numbers, expected) in [
        (&[1, 2][..], Some(vec![0x30, 6, 2, 1, 1, 2, 1, 2])),
        (&[0, 0x80, 0, 1], Some(vec![0x30, 7, 2, 2, 0, 0x80, 2, 1, 1])),
        (&[], None),
        (&[1, 2, 3], None),
    ] {
        assert_eq!(ecdsa_signature(numbers), expected, "{numbers:?}");
    }
    assert_eq!(ecdsa_signature(&vec![1; limits::SIGNATURE_BYTES_MAX + 2]), None);
}
