//! Signatures that other projects keep for their own tests: connaisseur's registry answers of cosign and notation,
//! harbor's layouts, and the Merkle tree vectors of the transparency project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::signature::{Subject, UnverifiedSignature};
use keys::sigstore::{Anchors, CertificateIdentity, CertificateTrust, Pattern};
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::{Verification, verify};
use keys::x509::Certificate;
use keys::{cosign, notation};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::data::{self, NOW};

const REPOSITORY: &str = "index.docker.io/securesystemsengineering/testimage";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn identity(name: &str, vouches: Vouches) -> Identity {
    Identity {
        name: name.to_owned(),
        principal: None,
        vouches,
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    }
}

fn by_key(name: &str, pem: &str) -> Identity {
    let key = PublicKey::from_pem(pem).unwrap();
    identity(name, Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }]))
}

fn names(verification: &Verification) -> Vec<&str> {
    let mut names: Vec<&str> = verification.verified.iter().map(|found| found.identity()).collect();
    names.sort_unstable();
    names
}

fn store(identities: Vec<Identity>) -> TrustStore {
    TrustStore { identities, ..TrustStore::default() }
}

/// A manifest of connaisseur's registry, and the signatures under its tag.
fn connaisseur(folder: &Path, tag: &str) -> (String, Vec<UnverifiedSignature>) {
    let image = folder.join("securesystemsengineering/testimage");
    let manifest = std::fs::read(image.join(format!("manifests/{tag}.json"))).unwrap();
    let digest = digest(&manifest);
    let signed = image.join(format!("manifests/{}.json", cosign::legacy_tag(&digest).unwrap()));
    let Ok(signed) = std::fs::read(signed) else { return (digest, Vec::new()) };
    let signatures = cosign::simple_signatures(&signed).unwrap().layers.into_iter().map(|layer| {
        let payload = std::fs::read(image.join(format!("blobs/{}.json", layer.payload_digest))).unwrap();
        layer.with_payload(payload)
    });
    (digest, signatures.collect())
}

#[test]
fn connaisseurs_images_count_for_those_who_signed_them() {
    let test = "connaisseurs_images_count_for_those_who_signed_them";
    let Some(data) = data::folder(test, "signatures/upstream-cosign") else { return };
    let folder = data.join("connaisseur/test/testdata/cosign");
    let people = ["alice", "bob", "charlie", "default"]
        .map(|name| by_key(name, &std::fs::read_to_string(folder.join(format!("{name}.key"))).unwrap()));
    let store = store(people.into());
    for (tag, expected) in [
        ("multi-cosigned-alice", &["alice"][..]),
        ("multi-cosigned-alice-bob-charlie", &["alice", "bob", "charlie"]),
        ("co-unsigned", &[]),
        ("keyless", &[]),
    ] {
        let (digest, signatures) = connaisseur(&folder, tag);
        let subject = Subject { digest: &digest, repository: REPOSITORY };
        let verification = verify(&signatures, subject, &store, NOW);
        assert_eq!(names(&verification), expected, "{tag}: {verification:?}");
    }
    // Signatures of one image say nothing about another.
    let (_, signatures) = connaisseur(&folder, "multi-cosigned-alice-bob-charlie");
    let (other, _) = connaisseur(&folder, "multi-cosigned-alice");
    let subject = Subject { digest: &other, repository: REPOSITORY };
    assert!(verify(&signatures, subject, &store, NOW).verified.is_empty());
}

fn keyless(root: &Path, issuer: &str, subject: &str) -> Identity {
    let glob = |text| Pattern::glob(text).unwrap();
    let who = CertificateIdentity::new(glob(issuer), glob(subject), []).unwrap();
    let root = Arc::new(data::root(root).unwrap());
    let anchors = Anchors::Root { root, log_entries: 1, certificate_log: true };
    identity("keyless", Vouches::Certificate(Box::new(CertificateTrust { identity: who, anchors })))
}

#[test]
fn connaisseurs_keyless_image_counts_for_its_holder() {
    let test = "connaisseurs_keyless_image_counts_for_its_holder";
    let Some(data) = data::folder(test, "signatures/upstream-cosign") else { return };
    let folder = data.join("connaisseur/test/testdata/cosign");
    let root = data.join("../../trust-roots/sigstore-public-good/trusted_root.json");
    let (digest, signatures) = connaisseur(&folder, "keyless");
    let subject = Subject { digest: &digest, repository: "index.docker.io/phbelitz/rekor-test" };
    for (issuer, who, expected) in [
        ("https://github.com/login/oauth", "*philipp*", 1),
        ("https://accounts.google.com", "*philipp*", 0),
        ("https://github.com/login/oauth", "bob@gmail.com", 0),
    ] {
        let verification = verify(&signatures, subject, &store(vec![keyless(&root, issuer, who)]), NOW);
        assert_eq!(verification.verified.len(), expected, "{issuer} {who}: {verification:?}");
    }
}

#[test]
fn connaisseurs_notation_image_counts_for_its_own_certificate() {
    let test = "connaisseurs_notation_image_counts_for_its_own_certificate";
    let Some(data) = data::folder(test, "signatures/notation-static") else { return };
    let folder = data.join("connaisseur/test/testdata/notation");
    let image = folder.join("sse-secure-systems/testimage");
    let text = std::fs::read_to_string(folder.join("01_notation.yaml")).unwrap().replace("\n      ", "\n");
    let certificate = |number: usize| {
        let pem = text.split("-----BEGIN").nth(number).unwrap();
        let end = pem.find("CERTIFICATE-----\n").unwrap();
        let body = &pem[..pem.find("-----END CERTIFICATE-----").unwrap()];
        assert!(end < body.len());
        Certificate::from_file(format!("-----BEGIN{body}-----END CERTIFICATE-----\n").as_bytes()).unwrap()
    };
    let manifest = |name: &str| std::fs::read(image.join(format!("manifests/{name}.json"))).unwrap();
    let signed = manifest("notation-sign");
    let list: Value = serde_json::from_slice(&manifest(&digest(&signed).replace(':', "-"))).unwrap();
    let place = list["manifests"][0]["digest"].as_str().unwrap();
    let layers = notation::signature_layers(&manifest(place)).unwrap().unwrap();
    let layer = layers.layers.into_iter().next().unwrap();
    let envelope = std::fs::read(image.join(format!("blobs/{}.json", layer.digest))).unwrap();
    let statement = json!({
        "version": "1.0",
        "trustPolicies": [{
            "name": "all", "registryScopes": ["*"], "trustStores": ["ca:c"], "trustedIdentities": ["*"],
            "signatureVerification": {"level": "strict", "override": {"revocation": "skip"}},
        }],
    });
    let policy = notation::TrustPolicy::parse(statement.to_string().as_bytes()).unwrap();
    let judge = |number, bytes: &[u8]| {
        let mut stores = notation::TrustStores::default();
        let problems = stores.add("ca:c", certificate(number));
        let media_type = "application/vnd.docker.distribution.manifest.v2+json";
        let digest = digest(bytes);
        let artifact = notation::Artifact { media_type, digest: &digest, size: bytes.len() as u64 };
        let statement = policy.statement_for("ghcr.io/sse-secure-systems/testimage").unwrap();
        let judged = notation::verify(
            (&envelope, "application/jose+json"),
            artifact,
            (statement, &stores),
            &BTreeMap::new(),
            NOW,
        );
        (problems, judged.map(|_| ()).map_err(|refusal| refusal.error))
    };
    let (problems, verdict) = judge(1, &signed);
    assert!(verdict.is_ok(), "{verdict:?} {problems:?}");
    let (_, verdict) = judge(2, &signed);
    assert!(matches!(verdict, Err(notation::NotationError::Untrusted { .. })), "{verdict:?}");
    let (_, verdict) = judge(1, &manifest("notation-unsign"));
    assert!(verdict.is_err(), "{verdict:?}");
}

#[test]
fn harbors_signatures_count_for_no_stranger() {
    let test = "harbors_signatures_count_for_no_stranger";
    let Some(data) = data::folder(test, "signatures/upstream-cosign") else { return };
    let folder = data.join("harbor");
    let blob = |layout: &str, digest: &str| {
        std::fs::read(folder.join(layout).join("blobs/sha256").join(digest.trim_start_matches("sha256:")))
    };
    let first = |layout: &str| {
        let index: Value =
            serde_json::from_slice(&std::fs::read(folder.join(layout).join("index.json")).unwrap()).unwrap();
        index["manifests"][0]["digest"].as_str().unwrap().to_owned()
    };
    let root = data.join("../../trust-roots/sigstore-public-good/trusted_root.json");
    let alice = std::fs::read_to_string(data.join("connaisseur/test/testdata/cosign/alice.key"));
    let store = store(vec![
        by_key("alice", &alice.unwrap()),
        keyless(&root, "https://github.com/login/oauth", "*@*"),
    ]);
    for layout in ["hello-world-sig", "hello-world-sig-with-cert"] {
        let manifest = blob(layout, &first(layout)).unwrap();
        let layers = cosign::simple_signatures(&manifest).unwrap();
        assert!(!layers.layers.is_empty() || !layers.skipped.is_empty(), "{layout}");
        let signatures: Vec<_> = layers
            .layers
            .into_iter()
            .filter_map(|layer| {
                let payload = blob(layout, &layer.payload_digest).ok()?;
                Some(layer.with_payload(payload))
            })
            .collect();
        let digest = first("hello-world");
        let subject = Subject { digest: &digest, repository: "harbor.example/library/hello-world" };
        let verification = verify(&signatures, subject, &store, NOW);
        println!("{layout}: {} candidates, {:?}", signatures.len(), verification.rejected);
        assert!(verification.verified.is_empty(), "{layout}: {verification:?}");
    }
}

fn vectors(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { vectors(&path, found) } else { found.push(path) }
    }
}

/// The proofs are checked by the library that we build on; what it accepts is what we accept.
#[test]
fn merkle_inclusion_proofs_get_the_verdict_that_they_state() {
    let test = "merkle_inclusion_proofs_get_the_verdict_that_they_state";
    let Some(folder) = data::folder(test, "signatures/merkle/inclusion") else { return };
    let mut files = Vec::new();
    vectors(&folder, &mut files);
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
    let hash = |value: &Value| bytes(value).try_into().ok().map(sigstore_types::Sha256Hash::new);
    for file in &files {
        let case: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let proof = case["proof"].as_array().cloned().unwrap_or_default();
        let proof: Option<Vec<_>> = proof.iter().map(hash).collect();
        let verdict = (|| {
            let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
            let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
            sigstore_merkle::verify_inclusion_proof(&leaf, index, size, &proof?, &root).ok()
        })();
        assert_eq!(
            verdict.is_none(),
            case["wantErr"].as_bool().unwrap(),
            "{}: {}",
            file.display(),
            case["desc"]
        );
    }
    assert!(files.len() > 50, "{} vectors", files.len());
}
