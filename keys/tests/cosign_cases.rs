//! Signatures made by cosign 2, cosign 3 and skopeo, good and tampered: each gets the verdict its case states.
//!
//! The cases lie outside the repository, in the folder that `PORTCULLIS_TEST_DATA` names (or `../shared/data` beside
//! the workspace). Without it the test says so and does nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use keys::cosign;
use keys::signature::{Subject, UnverifiedSignature};
use keys::threshold;
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::{Verification, verify};
use serde_json::Value;

/// What the two undecided cases get here, and why.
const EITHER: [(&str, bool, &str); 2] = [
    ("v2-sig-p384", true, "P-384 over SHA-384 is what cosign 3 signs by default, and as strong as SHA-256"),
    ("v3-bundle-ed25519", false, "signed with the pre-hashed variant, which cosign 3 itself refuses"),
];

#[expect(clippy::disallowed_methods, reason = "a test finds its data by this variable")]
fn data() -> Option<PathBuf> {
    let data = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let cosign = data.join("signatures/cosign");
    cosign.is_dir().then_some(cosign)
}

/// The registry of the cases, unpacked with the system's `tar` into this crate's scratch folder.
struct Registry {
    root: PathBuf,
    repositories: Value,
}

impl Registry {
    fn unpack(archive: &Path, scratch: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(scratch);
        std::fs::create_dir_all(&root).unwrap();
        let status = Command::new("tar").arg("--zstd").arg("-xf").arg(archive).arg("-C").arg(&root).status();
        status.ok()?.success().then_some(())?;
        let repositories = serde_json::from_slice(&std::fs::read(root.join("repos.json")).unwrap()).unwrap();
        Some(Self { root, repositories })
    }

    fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.join("blobs/sha256").join(digest.strip_prefix("sha256:")?)).ok()
    }

    fn tagged(&self, repository: &str, tag: &str) -> Option<Vec<u8>> {
        self.blob(self.repositories[repository]["tags"][tag]["digest"].as_str()?)
    }

    /// All candidates of both forms, as a gateway collects them.
    fn candidates(&self, repository: &str, digest: &str) -> Vec<UnverifiedSignature> {
        let mut candidates = Vec::new();
        let legacy = cosign::legacy_tag(digest).and_then(|tag| self.tagged(repository, &tag));
        for layer in
            legacy.map(|manifest| cosign::simple_signatures(&manifest).unwrap().layers).unwrap_or_default()
        {
            let payload = self.blob(&layer.payload_digest).unwrap_or_default();
            candidates.push(layer.with_payload(payload));
        }
        let referrers = self.tagged(repository, &digest.replace(':', "-"));
        let referrers: Value =
            referrers.map(|index| serde_json::from_slice(&index).unwrap()).unwrap_or_default();
        for referrer in referrers["manifests"].as_array().into_iter().flatten() {
            let manifest_digest = referrer["digest"].as_str().unwrap();
            let bundles = cosign::bundle_layers(&self.blob(manifest_digest).unwrap()).unwrap();
            for layer in bundles.layers {
                let bundle = self.blob(&layer.digest).unwrap_or_default();
                candidates.push(layer.with_bundle(
                    manifest_digest.to_owned(),
                    bundles.subject_digest.clone(),
                    bundle,
                ));
            }
        }
        candidates
    }
}

/// The folder and the registry in it, or a line that says what is missing.
fn open(test: &str) -> Option<(PathBuf, Registry)> {
    let registry =
        |folder: PathBuf| Some((folder.clone(), Registry::unpack(&folder.join("registry.tar.zst"), test)?));
    let opened = data().and_then(registry);
    if opened.is_none() {
        println!("SKIPPED: {test}: no test data, or no `tar` that reads zstd");
    }
    opened
}

fn trust_store(policy: &Value, trust: &Path) -> TrustStore {
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(policy["annotations"].clone()).unwrap_or_default();
    let repository_match =
        if policy["match_repository"] == true { RepositoryMatch::Exact } else { RepositoryMatch::Any };
    let identity = |name: &Value| {
        let name = name.as_str().unwrap();
        let pem = std::fs::read_to_string(trust.join(name)).unwrap();
        let key = PublicKey::from_pem(&pem).unwrap();
        Identity {
            name: name.to_owned(),
            principal: None,
            vouches: Vouches::Keys(vec![TrustedKey { key, not_before: None, not_after: None }]),
            repository_match: repository_match.clone(),
            annotations: annotations.clone(),
        }
    };
    TrustStore { identities: policy["keys"].as_array().unwrap().iter().map(identity).collect() }
}

/// The repository as the signers called it, so that `match_repository` compares what it would in their registry.
fn judge(registry: &Registry, case: &Value, store: &TrustStore) -> (bool, Verification) {
    let text = |field: &str| case[field].as_str().unwrap();
    let candidates = registry.candidates(text("repo"), text("digest"));
    let repository = format!("127.0.0.1:15971/{}", text("repo"));
    let subject = Subject { digest: text("digest"), repository: &repository };
    let verification = verify(&candidates, subject, store, 1_795_521_600);
    let names: Vec<String> = store.identities.iter().map(|identity| identity.name.clone()).collect();
    let count = case["policy"]["threshold"].as_u64().unwrap_or(1);
    let count = usize::try_from(count).unwrap();
    (threshold::at_least(count, &names, &verification.verified).is_satisfied(), verification)
}

fn cases(folder: &Path) -> Vec<Value> {
    let lines = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_case_of_a_key_gets_its_stated_verdict() {
    let Some((folder, registry)) = open("every_case_of_a_key_gets_its_stated_verdict") else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in cases(&folder).iter().filter(|case| case["policy"]["type"] == "cosign-key") {
        let id = case["id"].as_str().unwrap();
        let (accepted, verification) =
            judge(&registry, case, &trust_store(&case["policy"], &folder.join("trust")));
        let expected = match case["expected"].as_str().unwrap() {
            "accept" => true,
            "reject" => false,
            _ => EITHER.iter().find(|(either, ..)| *either == id).expect("listed").1,
        };
        if accepted != expected {
            wrong.push(format!("{id}: accepted {accepted}, expected {expected}: {verification:?}"));
        }
        seen += 1;
    }
    assert!(seen >= 40, "{seen} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Attestations and certificates are no signatures by key: with every key of the folder trusted, nothing counts.
#[test]
fn no_attestation_or_certificate_counts_for_a_rule_that_names_keys() {
    let test = "no_attestation_or_certificate_counts_for_a_rule_that_names_keys";
    let Some((folder, registry)) = open(test) else { return };
    let keys: Value = serde_json::json!({
        "keys": ["k1.pub", "k2.pub", "k3.pub", "p384.pub", "p521.pub", "ed25519.pub", "rsa2048.pub", "rsa4096.pub"],
    });
    let store = trust_store(&keys, &folder.join("trust"));
    let mut seen = 0;
    for case in cases(&folder).iter().filter(|case| case["policy"]["type"] != "cosign-key") {
        let (accepted, verification) = judge(&registry, case, &store);
        assert!(!accepted, "{}: {verification:?}", case["id"]);
        seen += 1;
    }
    assert!(seen >= 10, "{seen} cases");
}
