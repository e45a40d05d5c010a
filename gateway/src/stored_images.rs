//! What is stored: every image with the bytes of its layers, and how many of them other images have too.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rusqlite::Connection;
use serde::Serialize;

use crate::gate::evidence::State;
use crate::manifest::{self, Kind, ManifestError};
use crate::records::{RecordError, manifests};

/// The images of a gateway, or of one of its repositories.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoredImages {
    /// Sorted by repository and digest.
    pub images: Vec<StoredImage>,
    /// Bytes of layers that they name, each image counted for itself.
    pub named_bytes: u64,
    /// The same with every layer counted once: what the store holds.
    pub stored_bytes: u64,
}

/// One image in one repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredImage {
    /// Where.
    pub repository: String,
    /// Its tags there, for consumers where it is released.
    pub tags: Vec<String>,
    /// Digest of its manifest.
    pub digest: String,
    /// Where it stands.
    pub state: State,
    /// Number of layers.
    pub layers: usize,
    /// Bytes of its layers as stored; a layer that it names twice counts once.
    pub bytes: u64,
    /// Bytes of those layers that another image, of any repository, names too. The same image in another repository is
    /// no other image.
    pub shared_bytes: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoredImagesError {
    /// A stored manifest is no longer one.
    #[error("stored manifest `{digest}` is malformed")]
    Manifest {
        /// Which.
        digest: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The records failed.
    #[error("the records failed")]
    Records(#[from] RecordError),
}

/// Asks the records alone: no layer is read.
///
/// # Errors
/// See [`StoredImagesError`].
pub fn stored_images(
    connection: &Connection,
    repository: Option<&str>,
) -> Result<StoredImages, StoredImagesError> {
    let mut all = StoredImages::default();
    // A base layer is in all of them: it is asked about once.
    let mut known: HashMap<String, u64> = HashMap::new();
    for (repository, digest, media_type, state) in manifests::runnable(connection, repository)? {
        let Some(bytes) = manifests::bytes(connection, &digest)? else { continue };
        let manifest = manifest::classify(Bytes::from(bytes), Some(&media_type))
            .map_err(|source| StoredImagesError::Manifest { digest: digest.clone(), source })?;
        let Kind::Image { layers, .. } = &manifest.kind else { continue };
        let sizes: BTreeMap<&str, u64> =
            layers.iter().map(|layer| (layer.digest.as_str(), layer.size)).collect();
        let (mut bytes, mut shared_bytes) = (0_u64, 0_u64);
        for (layer, size) in sizes {
            let naming = match known.get(layer) {
                Some(naming) => *naming,
                None => {
                    all.stored_bytes = all.stored_bytes.saturating_add(size);
                    let naming = manifests::naming(connection, layer)?;
                    known.insert(layer.to_owned(), naming);
                    naming
                }
            };
            bytes = bytes.saturating_add(size);
            if naming > 1 {
                shared_bytes = shared_bytes.saturating_add(size);
            }
        }
        all.named_bytes = all.named_bytes.saturating_add(bytes);
        let places = manifests::places(connection, &digest)?;
        let tags = places.into_iter().find(|(place, ..)| *place == repository);
        let tags = tags.map(|(_, _, tags)| tags).unwrap_or_default();
        all.images.push(StoredImage {
            repository,
            tags,
            digest,
            state,
            layers: layers.len(),
            bytes,
            shared_bytes,
        });
    }
    Ok(all)
}
