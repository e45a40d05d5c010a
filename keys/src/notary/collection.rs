//! A repository's whole metadata as one OCI artifact: how it travels through registries that know nothing of Notary.
//!
//! One layer a file, named by its title. Nothing of this form is signed, and nothing of it is believed: what counts is
//! what a [`Client`] makes of the files.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Client, Document, NotaryError, Repository, Role, RootPin, Seen};
use crate::cosign::parse_manifest;
use crate::json::quote;
use crate::signer::{Blob, SignedArtifact};
use crate::{cosign, digest, limits};

/// `artifactType` of a collection.
pub const COLLECTION_TYPE: &str = "application/vnd.portcullis.notary.v1";

/// The tag under which a repository keeps its collection.
pub const COLLECTION_TAG: &str = "notary-v1";

const FILE_TYPE: &str = "application/vnd.portcullis.notary.v1.file+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
const TITLE: &str = "org.opencontainers.image.title";

/// Why a manifest is no collection that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectionError {
    /// Of the manifest itself.
    #[error(transparent)]
    Manifest(#[from] cosign::DiscoveryError),
    /// A layer that is no file of a collection.
    #[error("layer {index} of the collection {problem}")]
    Layer {
        /// Counted from 0.
        index: usize,
        /// In words.
        problem: &'static str,
    },
    /// Two files of one name: two readers could choose differently.
    #[error("the collection has `{0}` twice")]
    Twice(Document),
    /// More than any repository needs.
    #[error("the collection has {seen} {unit}, at most {max} are read")]
    TooLarge {
        /// How many there are.
        seen: u64,
        /// The bound.
        max: u64,
        /// `bytes` or `files`.
        unit: &'static str,
    },
}

/// Where one file of a collection lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionFile {
    /// Which file.
    pub document: Document,
    /// Digest of the blob.
    pub digest: String,
    /// Size of the blob in bytes, as declared.
    pub size: u64,
}

/// The files of a repository. The bytes are anybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection(BTreeMap<Document, Vec<u8>>);

/// The files that a manifest names, if it is a collection; `None`: it is something else.
pub fn collection_files(manifest: &[u8]) -> Result<Option<Vec<CollectionFile>>, CollectionError> {
    let manifest = parse_manifest(manifest)?;
    if manifest.get("artifactType").and_then(Value::as_str) != Some(COLLECTION_TYPE) {
        return Ok(None);
    }
    let layers = manifest.get("layers").and_then(Value::as_array).ok_or(cosign::DiscoveryError::NoLayers)?;
    if layers.len() > limits::NOTARY_FILES_MAX {
        let (seen, max) = (layers.len() as u64, limits::NOTARY_FILES_MAX as u64);
        return Err(CollectionError::TooLarge { seen, max, unit: "files" });
    }
    let mut files: Vec<CollectionFile> = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let file = file(layer).map_err(|problem| CollectionError::Layer { index, problem })?;
        if files.iter().any(|other| other.document == file.document) {
            return Err(CollectionError::Twice(file.document));
        }
        files.push(file);
    }
    let seen = files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
    let max = limits::NOTARY_COLLECTION_BYTES_MAX;
    if seen > max {
        return Err(CollectionError::TooLarge { seen, max, unit: "bytes" });
    }
    Ok(Some(files))
}

fn file(layer: &Value) -> Result<CollectionFile, &'static str> {
    let text = |layer: &Map<String, Value>, key| layer.get(key).and_then(Value::as_str).map(str::to_owned);
    let layer = layer.as_object().ok_or("is no descriptor")?;
    if text(layer, "mediaType").as_deref() != Some(FILE_TYPE) {
        return Err("is of another media type");
    }
    let title = layer.get("annotations").and_then(Value::as_object).and_then(|all| text(all, TITLE));
    let document =
        title.as_deref().and_then(Document::from_file_name).ok_or("is not named as a role's file")?;
    let digest = text(layer, "digest").filter(|digest| digest::split(digest).is_some());
    let digest = digest.ok_or("has no digest")?;
    let size = layer.get("size").and_then(Value::as_u64).ok_or("has no size")?;
    if usize::try_from(size).map_or(true, |size| size > document.bytes_max()) {
        return Err("is larger than its role's file ever is");
    }
    Ok(CollectionFile { document, digest, size })
}

impl Collection {
    /// Puts a file in; of two of one name the last stays.
    pub fn insert(&mut self, document: Document, bytes: Vec<u8>) {
        self.0.insert(document, bytes);
    }

    /// One file.
    pub fn file(&self, document: &Document) -> Option<&[u8]> {
        self.0.get(document).map(Vec::as_slice)
    }

    /// All files, in a fixed order.
    pub fn files(&self) -> impl Iterator<Item = (&Document, &[u8])> {
        self.0.iter().map(|(document, bytes)| (document, bytes.as_slice()))
    }

    /// How many bytes all files have together.
    pub fn bytes(&self) -> usize {
        self.0.values().fold(0usize, |sum, bytes| sum.saturating_add(bytes.len()))
    }

    /// Verifies it as the metadata of `gun` under `pin`, against what was `seen` before. `now` is seconds since
    /// 1970-01-01 UTC.
    pub fn verify(
        &self,
        gun: &str,
        pin: &RootPin,
        seen: Seen,
        now: i64,
    ) -> Result<(Repository, Seen), NotaryError> {
        let mut client = Client::new(gun, pin.clone(), seen, now)?;
        while let Some(need) = client.needs() {
            client.supply(self.file(&need.document))?;
        }
        client.finish()
    }

    /// The artifact to push under [`COLLECTION_TAG`]. The same files give the same bytes.
    pub fn to_artifact(&self) -> SignedArtifact {
        let mut blobs = vec![Blob { digest: digest::sha256(EMPTY), bytes: EMPTY.to_vec() }];
        let mut layers = Vec::new();
        for (document, bytes) in self.files() {
            let digest = digest::sha256(bytes);
            layers.push(json!({"mediaType": FILE_TYPE, "digest": digest, "size": bytes.len(),
                "annotations": {TITLE: format!("{document}.json")}}));
            blobs.push(Blob { digest, bytes: bytes.to_vec() });
        }
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": COLLECTION_TYPE,
            "config": {"mediaType": EMPTY_TYPE, "digest": digest::sha256(EMPTY), "size": EMPTY.len()},
            "layers": layers});
        let bytes = manifest.to_string().into_bytes();
        let manifest = Blob { digest: digest::sha256(&bytes), bytes };
        SignedArtifact { blobs, manifest, media_type: MANIFEST_TYPE, tag: Some(COLLECTION_TAG.to_owned()) }
    }
}

impl Document {
    /// Reads a file's name with its folder: `root.json`, `2.root.json`, `snapshot.json`, `targets/releases.json`.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".json")?;
        match stem {
            "root" => return Some(Self::Root),
            "snapshot" => return Some(Self::Snapshot),
            "timestamp" => return Some(Self::Timestamp),
            _ => {}
        }
        if let Some(number) = stem.strip_suffix(".root") {
            let version = number.parse().ok()?;
            // One spelling each: `+1` and `01` are numbers too.
            return (version > 0 && number == format!("{version}")).then_some(Self::RootVersion(version));
        }
        Role::parse(stem).map(Self::Targets)
    }
}

/// What a collection of a repository would consist of, by documents that nobody has verified: for whoever copies it.
/// What they say only decides what is copied.
pub mod unverified {
    use serde::Serialize;

    use super::{Document, NotaryError, limits, quote};
    use crate::notary::RoleFault;
    use crate::notary::metadata::{Envelope, FileMeta, bounded};

    /// Which version a root file says it is of.
    pub fn root_version(bytes: &[u8]) -> Result<u64, NotaryError> {
        let version = Envelope::read(Document::Root, bytes)?.root()?.version;
        if version > limits::NOTARY_ROTATIONS_MAX {
            let (seen, max) = (version.try_into().unwrap_or(usize::MAX), limits::NOTARY_ROTATIONS_MAX);
            let max = max.try_into().unwrap_or(usize::MAX);
            return Err(NotaryError::TooMany { what: "rotations of the root", seen, max });
        }
        Ok(version)
    }

    /// Which version any file says it is of.
    pub fn version(document: Document, bytes: &[u8]) -> Result<u64, NotaryError> {
        Envelope::read(document, bytes)?.version()
    }

    /// The ids of the root keys in a root file, to be compared with what its signer prints.
    pub fn root_keys(bytes: &[u8]) -> Result<Vec<RootKey>, NotaryError> {
        let root = Envelope::read(Document::Root, bytes)?.root()?.root;
        Ok(root.keys.iter().map(|key| RootKey { id: key.id.clone(), bare: key.bare_id() }).collect())
    }

    /// A root key under both names that a pin may use.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct RootKey {
        /// In its certificate.
        pub id: String,
        /// Bare, as `notary key list` prints it.
        pub bare: Option<String>,
    }

    /// The files that a timestamp or a snapshot names, each with its hex SHA-256.
    pub fn listed(document: Document, bytes: &[u8]) -> Result<Vec<(Document, String)>, NotaryError> {
        let kind = if document == Document::Timestamp { "Timestamp" } else { "Snapshot" };
        let listing = Envelope::read(document, bytes)?.listing(kind)?;
        bounded("files in the snapshot", listing.meta.len(), limits::NOTARY_ROLES_MAX + 4)?;
        let file = |(name, meta): (&String, &FileMeta)| {
            let document = Document::from_file_name(&format!("{name}.json"));
            let unknown = || NotaryError::Role { role: quote(name), reason: RoleFault::Name };
            Ok((document.ok_or_else(unknown)?, meta.sha256(name)?))
        };
        listing.meta.iter().map(file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection() -> Collection {
        let mut collection = Collection::default();
        for name in ["root.json", "1.root.json", "timestamp.json", "targets/releases.json"] {
            collection.insert(Document::from_file_name(name).unwrap(), name.as_bytes().to_vec());
        }
        collection
    }

    #[test]
    fn what_is_packed_is_found_again() {
        let artifact = collection().to_artifact();
        assert_eq!(artifact.tag.as_deref(), Some("notary-v1"));
        let files = collection_files(&artifact.manifest.bytes).unwrap().unwrap();
        assert_eq!(files.len(), 4);
        for file in files {
            let blob = artifact.blobs.iter().find(|blob| blob.digest == file.digest).unwrap();
            assert_eq!(blob.bytes, format!("{}.json", file.document).as_bytes());
            assert_eq!(blob.bytes.len() as u64, file.size);
        }
        assert_eq!(artifact, collection().to_artifact());
    }

    #[test]
    fn a_manifest_of_another_kind_is_none_and_a_strange_layer_refuses_the_collection() {
        let changed = |pointer: &str, value: Value| {
            let mut manifest: Value =
                serde_json::from_slice(&collection().to_artifact().manifest.bytes).unwrap();
            *manifest.pointer_mut(pointer).unwrap() = value;
            collection_files(manifest.to_string().as_bytes())
        };
        assert_eq!(changed("/artifactType", json!("application/spdx+json")), Ok(None));
        let title = "/layers/0/annotations/org.opencontainers.image.title";
        for (pointer, value, problem) in [
            ("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar"), "another media type"),
            (title, json!("../../etc/passwd"), "not named"),
            (title, json!("targets/../root.json"), "not named"),
            (title, json!("targets/Releases.json"), "not named"),
            (title, json!("01.root.json"), "not named"),
            (title, json!("0.root.json"), "not named"),
            (title, json!("root"), "not named"),
            ("/layers/0/digest", json!("sha256:ab"), "no digest"),
            ("/layers/0/size", json!(-1), "no size"),
            ("/layers/0/size", json!(2 << 20), "larger than"),
            ("/layers/0", json!([]), "no descriptor"),
            ("/layers", json!(null), "has no `layers`"),
            ("/layers", json!(vec![1; 400]), "has 400 files"),
        ] {
            let error = changed(pointer, value.clone()).unwrap_err().to_string();
            assert!(error.contains(problem), "{pointer} {value}: {error}");
        }
        let twice = changed("/layers/1/annotations/org.opencontainers.image.title", json!("root.json"));
        assert_eq!(twice, Err(CollectionError::Twice(Document::Root)));
        let large = json!({"mediaType": FILE_TYPE, "digest": format!("sha256:{}", "ab".repeat(32)),
            "size": 16 << 20, "annotations": {}});
        let large: Vec<Value> = (0..5)
            .map(|number| {
                let mut layer = large.clone();
                layer["annotations"][TITLE] = format!("targets/{number}.json").into();
                layer
            })
            .collect();
        let error = changed("/layers", large.into()).unwrap_err();
        assert!(matches!(error, CollectionError::TooLarge { unit: "bytes", .. }), "{error}");
    }
}
