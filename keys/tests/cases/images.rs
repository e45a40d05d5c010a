//! Images signed by cosign 2, cosign 3 and skopeo: with keys, with certificates, with statements about them.

use std::path::Path;
use std::sync::Arc;

use keys::attestation;
use keys::signature::{Subject, UnverifiedSignature};
use keys::sigstore::{
    Anchors, Artifact, Authorities, CertificateIdentity, CertificateTrust, Pattern, verify_bundle_by_key,
};
use keys::threshold;
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::{Verification, verify};
use serde_json::Value;

use crate::data::{self, NOW, text};
use crate::registry::{self, Registry};

/// What the undecided cases get here, and why.
const EITHER: [(&str, bool, &str); 3] = [
    ("v2-sig-p384", true, "P-384 over SHA-384 is what cosign 3 signs by default, and as strong as SHA-256"),
    ("v3-bundle-ed25519", false, "signed with the pre-hashed variant, which cosign 3 itself refuses"),
    (
        "tampered-inclusion-root-hash",
        false,
        "a proof that contradicts its checkpoint was changed by somebody",
    ),
];

/// The predicates that cosign has short names for.
const PREDICATES: [(&str, &str); 5] = [
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
];

fn identity(name: &str, vouches: Vouches, policy: &Value) -> Identity {
    let annotations = serde_json::from_value(policy["annotations"].clone()).unwrap_or_default();
    let repository_match =
        if policy["match_repository"] == true { RepositoryMatch::Exact } else { RepositoryMatch::Any };
    Identity { name: name.to_owned(), principal: None, vouches, repository_match, annotations }
}

fn public_key(file: &Path) -> PublicKey {
    PublicKey::from_pem(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn key(file: &Path) -> Vouches {
    Vouches::Keys(vec![TrustedKey { key: public_key(file), not_before: None, not_after: None }])
}

/// cosign's expressions match a part; ours the whole, so what a part may stand in is written out.
fn pattern(policy: &Value, field: &str) -> Pattern {
    if let Some(exact) = policy[field].as_str() {
        return Pattern::exact(exact).unwrap();
    }
    let expression = policy[format!("{field}Regexp")].as_str().unwrap();
    let start = if expression.starts_with('^') { "" } else { ".*" };
    let end = if expression.ends_with('$') { "" } else { ".*" };
    Pattern::regex(&format!("{start}(?:{expression}){end}")).unwrap()
}

fn certificate(policy: &Value, anchors: Anchors) -> Vouches {
    let identity =
        CertificateIdentity::new(pattern(policy, "issuer"), pattern(policy, "identity"), []).unwrap();
    Vouches::Certificate(Box::new(CertificateTrust { identity, anchors }))
}

/// The trust store that a case's policy describes.
fn trust_store(policy: &Value, trust: &Path) -> TrustStore {
    let identities = match policy["type"].as_str().unwrap() {
        "cosign-key" | "cosign-attestation" => {
            let names = policy["keys"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            names.map(|name| identity(name, key(&trust.join(name)), policy)).collect()
        }
        "cosign-certificate" => {
            let pem = std::fs::read_to_string(trust.join(text(policy, "caRoots"))).unwrap();
            let anchors = Anchors::Authorities(Arc::new(Authorities::parse_pem(&pem).unwrap()));
            vec![identity("certificate", certificate(policy, anchors), policy)]
        }
        "sigstore-keyless" => {
            let root = Arc::new(data::root(&trust.join(text(policy, "trustedRoot"))).unwrap());
            let log_entries = usize::from(policy["requireTlog"] == true);
            let anchors = Anchors::Root { root, log_entries, certificate_log: policy["requireSct"] == true };
            vec![identity("keyless", certificate(policy, anchors), policy)]
        }
        other => unreachable!("a case with policy {other}"),
    };
    TrustStore { identities, ..TrustStore::default() }
}

/// What the case asks, and what was found, in words.
fn judge(registry: &Registry, case: &Value, trust: &Path) -> (bool, String) {
    let policy = &case["policy"];
    let repository = format!("127.0.0.1:15971/{}", text(case, "repo"));
    // The repository as the signers called it, so that `match_repository` compares what it would in their registry.
    let subject = Subject { digest: text(case, "digest"), repository: &repository };
    if policy["type"] == "sigstore-key-with-trusted-root" {
        return judge_key_with_log(registry, case, trust);
    }
    let store = trust_store(policy, trust);
    if let Some(asked) = policy["predicateType"].as_str() {
        let (_, asked) = PREDICATES.iter().find(|(name, _)| *name == asked).unwrap();
        let found = registry.attestations(text(case, "repo"), subject.digest);
        let answer = attestation::verify(&found, subject, &store, NOW);
        let is_asked = |predicate: &str| predicate == *asked || predicate.starts_with(&format!("{asked}/"));
        let accepted = answer.verified.iter().any(|one| is_asked(one.predicate_type()));
        return (accepted, format!("{answer:?}"));
    }
    let verification = verify(&registry.signatures(text(case, "repo"), subject.digest), subject, &store, NOW);
    let names: Vec<String> = store.identities.iter().map(|identity| identity.name.clone()).collect();
    let count = usize::try_from(policy["threshold"].as_u64().unwrap_or(1)).unwrap();
    let satisfied = threshold::at_least(count, &names, &verification.verified).is_satisfied();
    (satisfied, format!("{verification:?}"))
}

/// A key whose signatures must stand in a log: no identity of the gate asks for that, a caller of the verifier can.
fn judge_key_with_log(registry: &Registry, case: &Value, trust: &Path) -> (bool, String) {
    let policy = &case["policy"];
    let root = data::root(&trust.join(text(policy, "trustedRoot"))).unwrap();
    let key = public_key(&trust.join(text(policy, "key")));
    let artifact = Artifact::Digest(text(case, "digest"));
    let found = registry.signatures(text(case, "repo"), text(case, "digest"));
    let bundle = |found: &UnverifiedSignature| match found {
        UnverifiedSignature::SigstoreBundle { bundle, .. } => Some(bundle.clone()),
        _ => None,
    };
    let verdicts: Vec<_> = found
        .iter()
        .filter_map(bundle)
        .map(|bundle| verify_bundle_by_key(&bundle, artifact, &key, &root, 1, NOW))
        .collect();
    (verdicts.iter().any(Result::is_ok), format!("{verdicts:?}"))
}

fn check_folder(test: &str, name: &str, count: usize) {
    let Some((folder, registry)) = registry::open(test, name) else { return };
    let mut wrong = Vec::new();
    let cases = data::cases(&folder);
    for case in &cases {
        let id = text(case, "id");
        let (accepted, words) = judge(&registry, case, &folder.join("trust"));
        let expected = match text(case, "expected") {
            "accept" => true,
            "reject" => false,
            _ => EITHER.iter().find(|(either, ..)| *either == id).expect("listed").1,
        };
        if accepted != expected {
            wrong.push(format!("{id}: accepted {accepted}, expected {expected}: {words}"));
        }
    }
    assert_eq!(cases.len(), count);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_case_of_a_key_or_own_certificate_gets_its_stated_verdict() {
    check_folder("every_case_of_a_key_or_own_certificate_gets_its_stated_verdict", "signatures/cosign", 53);
}

#[test]
fn every_keyless_case_gets_its_stated_verdict() {
    check_folder("every_keyless_case_gets_its_stated_verdict", "signatures/keyless", 45);
}

/// Attestations and certificates are no signatures by key: with every key of the folder trusted, nothing counts.
#[test]
fn no_attestation_or_certificate_counts_for_a_rule_that_names_keys() {
    let test = "no_attestation_or_certificate_counts_for_a_rule_that_names_keys";
    let Some((folder, registry)) = registry::open(test, "signatures/cosign") else { return };
    let keys = ["k1", "k2", "k3", "p384", "p521", "ed25519", "rsa2048", "rsa4096"];
    let keys = keys.map(|name| format!("{name}.pub"));
    let policy = serde_json::json!({ "type": "cosign-key", "keys": keys });
    let mut seen = 0;
    for mut case in data::cases(&folder) {
        if case["policy"]["type"] != "cosign-key" {
            case["policy"] = policy.clone();
            let (accepted, words) = judge(&registry, &case, &folder.join("trust"));
            assert!(!accepted, "{}: {words}", case["id"]);
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen} cases");
}

/// CVE-2026-39395: cosign 3.1.1 takes a bundle with an attestation for a signature.
#[test]
fn an_attestation_bundle_of_the_right_certificate_is_no_signature() {
    let test = "an_attestation_bundle_of_the_right_certificate_is_no_signature";
    let Some((folder, registry)) = registry::open(test, "signatures/keyless") else { return };
    let cases = data::cases(&folder);
    let case = cases.iter().find(|case| case["id"] == "att-slsa").unwrap();
    let store = trust_store(&case["policy"], &folder.join("trust"));
    let subject = Subject { digest: text(case, "digest"), repository: "registry.example/app" };
    let found = registry.signatures(text(case, "repo"), subject.digest);
    let Verification { verified, rejected } = verify(&found, subject, &store, NOW);
    assert!(verified.is_empty(), "{verified:?}");
    assert!(rejected.iter().all(|one| one.reason.starts_with("statement: ")), "{rejected:?}");
    assert_eq!(rejected.len(), 1);
}
