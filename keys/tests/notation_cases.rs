//! Signatures made by notation 1.3.2 and by hand, good and tampered: each gets the verdict its case states.
//!
//! The cases lie in `vectors/notation`, as a registry's content in one archive, which `tar` unpacks; without a `tar` that
//! reads zstd the test says so and does nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use keys::notation::{Artifact, TrustPolicy, TrustStores, verify};
use keys::x509::Certificate;
use serde_json::Value;

/// 2026-11-24T12:00:00Z, the time at which `notation` was asked.
const NOW: i64 = 1_795_521_600;

/// Why a case is refused: not by an accident of parsing, but by the check that it is about.
const REASONS: [(&str, &str); 27] = [
    ("untrusted-root", "is in a `ca` trust store"),
    ("wrong-store-type", "is in a `ca` trust store"),
    ("jws-metadata-mismatch", "signed metadata lacks"),
    ("jws-sig-expired", "the signature expired"),
    ("cose-sig-expired", "the signature expired"),
    ("jws-transplanted", "the signed `digest`"),
    ("jws-truncated", "not strict JSON"),
    ("cose-truncated", "not strict CBOR"),
    ("jws-wrong-media-type", "not strict CBOR"),
    ("cose-wrong-media-type", "not strict JSON"),
    ("cose-bitflip", "the signature does not verify"),
    ("jws-alg-none", "algorithm `none`"),
    ("jws-chain-empty", "chain is empty"),
    ("crafted-rs256", "algorithm `RS256`"),
    ("crafted-eku-server", "`serverAuth`"),
    ("crafted-ku-encipherment", "digitalSignature alone"),
    ("crafted-rsa1024", "`RSA-1024`"),
    ("crafted-cert-expired", "is valid from"),
    ("crafted-self-signed-not-in-store", "is in a `ca` trust store"),
    ("crafted-chain-without-root", "the root is missing"),
    ("crafted-crit-unknown", "`x.acme` is not understood"),
    ("crafted-scheme-signing-authority-time-outside", "is valid from"),
    ("crafted-payload-no-target", "`targetArtifact` is absent"),
    ("crafted-payload-size-differs", "the signed `size`"),
    ("crafted-payload-media-type-differs", "the signed `mediaType`"),
    ("crafted-expiry-not-critical", "must be listed as critical"),
    ("crafted-plugin-required", "demands verification plug-in"),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/notation")
}

fn stores(folder: &Path) -> TrustStores {
    let mut stores = TrustStores::default();
    for name in ["acme", "ecroot", "other", "selfsigned"] {
        let file = std::fs::read(folder.join(format!("trust/{name}-ca.crt"))).unwrap();
        for kind in ["ca", "signingAuthority"] {
            let certificates = Certificate::from_file(&file).unwrap();
            assert!(stores.add(&format!("{kind}:{name}"), certificates).is_empty(), "{name}");
        }
    }
    stores
}

/// Accepted, skipped by the policy, or the reasons of every envelope's refusal.
fn judge(case: &Value, repositories: &Value, root: &Path, stores: &TrustStores) -> Result<(), Vec<String>> {
    let blob = |digest: &str| std::fs::read(root.join("blobs/sha256").join(&digest[7..])).unwrap_or_default();
    let repository = &repositories[case["repo"].as_str().unwrap()];
    let digest = case["digest"].as_str().unwrap();
    let policy = TrustPolicy::parse(case["policy"]["trustpolicy"].to_string().as_bytes()).unwrap();
    let name = format!("127.0.0.1:15971/{}", case["repo"].as_str().unwrap());
    let statement = policy.statement_for(&name).unwrap();
    if statement.level.is_none() {
        return Ok(());
    }
    let asked = case["policy"]["userMetadata"].as_array().into_iter().flatten();
    let metadata: BTreeMap<String, String> = asked
        .filter_map(|pair| pair.as_str()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let described = &repository["manifests"][digest];
    let artifact = Artifact {
        media_type: described["mediaType"].as_str().unwrap(),
        digest,
        size: described["size"].as_u64().unwrap(),
    };
    let fallback = &repository["tags"][digest.replace(':', "-")]["digest"];
    let index: Value =
        fallback.as_str().map(|digest| serde_json::from_slice(&blob(digest)).unwrap()).unwrap_or_default();
    let mut reasons = Vec::new();
    for referrer in index["manifests"].as_array().into_iter().flatten() {
        let manifest: Value =
            serde_json::from_slice(&blob(referrer["digest"].as_str().unwrap())).unwrap_or_default();
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            let (Some(digest), Some(media_type)) = (layer["digest"].as_str(), layer["mediaType"].as_str())
            else {
                continue;
            };
            match verify((&blob(digest), media_type), artifact, (statement, stores), &metadata, NOW) {
                Ok(_) => return Ok(()),
                Err(refusal) => reasons.push(refusal.to_string()),
            }
        }
    }
    Err(reasons)
}

#[test]
fn every_notation_case_gets_its_stated_verdict() {
    let folder = data();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("notation");
    std::fs::create_dir_all(&root).unwrap();
    let archive = folder.join("registry.tar.zst");
    let status = Command::new("tar").arg("--zstd").arg("-xf").arg(archive).arg("-C").arg(&root).status();
    if !status.is_ok_and(|status| status.success()) {
        println!("SKIPPED: every_notation_case_gets_its_stated_verdict: no `tar` that reads zstd");
        return;
    }
    let repositories: Value =
        serde_json::from_slice(&std::fs::read(root.join("repos.json")).unwrap()).unwrap();
    let stores = stores(&folder);
    let cases = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for case in cases.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        seen += 1;
        let verdict = judge(&case, &repositories, &root, &stores);
        // The undecided cases are accepted: what the annotation or the order of a listing says is anybody's, and
        // further signed fields of the descriptor change none that we compare.
        let expected = case["expected"] != "reject";
        let id = case["id"].as_str().unwrap();
        if let Err(reasons) = &verdict
            && let Some((_, reason)) = REASONS.iter().find(|(refused, _)| *refused == id)
            && !reasons.iter().any(|seen| seen.contains(reason))
        {
            wrong.push(format!("{id}: expected `{reason}`, {reasons:?}"));
        }
        if verdict.is_ok() != expected {
            wrong.push(format!("{}: expected {expected}, {verdict:?}", case["id"]));
        }
    }
    assert!(seen >= 59, "only {seen} cases");
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}
