//! Sigstore's conformance suite, and bundles of other projects: the verdict, and the check that refuses.

use std::path::Path;
use std::sync::Arc;

use keys::sigstore::{
    Anchors, Artifact, CertificateIdentity, CertificateTrust, Pattern, SigstoreError, TrustRoot,
    VerifiedBundle, verify_bundle, verify_bundle_by_key,
};
use keys::trust_store::PublicKey;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::data::{self, NOW, text};

/// The check that refuses, by the case's name.
const REFUSED_BY: [(&str, &str); 38] = [
    ("bundle-empty-certificate-chain_fail", "structure"),
    ("bundle-from-wrong-instance_fail", "log entry"),
    ("bundle-invalid-base64-signature_fail", "structure"),
    ("bundle-malformed-json_fail", "structure"),
    ("bundle-negative-log-index_fail", "structure"),
    ("bundle-unknown-version_fail", "structure"),
    ("checkpoint-wrong-roothash_fail", "log entry"),
    ("dsse-invalid-sig_fail", "signature"),
    ("dsse-mismatch-envelope_fail", "log entry"),
    ("dsse-mismatch-sig_fail", "log entry"),
    ("intoto-expired-certificate_fail", "chain"),
    ("intoto-missing-inclusion-proof_fail", "structure"),
    ("intoto-tsa-timestamp-outside-cert-validity_fail", "chain"),
    ("invalid-checkpoint-signature_fail", "log entry"),
    ("invalid-ct-key_fail", "sct"),
    ("managed-key-no-key_fail", "structure"),
    // The suite's file is no key at all, so reading the key fails.
    ("managed-key-wrong-key_fail", "signature"),
    ("message-digest-mismatch_fail", "artifact"),
    ("rekor2-checkpoint-missing-log-signature_fail", "log entry"),
    ("rekor2-checkpoint-missing-origin_fail", "log entry"),
    ("rekor2-checkpoint-missing-size_fail", "log entry"),
    ("rekor2-dsse-invalid-sig_fail", "signature"),
    ("rekor2-dsse-mismatch-envelope_fail", "log entry"),
    ("rekor2-dsse-mismatch-sig_fail", "log entry"),
    ("rekor2-no-inclusion-proof_fail", "structure"),
    ("rekor2-no-timestamp_fail", "time"),
    ("rekor2-timestamp-outside-trust-root-tsa-validity_fail", "time"),
    ("rekor2-timestamp-outside-tsa-cert-validity_fail", "time"),
    ("rekor2-timestamp-payload-mismatch_fail", "time"),
    ("rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", "time"),
    ("rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail", "time"),
    ("set-invalid-signature_fail", "log entry"),
    ("signature-mismatch_fail", "signature"),
    ("trust-root-tlog-missing-validity-start_fail", "trust root"),
    ("wrong-hashedrekord-artifact_fail", "log entry"),
    ("wrong-hashedrekord-cert-and-sig_fail", "log entry"),
    ("wrong-hashedrekord-entry_fail", "log entry"),
    ("wrong-material_fail", "artifact"),
];

fn check_name(error: &SigstoreError) -> &'static str {
    match error {
        SigstoreError::TrustRoot(_) => "trust root",
        SigstoreError::Structure(_) => "structure",
        SigstoreError::LogEntry(_) => "log entry",
        SigstoreError::Time(_) => "time",
        SigstoreError::Chain(_) => "chain",
        SigstoreError::Sct(_) => "sct",
        SigstoreError::Signature(_) => "signature",
        SigstoreError::Artifact(_) => "artifact",
        SigstoreError::Identity(_) => "identity",
        SigstoreError::Statement(_) => "statement",
        _ => "another",
    }
}

fn trust(root: TrustRoot, identity: CertificateIdentity) -> CertificateTrust {
    let anchors = Anchors::Root { root: Arc::new(root), log_entries: 1, certificate_log: true };
    CertificateTrust { identity, anchors }
}

fn judge(suite: &Path, case: &Value, by_digest: bool) -> Result<VerifiedBundle, SigstoreError> {
    let folder = suite.join("cases").join(text(case, "id"));
    let root = match text(case, "trustedRoot") {
        "public-good" => suite.join("../../trust-roots/sigstore-public-good/trusted_root.json"),
        own => folder.join(own),
    };
    let root = data::root(&root)?;
    let bundle = std::fs::read(folder.join(text(case, "bundle"))).unwrap();
    let artifact = std::fs::read(folder.join(text(case, "artifact"))).unwrap();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&artifact)));
    let artifact = if by_digest { Artifact::Digest(&digest) } else { Artifact::Bytes(&artifact) };
    if let Some(key) = case["key"].as_str() {
        let pem = std::fs::read_to_string(folder.join(key)).unwrap();
        let key = PublicKey::from_pem(&pem).map_err(|error| SigstoreError::Signature(error.to_string()))?;
        return verify_bundle_by_key(&bundle, artifact, &key, &root, 1, NOW);
    }
    // A case without identity asks for a certificate's holder all the same.
    let subject = Pattern::exact(case["identity"].as_str().unwrap_or("nobody@example.com")).unwrap();
    let issuer = Pattern::exact(case["issuer"].as_str().unwrap_or("https://issuer.example")).unwrap();
    let identity = CertificateIdentity::new(issuer, subject, []).unwrap();
    verify_bundle(&bundle, artifact, &trust(root, identity), NOW)
}

#[test]
fn every_case_of_the_conformance_suite_is_refused_by_the_check_that_its_name_states() {
    let test = "every_case_of_the_conformance_suite_is_refused_by_the_check_that_its_name_states";
    let Some(suite) = data::folder(test, "signatures/bundle") else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in data::cases(&suite) {
        for by_digest in [false, true] {
            let id = text(&case, "id");
            let verdict = judge(&suite, &case, by_digest);
            let expected = REFUSED_BY.iter().find(|(case, _)| *case == id).map(|(_, check)| *check);
            match (&verdict, expected) {
                (Ok(_), None) if case["expected"] == "accept" => {}
                (Err(error), Some(check)) if case["expected"] == "reject" && check_name(error) == check => {}
                _ => wrong.push(format!("{id}: {verdict:?}")),
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 98);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_bundle_of_other_projects_is_accepted_under_the_roots_it_was_made_for_and_no_other() {
    let test = "every_bundle_of_other_projects_is_accepted_under_the_roots_it_was_made_for_and_no_other";
    let Some(folder) = data::folder(test, "signatures/bundle-assets") else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in data::cases(&folder) {
        for (name, stated) in case["verdicts"].as_object().unwrap() {
            let file = match name.as_str() {
                "scaffolding" | "pkv" => folder.join("trust").join(format!("{name}.json")),
                shared => folder.join("../../trust-roots").join(shared).join("trusted_root.json"),
            };
            let bundle = std::fs::read(folder.join(text(&case, "bundle"))).unwrap();
            let anybody = || Pattern::regex(".+").unwrap();
            let identity = CertificateIdentity::new(anybody(), anybody(), []).unwrap();
            let artifact = Artifact::Digest(text(&case, "artifactDigest"));
            let verdict = data::root(&file)
                .and_then(|root| verify_bundle(&bundle, artifact, &trust(root, identity), NOW));
            if verdict.is_ok() != (stated == "accept") {
                wrong.push(format!("{} under {name}: {verdict:?}, stated {stated}", case["id"]));
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 110);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
