//! The older form, signed by a certificate: every annotation is bound to this signature, payload and certificate.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::testing::{self, NOW, Plan, SIGNED_AT, keys};
use super::super::{CertificateIdentity, Pattern};
use super::*;
use crate::attestation::{self, UnverifiedAttestation};
use crate::cosign::bundle::pre_authentication_encoding;
use crate::cosign::{self, SIGNATURE_ANNOTATION};
use crate::digest;
use crate::signature::UnverifiedSignature;
use crate::testing::{SUBJECT, identity, simple_payload, statement, store};
use crate::trust_store::{Identity, RepositoryMatch, TrustStore, Vouches};
use crate::verify::verify;

/// A signature layer with all annotations, as cosign 2 writes it for a certificate.
struct Layer {
    payload: Vec<u8>,
    annotations: BTreeMap<String, String>,
}

fn pem(der: &[u8]) -> String {
    pem_rfc7468::encode_string("CERTIFICATE", pem_rfc7468::LineEnding::LF, der).unwrap()
}

/// The log's answer about a body: index, time and promise.
fn logged(body: &Value, time: i64, by: &crate::signer::Signer) -> Value {
    let body = STANDARD.encode(body.to_string());
    let log_id = hex::encode(testing::id(&keys().log));
    let promised = json!({ "body": body, "integratedTime": time, "logID": log_id, "logIndex": 5 });
    let promise = by.sign(promised.to_string().as_bytes()).unwrap();
    json!({ "SignedEntryTimestamp": STANDARD.encode(promise), "Payload": promised })
}

fn layer(body: impl Fn(&mut Value), time: i64, log: &crate::signer::Signer) -> Layer {
    let payload = simple_payload().to_string().into_bytes();
    let leaf = Plan::default().leaf();
    let signature = STANDARD.encode(keys().leaf.sign(&payload).unwrap());
    let mut entry = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": digest::sha256_hex(&payload) } },
            "signature": { "content": signature, "publicKey": { "content": STANDARD.encode(pem(&leaf)) } },
        },
    });
    body(&mut entry);
    let annotations = [
        (SIGNATURE_ANNOTATION, signature),
        (CERTIFICATE_ANNOTATION, pem(&leaf)),
        (LOG_ANNOTATION, logged(&entry, time, log).to_string()),
    ];
    Layer { payload, annotations: annotations.map(|(name, value)| (name.to_owned(), value)).into() }
}

fn certificate_store() -> TrustStore {
    store(vec![Identity {
        name: "dev".to_owned(),
        principal: None,
        vouches: Vouches::Certificate(Box::new(Plan::default().trust().unwrap())),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    }])
}

fn outcome(layer: Layer, store: &TrustStore) -> Result<String, String> {
    let Layer { payload, annotations } = layer;
    let candidate = UnverifiedSignature::CosignSimple {
        payload_digest: digest::sha256(&payload),
        payload_size: payload.len() as u64,
        payload,
        annotations,
    };
    let mut found = verify(&[candidate], SUBJECT, store, NOW);
    match found.verified.pop() {
        Some(verified) => Ok(verified.signer().to_owned()),
        None => Err(found.rejected.remove(0).reason),
    }
}

#[track_caller]
fn refused(layer: Layer, reason: &str) {
    match outcome(layer, &certificate_store()) {
        Err(seen) if seen.starts_with(reason) => {}
        other => panic!("{other:?}, expected {reason}"),
    }
}

#[test]
fn a_certificate_with_its_log_entry_vouches_for_a_payload() {
    let good = layer(|_| {}, SIGNED_AT, &keys().log);
    assert_eq!(outcome(good, &certificate_store()).unwrap(), "dev@acme.example of https://issuer.example");
    // For whoever trusts keys only, even the very key that signed, it counts nothing.
    let by_key = store(vec![identity("release", &["p256"])]);
    assert!(
        outcome(layer(|_| {}, SIGNED_AT, &keys().log), &by_key).unwrap_err().contains("certificate identity")
    );
}

/// One holder gets a new key every time, and may be meant by two identities: still one signer.
#[test]
fn a_holder_counts_once_whatever_keys_and_names() {
    let mut trusted = certificate_store();
    let mut other = trusted.identities[0].clone();
    other.name = "anybody at acme".to_owned();
    trusted.identities.push(other);
    let candidate = |layer: Layer| UnverifiedSignature::CosignSimple {
        payload_digest: digest::sha256(&layer.payload),
        payload_size: layer.payload.len() as u64,
        payload: layer.payload,
        annotations: layer.annotations,
    };
    let log = &keys().log;
    let found = [layer(|_| {}, SIGNED_AT, log), layer(|_| {}, SIGNED_AT + 1, log)].map(candidate);
    let verified = verify(&found, SUBJECT, &trusted, NOW).verified;
    assert_eq!(verified.len(), 4);
    let names = ["dev", "anybody at acme"].map(str::to_owned).to_vec();
    assert!(crate::threshold::at_least(1, &names, &verified).is_satisfied());
    assert!(!crate::threshold::at_least(2, &names, &verified).is_satisfied());
}

/// Whoever may push can add as many forgeries as he likes, with copied certificates and with made-up ones.
#[test]
fn forgeries_cannot_use_up_the_work_before_a_good_signature() {
    let candidate = |layer: Layer| UnverifiedSignature::CosignSimple {
        payload_digest: digest::sha256(&layer.payload),
        payload_size: layer.payload.len() as u64,
        payload: layer.payload,
        annotations: layer.annotations,
    };
    let good = || layer(|_| {}, SIGNED_AT, &keys().log);
    let mut copied = good();
    copied.payload.push(b' ');
    let mut made_up = good();
    let leaf = Plan { certified_by: |keys| &keys.leaf, ..Plan::default() }.leaf();
    made_up.annotations.insert(CERTIFICATE_ANNOTATION.to_owned(), pem(&leaf));
    let mut found = Vec::new();
    for forgery in [copied, made_up].map(candidate) {
        found.extend(vec![forgery; 800]);
    }
    found.push(candidate(good()));
    assert_eq!(verify(&found, SUBJECT, &certificate_store(), NOW).verified.len(), 1);
}

/// Two identities of one instance share one verification, and still each is asked for itself.
#[test]
fn a_holder_vouches_for_no_other_identity_of_the_same_instance() {
    let mut trusted = certificate_store();
    let mut other = trusted.identities[0].clone();
    other.name = "boss".to_owned();
    if let Vouches::Certificate(trust) = &mut other.vouches {
        let exact = |text| Pattern::exact(text).unwrap();
        trust.identity =
            CertificateIdentity::new(exact(testing::ISSUER), exact("boss@acme.example"), []).unwrap();
    }
    trusted.identities.insert(0, other);
    let Layer { payload, annotations } = layer(|_| {}, SIGNED_AT, &keys().log);
    let (payload_digest, payload_size) = (digest::sha256(&payload), payload.len() as u64);
    let found = [UnverifiedSignature::CosignSimple { payload_digest, payload_size, payload, annotations }];
    let verified = verify(&found, SUBJECT, &trusted, NOW).verified;
    let names: Vec<_> = verified.iter().map(|one| one.identity()).collect();
    assert_eq!(names, ["dev"]);
}

/// CVE-2022-23649, CVE-2026-22703: a promise for another entry vouches for nothing.
#[test]
fn an_entry_for_another_payload_signature_or_certificate_is_refused() {
    let log = &keys().log;
    let hash = |body: &mut Value| body["spec"]["data"]["hash"]["value"] = json!("00".repeat(32));
    refused(layer(hash, SIGNED_AT, log), "log entry: ");
    let signature = |body: &mut Value| body["spec"]["signature"]["content"] = json!("AAAA");
    refused(layer(signature, SIGNED_AT, log), "log entry: ");
    let certificate = |body: &mut Value| {
        let other = Plan { names: vec![(0x81, b"x@x".to_vec())], ..Plan::default() }.leaf();
        body["spec"]["signature"]["publicKey"]["content"] = json!(STANDARD.encode(pem(&other)));
    };
    refused(layer(certificate, SIGNED_AT, log), "log entry: ");
    refused(layer(|body| body["kind"] = json!("rpm"), SIGNED_AT, log), "log entry: ");
}

#[test]
fn a_promise_that_the_log_did_not_make_is_refused() {
    refused(layer(|_| {}, SIGNED_AT, &keys().other_log), "log entry: ");
    refused(layer(|_| {}, 0, &keys().log), "log entry: ");
    refused(layer(|_| {}, SIGNED_AT + 6_000, &keys().log), "certificate: ");
    let mut moved = layer(|_| {}, SIGNED_AT, &keys().log);
    let annotation = moved.annotations.get_mut(LOG_ANNOTATION).unwrap();
    *annotation = annotation.replace(&SIGNED_AT.to_string(), &(SIGNED_AT + 1).to_string());
    refused(moved, "log entry: ");
    let mut absent = layer(|_| {}, SIGNED_AT, &keys().log);
    absent.annotations.remove(LOG_ANNOTATION);
    refused(absent, "log entry: ");
    let mut twice = layer(|_| {}, SIGNED_AT, &keys().log);
    let annotation = twice.annotations.get_mut(LOG_ANNOTATION).unwrap();
    *annotation = annotation.replacen('{', "{\"SignedEntryTimestamp\":\"\",", 1);
    refused(twice, "log entry: ");
}

#[test]
fn payload_signature_and_certificate_belong_together() {
    let mut other = layer(|_| {}, SIGNED_AT, &keys().log);
    other.payload.push(b' ');
    refused(other, "signature: ");
    let mut stolen = layer(|_| {}, SIGNED_AT, &keys().log);
    let leaf = Plan { names: vec![(0x81, b"x@x".to_vec())], ..Plan::default() }.leaf();
    stolen.annotations.insert(CERTIFICATE_ANNOTATION.to_owned(), pem(&leaf));
    refused(stolen, "identity: ");
    // A root in the chain is nobody's: it is passed over, and makes nothing good.
    let mut own_root = layer(|_| {}, SIGNED_AT, &keys().log);
    let trusted = Plan::default().trusted_root();
    let root =
        trusted["certificateAuthorities"][0]["certChain"]["certificates"][1]["rawBytes"].as_str().unwrap();
    let root = pem(&STANDARD.decode(root).unwrap());
    own_root.annotations.insert(CHAIN_ANNOTATION.to_owned(), root.clone());
    assert!(outcome(own_root, &certificate_store()).is_ok());
    for wrong in ["", "x", &root.repeat(2)] {
        let mut broken = layer(|_| {}, SIGNED_AT, &keys().log);
        broken.annotations.insert(CERTIFICATE_ANNOTATION.to_owned(), wrong.to_owned());
        refused(broken, "bundle: ");
    }
}

/// An attestation in the older form, by a certificate or by the key `p256`.
fn attested(by_certificate: bool, statement: &Value) -> UnverifiedAttestation {
    let statement = statement.to_string();
    let message = pre_authentication_encoding("application/vnd.in-toto+json", statement.as_bytes());
    let signer = if by_certificate { &keys().leaf } else { crate::testing::signer("p256") };
    let signature = STANDARD.encode(signer.sign(&message).unwrap());
    let envelope = json!({
        "payload": STANDARD.encode(&statement),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{ "keyid": "", "sig": signature }],
    });
    let envelope = envelope.to_string().into_bytes();
    let mut annotations = BTreeMap::from([("predicateType".to_owned(), "anybody's word".to_owned())]);
    if by_certificate {
        let leaf = pem(&Plan::default().leaf());
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": "" },
                "payloadHash": { "algorithm": "sha256", "value": digest::sha256_hex(statement.as_bytes()) },
                "signatures": [{ "signature": signature, "verifier": STANDARD.encode(&leaf) }],
            },
        });
        annotations.insert(LOG_ANNOTATION.to_owned(), logged(&body, SIGNED_AT, &keys().log).to_string());
        annotations.insert(CERTIFICATE_ANNOTATION.to_owned(), leaf);
    }
    let layer = cosign::SimpleSignatureLayer {
        payload_digest: digest::sha256(&envelope),
        size: envelope.len() as u64,
        annotations,
    };
    layer.with_envelope(envelope)
}

fn provenance() -> Value {
    let mut statement = statement();
    statement["predicateType"] = json!("https://slsa.dev/provenance/v1");
    statement["predicate"] = json!({ "runDetails": { "builder": { "id": "b1" } } });
    statement
}

#[test]
fn an_attestation_says_what_and_who_in_one_value() {
    let mut trusted = certificate_store();
    trusted.identities.push(identity("release", &["p256"]));
    for (by_certificate, name, time) in [(true, "dev", Some(SIGNED_AT)), (false, "release", None)] {
        let answer = attestation::verify(&[attested(by_certificate, &provenance())], SUBJECT, &trusted, NOW);
        let [one] = answer.verified.as_slice() else { panic!("{answer:?}") };
        assert_eq!((one.identity(), one.predicate_type()), (name, "https://slsa.dev/provenance/v1"));
        assert_eq!(one.predicate()["runDetails"]["builder"]["id"], "b1");
        assert_eq!(one.proven_time(), time);
    }
}

/// CVE-2022-35929, CVE-2022-35930: the type is compared inside what was signed, and its absence is a failure.
#[test]
fn an_attestation_of_no_type_or_about_something_else_is_refused() {
    let trusted = store(vec![identity("release", &["p256"])]);
    let tampering: [fn(&mut Value); 7] = [
        |statement| drop(statement.as_object_mut().unwrap().remove("predicateType")),
        |statement| statement["predicateType"] = json!(""),
        |statement| statement["predicateType"] = json!("https://sigstore.dev/cosign/sign/v1"),
        |statement| statement["_type"] = json!("https://in-toto.io/Statement/v2"),
        |statement| statement["subject"][0]["digest"]["sha256"] = json!(""),
        |statement| statement["subject"] = json!([]),
        |statement| {
            let one = statement["subject"][0].clone();
            statement["subject"] = json!(vec![one; limits::SUBJECTS_MAX + 1]);
        },
    ];
    for tamper in tampering {
        let mut statement = provenance();
        tamper(&mut statement);
        let answer = attestation::verify(&[attested(false, &statement)], SUBJECT, &trusted, NOW);
        assert!(answer.verified.is_empty(), "{answer:?}");
        assert_eq!(answer.rejected.len(), 1);
    }
    let UnverifiedAttestation::Envelope { envelope_digest, envelope, annotations, .. } =
        attested(false, &provenance())
    else {
        panic!()
    };
    let size = envelope.len() as u64;
    for (envelope_digest, envelope_size) in [(digest::sha256(b""), size), (envelope_digest, size + 1)] {
        let (envelope, annotations) = (envelope.clone(), annotations.clone());
        let one = UnverifiedAttestation::Envelope { envelope_digest, envelope_size, envelope, annotations };
        assert!(attestation::verify(&[one], SUBJECT, &trusted, NOW).verified.is_empty());
    }
}
