//! Timestamps and revocation lists of Notation: made here in `vectors/notation/time`, and upstream's own files.
//!
//! Upstream's files lie outside the repository, in the folder that `PORTCULLIS_TEST_DATA` names (or `../shared/data`
//! beside the workspace). Without it their test says so and does nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keys::notation::{
    Artifact, COSE_MEDIA_TYPE, JWS_MEDIA_TYPE, NotationError, TrustPolicy, TrustStores, VerifiedNotation,
    verify,
};
use keys::timestamp::{self, TimestampError};
use keys::x509::{Certificate, ChainError, CrlError, ProfileError, RevocationList};
use serde_json::json;

/// 2026-11-24T12:00:00Z, within the signer's validity of eleven days.
const NOW: i64 = 1_795_521_600;
/// 2026-12-20T00:00:00Z: the signer's certificate has expired, the lists have not.
const EXPIRED: i64 = 1_797_724_800;
/// 2027-02-01T00:00:00Z: the lists have ended too.
const STALE: i64 = 1_801_440_000;
/// When the token was made.
const STAMPED: i64 = 1_795_496_235;

const ARTIFACT: Artifact<'static> = Artifact {
    media_type: "application/vnd.oci.image.manifest.v1+json",
    digest: "sha256:130630f55243681523a49b1353e66b442dc4db1cdc529355003b9b51df7060c1",
    size: 401,
};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/notation/time").join(name))
        .unwrap()
}

fn policy(verification: &serde_json::Value, stores: &[&str]) -> TrustPolicy {
    let document = json!({ "version": "1.0", "trustPolicies": [{
        "name": "p", "registryScopes": ["*"], "signatureVerification": verification,
        "trustStores": stores, "trustedIdentities": ["*"] }] });
    TrustPolicy::parse(document.to_string().as_bytes()).unwrap()
}

struct Case<'a> {
    envelope: &'a str,
    verify_timestamp: &'a str,
    authority: Option<&'a str>,
    lists: &'a [&'a str],
    now: i64,
}

const GOOD: Case<'static> = Case {
    envelope: "stamped.jws",
    verify_timestamp: "always",
    authority: Some("tsa-ca.pem"),
    lists: &["ca.crl", "tsa-ca.crl"],
    now: NOW,
};

fn judge(case: &Case<'_>, level: &str) -> Result<VerifiedNotation, NotationError> {
    let mut stores = TrustStores::default();
    assert!(stores.add("ca:a", Certificate::from_file(&file("ca.pem")).unwrap()).is_empty());
    let mut names = vec!["ca:a"];
    if let Some(authority) = case.authority {
        assert!(stores.add("tsa:t", Certificate::from_file(&file(authority)).unwrap()).is_empty());
        names.push("tsa:t");
    }
    for list in case.lists {
        stores.add_list(RevocationList::from_file(&file(list)).unwrap());
    }
    let policy = policy(&json!({ "level": level, "verifyTimestamp": case.verify_timestamp }), &names);
    let statement = policy.statement_for("registry.example/app").unwrap();
    let envelope = file(case.envelope);
    verify((&envelope, JWS_MEDIA_TYPE), ARTIFACT, (statement, &stores), &BTreeMap::new(), case.now)
        .map_err(|refusal| refusal.error)
}

#[test]
fn a_timestamp_carries_a_signature_beyond_its_certificate() {
    for (now, case) in [(NOW, GOOD), (EXPIRED, GOOD)] {
        let verified = judge(&Case { now, ..case }, "strict").unwrap();
        assert_eq!(verified.time(), Some(STAMPED + 1), "the authority is accurate to a second");
        // It rests on the lists, which end with the year, and no longer on the certificate.
        assert_eq!(verified.valid_until(), Some(1_798_761_600));
        assert_eq!(verified.lists().len(), 2);
        assert_eq!(verified.lists()[0].age, now - 1_795_478_400);
    }
    let late = Case { verify_timestamp: "afterCertExpiry", ..GOOD };
    assert_eq!(judge(&late, "strict").unwrap().time(), None, "not looked at while the certificate is valid");
    assert_eq!(judge(&Case { now: EXPIRED, ..late }, "strict").unwrap().time(), Some(STAMPED + 1));
    let bare = Case { envelope: "unstamped.jws", verify_timestamp: "afterCertExpiry", ..GOOD };
    assert!(judge(&bare, "strict").is_ok());
}

#[test]
fn a_timestamp_that_proves_nothing_is_refused_by_its_class() {
    use NotationError::{Timestamp, TimestampAbsent, Validity};
    let judge = |case: Case<'_>| judge(&case, "strict").unwrap_err();
    assert!(matches!(judge(Case { envelope: "unstamped.jws", ..GOOD }), TimestampAbsent(_)));
    let after = Case { envelope: "unstamped.jws", verify_timestamp: "afterCertExpiry", now: EXPIRED, ..GOOD };
    assert!(matches!(judge(after), TimestampAbsent(_)));
    let error = judge(Case { envelope: "transplanted.jws", ..GOOD });
    assert_eq!(error, Timestamp(TimestampError::Imprint));
    let error = judge(Case { authority: Some("other-tsa-ca.pem"), ..GOOD });
    assert!(matches!(error, Timestamp(TimestampError::Untrusted(_))), "{error:?}");
    // An authority for images makes no time.
    let error = judge(Case { authority: Some("ca.pem"), ..GOOD });
    assert!(matches!(error, Timestamp(TimestampError::Untrusted(_))), "{error:?}");
    assert!(matches!(judge(Case { authority: None, now: EXPIRED, ..GOOD }), Validity(_)));
}

/// Each check of the token itself: one changed byte per field, and one certificate that may not make time.
#[test]
fn a_token_is_refused_by_the_check_that_it_fails() {
    let (token, signature) = (file("token.der"), file("signature.bin"));
    let root = Certificate::from_file(&file("tsa-ca.pem")).unwrap();
    let roots: Vec<&Certificate> = root.iter().collect();
    assert_eq!(timestamp::verify(&token, &signature, &roots).unwrap().earliest(), STAMPED - 1);
    assert_eq!(timestamp::verify(&token, b"another", &roots).unwrap_err(), TimestampError::Imprint);
    assert!(matches!(timestamp::verify(&token, &signature, &[]).unwrap_err(), TimestampError::Untrusted(_)));
    let error = timestamp::verify(&file("token-tls.der"), &signature, &roots).unwrap_err();
    let purpose = |error: &ChainError| {
        matches!(error, ChainError::Profile { problem: ProfileError::NotOnlyTimeStamping, .. })
    };
    assert!(matches!(&error, TimestampError::Chain(error) if purpose(error)), "{error:?}");
    let change = |at: usize| {
        let mut token = token.clone();
        token[at] ^= 1;
        timestamp::verify(&token, &signature, &roots).unwrap_err()
    };
    let find = |needle: &[u8]| token.windows(needle.len()).position(|window| window == needle).unwrap();
    // The time inside TSTInfo: the signed digest of the content no longer fits.
    assert_eq!(change(find(b"20261124") + 7), TimestampError::MessageDigest);
    assert_eq!(change(token.len() - 1), TimestampError::Signature);
    // signing-certificate-v2 names another certificate: signed, so that the signature fails only after the name.
    let ess = find(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x2f]);
    assert_eq!(change(ess + 24), TimestampError::SigningCertificate);
    for length in 0..token.len() {
        assert!(timestamp::verify(&token[..length], &signature, &roots).is_err(), "{length}");
    }
    let long = vec![0x30; keys::limits::TIMESTAMP_BYTES_MAX + 1];
    assert!(matches!(timestamp::verify(&long, &signature, &roots), Err(TimestampError::TooLarge(_))));
}

#[test]
fn what_is_revoked_or_not_known_does_not_count_at_strict() {
    use NotationError::{RevocationStale, RevocationUnknown, Revoked};
    let judge = |lists: &[&str], now| judge(&Case { lists, now, ..GOOD }, "strict");
    assert!(matches!(judge(&["ca-revoked.crl", "tsa-ca.crl"], NOW).unwrap_err(), Revoked { .. }));
    assert!(matches!(judge(&["tsa-ca.crl"], NOW).unwrap_err(), RevocationUnknown(_)));
    assert!(matches!(judge(&["ca-forged.crl", "tsa-ca.crl"], NOW).unwrap_err(), RevocationUnknown(_)));
    assert!(matches!(judge(&["ca.crl", "tsa-ca.crl"], STALE).unwrap_err(), RevocationStale { .. }));
    // A forged list beside a good one hides nothing.
    assert!(judge(&["ca-forged.crl", "ca.crl", "tsa-ca.crl"], NOW).is_ok());
}

/// The chain of the timestamp authority was not asked about.
#[test]
fn cve_2024_56138_a_revoked_timestamp_authority_makes_no_time() {
    let judge = |lists: &[&str]| judge(&Case { lists, ..GOOD }, "strict").unwrap_err();
    assert!(matches!(judge(&["ca.crl", "tsa-ca-revoked.crl"]), NotationError::Revoked { .. }));
    assert!(matches!(judge(&["ca.crl"]), NotationError::RevocationUnknown(_)));
}

/// An answer about revocation that was not there crashed the verifier.
#[test]
fn cve_2024_51491_no_answer_about_revocation_is_a_refusal_and_at_permissive_a_line_of_the_trace() {
    let none = Case { lists: &[], ..GOOD };
    assert!(matches!(judge(&none, "strict").unwrap_err(), NotationError::RevocationUnknown(_)));
    let verified = judge(&none, "permissive").unwrap();
    let line = serde_json::to_value(verified.trace()).unwrap();
    assert!(line[4]["outcome"]["failed"].as_str().unwrap().contains("is not known"), "{line}");
}

#[test]
fn a_list_that_is_not_whole_or_not_one_is_refused() {
    assert!(matches!(RevocationList::from_file(&file("ca-delta.crl")), Err(CrlError::UnknownCritical(_))));
    let list = file("ca.crl");
    for length in 0..list.len() {
        assert!(RevocationList::from_file(&list[..length]).is_err(), "{length}");
    }
    let long = vec![0x30; keys::limits::CRL_BYTES_MAX + 1];
    assert!(matches!(RevocationList::from_file(&long), Err(CrlError::TooLarge { .. })));
}

#[expect(clippy::disallowed_methods, reason = "a test finds its data by this variable")]
fn upstream() -> Option<PathBuf> {
    let data = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = data.join("signatures/notation-static");
    folder.is_dir().then_some(folder)
}

#[test]
fn upstream_envelopes_with_timestamps_get_upstreams_verdict() {
    let Some(folder) = upstream() else {
        println!("SKIPPED: upstream_envelopes_with_timestamps_get_upstreams_verdict: no test data");
        return;
    };
    let time = folder.join("notation-go/verifier/testdata/timestamp");
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    let roots = read(
        folder.join("notation-go/verifier/testdata/truststore/x509/tsa/test-timestamp/globalsignRoot.cer"),
    );
    let artifact = Artifact {
        media_type: "application/vnd.docker.distribution.manifest.v2+json",
        digest: "sha256:c0669ef34cdc14332c0f1ab0c2c01acb91d96014b172f1a76f3a39e63d1f0bda",
        size: 528,
    };
    // Every envelope is of a self-signed certificate of its own, which here is trusted without a look at its store.
    let judge = |name: &str, media_type: &str, when: &str| {
        let mut stores = TrustStores::default();
        assert!(stores.add("tsa:t", Certificate::from_file(&roots).unwrap()).is_empty());
        let level = json!({ "level": "audit", "verifyTimestamp": when,
            "override": { "authenticTimestamp": "enforce", "revocation": "skip" } });
        let policy = policy(&level, &["ca:a", "tsa:t"]);
        let statement = policy.statement_for("registry.example/app").unwrap();
        let envelope = read(time.join("sigEnv").join(name));
        let judged = verify((&envelope, media_type), artifact, (statement, &stores), &BTreeMap::new(), NOW);
        judged.map(|verified| verified.time()).map_err(|refusal| refusal.error)
    };
    use NotationError::{TimestampAbsent, Validity};
    assert_eq!(judge("jwsWithTimestamp.sig", JWS_MEDIA_TYPE, "always"), Ok(Some(1_718_692_178)));
    assert!(matches!(judge("coseWithTimestamp.sig", COSE_MEDIA_TYPE, "always"), Ok(Some(_))));
    assert!(matches!(judge("jwsExpiredWithTimestamp.sig", JWS_MEDIA_TYPE, "afterCertExpiry"), Ok(Some(_))));
    assert!(matches!(judge("coseExpiredWithTimestamp.sig", COSE_MEDIA_TYPE, "always"), Ok(Some(_))));
    assert!(matches!(judge("timestampBeforeNotBefore.sig", JWS_MEDIA_TYPE, "always"), Err(Validity(_))));
    assert!(matches!(judge("timestampAfterNotAfter.sig", COSE_MEDIA_TYPE, "always"), Err(Validity(_))));
    assert!(matches!(judge("withoutTimestamp.sig", JWS_MEDIA_TYPE, "always"), Err(TimestampAbsent(_))));
    assert_eq!(judge("withoutTimestamp.sig", JWS_MEDIA_TYPE, "afterCertExpiry"), Ok(None));
    let roots = Certificate::from_file(&roots).unwrap();
    let roots: Vec<&Certificate> = roots.iter().collect();
    let token = |path: &str| timestamp::verify(&read(folder.join(path)), b"unknown", &roots).unwrap_err();
    let good = "notation-go/verifier/testdata/timestamp/countersignature/TimeStampToken";
    assert_eq!(token(&format!("{good}.p7s")), TimestampError::Imprint);
    assert_eq!(token(&format!("{good}WithoutCertificate.p7s")), TimestampError::SignerAbsent);
    assert_eq!(token(&format!("{good}WithInvalideContentType.p7s")), TimestampError::ContentType);
    let error = token(&format!("{good}WithInvalidTSTInfo.p7s"));
    assert!(matches!(error, TimestampError::Malformed(_) | TimestampError::MessageDigest), "{error:?}");
    let invalid = "notation-core-go/internal/timestamp/testdata/TimeStampTokenWithInvalidSignature.p7s";
    let error = token(invalid);
    assert!(matches!(error, TimestampError::Signature | TimestampError::MessageDigest), "{error:?}");
    let lists = folder.join("notation-core-go/revocation/crl/testdata");
    assert!(matches!(
        RevocationList::from_file(&read(lists.join("delta.crl"))),
        Err(CrlError::UnknownCritical(_))
    ));
    let parsed = RevocationList::from_file(&read(lists.join("crlWithMultipleFreshestCRLs.crl")));
    assert!(parsed.is_ok(), "{parsed:?}");
}

/// What notation-go's own envelopes come to; each is of a self-signed certificate, which `audit` lets pass.
#[test]
fn upstream_envelopes_are_refused_by_the_check_that_they_are_made_for() {
    let Some(folder) = upstream() else {
        println!("SKIPPED: upstream_envelopes_are_refused_by_the_check_that_they_are_made_for: no test data");
        return;
    };
    let policy = policy(
        &json!({ "level": "audit", "override": { "expiry": "enforce" } }),
        &["ca:a", "signingAuthority:a"],
    );
    let statement = policy.statement_for("registry.example/app").unwrap();
    let judge = |path: &str, media_type: &str, (digest, artifact_type, size): (&str, &str, u64)| {
        let envelope = std::fs::read(folder.join(path)).unwrap();
        let artifact = Artifact { media_type: artifact_type, digest, size };
        let stores = TrustStores::default();
        verify((&envelope, media_type), artifact, (statement, &stores), &BTreeMap::new(), NOW)
            .map(|verified| assert!(!verified.is_authentic(), "{path}"))
            .map_err(|refusal| refusal.error.to_string())
    };
    let image = "sha256:60043cf45eaebc4c0867fea485a039b598f52fd09fd5b07b0b2d2f88fad9d74e";
    let plugin = "sha256:fe7e9333395060c2f5e63cf36a38fba10176f183b4163a5794e081a480abba5f";
    let metadata = "sha256:5a07385af4e6b6af81b0ebfd435aedccdfa3507f0609c658209e1aba57159b2b";
    let demanded = Some("demands verification plug-in");
    for (name, digest, expected) in [
        ("ca_valid_sig_env", image, None),
        ("sa_valid_sig_env", image, None),
        ("sig_env_with_metadata", metadata, None),
        ("ca_expired_sig_env", image, Some("the signature expired")),
        ("sa_expired_sig_env", image, Some("the signature expired")),
        ("ca_invalid_sig_env", image, Some("`payload` is absent or malformed")),
        ("sa_invalid_sig_env", image, Some("`payload` is absent or malformed")),
        ("ca_plugin_sig_env", image, Some("`SomeKey` is not understood")),
        ("sa_plugin_sig_env", image, Some("`SomeKey` is not understood")),
        ("ca_compatible_pluginver_sig_env_0.0.9", plugin, demanded),
        ("ca_compatible_pluginver_sig_env_1.0.0", plugin, demanded),
        ("ca_incompatible_pluginver_sig_env_1.2.3", plugin, demanded),
    ] {
        let path = format!("notation-go/internal/mock/testdata/{name}.json");
        let described = described(&std::fs::read(folder.join(&path)).unwrap());
        let judged = judge(&path, JWS_MEDIA_TYPE, (digest, &described.0, described.1));
        match expected {
            None => assert_eq!(judged, Ok(()), "{name}"),
            Some(reason) => {
                assert!(judged.as_ref().is_err_and(|error| error.contains(reason)), "{name}: {judged:?}")
            }
        }
    }
    // The conformance vectors have no certificates: all that stands before them is read.
    let path = "notation-core-go/signature/jws/testdata/conformance.json";
    let error = judge(path, JWS_MEDIA_TYPE, (image, "", 0)).unwrap_err();
    assert!(error.contains("`x5c` is absent"), "{error}");
    let cose =
        std::fs::read(folder.join("notation-core-go/signature/cose/testdata/conformance.json")).unwrap();
    let cose: serde_json::Value = serde_json::from_slice(&cose).unwrap();
    let hex = cose["expectedOutput"]["cborHex"].as_str().unwrap();
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let artifact = Artifact { media_type: "", digest: image, size: 0 };
    let judged = verify(
        (&bytes, COSE_MEDIA_TYPE),
        artifact,
        (statement, &TrustStores::default()),
        &BTreeMap::new(),
        NOW,
    );
    let error = judged.unwrap_err().to_string();
    assert!(error.contains("`x5chain` is absent"), "{error}");
}

/// Media type and size as an envelope signs them.
fn described(envelope: &[u8]) -> (String, u64) {
    let envelope: serde_json::Value = serde_json::from_slice(envelope).unwrap();
    let payload = envelope["payload"].as_str().unwrap().as_bytes();
    let digit = |byte: &u8| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        u32::try_from(alphabet.iter().position(|other| other == byte).unwrap_or(0)).unwrap()
    };
    let mut bytes = Vec::new();
    for group in payload.chunks(4) {
        let bits = group.iter().fold(0, |sum, byte| sum << 6 | digit(byte)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    let payload: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let target = &payload["targetArtifact"];
    (target["mediaType"].as_str().unwrap_or_default().to_owned(), target["size"].as_u64().unwrap_or_default())
}
