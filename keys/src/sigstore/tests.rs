//! One case per check: each differs from a good bundle in one thing, so each fails when its check is removed.

use serde_json::{Value, json};

use super::testing::*;
use super::*;
use crate::testing::{DIGEST, OTHER_DIGEST};

type Expected = fn(String) -> SigstoreError;
type Tamper = fn(&mut Value);

#[track_caller]
fn refused(plan: Plan, expected: Expected) {
    match plan.verdict() {
        Err(error) => {
            let same = std::mem::discriminant(&error) == std::mem::discriminant(&expected(String::new()));
            assert!(same, "{error:?}");
        }
        Ok(verified) => panic!("{verified:?}"),
    }
}

#[track_caller]
fn accepted(plan: Plan) -> VerifiedBundle {
    plan.verdict().unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn a_good_bundle_says_who_signed_when_and_where_it_is_logged() {
    let verified = accepted(Plan::default());
    let signer = verified.signer().unwrap();
    assert_eq!((signer.subject.as_str(), signer.issuer.as_str()), (SUBJECT, ISSUER));
    assert_eq!(verified.times(), [SIGNED_AT]);
    assert_eq!(verified.entries(), [LogPosition { log: "log.example".to_owned(), index: 5 }]);
    assert_eq!(verified.statement().unwrap(), Plan::default().statement.as_bytes());
}

#[test]
fn the_certificate_must_come_from_the_authority_and_be_for_signing() {
    use SigstoreError::Chain;
    refused(Plan { certified_by: |keys| &keys.root, ..Plan::default() }, Chain);
    refused(Plan { certified_by: |keys| &keys.leaf, ..Plan::default() }, Chain);
    const SERVER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    refused(Plan { usage: SERVER, ..Plan::default() }, Chain);
    refused(Plan { key_usage: 0x08, ..Plan::default() }, Chain);
}

/// CVE-2026-24122: the authority's own certificates must be valid at the time of signing, not only the leaf.
#[test]
fn every_certificate_of_the_chain_must_be_valid_when_it_was_signed() {
    use SigstoreError::Chain;
    let (early, late) = (SIGNED_AT - 500 * DAY, SIGNED_AT + 500 * DAY);
    refused(Plan { leaf_period: (SIGNED_AT - 600, SIGNED_AT - 1), ..Plan::default() }, Chain);
    refused(Plan { leaf_period: (SIGNED_AT + 1, SIGNED_AT + 600), ..Plan::default() }, Chain);
    refused(Plan { intermediate_period: (early, SIGNED_AT - 1), ..Plan::default() }, Chain);
    refused(Plan { intermediate_period: (SIGNED_AT + 1, late), ..Plan::default() }, Chain);
    refused(Plan { root_period: (early, SIGNED_AT - 1), ..Plan::default() }, Chain);
    refused(Plan { root_period: (SIGNED_AT + 1, late), ..Plan::default() }, Chain);
    refused(Plan { authority_listed: (early, Some(SIGNED_AT - 1)), ..Plan::default() }, Chain);
    refused(Plan { authority_listed: (SIGNED_AT + 1, None), ..Plan::default() }, Chain);
}

#[test]
fn both_ends_of_every_period_belong_to_it() {
    accepted(Plan { leaf_period: (SIGNED_AT, SIGNED_AT), ..Plan::default() });
    accepted(Plan { intermediate_period: (SIGNED_AT, SIGNED_AT), ..Plan::default() });
    accepted(Plan { root_period: (SIGNED_AT, SIGNED_AT), ..Plan::default() });
    let listed = (SIGNED_AT, Some(SIGNED_AT));
    accepted(Plan { authority_listed: listed, log_listed: listed, ct_listed: listed, ..Plan::default() });
}

#[test]
fn a_certificate_has_one_subject_and_one_issuer() {
    use SigstoreError::Identity;
    let name = |tag: u8, name: &str| (tag, name.as_bytes().to_vec());
    accepted(Plan { names: vec![name(0x86, SUBJECT)], ..Plan::default() });
    accepted(Plan { issuer_v1: None, ..Plan::default() });
    accepted(Plan { issuer_v2: None, ..Plan::default() });
    refused(Plan { names: vec![], ..Plan::default() }, Identity);
    refused(Plan { names: vec![name(0x81, SUBJECT), name(0x81, "x@x")], ..Plan::default() }, Identity);
    refused(Plan { names: vec![name(0x82, SUBJECT)], ..Plan::default() }, Identity);
    refused(Plan { names: vec![name(0x81, "dev@acme.example\0.evil")], ..Plan::default() }, Identity);
    refused(Plan { names: vec![name(0x81, "boss@acme.example")], ..Plan::default() }, Identity);
    refused(Plan { issuer_v1: None, issuer_v2: None, ..Plan::default() }, Identity);
    refused(Plan { issuer_v1: Some("https://evil.example"), ..Plan::default() }, Identity);
    refused(Plan { issuer_v2: Some("https://evil.example"), ..Plan::default() }, Identity);
    let both = Some("https://evil.example");
    refused(Plan { issuer_v1: both, issuer_v2: both, ..Plan::default() }, Identity);
}

#[test]
fn the_certificate_must_stand_in_a_trusted_certificate_log() {
    use SigstoreError::Sct;
    refused(Plan { sct_by: None, ..Plan::default() }, Sct);
    refused(Plan { sct_by: Some(|keys| &keys.log), ..Plan::default() }, Sct);
    let early = SIGNED_AT - 500 * DAY;
    refused(Plan { ct_listed: (early, Some(SIGNED_AT - 1)), ..Plan::default() }, Sct);
    refused(Plan { ct_listed: (SIGNED_AT + 1, None), ..Plan::default() }, Sct);
}

/// CVE-2022-23649, CVE-2022-36056, CVE-2026-22703, sigstore-go #611 and #635: an entry that is good in itself but about
/// another payload, signature or certificate vouches for nothing.
#[test]
fn a_log_entry_about_something_else_is_refused() {
    use SigstoreError::LogEntry;
    let other = |body: &mut Value| body["spec"]["payloadHash"]["value"] = json!("00".repeat(32));
    refused(Plan { body: other, ..Plan::default() }, LogEntry);
    let other = |body: &mut Value| body["spec"]["signatures"][0]["signature"] = json!("AAAA");
    refused(Plan { body: other, ..Plan::default() }, LogEntry);
    let other = |body: &mut Value| {
        let good = body["spec"]["signatures"][0].clone();
        body["spec"]["signatures"] = json!([good, good]);
    };
    refused(Plan { body: other, ..Plan::default() }, LogEntry);
    let other = |body: &mut Value| {
        let leaf = Plan { names: vec![(0x81, b"x@x".to_vec())], ..Plan::default() }.leaf();
        let pem = pem_rfc7468::encode_string("CERTIFICATE", pem_rfc7468::LineEnding::LF, &leaf).unwrap();
        let pem = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
        body["spec"]["signatures"][0]["verifier"] = json!(pem);
    };
    refused(Plan { body: other, ..Plan::default() }, LogEntry);
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

#[test]
fn the_log_must_have_proven_and_promised_the_entry() {
    use SigstoreError::{LogEntry, Structure};
    // A checkpoint by another trusted log: conformance's checkpoint-bad-keyhint.
    refused(Plan { note_by: |keys| &keys.other_log, ..Plan::default() }, LogEntry);
    refused(Plan { note_by: |keys| &keys.leaf, ..Plan::default() }, LogEntry);
    refused(Plan { promise_by: |keys| &keys.other_log, ..Plan::default() }, LogEntry);
    refused(
        Plan {
            bundle: |bundle| entry(bundle)["integratedTime"] = json!((SIGNED_AT + 1).to_string()),
            ..Plan::default()
        },
        LogEntry,
    );
    refused(Plan { bundle: |bundle| entry(bundle)["logIndex"] = json!("6"), ..Plan::default() }, LogEntry);
    refused(
        Plan { bundle: |bundle| entry(bundle)["inclusionProof"]["treeSize"] = json!("2"), ..Plan::default() },
        LogEntry,
    );
    refused(
        Plan {
            bundle: |bundle| entry(bundle)["inclusionProof"]["rootHash"] = json!("A".repeat(43) + "="),
            ..Plan::default()
        },
        LogEntry,
    );
    refused(
        Plan {
            bundle: |bundle| entry(bundle)["logId"]["keyId"] = json!("A".repeat(43) + "="),
            ..Plan::default()
        },
        LogEntry,
    );
    refused(
        Plan {
            bundle: |bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]),
            ..Plan::default()
        },
        LogEntry,
    );
    refused(
        Plan {
            bundle: |bundle| drop(entry(bundle).as_object_mut().unwrap().remove("inclusionProof")),
            ..Plan::default()
        },
        Structure,
    );
}

#[test]
fn the_logs_key_must_have_been_the_logs_then() {
    use SigstoreError::LogEntry;
    let early = SIGNED_AT - 500 * DAY;
    refused(Plan { log_listed: (early, Some(SIGNED_AT - 1)), ..Plan::default() }, LogEntry);
    refused(Plan { log_listed: (SIGNED_AT + 1, None), ..Plan::default() }, LogEntry);
}

/// sigstore-go #633: one log is one witness, however often its entry is repeated.
#[test]
fn log_entries_count_by_distinct_logs() {
    let twice = |bundle: &mut Value| {
        let one = entry(bundle).clone();
        bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap().push(one);
    };
    refused(Plan { bundle: twice, ..Plan::default() }, SigstoreError::Structure);
    let plan = Plan::default();
    let mut trust = plan.trust().unwrap();
    let Anchors::Root { log_entries, .. } = &mut trust.anchors else { panic!() };
    *log_entries = 2;
    let bundle = plan.bundle().to_string();
    let verdict = verify_bundle(bundle.as_bytes(), Artifact::Digest(DIGEST), &trust, NOW);
    assert!(matches!(verdict, Err(SigstoreError::LogEntry(_))), "{verdict:?}");
}

/// Without a promise, the entry's time is only a claim: nothing else here proves one.
#[test]
fn a_time_that_nobody_signed_is_no_time() {
    let unpromised =
        |bundle: &mut Value| drop(entry(bundle).as_object_mut().unwrap().remove("inclusionPromise"));
    refused(Plan { bundle: unpromised, ..Plan::default() }, SigstoreError::Time);
    let plan = Plan::default();
    let bundle = plan.bundle().to_string();
    let trust = plan.trust().unwrap();
    let at = |now| verify_bundle(bundle.as_bytes(), Artifact::Digest(DIGEST), &trust, now);
    assert!(at(SIGNED_AT - 30).is_ok());
    assert!(matches!(at(SIGNED_AT - 3_600), Err(SigstoreError::Time(_))));
}

#[test]
fn the_signature_must_be_of_the_certificates_key_over_this_statement_about_this_digest() {
    refused(Plan { signed_by: |keys| &keys.log, ..Plan::default() }, SigstoreError::Signature);
    let other = crate::testing::statement().to_string().replace(&DIGEST[7..], &OTHER_DIGEST[7..]);
    refused(Plan { statement: other, ..Plan::default() }, SigstoreError::Artifact);
    // sigstore-go #609: an empty digest equals nothing.
    for digest in [json!({ "sha256": "" }), json!({}), json!({ "sha512": &DIGEST[7..] })] {
        let mut statement = crate::testing::statement();
        statement["subject"][0]["digest"] = digest;
        let verdict = Plan { statement: statement.to_string(), ..Plan::default() }.verdict();
        assert!(verdict.is_err(), "{verdict:?}");
    }
}

/// CVE-2022-36056: no falling from one path to the other.
#[test]
fn a_bundle_of_the_other_path_is_refused() {
    let plan = Plan::default();
    let root = TrustRoot::parse(plan.trusted_root().to_string().as_bytes()).unwrap();
    let bundle = plan.bundle().to_string();
    let key = keys().leaf.public_key().clone();
    let verdict = verify_bundle_by_key(bundle.as_bytes(), Artifact::Digest(DIGEST), &key, &root, 1, NOW);
    assert!(matches!(verdict, Err(SigstoreError::Structure(_))), "{verdict:?}");
    let by_key = |bundle: &mut Value| {
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        material.remove("certificate");
        material.insert("publicKey".to_owned(), json!({ "hint": "" }));
    };
    refused(Plan { bundle: by_key, ..Plan::default() }, SigstoreError::Structure);
}

/// CVE-2024-45395 and ambiguity: bounded, and readable in one way.
#[test]
fn a_bundle_of_another_form_is_refused() {
    let tampering: [Tamper; 9] = [
        |bundle| bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v0.4+json"),
        |bundle| bundle["messageSignature"] = json!({ "signature": "AAAA" }),
        |bundle| drop(bundle.as_object_mut().unwrap().remove("dsseEnvelope")),
        |bundle| bundle["verificationMaterial"]["publicKey"] = json!({ "hint": "x" }),
        |bundle| {
            let one = bundle["dsseEnvelope"]["signatures"][0].clone();
            bundle["dsseEnvelope"]["signatures"].as_array_mut().unwrap().push(one);
        },
        |bundle| {
            let one = entry(bundle).clone();
            bundle["verificationMaterial"]["tlogEntries"] =
                json!(vec![one; crate::limits::LOG_ENTRIES_MAX + 1]);
        },
        |bundle| {
            let token = json!({ "signedTimestamp": "AAAA" });
            let tokens = vec![token; crate::limits::TIMESTAMPS_MAX + 1];
            bundle["verificationMaterial"]["timestampVerificationData"] =
                json!({ "rfc3161Timestamps": tokens });
        },
        |bundle| {
            let hashes = vec!["A".repeat(43) + "="; crate::limits::PROOF_HASHES_MAX + 1];
            entry(bundle)["inclusionProof"]["hashes"] = json!(hashes);
        },
        |bundle| {
            let material = bundle["verificationMaterial"].as_object_mut().unwrap();
            let leaf = material.remove("certificate").unwrap();
            material.insert("x509CertificateChain".to_owned(), json!({ "certificates": [leaf] }));
        },
    ];
    for bundle in tampering {
        refused(Plan { bundle, ..Plan::default() }, SigstoreError::Structure);
    }
    let plan = Plan::default();
    let good = plan.bundle().to_string();
    let twice = good.replacen('{', "{\"mediaType\":\"x\",", 1);
    for bundle in [twice, format!("{good}{good}"), good[..good.len() - 1].to_owned()] {
        let verdict = verify_bundle(bundle.as_bytes(), Artifact::Digest(DIGEST), &plan.trust().unwrap(), NOW);
        assert!(matches!(verdict, Err(SigstoreError::Structure(_))), "{verdict:?}");
    }
}

/// bundle-with-root-cert of the conformance suite: a chain that brings its own root.
#[test]
fn a_chain_with_a_root_in_it_is_refused() {
    let chain = |bundle: &mut Value| {
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
        let trusted = Plan::default().trusted_root();
        let mut certificates = trusted["certificateAuthorities"][0]["certChain"]["certificates"].clone();
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let leaf = material.remove("certificate").unwrap();
        certificates.as_array_mut().unwrap().insert(0, leaf);
        material.insert("x509CertificateChain".to_owned(), json!({ "certificates": certificates }));
    };
    refused(Plan { bundle: chain, ..Plan::default() }, SigstoreError::Structure);
    let without_root = |bundle: &mut Value| {
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2");
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let leaf = material.remove("certificate").unwrap();
        material.insert("x509CertificateChain".to_owned(), json!({ "certificates": [leaf] }));
    };
    accepted(Plan { bundle: without_root, ..Plan::default() });
}

#[test]
fn a_trusted_root_with_one_bad_entry_is_no_trusted_root() {
    let tampering: [Tamper; 8] = [
        |root| root["mediaType"] = json!("application/json"),
        |root| root["tlogs"][1]["logId"] = root["tlogs"][0]["logId"].clone(),
        |root| root["tlogs"][0]["logId"]["keyId"] = json!("A".repeat(43) + "="),
        |root| root["ctlogs"][0]["logId"]["keyId"] = json!("A".repeat(43) + "="),
        |root| root["tlogs"][1]["publicKey"]["validFor"] = json!({}),
        |root| drop(root["certificateAuthorities"][0].as_object_mut().unwrap().remove("validFor")),
        |root| root["certificateAuthorities"][0]["certChain"]["certificates"] = json!([]),
        |root| root["tlogs"][1]["publicKey"]["rawBytes"] = json!("AAAA"),
    ];
    accepted(Plan::default());
    for root in tampering {
        refused(Plan { root, ..Plan::default() }, SigstoreError::TrustRoot);
    }
}

const VECTOR_ROOT: &[u8] = include_bytes!("../../tests/vectors/keyless/trusted_root.json");
const VECTOR_BUNDLE: &str = include_str!("../../tests/vectors/keyless/email/bundle.json");
const VECTOR_DIGEST: &str = "sha256:39a7787cfabae599668103f592b5e8e5156dc132a22d3f9746cf8b51bb5508b0";

/// Rekor's second kind, whose own proof fields the foundation does not read, and whose time is a timestamp's.
fn second_kind(tamper: Tamper) -> Result<VerifiedBundle, SigstoreError> {
    let exact = |text: &str| Pattern::exact(text).unwrap();
    let identity =
        CertificateIdentity::new(exact("https://issuer.fixture.example"), exact(SUBJECT), []).unwrap();
    let root = Arc::new(TrustRoot::parse(VECTOR_ROOT)?);
    let anchors = Anchors::Root { root, log_entries: 1, certificate_log: true };
    let mut bundle = serde_json::from_str(VECTOR_BUNDLE).unwrap();
    tamper(&mut bundle);
    let trust = CertificateTrust { identity, anchors };
    verify_bundle(bundle.to_string().as_bytes(), Artifact::Digest(VECTOR_DIGEST), &trust, 1_795_521_600)
}

#[test]
fn a_proof_of_the_second_kind_agrees_with_its_checkpoint_and_needs_a_timestamp() {
    use SigstoreError::{LogEntry, Structure, Time};
    assert_eq!(second_kind(|_| {}).unwrap().times().len(), 1);
    // As `base64` wraps its lines.
    let wrapped: Tamper = |bundle| {
        let timestamps =
            &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
        let text = timestamps[0]["signedTimestamp"].as_str().unwrap();
        let lines: Vec<&str> =
            text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        timestamps[0]["signedTimestamp"] = json!(lines.join("\n"));
    };
    assert_eq!(second_kind(wrapped).unwrap().times().len(), 1);
    let cases: [(Tamper, Expected); 6] = [
        (|bundle| entry(bundle)["inclusionProof"]["treeSize"] = json!("3"), LogEntry),
        (|bundle| entry(bundle)["inclusionProof"]["rootHash"] = json!("A".repeat(43) + "="), LogEntry),
        (|bundle| entry(bundle)["inclusionProof"]["hashes"] = json!([]), LogEntry),
        (|bundle| entry(bundle)["logIndex"] = json!("0"), LogEntry),
        (|bundle| bundle["verificationMaterial"]["timestampVerificationData"] = json!({}), Time),
        (|bundle| entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] = json!(""), Structure),
    ];
    for (tamper, expected) in cases {
        let error = second_kind(tamper).unwrap_err();
        let same = std::mem::discriminant(&error) == std::mem::discriminant(&expected(String::new()));
        assert!(same, "{error:?}");
    }
}

/// The first bundles could leave the proof out; then the promise binds the log, and the time that it covers.
#[test]
fn a_bundle_of_the_first_version_rests_on_its_promise() {
    let promised = |bundle: &mut Value| {
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
        drop(entry(bundle).as_object_mut().unwrap().remove("inclusionProof"));
    };
    accepted(Plan { bundle: promised, ..Plan::default() });
    refused(
        Plan { bundle: promised, promise_by: |keys| &keys.other_log, ..Plan::default() },
        SigstoreError::LogEntry,
    );
    let untimed = |bundle: &mut Value| {
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
        let entry = entry(bundle).as_object_mut().unwrap();
        drop((entry.remove("inclusionProof"), entry.remove("integratedTime")));
    };
    refused(Plan { bundle: untimed, ..Plan::default() }, SigstoreError::LogEntry);
}

/// The suite's wrong key is no key at all; here is a good one that did not sign.
#[test]
fn a_bundle_by_key_verifies_with_that_key_and_its_log_entry_only() {
    fn to_key(bundle: &mut Value) {
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        material.remove("certificate");
        material.insert("publicKey".to_owned(), json!({ "hint": "" }));
    }
    let body = |body: &mut Value| {
        let pem = keys().leaf.public_key().to_pem();
        let pem = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
        body["spec"]["signatures"][0]["verifier"] = json!(pem);
    };
    let plan = Plan { body, bundle: to_key, ..Plan::default() };
    let root = TrustRoot::parse(plan.trusted_root().to_string().as_bytes()).unwrap();
    let verdict = |plan: &Plan, key: &crate::signer::Signer, log_entries| {
        let bundle = plan.bundle().to_string();
        let (artifact, key) = (Artifact::Digest(DIGEST), key.public_key());
        verify_bundle_by_key(bundle.as_bytes(), artifact, key, &root, log_entries, NOW)
    };
    let verified = verdict(&plan, &keys().leaf, 1).unwrap();
    assert_eq!((verified.signer(), verified.times()), (None, [SIGNED_AT].as_slice()));
    assert!(matches!(verdict(&plan, &keys().log, 1), Err(SigstoreError::Signature(_))));
    assert!(matches!(verdict(&plan, &keys().leaf, 2), Err(SigstoreError::LogEntry(_))));
    // An entry that names another key.
    let body_of_another = |body: &mut Value| {
        let pem = keys().log.public_key().to_pem();
        let pem = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
        body["spec"]["signatures"][0]["verifier"] = json!(pem);
    };
    let other = Plan { body: body_of_another, bundle: to_key, ..Plan::default() };
    assert!(matches!(verdict(&other, &keys().leaf, 1), Err(SigstoreError::LogEntry(_))));
    let unlogged = |bundle: &mut Value| {
        to_key(bundle);
        bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    };
    let unlogged = Plan { body, bundle: unlogged, ..Plan::default() };
    assert!(matches!(verdict(&unlogged, &keys().leaf, 1), Err(SigstoreError::LogEntry(_))));
}
