//! What one signature costs: verified per kind of key and form, refused among many, and a key file opened.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use keys::cosign;
use keys::keyring::{self, NewKey, Password, PrivateKey};
use keys::signature::{Subject, UnverifiedSignature};
use keys::signer::{ImageDescriptor, SignedArtifact, Signer};
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use keys::verify::verify;

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

fn store(key: &PrivateKey) -> TrustStore {
    let key = TrustedKey { key: key.public_key().clone(), not_before: None, not_after: None };
    let identity = Identity {
        name: "release".to_owned(),
        principal: None,
        vouches: Vouches::Keys(vec![key]),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    };
    TrustStore { identities: vec![identity] }
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
        let store = store(signer.key());
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

/// CVE-2023-46737: the longest list that is still examined whole.
fn many(criterion: &mut Criterion) {
    let subject = Subject { digest: DIGEST, repository: REPOSITORY };
    let [trusted, other] =
        [(), ()].map(|()| keyring::generate(NewKey::EcdsaP256).expect("the generator works"));
    let store = store(&trusted);
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

criterion_group!(benches, verification, many);
criterion_main!(benches);
