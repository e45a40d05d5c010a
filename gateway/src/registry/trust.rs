//! `/v2/<gun>/_trust/tuf/<file>.json`: the read side of a Notary v1 server, for the clients of old, out of the released
//! collection and nothing else.
//!
//! `<gun>` is the repository's name with its signers, registry included. Whoever may pull the repository may read these,
//! and what they get was admitted like an image: metadata that does not verify under the policy is not there.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, header};
use keys::notary::{COLLECTION_TAG, CollectionFile, Document, collection_files, unverified};

use super::error::{ApiError, Code};
use super::path::{self, Reference, TrustFile};
use super::{Asked, manifests};
use crate::access::Action;
use crate::digest::Digest;
use crate::gate::verdict::{Admitted, Verdict};
use crate::records::RecordError;
use crate::records::manifests as rows;

/// GET and HEAD.
pub(super) async fn read(asked: &Asked<'_>, gun: &str, file: &TrustFile) -> Result<Response, ApiError> {
    let registry = asked.registry;
    let unknown = || ApiError::new(Code::ManifestUnknown, format!("`{gun}` has no such trust data"));
    let name = registry.judge.repository_of(gun).ok_or_else(unknown)?;
    let name = path::repository(&name)?;
    asked.authorize(Action::Pull, name)?;
    let tag = Reference::Tag(COLLECTION_TAG.to_owned());
    let row = manifests::find_for_consumer(asked, name, &tag)?;
    // No tag is asked for: which one the collection lies under is our affair, so a rule's `pin` has nothing to say.
    let proof = match registry.judge.pull(name, None, &row).await?.verdict {
        Verdict::Allow(proof) => proof,
        Verdict::Deny(denial) => return Err(ApiError::denied(&denial)),
    };
    let (registry, wanted) = (Arc::clone(registry), file.clone());
    let found = tokio::task::spawn_blocking(move || find(&registry, &proof, &wanted)).await;
    let bytes = found.map_err(|error| ApiError::internal(&error))??.ok_or_else(unknown)?;
    let length = bytes.len();
    let body = if asked.parts.method == Method::HEAD { Body::empty() } else { Body::from(bytes) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    // The next answer may be a refusal.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// The bytes of a file of the admitted collection. Blocking.
fn find(
    registry: &super::Registry,
    proof: &Admitted,
    wanted: &TrustFile,
) -> Result<Option<Vec<u8>>, ApiError> {
    let damaged = || ApiError::from(RecordError::Malformed { what: "collection of Notary v1" });
    let manifest = registry.records.read(|connection| rows::bytes(connection, proof.digest()))?;
    let manifest = manifest.ok_or_else(damaged)?;
    // A tag that holds something else was not admitted as a collection, and has no such files.
    let Ok(Some(files)) = collection_files(&manifest) else { return Ok(None) };
    let read = |file: &CollectionFile| -> Result<Vec<u8>, ApiError> {
        let digest = Digest::parse(&file.digest).map_err(|_| damaged())?;
        let bytes = registry.blobs.read_checked(&digest, file.size);
        bytes.map_err(|error| ApiError::internal(&error))?.ok_or_else(damaged)
    };
    let named = |document: &Document| files.iter().find(|file| file.document == *document);
    match wanted {
        TrustFile::Latest(document) => named(document).map(read).transpose(),
        TrustFile::ByDigest(document, sha256) => {
            let digest = format!("sha256:{sha256}");
            let is_one = |file: &&CollectionFile| {
                let earlier =
                    matches!((document, &file.document), (Document::Root, Document::RootVersion(_)));
                file.digest == digest && (file.document == *document || earlier)
            };
            files.iter().find(is_one).map(read).transpose()
        }
        TrustFile::ByVersion(document, version) => {
            if let (Document::Root, Some(file)) = (document, named(&Document::RootVersion(*version))) {
                return read(file).map(Some);
            }
            let Some(file) = named(document) else { return Ok(None) };
            let bytes = read(file)?;
            let seen = unverified::version(document.clone(), &bytes).map_err(|_| damaged())?;
            Ok((seen == *version).then_some(bytes))
        }
    }
}
