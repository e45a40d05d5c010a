//! What we sign by notation verifies at our own entry, for every kind of key in both forms; what no verifier would accept
//! is not signed.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::collections::BTreeMap;
use std::path::Path;

use keys::keyring::{self, NewKey};
use keys::notation::{Level, NotationTrust, TrustPolicy, TrustStores, signature_layers};
use keys::signature::Subject;
use keys::signer::{ImageDescriptor, NotationForm, SignError, SignedArtifact, Signer};
use keys::trust_store::{Identity, RepositoryMatch, TrustStore, Vouches};
use keys::verify::verify;
use keys::x509::{Certificate, ChainError, DistinguishedName};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const IMAGE: ImageDescriptor<'static> =
    ImageDescriptor { digest: DIGEST, media_type: "application/vnd.oci.image.manifest.v1+json", size: 401 };
/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/notation/signer");
    std::fs::read(folder.join(name)).unwrap()
}

fn signer(name: &str) -> Signer {
    Signer::new(keyring::import(std::str::from_utf8(&file(&format!("{name}.key"))).unwrap()).unwrap())
}

fn chain(name: &str) -> Vec<Certificate> {
    Certificate::from_file(&file(&format!("{name}.pem"))).unwrap()
}

fn sign(signer: &Signer, chain: &[Certificate], form: NotationForm) -> Result<SignedArtifact, SignError> {
    let metadata = BTreeMap::from([("build".to_owned(), "42".to_owned())]);
    signer.sign_notation(IMAGE, chain, form, &metadata, NOW)
}

fn store(build: &str) -> TrustStore {
    let mut stores = TrustStores::default();
    assert!(stores.add("ca:a", chain("root")).is_empty());
    let named = vec![DistinguishedName::parse("O=Acme Fixtures").unwrap()];
    let policy = TrustPolicy::for_all_repositories("p", Level::STRICT, &["ca:a"], named, false);
    let identity = Identity {
        name: "vendor".to_owned(),
        principal: None,
        vouches: Vouches::Notation(Box::new(NotationTrust { policy, stores })),
        repository_match: RepositoryMatch::Any,
        annotations: BTreeMap::from([("build".to_owned(), build.to_owned())]),
    };
    TrustStore { identities: vec![identity], ..TrustStore::default() }
}

#[test]
fn what_we_sign_verifies_with_every_kind_of_key_in_both_forms() {
    for name in ["p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096"] {
        let (signer, chain) = (signer(name), chain(name));
        for form in [NotationForm::Cose, NotationForm::Jws] {
            let signed = sign(&signer, &chain, form).unwrap();
            let mut found = signature_layers(&signed.manifest.bytes).unwrap().unwrap();
            let place = (signed.manifest.digest.clone(), found.subject_digest.clone());
            let described = (IMAGE.media_type.to_owned(), IMAGE.size);
            let envelope = signed.blobs[0].bytes.clone();
            let candidate = found.layers.remove(0).with_envelope(place, described, envelope);
            let subject = Subject { digest: DIGEST, repository: "registry.example/app" };
            let answer = verify(std::slice::from_ref(&candidate), subject, &store("42"), NOW);
            assert_eq!(answer.verified.len(), 1, "{name} {form:?}: {:?}", answer.rejected);
            let other = verify(&[candidate], subject, &store("43"), NOW);
            assert!(other.rejected[0].reason.contains("annotation `build` must be `43`"), "{name} {form:?}");
        }
    }
}

#[test]
fn what_no_verifier_would_accept_is_not_signed() {
    let (p256, form) = (signer("p256"), NotationForm::Jws);
    let refused = |signer: &Signer, chain: &[Certificate]| sign(signer, chain, form).unwrap_err();
    assert!(matches!(refused(&p256, &chain("p384")), SignError::CertificateKey { .. }));
    assert!(matches!(refused(&p256, &chain("p256-expired")), SignError::Validity(_)));
    assert!(matches!(refused(&p256, &chain("p256")[..1]), SignError::Chain(ChainError::Incomplete(_))));
    assert!(matches!(refused(&p256, &[]), SignError::Chain(ChainError::Empty)));
    let ed25519 = Signer::new(keyring::generate(NewKey::Ed25519).unwrap());
    assert!(matches!(refused(&ed25519, &chain("p256")), SignError::CertificateKey { .. }));
    let image = ImageDescriptor { digest: "latest", ..IMAGE };
    let nothing = BTreeMap::new();
    let signed = p256.sign_notation(image, &chain("p256"), form, &nothing, NOW);
    assert!(matches!(signed, Err(SignError::Digest(_))));
}
