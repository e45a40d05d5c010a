//! Evidence and policies in the smallest form that the tests need.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::signature::{Subject, UnverifiedSignature};
use keys::verify::{Verification, verify};
use scanner::finding::{Finding, Risk, Severity};
use scanner::package::{Package, PackageKind};
use scanner::report::{AdvisoryRevision, Coverage, LayerSummary, Malware, ScanReport, SecretFinding, Waste};

use crate::gate::evidence::{Content, Evidence, ImageFacts, Runtime, State};
use crate::gate::policy::Policy;

/// 2026-07-01T00:00:00Z.
pub(super) const NOW: i64 = 1_782_864_000;
pub(super) const REPOSITORY: &str = "registry.example/prod/app";

pub(super) fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

pub(super) fn release_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap()
}

pub(super) fn qa_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap()
}

fn pem(key: &Ed25519KeyPair) -> Vec<u8> {
    // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 section 4) is this prefix and the 32 bytes.
    let mut der = hex::decode("302a300506032b6570032100").unwrap();
    der.extend_from_slice(key.public_key().as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der)).into_bytes()
}

pub(super) fn policy_text() -> String {
    r#"
[[identity]]
name = "release"
cosign = { key = "release.pub" }
[[identity]]
name = "qa"
cosign = { key = "qa.pub" }
[[rule]]
name = "prod"
images = ["registry.example/prod/**"]
signatures = { require = [["release"]], when = "before-release" }
pin = { pull = "digest" }
enforce = "deny"
help = "https://wiki.example/gate"
"#
    .to_owned()
}

pub(super) fn policy(more: &str) -> Policy {
    parse(&(policy_text() + more))
}

pub(super) fn parse(text: &str) -> Policy {
    let read_file = |path: &std::path::Path| {
        Ok(match path.to_str() {
            Some("release.pub") => pem(&release_key()),
            Some("bad.txt") => format!("{}  miner\n", "b".repeat(64)).into_bytes(),
            _ => pem(&qa_key()),
        })
    };
    Policy::parse(text, &read_file).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn verification(digest: &str, signers: &[Ed25519KeyPair]) -> Verification {
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{REPOSITORY}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    let sign = |key: &Ed25519KeyPair| UnverifiedSignature::CosignSimple {
        payload_digest: crate::digest::Digest::sha256_of(payload.as_bytes()).to_string(),
        payload_size: payload.len() as u64,
        payload: payload.clone().into_bytes(),
        annotations: [(
            "dev.cosignproject.cosign/signature".to_owned(),
            STANDARD.encode(key.sign(payload.as_bytes())),
        )]
        .into(),
    };
    let signatures: Vec<UnverifiedSignature> = signers.iter().map(sign).collect();
    let policy = policy("");
    let verification =
        verify(&signatures, Subject { digest, repository: REPOSITORY }, policy.trust_store(), NOW);
    assert_eq!(verification.verified.len(), signers.len(), "{:?}", verification.rejected);
    verification
}

/// Facts that no check objects to.
pub(super) fn clean() -> ImageFacts {
    let layer = |digit: char, instruction: &str| LayerSummary {
        digest: digest(digit),
        diff_id: Some(digest(digit)),
        instruction: Some(instruction.to_owned()),
        compressed_bytes: 100,
        uncompressed_bytes: 500,
        file_bytes: 400,
        entries: 10,
    };
    let scan = ScanReport {
        distribution: None,
        support: None,
        packages: Vec::new(),
        findings: Vec::new(),
        unknown: Vec::new(),
        secrets: Vec::new(),
        permissions: Vec::new(),
        attacks: Vec::new(),
        malware: Malware::default(),
        programs: Vec::new(),
        coverage: Coverage::default(),
        waste: Waste { total_bytes: 1000, ..Waste::default() },
        layers: vec![layer('1', "ADD rootfs.tar /"), layer('2', "RUN apt-get install -y openssl")],
        advisories: Some(AdvisoryRevision {
            digest: "0".repeat(64),
            newest: NOW,
            built: NOW,
            exploited: None,
            scored: None,
        }),
    };
    ImageFacts {
        scan: Arc::new(scan),
        user: "1000".to_owned(),
        size: 200,
        base: None,
        diff_ids: vec![digest('1'), digest('2')],
        from_document: None,
        problems: Vec::new(),
    }
}

pub(super) fn scan_mut(facts: &mut ImageFacts) -> &mut ScanReport {
    Arc::make_mut(&mut facts.scan)
}

/// Released, signed by `release`, asked for by digest.
pub(super) fn signed(facts: ImageFacts) -> Evidence {
    Evidence {
        signatures: verification(&digest('a'), &[release_key()]),
        state: State::Released,
        runtime: Runtime { pinned: true, ..Runtime::default() },
        ..Evidence::new(REPOSITORY, digest('a'), NOW, Content::Image(facts))
    }
}

pub(super) fn finding(id: &str, severity: Severity, fixed_version: Option<&str>) -> Finding {
    Finding {
        id: id.to_owned(),
        aliases: vec!["GHSA-alias".to_owned()],
        severity,
        risk: Risk::default(),
        package: Package {
            kind: PackageKind::Deb,
            name: "openssl".to_owned(),
            version: "3.0.1".to_owned(),
            architecture: None,
            source: None,
            module: None,
            vendor: None,
        },
        layer: 1,
        fixed_version: fixed_version.map(str::to_owned),
        unfixed: None,
        summary: None,
        source: "debian".to_owned(),
    }
}

pub(super) fn secret() -> SecretFinding {
    SecretFinding {
        rule: "aws-access-key-id".to_owned(),
        path: "root/.aws/credentials".to_owned(),
        layer: Some(0),
        deleted_later: true,
        value_sha256: "5".repeat(64),
        preview: "AKIA12…".to_owned(),
    }
}
