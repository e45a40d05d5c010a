//! Keys and candidates for this crate's tests, made in code.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cosign::bundle::pre_authentication_encoding;
use crate::cosign::{self, BundleLayer, SimpleSignatureLayer};
use crate::digest;
use crate::keyring::{self, NewKey, PrivateKey};
use crate::signature::{Subject, UnverifiedSignature};
use crate::signer::{ImageDescriptor, SignedArtifact, Signer};
use crate::trust_store::{Identity, RepositoryMatch, TrustStore, TrustedKey, Vouches};
use crate::verify::{Verification, verify};

pub(crate) const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const OTHER_DIGEST: &str =
    "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
pub(crate) const REPOSITORY: &str = "registry.example/prod/app";
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) const SUBJECT: Subject<'_> = Subject { digest: DIGEST, repository: REPOSITORY };
pub(crate) const IMAGE: ImageDescriptor<'_> =
    ImageDescriptor { digest: DIGEST, media_type: "application/vnd.oci.image.manifest.v1+json", size: 401 };

/// All kinds of key, by the name that [`signer`] takes.
pub(crate) const KINDS: [&str; 6] = ["p256", "p256-other", "p384", "p521", "ed25519", "rsa2048"];

/// One signer per kind for the whole test run: RSA keys take a while to make.
pub(crate) fn signer(kind: &str) -> &'static Signer {
    static SIGNERS: OnceLock<BTreeMap<&'static str, Signer>> = OnceLock::new();
    let signers =
        SIGNERS.get_or_init(|| KINDS.iter().map(|&kind| (kind, Signer::new(new_key(kind)))).collect());
    &signers[kind]
}

pub(crate) fn key(kind: &str) -> &'static PrivateKey {
    signer(kind).held()
}

fn new_key(kind: &str) -> PrivateKey {
    match kind {
        "p256" | "p256-other" => keyring::generate(NewKey::EcdsaP256),
        "p384" => keyring::generate(NewKey::EcdsaP384),
        "ed25519" => keyring::generate(NewKey::Ed25519),
        "rsa2048" => keyring::generate(NewKey::Rsa2048),
        _ => keyring::import(P521),
    }
    .unwrap()
}

pub(crate) fn identity(name: &str, kinds: &[&str]) -> Identity {
    let trusted =
        |kind: &&str| TrustedKey { key: key(kind).public_key().clone(), not_before: None, not_after: None };
    Identity {
        name: name.to_owned(),
        principal: None,
        vouches: Vouches::Keys(kinds.iter().map(trusted).collect()),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::new(),
    }
}

pub(crate) fn store(identities: Vec<Identity>) -> TrustStore {
    TrustStore { identities, ..TrustStore::default() }
}

/// A trust store that trusts the key `p256` as `release`.
pub(crate) fn release() -> TrustStore {
    store(vec![identity("release", &["p256"])])
}

/// The candidates that a reader finds in what a signer made.
pub(crate) fn candidates(artifact: &SignedArtifact) -> Vec<UnverifiedSignature> {
    let blob = |digest: &str| artifact.blobs.iter().find(|blob| blob.digest == digest).unwrap().bytes.clone();
    let with_payload = |layer: SimpleSignatureLayer| {
        let payload = blob(&layer.payload_digest);
        layer.with_payload(payload)
    };
    if artifact.tag.is_some() {
        let found = cosign::simple_signatures(&artifact.manifest.bytes).unwrap();
        return found.layers.into_iter().map(with_payload).collect();
    }
    let found = cosign::bundle_layers(&artifact.manifest.bytes).unwrap();
    let with_bundle = |layer: BundleLayer| {
        let bundle = blob(&layer.digest);
        layer.with_bundle(artifact.manifest.digest.clone(), found.subject_digest.clone(), bundle)
    };
    found.layers.into_iter().map(with_bundle).collect()
}

/// One simple signature over [`DIGEST`] by a kind of key.
pub(crate) fn simple(kind: &str) -> UnverifiedSignature {
    let artifact = signer(kind).sign_simple(DIGEST, REPOSITORY, &BTreeMap::new(), None).unwrap();
    candidates(&artifact).remove(0)
}

/// One bundle over [`DIGEST`] by a kind of key.
pub(crate) fn bundle(kind: &str) -> UnverifiedSignature {
    candidates(&signer(kind).sign_bundle(IMAGE, &BTreeMap::new(), NOW).unwrap()).remove(0)
}

/// The payload of a good simple signature over [`DIGEST`].
pub(crate) fn simple_payload() -> Value {
    json!({
        "critical": {
            "identity": { "docker-reference": REPOSITORY },
            "image": { "docker-manifest-digest": DIGEST },
            "type": "cosign container image signature",
        },
        "optional": null,
    })
}

/// Any text as a simple signature by the key `p256`: everything around the payload is right.
pub(crate) fn signed_payload(payload: &str) -> UnverifiedSignature {
    let signature = signer("p256").sign(payload.as_bytes()).unwrap();
    UnverifiedSignature::CosignSimple {
        payload_digest: digest::sha256(payload.as_bytes()),
        payload_size: payload.len() as u64,
        payload: payload.as_bytes().to_vec(),
        annotations: BTreeMap::from([(cosign::SIGNATURE_ANNOTATION.to_owned(), STANDARD.encode(signature))]),
    }
}

/// The statement of a good bundle over [`DIGEST`].
pub(crate) fn statement() -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": DIGEST.strip_prefix("sha256:") }, "annotations": {} }],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    })
}

/// The bundle around any statement, signed by the key `p256`: everything around the statement is right.
pub(crate) fn signed_statement(statement: &str) -> Value {
    let message = pre_authentication_encoding("application/vnd.in-toto+json", statement.as_bytes());
    let signature = signer("p256").sign(&message).unwrap();
    json!({
        "mediaType": cosign::BUNDLE_MEDIA_TYPE,
        "verificationMaterial": { "publicKey": { "hint": key("p256").public_key().hint() } },
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{ "sig": STANDARD.encode(signature) }],
        },
    })
}

/// Any text as a bundle, found as a referrer of [`DIGEST`].
pub(crate) fn as_bundle(bundle: &str) -> UnverifiedSignature {
    UnverifiedSignature::SigstoreBundle {
        manifest_digest: OTHER_DIGEST.to_owned(),
        subject_digest: DIGEST.to_owned(),
        bundle_digest: digest::sha256(bundle.as_bytes()),
        bundle_size: bundle.len() as u64,
        bundle: bundle.as_bytes().to_vec(),
    }
}

/// Whether the candidate counts, or the reason why not.
pub(crate) fn outcome(candidate: UnverifiedSignature, store: &TrustStore) -> Result<String, String> {
    let Verification { verified, rejected } = verify(&[candidate], SUBJECT, store, NOW);
    match (verified.as_slice(), rejected.as_slice()) {
        ([], [rejection]) => Err(rejection.reason.clone()),
        ([first, ..], []) => Ok(first.identity().to_owned()),
        other => panic!("{other:?}"),
    }
}

/// A key made for these tests with `openssl ecparam -name secp521r1 -genkey`; it protects nothing.
const P521: &str = "-----BEGIN EC PRIVATE KEY-----
MIHcAgEBBEIB7ZzPWj4CgV06VOcXaWwI8TVL1iEzEHPAiVc1O3f0noZm+Zxht4BQ
YUPoY8thVBW6fi5QPiKuZR/ECktIZ5uLOCagBwYFK4EEACOhgYkDgYYABADO4Gbn
FfLxFAgjm2hGYE7MYQ/kMKHg5KQme6Q5ORHUQvipwEbv+92sC0tM0jhk2CQ8b7jY
spXiFy2Dm1VJkaai8wDVvPwdYKET2WfKhToFj/P7GSXXbLoB6wAeojWaSjWx9ps2
S/jNXYVbbcqoX8aBt64o81Uh5Dpn9i7XFzwOn4+jUg==
-----END EC PRIVATE KEY-----
";
