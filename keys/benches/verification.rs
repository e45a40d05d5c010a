//! What one signature costs: verified per kind of key and form, refused among many, and a key file opened.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use keys::cosign;
use keys::keyring::{self, NewKey, Password};
use keys::notary::{Collection, Document, Lookup, RootPin, Seen, unverified};
use keys::notation::{Level, NotationTrust, TrustPolicy, TrustStores, signature_layers};
use keys::signature::{Subject, UnverifiedSignature};
use keys::signer::{ImageDescriptor, SignedArtifact, Signer};
use keys::sigstore::{Anchors, CertificateIdentity, CertificateTrust, Pattern, TrustRoot};
use keys::trust_store::{Identity, PublicKey, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::verify;
use keys::x509::{Certificate, DistinguishedName};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const REPOSITORY: &str = "registry.example/app";
const NOW: i64 = 1_800_000_000;

fn candidate(artifact: &SignedArtifact) -> UnverifiedSignature {
    let blob = artifact.blobs[0].bytes.clone();
    if artifact.tag.is_some() {
        let mut found = cosign::simple_signatures(&artifact.manifest.bytes).expect("just made");
        return found.layers.remove(0).with_payload(blob);
    }
    let mut found = cosign::bundle_layers(&artifact.manifest.bytes).expect("just made");
    found.layers.remove(0).with_bundle(artifact.manifest.digest.clone(), found.subject_digest, blob)
}

fn store(key: &PublicKey) -> TrustStore {
    let key = TrustedKey { key: key.clone(), not_before: None, not_after: None };
    let identity = Identity {
        name: "release".to_owned(),
        principal: None,
        vouches: Vouches::Keys(vec![key]),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    TrustStore { identities: vec![identity], ..TrustStore::default() }
}

fn verification(criterion: &mut Criterion) {
    let subject = Subject { digest: DIGEST, repository: REPOSITORY };
    let image = ImageDescriptor {
        digest: DIGEST,
        media_type: "application/vnd.oci.image.manifest.v1+json",
        size: 401,
    };
    let kinds = [
        ("p256", NewKey::EcdsaP256),
        ("p384", NewKey::EcdsaP384),
        ("ed25519", NewKey::Ed25519),
        ("rsa2048", NewKey::Rsa2048),
        ("rsa4096", NewKey::Rsa4096),
    ];
    for (name, kind) in kinds {
        let signer = Signer::new(keyring::generate(kind).expect("the generator works"));
        let store = store(signer.public_key());
        let simple = signer.sign_simple(DIGEST, REPOSITORY, &BTreeMap::new(), None).expect("a digest");
        let bundle = signer.sign_bundle(image, &BTreeMap::new(), NOW).expect("a digest");
        for (form, artifact) in [("simple", simple), ("bundle", bundle)] {
            let candidates = [candidate(&artifact)];
            assert_eq!(verify(&candidates, subject, &store, NOW).verified.len(), 1);
            criterion.bench_function(&format!("verify {name} {form}"), |bencher| {
                bencher.iter(|| verify(black_box(&candidates), subject, &store, NOW));
            });
        }
    }
}

/// The arithmetic alone: what the provider takes for one signature is the least that a verified one can cost.
fn arithmetic(criterion: &mut Criterion) {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair as _,
    };

    let kinds: [(&str, &'static EcdsaSigningAlgorithm, &'static EcdsaVerificationAlgorithm); 2] = [
        ("p256", &signature::ECDSA_P256_SHA256_ASN1_SIGNING, &signature::ECDSA_P256_SHA256_ASN1),
        ("p384", &signature::ECDSA_P384_SHA384_ASN1_SIGNING, &signature::ECDSA_P384_SHA384_ASN1),
    ];
    for (name, signing, verifying) in kinds {
        let key = EcdsaKeyPair::generate(signing).expect("the generator works");
        let made = key.sign(&SystemRandom::new(), DIGEST.as_bytes()).expect("a key signs");
        let public = signature::UnparsedPublicKey::new(verifying, key.public_key().as_ref().to_vec());
        assert!(public.verify(DIGEST.as_bytes(), made.as_ref()).is_ok());
        criterion.bench_function(&format!("arithmetic of {name}"), |bencher| {
            bencher.iter(|| public.verify(black_box(DIGEST.as_bytes()), made.as_ref()));
        });
    }
}

/// A certificate identity with a warm root: a bundle of cosign 3 with log entry, timestamp and certificate timestamp.
fn keyless(criterion: &mut Criterion) {
    const ROOT: &[u8] = include_bytes!("../tests/vectors/keyless/trusted_root.json");
    const BUNDLE: &[u8] = include_bytes!("../tests/vectors/keyless/email/bundle.json");
    const MANIFEST: &[u8] = include_bytes!("../tests/vectors/keyless/email/referrer.json");
    const IMAGE: &str = "sha256:39a7787cfabae599668103f592b5e8e5156dc132a22d3f9746cf8b51bb5508b0";
    const SIGNED_IN_2026: i64 = 1_795_521_600;
    let exact = |text| Pattern::exact(text).expect("a text");
    let (issuer, subject) = (exact("https://issuer.fixture.example"), exact("dev@acme.example"));
    let trust = CertificateTrust {
        identity: CertificateIdentity::new(issuer, subject, []).expect("an identity"),
        anchors: Anchors::Root {
            root: Arc::new(TrustRoot::parse(ROOT).expect("a root")),
            log_entries: 1,
            certificate_log: true,
        },
    };
    let identity = Identity {
        name: "dev".to_owned(),
        principal: None,
        vouches: Vouches::Certificate(Box::new(trust)),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    let store = TrustStore { identities: vec![identity], ..TrustStore::default() };
    let mut found = cosign::bundle_layers(MANIFEST).expect("a manifest");
    let layer = found.layers.remove(0);
    let candidates = [layer.with_bundle(String::new(), found.subject_digest, BUNDLE.to_vec())];
    let subject = Subject { digest: IMAGE, repository: REPOSITORY };
    assert_eq!(verify(&candidates, subject, &store, SIGNED_IN_2026).verified.len(), 1);
    criterion.bench_function("verify keyless bundle", |bencher| {
        bencher.iter(|| verify(black_box(&candidates), subject, &store, SIGNED_IN_2026));
    });
    criterion.bench_function("parse trusted root", |bencher| {
        bencher.iter(|| TrustRoot::parse(black_box(ROOT)).is_ok());
    });
}

/// An envelope of notation 1.3.2 under a root and a named signer, each check enforced.
fn notation(criterion: &mut Criterion) {
    const AUTHORITY: &[u8] = include_bytes!("../tests/vectors/notation/trust/ecroot-ca.crt");
    const MANIFEST: &[u8] = include_bytes!("../tests/vectors/notation/image/signature.json");
    const ENVELOPE: &[u8] = include_bytes!("../tests/vectors/notation/image/envelope.jws");
    const IMAGE: &str = "sha256:130630f55243681523a49b1353e66b442dc4db1cdc529355003b9b51df7060c1";
    let mut stores = TrustStores::default();
    assert!(stores.add("ca:vendor", Certificate::from_file(AUTHORITY).expect("a root")).is_empty());
    let named = DistinguishedName::parse("C=US, O=Acme Fixtures").expect("a name");
    let policy =
        TrustPolicy::for_all_repositories("vendor", Level::STRICT, &["ca:vendor"], vec![named], false);
    let identity = Identity {
        name: "vendor".to_owned(),
        principal: None,
        vouches: Vouches::Notation(Box::new(NotationTrust { policy, stores })),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    let store = TrustStore { identities: vec![identity], ..TrustStore::default() };
    let mut found = signature_layers(MANIFEST).expect("a manifest").expect("a signature");
    let place = (String::new(), found.subject_digest.clone());
    let described = ("application/vnd.oci.image.manifest.v1+json".to_owned(), 401);
    let candidates = [found.layers.remove(0).with_envelope(place, described, ENVELOPE.to_vec())];
    let subject = Subject { digest: IMAGE, repository: REPOSITORY };
    assert_eq!(verify(&candidates, subject, &store, NOW).verified.len(), 1);
    criterion.bench_function("verify notation p256 jws", |bencher| {
        bencher.iter(|| verify(black_box(&candidates), subject, &store, NOW));
    });
}

/// A repository of notary's own making with a delegation, as the gate verifies it once a push; and one look-up, as it is
/// made for each image.
fn notary(criterion: &mut Criterion) {
    const FILES: &str = include_str!("../tests/vectors/notary-v1/files.json");
    const CASES: &str = include_str!("../tests/vectors/notary-v1/cases.jsonl");
    const SIGNED_IN_2026: i64 = 1_795_521_600;
    let files: BTreeMap<String, String> = serde_json::from_str(FILES).expect("JSON");
    let cases = CASES.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let case = cases.into_iter().find(|case| case["id"] == "releases-delegation").expect("a case");
    let mut collection = Collection::default();
    for (role, name) in case["metadata"].as_object().expect("files") {
        let document = Document::from_file_name(&format!("{role}.json")).expect("a role");
        collection.insert(document, files[name.as_str().expect("a name")].clone().into_bytes());
    }
    let root = collection.file(&Document::Root).expect("a root");
    let ids = unverified::root_keys(root).expect("keys").into_iter().map(|key| key.id);
    let pin = RootPin::from_key_ids(&ids.collect::<Vec<_>>()).expect("ids");
    let gun = case["gun"].as_str().expect("a name");
    let update = || collection.verify(gun, &pin, Seen::default(), SIGNED_IN_2026);
    let (repository, _) = update().expect("a good repository");
    let digest = case["expectedDigest"].as_str().expect("a digest");
    assert_eq!(repository.naming(digest, &Lookup::PreOrder, SIGNED_IN_2026).map(|tags| tags.len()), Ok(1));
    criterion.bench_function("verify notary v1 repository", |bencher| {
        bencher.iter(|| black_box(update()).is_ok())
    });
    criterion.bench_function("look up one image in it", |bencher| {
        bencher.iter(|| repository.naming(black_box(digest), &Lookup::PreOrder, SIGNED_IN_2026).is_ok());
    });
}

/// CVE-2023-46737: the longest list that is still examined whole.
fn many(criterion: &mut Criterion) {
    let subject = Subject { digest: DIGEST, repository: REPOSITORY };
    let [trusted, other] =
        [(), ()].map(|()| keyring::generate(NewKey::EcdsaP256).expect("the generator works"));
    let store = store(trusted.public_key());
    let artifact =
        Signer::new(other).sign_simple(DIGEST, REPOSITORY, &BTreeMap::new(), None).expect("a digest");
    let candidates = vec![candidate(&artifact); 10_000];
    let mut group = criterion.benchmark_group("many");
    group.sample_size(10);
    group.bench_function("refuse 10000 simple signatures", |bencher| {
        bencher.iter(|| verify(black_box(&candidates), subject, &store, NOW));
    });
    let password = Password::new(b"password".to_vec());
    let file = keyring::encrypt(&trusted, &password).expect("a key");
    group.bench_function("open a key file", |bencher| {
        bencher.iter(|| keyring::decrypt(black_box(&file), &password).is_ok());
    });
    group.finish();
}

criterion_group!(benches, arithmetic, verification, keyless, notation, notary, many);
criterion_main!(benches);
