//! How long one decision takes: the warm pull, a full weighing, and a refusal with many reasons.

use std::hint::black_box;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use keys::signature::{Subject, UnverifiedSignature};
use portcullis::digest::Digest;
use portcullis::gate::evidence::{Content, Evidence, ImageFacts, State};
use portcullis::gate::policy::{Policy, starter};
use portcullis::gate::verdict::Verdict;
use portcullis::gate::{Checkpoint, decide};
use scanner::finding::{Finding, Risk, Severity};
use scanner::package::{Package, PackageKind};
use scanner::report::{AdvisoryRevision, Coverage, LayerSummary, Malware, ScanReport, Waste};

const NOW: i64 = 1_782_864_000;
const REPOSITORY: &str = "registry.example/prod/app";

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("32 bytes are a seed")
}

fn policy() -> Policy {
    let mut der = hex::decode("302a300506032b6570032100").expect("hexadecimal digits");
    der.extend_from_slice(key().public_key().as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    Policy::parse(starter(), &|_| Ok(pem.clone().into_bytes())).expect("the starter policy parses")
}

fn finding(number: usize, severity: Severity) -> Finding {
    Finding {
        id: format!("CVE-2026-{number:05}"),
        aliases: Vec::new(),
        severity,
        risk: Risk::default(),
        package: Package {
            kind: PackageKind::Deb,
            name: format!("package-{number}"),
            version: "1.0".to_owned(),
            architecture: None,
            source: None,
            module: None,
            vendor: None,
        },
        layer: number % 10,
        fixed_version: Some("1.1".to_owned()),
        unfixed: None,
        summary: None,
        source: "debian".to_owned(),
    }
}

/// Ten layers and 400 findings of one severity.
fn evidence(policy: &Policy, severity: Severity) -> Evidence {
    let digest = format!("sha256:{}", "a".repeat(64));
    let layer = |index: usize| LayerSummary {
        digest: format!("sha256:{index:064}"),
        diff_id: None,
        instruction: Some("RUN apt-get install -y package".to_owned()),
        compressed_bytes: 1 << 20,
        uncompressed_bytes: 1 << 22,
        file_bytes: 1 << 22,
        entries: 100,
    };
    let scan = ScanReport {
        distribution: None,
        support: None,
        packages: Vec::new(),
        findings: (0..400).map(|number| finding(number, severity)).collect(),
        unknown: Vec::new(),
        secrets: Vec::new(),
        permissions: Vec::new(),
        attacks: Vec::new(),
        malware: Malware::default(),
        programs: Vec::new(),
        coverage: Coverage::default(),
        waste: Waste::default(),
        layers: (0..10).map(layer).collect(),
        advisories: Some(AdvisoryRevision {
            digest: "0".repeat(64),
            newest: NOW,
            built: NOW,
            exploited: None,
            scored: None,
        }),
    };
    let facts = ImageFacts {
        scan: Arc::new(scan),
        user: "10001".to_owned(),
        size: 10 << 20,
        base: None,
        diff_ids: vec![String::new(); 10],
        from_document: None,
        problems: Vec::new(),
    };
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{REPOSITORY}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    let signature = UnverifiedSignature::CosignSimple {
        payload_digest: Digest::sha256_of(payload.as_bytes()).to_string(),
        payload_size: payload.len() as u64,
        annotations: [(
            "dev.cosignproject.cosign/signature".to_owned(),
            STANDARD.encode(key().sign(payload.as_bytes())),
        )]
        .into(),
        payload: payload.into_bytes(),
    };
    let subject = Subject { digest: &digest, repository: REPOSITORY };
    let signatures = keys::verify::verify(&[signature], subject, policy.trust_store(), NOW);
    let content = Content::Image(facts);
    Evidence {
        signatures,
        state: State::Released,
        ..Evidence::new(REPOSITORY, digest.as_str(), NOW, content)
    }
}

fn benches(criterion: &mut Criterion) {
    let policy = policy();
    let mild = evidence(&policy, Severity::Medium);
    let severe = evidence(&policy, Severity::Critical);
    let judged = Evidence { content: Content::Judged, ..mild.clone() };
    assert!(matches!(decide(Checkpoint::Pull, &judged, &policy), Verdict::Allow(_)));
    assert!(matches!(decide(Checkpoint::Pull, &mild, &policy), Verdict::Allow(_)));
    let mut ask = |name: &str, evidence: &Evidence| {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| decide(black_box(Checkpoint::Pull), black_box(evidence), black_box(&policy)));
        });
    };
    ask("decide/judged pull", &judged);
    ask("decide/400 findings allowed", &mild);
    ask("decide/400 findings denied", &severe);
    let Verdict::Deny(denial) = decide(Checkpoint::Pull, &severe, &policy) else { return };
    criterion.bench_function("denial text", |bencher| bencher.iter(|| black_box(&denial).message(4096)));
}

criterion_group!(decide_group, benches);
criterion_main!(decide_group);
