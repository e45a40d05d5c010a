//! The bundle form: one case per check.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{accepted, refused, swap};
use crate::signature::UnverifiedSignature;
use crate::testing::*;

/// A validly signed statement in which one value is replaced.
pub(super) fn statement_with(pointer: &str, value: Value) -> UnverifiedSignature {
    let mut changed = statement();
    *changed.pointer_mut(pointer).unwrap() = value;
    as_bundle(&signed_statement(&changed.to_string()).to_string())
}

/// A good bundle with one value replaced, outside what the signature covers.
pub(super) fn bundle_with(pointer: &str, value: Value) -> UnverifiedSignature {
    let mut bundle = signed_statement(&statement().to_string());
    *bundle.pointer_mut(pointer).unwrap() = value;
    as_bundle(&bundle.to_string())
}

#[test]
fn bundle_check_1_and_2_the_bundle_is_the_one_a_referrer_of_this_image_names() {
    type Change = fn(&mut String, &mut String, &mut u64, &mut Vec<u8>);
    let with = |change: Change| {
        let mut candidate = bundle("p256");
        if let UnverifiedSignature::SigstoreBundle {
            subject_digest,
            bundle_digest,
            bundle_size,
            bundle,
            ..
        } = &mut candidate
        {
            change(subject_digest, bundle_digest, bundle_size, bundle);
        }
        candidate
    };
    refused(with(|_, _, size, _| *size += 1), &release(), "its descriptor says");
    refused(
        with(|_, digest, _, _| *digest = OTHER_DIGEST.to_owned()),
        &release(),
        "its descriptor says `sha256:fe",
    );
    refused(
        with(|_, _, size, bundle| {
            bundle.push(b' ');
            *size += 1;
        }),
        &release(),
        "bundle has digest",
    );
    refused(
        with(|subject, _, _, _| *subject = OTHER_DIGEST.to_owned()),
        &release(),
        "its manifest is about `sha256:fe",
    );
}

#[test]
fn bundle_check_3_only_known_media_types_are_bundles() {
    for known in crate::cosign::BUNDLE_MEDIA_TYPES {
        accepted(bundle_with("/mediaType", json!(known)), &release());
    }
    for other in [json!("application/vnd.dev.sigstore.bundle.v0.4+json"), json!(""), Value::Null] {
        refused(bundle_with("/mediaType", other), &release(), "is not known");
    }
    let good = signed_statement(&statement().to_string()).to_string();
    refused(as_bundle(&format!("{good}{good}")), &release(), "trailing");
    let hint = "\"publicKey\":{";
    refused(
        as_bundle(&swap(&good, hint, &format!("{hint}\"hint\":\"\","))),
        &release(),
        "duplicate key `hint`",
    );
    refused(as_bundle("[]"), &release(), "it is not an object");
    let large = bundle_with("/verificationMaterial/publicKey", json!({ "hint": "x".repeat(300_000) }));
    refused(large, &release(), "at most 262144 are read");
}

#[test]
fn bundle_check_4_a_certificate_never_enters_the_key_path() {
    let material = "/verificationMaterial";
    let hint = key("p256").public_key().hint();
    for certificate in [
        json!({ "certificate": { "rawBytes": "AA==" } }),
        json!({ "x509CertificateChain": { "certificates": [] } }),
        json!({ "certificate": null, "publicKey": { "hint": hint } }),
        json!({ "certificate": { "rawBytes": "AA==" }, "publicKey": { "hint": hint } }),
    ] {
        refused(bundle_with(material, certificate), &release(), "a certificate identity");
    }
    refused(bundle_with(material, json!({})), &release(), "it names no public key");
    refused(bundle_with(material, Value::Null), &release(), "it has no verification material");
}

#[test]
fn bundle_the_hint_selects_a_key_and_never_authorises_one() {
    let hint = "/verificationMaterial/publicKey/hint";
    let both = store(vec![identity("other", &["p256-other"]), identity("release", &["p256"])]);
    // Not in cosign's form: every key is tried.
    for unknown in [json!("kms://key"), json!(""), Value::Null, json!("AAAA")] {
        accepted(bundle_with(hint, unknown), &both);
    }
    // Another trusted key is named: the signature is not its.
    let other = json!(key("p256-other").public_key().hint());
    refused(bundle_with(hint, other.clone()), &both, "verifies with none of the 1 keys");
    refused(bundle_with(hint, other), &release(), "which the trust store does not hold");
}

#[test]
fn bundle_check_5_there_is_one_envelope_with_one_signature() {
    let envelope = signed_statement(&statement().to_string())["dsseEnvelope"].clone();
    let signature = envelope["signatures"][0].clone();
    let signatures = "/dsseEnvelope/signatures";
    refused(
        bundle_with(signatures, json!([signature, signature])),
        &release(),
        "expected one DSSE signature, found 2",
    );
    refused(bundle_with(signatures, json!([])), &release(), "expected one DSSE signature, found 0");
    refused(bundle_with(signatures, json!({})), &release(), "no signatures");
    refused(bundle_with(signatures, json!([{ "sig": "%" }])), &release(), "not base64");
    refused(bundle_with("/dsseEnvelope/payload", json!("%")), &release(), "the payload is not base64");
    let mut message = signed_statement(&statement().to_string());
    message["messageSignature"] = json!({ "signature": signature["sig"] });
    refused(as_bundle(&message.to_string()), &release(), "exactly one DSSE envelope");
    message.as_object_mut().unwrap().remove("dsseEnvelope");
    // What `cosign sign-blob` makes of a manifest's bytes says nothing about intent.
    refused(as_bundle(&message.to_string()), &release(), "a message signature does not say");
}

#[test]
fn bundle_check_6_and_7_the_signature_covers_type_and_payload() {
    refused(
        bundle_with("/dsseEnvelope/payloadType", json!("text/plain")),
        &release(),
        "expected payload type",
    );
    let other = STANDARD.encode(statement().to_string().replace("{}", "{ }"));
    refused(
        bundle_with("/dsseEnvelope/payload", json!(other)),
        &release(),
        "verifies with none of the 1 keys",
    );
    // The example of the DSSE specification (protocol.md, "Test Vectors").
    let message =
        crate::cosign::bundle::pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
    assert_eq!(message, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    // A signature over the bare statement, without the encoding that binds type and lengths.
    let bare = STANDARD.encode(signer("p256").sign(statement().to_string().as_bytes()).unwrap());
    refused(
        bundle_with("/dsseEnvelope/signatures/0/sig", json!(bare)),
        &release(),
        "verifies with none of the 1 keys",
    );
    // The type is part of what is signed, even if it is the one we expect.
    let message =
        crate::cosign::bundle::pre_authentication_encoding("text/plain", statement().to_string().as_bytes());
    let other_type = STANDARD.encode(signer("p256").sign(&message).unwrap());
    refused(
        bundle_with("/dsseEnvelope/signatures/0/sig", json!(other_type)),
        &release(),
        "none of the 1 keys",
    );
}

#[test]
fn bundle_check_8_an_attestation_is_no_signature() {
    for other in ["https://slsa.dev/provenance/v1", "https://sigstore.dev/cosign/sign/v2", ""] {
        refused(statement_with("/predicateType", json!(other)), &release(), "an attestation is no signature");
    }
    refused(statement_with("/predicateType", Value::Null), &release(), "an attestation is no signature");
    refused(
        statement_with("/_type", json!("https://in-toto.io/Statement/v0.1")),
        &release(),
        "statement: expected type",
    );
    let mut absent = statement();
    absent.as_object_mut().unwrap().remove("predicateType");
    refused(
        as_bundle(&signed_statement(&absent.to_string()).to_string()),
        &release(),
        "an attestation is no",
    );
    let twice = statement().to_string().replacen('{', "{\"predicateType\":\"x\",", 1);
    refused(as_bundle(&signed_statement(&twice).to_string()), &release(), "duplicate key `predicateType`");
}

#[test]
fn bundle_check_9_the_one_subject_is_this_digest() {
    let hex = DIGEST.strip_prefix("sha256:").unwrap();
    let other = OTHER_DIGEST.strip_prefix("sha256:").unwrap();
    let right = json!({ "digest": { "sha256": hex } });
    accepted(statement_with("/subject", json!([right])), &release());
    accepted(statement_with("/subject/0/digest", json!({ "sha256": hex, "sha512": "00" })), &release());
    for (digest, reason) in [
        (json!({ "sha256": other }), "signed for digest `sha256:fedc"),
        (json!({ "sha256": "" }), "signed for digest `sha256:`"),
        (json!({ "sha256": hex.to_uppercase() }), "signed for digest"),
        (json!({ "SHA256": hex }), "signed for digest `sha256:`"),
        (json!({ "sha512": hex }), "signed for digest `sha256:`"),
        (json!({}), "no digests, or too many"),
        (
            json!((0..33).map(|n| (n.to_string(), hex.into())).collect::<serde_json::Map<_, _>>()),
            "or too many",
        ),
    ] {
        refused(statement_with("/subject/0/digest", digest), &release(), reason);
    }
    refused(statement_with("/subject", json!([])), &release(), "expected one subject, found 0");
    let two = json!([right, { "digest": { "sha256": other } }]);
    refused(statement_with("/subject", two), &release(), "expected one subject, found 2");
    refused(statement_with("/subject", right), &release(), "no list of subjects");
    refused(statement_with("/subject/0/annotations", json!([])), &release(), "annotations are not an object");
}

#[test]
fn a_log_entry_in_a_bundle_is_neither_needed_nor_believed() {
    let mut bundle = signed_statement(&statement().to_string());
    bundle["verificationMaterial"]["tlogEntries"] =
        json!([{ "logIndex": "-1", "canonicalizedBody": "AAAA" }]);
    accepted(as_bundle(&bundle.to_string()), &release());
}
