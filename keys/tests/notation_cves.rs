//! The published vulnerabilities of Notation, each against the image in `vectors/notation/image` and our one entry.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its data has failed")]

use std::collections::BTreeMap;

use keys::notation::{
    EnvelopeError, Level, NotationError, NotationTrust, SIGNATURE_TYPE, TrustPolicy, TrustStores,
    UnverifiedNotation, signature_layers,
};
use keys::signature::{Subject, UnverifiedSignature};
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, Vouches};
use keys::verify::{Verification, verify};
use keys::x509::{Certificate, DistinguishedName};
use serde_json::json;

const AUTHORITY: &[u8] = include_bytes!("vectors/notation/trust/ecroot-ca.crt");
const SIGNATURE: &[u8] = include_bytes!("vectors/notation/image/signature.json");
const ENVELOPE: &[u8] = include_bytes!("vectors/notation/image/envelope.jws");
const IMAGE: &str = "sha256:130630f55243681523a49b1353e66b442dc4db1cdc529355003b9b51df7060c1";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// 2026-11-24T12:00:00Z.
const NOW: i64 = 1_795_521_600;
/// 2049-01-01: the signer's certificate has expired.
const LATER: i64 = 2_493_072_000;

fn store(level: Level) -> TrustStore {
    let mut stores = TrustStores::default();
    assert!(stores.add("ca:vendor", Certificate::from_file(AUTHORITY).unwrap()).is_empty());
    let named = DistinguishedName::parse("C=US, O=Acme Fixtures").unwrap();
    let policy = TrustPolicy::for_all_repositories("vendor", level, &["ca:vendor"], vec![named], false);
    let identity = Identity {
        name: "vendor".to_owned(),
        principal: None,
        vouches: Vouches::Notation(Box::new(NotationTrust { policy, stores })),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    TrustStore { identities: vec![identity], ..TrustStore::default() }
}

fn candidate() -> UnverifiedNotation {
    let mut found = signature_layers(SIGNATURE).unwrap().unwrap();
    let place = ("sha256:00".to_owned(), found.subject_digest.clone());
    let described = (OCI_MANIFEST.to_owned(), 401);
    match found.layers.remove(0).with_envelope(place, described, ENVELOPE.to_vec()) {
        UnverifiedSignature::Notation(candidate) => *candidate,
        other => panic!("{other:?}"),
    }
}

fn judge(candidate: UnverifiedNotation, level: Level, now: i64) -> Verification {
    let subject = Subject { digest: IMAGE, repository: "registry.example/app" };
    verify(&[UnverifiedSignature::Notation(Box::new(candidate))], subject, &store(level), now)
}

#[track_caller]
fn refused(candidate: UnverifiedNotation, reason: &str) {
    let answer = judge(candidate, Level::STRICT, NOW);
    assert!(answer.verified.is_empty());
    assert!(answer.rejected[0].reason.contains(reason), "{reason}: {:?}", answer.rejected);
}

#[test]
fn the_untouched_signature_counts_until_its_certificate_ends() {
    let answer = judge(candidate(), Level::STRICT, NOW);
    assert_eq!(answer.verified.len(), 1, "{:?}", answer.rejected);
    let verified = &answer.verified[0];
    assert!(verified.notation().unwrap().is_authentic());
    assert_eq!(verified.signer(), "C=US, ST=WA, O=Acme Fixtures, CN=signer p256");
    let end = verified.valid_until().unwrap();
    assert_eq!(judge(candidate(), Level::STRICT, end).verified.len(), 1);
    assert!(judge(candidate(), Level::STRICT, end + 1).verified.is_empty());
}

#[test]
fn where_the_envelope_lies_must_agree_with_what_the_manifest_says() {
    let other = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_owned();
    refused(UnverifiedNotation { envelope_size: 9, ..candidate() }, "its descriptor says 9");
    refused(UnverifiedNotation { envelope_digest: other.clone(), ..candidate() }, "its descriptor says `sha");
    refused(UnverifiedNotation { subject_digest: other, ..candidate() }, "its manifest is about");
    refused(UnverifiedNotation { media_type: "application/cose".to_owned(), ..candidate() }, "strict CBOR");
}

/// A signature whose blob is endless made the verifier run out of memory.
#[test]
fn cve_2023_25656_and_33958_endless_data_is_neither_fetched_nor_parsed() {
    let manifest = json!({
        "artifactType": SIGNATURE_TYPE,
        "layers": [{ "mediaType": "application/jose+json", "digest": IMAGE, "size": 1_u64 << 40 }],
        "subject": { "digest": IMAGE },
    });
    let found = signature_layers(manifest.to_string().as_bytes()).unwrap().unwrap();
    assert!(found.layers.is_empty());
    assert!(found.skipped[0].reason.contains("larger than any"), "{:?}", found.skipped);
    let statement = TrustPolicy::for_all_repositories("p", Level::STRICT, &["ca:vendor"], Vec::new(), false);
    let statement = statement.statement_for("registry.example/app").unwrap();
    let artifact = keys::notation::Artifact { media_type: OCI_MANIFEST, digest: IMAGE, size: 401 };
    let long = vec![b' '; keys::limits::NOTATION_ENVELOPE_BYTES_MAX + 1];
    let judged = keys::notation::verify(
        (&long, "application/jose+json"),
        artifact,
        (statement, &TrustStores::default()),
        &BTreeMap::new(),
        NOW,
    );
    let error = judged.unwrap_err().error;
    assert!(matches!(error, NotationError::Envelope(EnvelopeError::TooLarge(_))), "{error:?}");
}

/// A registry that lists signatures without end kept the verifier busy for ever.
#[test]
fn cve_2023_33957_an_endless_list_ends_and_strangers_cost_nothing_before_it() {
    let subject = Subject { digest: IMAGE, repository: "registry.example/app" };
    let good = UnverifiedSignature::Notation(Box::new(candidate()));
    let answer = verify(&vec![good.clone(); 5_000], subject, &store(Level::STRICT), NOW);
    assert_eq!(answer.verified.len(), 1);
    assert!(answer.rejected[0].reason.contains("not examined"), "{:?}", answer.rejected[0]);
    let stranger = UnverifiedNotation { subject_digest: format!("sha256:{}", "0".repeat(64)), ..candidate() };
    let mut list = vec![UnverifiedSignature::Notation(Box::new(stranger)); 10_000];
    list.push(good);
    assert_eq!(verify(&list, subject, &store(Level::STRICT), NOW).verified.len(), 1);
}

/// Only a part of the descriptor was compared, so a signature could be moved to another kind of content.
#[test]
fn cve_2023_33959_media_type_digest_and_size_are_all_compared() {
    let index = "application/vnd.oci.image.index.v1+json".to_owned();
    refused(UnverifiedNotation { artifact_media_type: index, ..candidate() }, "the signed `mediaType`");
    refused(UnverifiedNotation { artifact_size: 402, ..candidate() }, "the signed `size`");
    let other = format!("sha256:{}", "0".repeat(64));
    let moved = UnverifiedNotation { subject_digest: other.clone(), ..candidate() };
    let subject = Subject { digest: &other, repository: "registry.example/app" };
    let moved = UnverifiedSignature::Notation(Box::new(moved));
    let answer = verify(&[moved], subject, &store(Level::STRICT), NOW);
    assert!(answer.rejected[0].reason.contains("the signed `digest`"), "{:?}", answer.rejected);
}

/// Under a lax level an old signature could be served for ever; only who writes `permissive` gets that.
#[test]
fn cve_2024_23332_what_has_expired_counts_only_where_the_policy_says_so() {
    let answer = judge(candidate(), Level::STRICT, LATER);
    assert!(answer.rejected[0].reason.contains("is valid from"), "{:?}", answer.rejected);
    let answer = judge(candidate(), Level::PERMISSIVE, LATER);
    assert_eq!(answer.verified.len(), 1);
    assert_eq!(answer.verified[0].valid_until(), None);
}
