//! Minted repositories, verified: what the tests about them share.

use keys::notary::{Collection, Document, NotaryError, Repository, Role, RootPin, Seen, SignatureFault};

use super::mint::{self, Certificate, Files};

pub(super) const GUN: &str = "registry.example/prod/app";
pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const DAY: i64 = 86_400;
pub(super) const YEAR: i64 = 365 * DAY;

pub(super) fn digest(number: u8) -> String {
    format!("sha256:{}", mint::hex(&[number; 32]))
}

pub(super) fn collection(files: &Files) -> Collection {
    let mut collection = Collection::default();
    for (name, bytes) in files {
        // A name that is none would not be in a collection either.
        if let Some(document) = Document::from_file_name(name) {
            collection.insert(document, bytes.clone());
        }
    }
    collection
}

pub(super) fn pin(repository: &mint::Repository) -> RootPin {
    RootPin::from_key_ids(&repository.pin()).unwrap()
}

pub(super) fn update(files: &Files, pin: &RootPin, seen: Seen) -> Result<(Repository, Seen), NotaryError> {
    collection(files).verify(GUN, pin, seen, NOW)
}

pub(super) fn verify(files: &Files, pin: &RootPin) -> Result<Repository, NotaryError> {
    update(files, pin, Seen::default()).map(|(repository, _)| repository)
}

/// A good repository after one change, under a pin of its root keys.
pub(super) fn changed(change: impl FnOnce(&mut mint::Repository)) -> Result<Repository, NotaryError> {
    let mut repository = mint::Repository::new(GUN, NOW);
    change(&mut repository);
    verify(&repository.files(), &pin(&repository))
}

pub(super) fn certificate(common_name: &str, from: i64, to: i64) -> Certificate<'_> {
    Certificate { common_name, not_before: NOW + from, not_after: NOW + to, is_authority: false }
}

pub(super) fn role(name: &str) -> Role {
    Role::parse(name).unwrap()
}

/// The first fault of a role that too few keys signed.
pub(super) fn fault(error: NotaryError, of: &str) -> SignatureFault {
    let NotaryError::Threshold { role, mut faults, .. } = error else { panic!("{error}") };
    assert_eq!(role, of);
    faults.swap_remove(0).1
}

/// As if the signer had listed these very files.
pub(super) fn relisted(repository: &mint::Repository, change: impl FnOnce(&mut Files)) -> Files {
    let mut files = repository.files();
    change(&mut files);
    files.remove("snapshot.json");
    files.remove("timestamp.json");
    repository.list(files)
}
