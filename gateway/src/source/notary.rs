//! The metadata of a Notary v1 repository, from its server, from a client's folder, or from a registry: copied whole, and
//! believed nowhere here.

mod server;

use std::path::{Path, PathBuf};

use keys::notary::{
    COLLECTION_TAG, Collection, CollectionError, Document, NotaryError, RootPin, Seen, collection_files,
    unverified,
};
use keys::trust_store::{TrustStore, Vouches};
use keys::verify::Verifier;
use sha2::{Digest as _, Sha256};

use super::registry::{Remote, RemoteError};
use crate::digest::Digest;

pub use server::{Server, ServerError, address, host_of};

/// Why metadata could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The folder.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The registry.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// What the tag holds in the registry.
    #[error("under the tag `{COLLECTION_TAG}`: {0}")]
    Collection(#[from] CollectionError),
    /// The tag holds an image or another artifact.
    #[error("the tag `{COLLECTION_TAG}` holds no collection of Notary v1")]
    Other,
    /// A digest in the registry that is none.
    #[error("`{0}` is not a digest")]
    Digest(String),
    /// The metadata itself.
    #[error("metadata that cannot be read: {0}")]
    Metadata(#[from] NotaryError),
    /// A file that must be there.
    #[error("`{0}.json` is missing")]
    Missing(Document),
    /// Longer than its role ever is, or all together than any repository.
    #[error("`{document}.json` has more than {max} bytes")]
    TooLarge {
        /// Which.
        document: Document,
        /// The bound.
        max: usize,
    },
    /// Changed while it was copied, or damaged.
    #[error(
        "`{document}.json` is not the one that is listed: expected sha256 `{expected}`, computed `{computed}`"
    )]
    Changed {
        /// Which.
        document: Document,
        /// As listed.
        expected: String,
        /// Of the bytes.
        computed: String,
    },
}

/// Gives one file; the second argument is its hex SHA-256 where a file before names it.
pub type Get<'a> = dyn FnMut(&Document, Option<&str>) -> Result<Option<Vec<u8>>, CopyError> + 'a;

/// Copies what timestamp and snapshot name, and the roots before the latest, as far as they are there. By digest, so that
/// all files are of one state although the signer may publish the next meanwhile.
pub fn copy(get: &mut Get<'_>) -> Result<Collection, CopyError> {
    let mut collection = Collection::default();
    let timestamp = required(get, Document::Timestamp, None)?;
    let mut snapshot = None;
    for (document, sha256) in unverified::listed(Document::Timestamp, &timestamp)? {
        if document == Document::Snapshot {
            snapshot = Some(required(get, document, Some(&sha256))?);
        }
    }
    let snapshot = snapshot.ok_or(CopyError::Missing(Document::Snapshot))?;
    let mut version = None;
    for (document, sha256) in unverified::listed(Document::Snapshot, &snapshot)? {
        match document {
            Document::Root => {
                let bytes = required(get, document.clone(), Some(&sha256))?;
                version = Some(unverified::root_version(&bytes)?);
                insert(&mut collection, document, bytes)?;
            }
            Document::Targets(_) => {
                let bytes = required(get, document.clone(), Some(&sha256))?;
                insert(&mut collection, document, bytes)?;
            }
            Document::RootVersion(_) | Document::Snapshot | Document::Timestamp => {}
        }
    }
    let version = version.ok_or(CopyError::Missing(Document::Root))?;
    for earlier in 1..version {
        let document = Document::RootVersion(earlier);
        if let Some(bytes) = bounded(&document, get(&document, None)?)? {
            insert(&mut collection, document, bytes)?;
        }
    }
    insert(&mut collection, Document::Snapshot, snapshot)?;
    insert(&mut collection, Document::Timestamp, timestamp)?;
    Ok(collection)
}

fn insert(collection: &mut Collection, document: Document, bytes: Vec<u8>) -> Result<(), CopyError> {
    let max = usize::try_from(keys::limits::NOTARY_COLLECTION_BYTES_MAX).unwrap_or(usize::MAX);
    if collection.bytes().saturating_add(bytes.len()) > max {
        return Err(CopyError::TooLarge { document, max });
    }
    collection.insert(document, bytes);
    Ok(())
}

fn bounded(document: &Document, bytes: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, CopyError> {
    let max = document.bytes_max();
    match bytes {
        Some(bytes) if bytes.len() > max => Err(CopyError::TooLarge { document: document.clone(), max }),
        bytes => Ok(bytes),
    }
}

fn required(get: &mut Get<'_>, document: Document, sha256: Option<&str>) -> Result<Vec<u8>, CopyError> {
    let bytes = bounded(&document, get(&document, sha256)?)?;
    let bytes = bytes.ok_or_else(|| CopyError::Missing(document.clone()))?;
    let computed = hex::encode(Sha256::digest(&bytes));
    match sha256 {
        Some(expected) if expected != computed => {
            Err(CopyError::Changed { document, expected: expected.to_owned(), computed })
        }
        _ => Ok(bytes),
    }
}

/// One file of a folder as notary's client keeps it: `~/.docker/trust/tuf/<name>/metadata`.
pub fn from_folder(folder: &Path, document: &Document) -> Result<Option<Vec<u8>>, CopyError> {
    let path = folder.join(format!("{document}.json"));
    let max = document.bytes_max();
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::open(&path)?, limit), &mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CopyError::File { path, source }),
    }
}

/// The collection that a repository of a registry keeps; `None` when it has none.
pub fn from_registry(remote: &Remote) -> Result<Option<Collection>, CopyError> {
    let Some(manifest) = remote.manifest_bytes(COLLECTION_TAG)? else { return Ok(None) };
    let files = collection_files(&manifest)?.ok_or(CopyError::Other)?;
    let mut collection = Collection::default();
    for file in files {
        let digest = Digest::parse(&file.digest).map_err(|_| CopyError::Digest(file.digest.clone()))?;
        let bytes = remote.small_blob(&digest, file.size)?;
        insert(&mut collection, file.document, bytes)?;
    }
    Ok(Some(collection))
}

/// Has the collection of an image's repository examined for every identity that signs by Notary v1, without memory of
/// what was seen before: that is the gate's. Errors are the registry's; what it keeps is nobody's word.
pub fn examine(
    remote: &Remote,
    repository: &str,
    trust_store: &TrustStore,
    verifier: &mut Verifier<'_>,
    now: i64,
) -> Result<(), RemoteError> {
    let trusted = trust_store.identities.iter().filter_map(|identity| match &identity.vouches {
        Vouches::Notary(trust) => Some((trust.gun.of(repository)?, &trust.pin)),
        _ => None,
    });
    let trusted: Vec<(String, &RootPin)> = trusted.collect();
    if trusted.is_empty() {
        return Ok(());
    }
    let collection = match from_registry(remote) {
        Ok(Some(collection)) => collection,
        Ok(None) => return Ok(()),
        Err(CopyError::Remote(error))
            if !matches!(error, RemoteError::Answer(_) | RemoteError::Digest { .. }) =>
        {
            return Err(error);
        }
        Err(error) => {
            verifier.refuse(COLLECTION_TAG.to_owned(), error.to_string());
            return Ok(());
        }
    };
    let mut done: Vec<(String, String)> = Vec::new();
    for (gun, pin) in trusted {
        let place = (gun.clone(), pin.fingerprint());
        if done.contains(&place) {
            continue;
        }
        done.push(place);
        match collection.verify(&gun, pin, Seen::default(), now) {
            Ok((verified, _)) => {
                verifier.examine_repository(COLLECTION_TAG, &verified);
            }
            Err(error) => {
                verifier.refuse(COLLECTION_TAG.to_owned(), format!("metadata of Notary v1: {error}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &str = include_str!("../../../keys/tests/vectors/notary-v1/files.json");
    const CASES: &str = include_str!("../../../keys/tests/vectors/notary-v1/cases.jsonl");

    type Texts = std::collections::BTreeMap<String, String>;

    fn repository(id: &str) -> Texts {
        let files: Texts = serde_json::from_str(FILES).unwrap();
        let case = CASES
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|case| case["id"] == id)
            .unwrap();
        let names = case["metadata"].as_object().unwrap();
        names.iter().map(|(role, name)| (role.clone(), files[name.as_str().unwrap()].clone())).collect()
    }

    fn copied(files: &Texts) -> Result<Collection, CopyError> {
        copy(&mut |document, _| Ok(files.get(&document.to_string()).map(|text| text.clone().into_bytes())))
    }

    #[test]
    fn all_that_is_listed_is_copied_with_the_roots_before_the_latest() {
        for id in
            ["plain-1.0", "releases-delegation", "two-delegations-alice", "rotated-keys", "root-key-rotated"]
        {
            let files = repository(id);
            let collection = copied(&files).unwrap_or_else(|error| panic!("{id}: {error}"));
            let mut expected: Vec<&String> = files.keys().collect();
            // The latest root is there once, under its own name.
            let version = unverified::root_version(files["root"].as_bytes()).unwrap();
            let latest = format!("{version}.root");
            expected.retain(|name| **name != latest);
            let mut seen: Vec<String> =
                collection.files().map(|(document, _)| document.to_string()).collect();
            seen.sort();
            assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{id}");
        }
    }

    #[test]
    fn what_is_missing_changed_or_endless_is_told() {
        let with = |role: &str, text: Option<String>| {
            let mut files = repository("releases-delegation");
            match text {
                Some(text) => files.insert(role.to_owned(), text),
                None => files.remove(role),
            };
            copied(&files).unwrap_err()
        };
        for role in ["timestamp", "snapshot", "root", "targets", "targets/releases"] {
            assert!(matches!(with(role, None), CopyError::Missing(document) if document.to_string() == role));
        }
        for role in ["snapshot", "root", "targets", "targets/releases"] {
            let changed = with(role, Some("{}".to_owned()));
            assert!(matches!(&changed, CopyError::Changed { .. }), "{role}: {changed}");
        }
        let endless = with("timestamp", Some(" ".repeat((1 << 20) + 1)));
        assert!(matches!(endless, CopyError::TooLarge { .. }), "{endless}");
        assert!(matches!(with("timestamp", Some("[]".to_owned())), CopyError::Metadata(_)));
    }
}
