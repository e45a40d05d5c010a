//! Pushes signatures: blobs first, then the manifest; and where the registry has no referrers API, the fallback list.

use keys::signer::SignedArtifact;
use serde_json::{Value, json};

use super::registry::{Remote, RemoteError};
use crate::digest::Digest;
use crate::manifest::{INDEX_ENTRIES_MAX, OCI_INDEX, json};

/// How often the fallback list is written before giving up: two signers at once overwrite each other's list, and a
/// registry without the referrers API has no way to say so.
const LIST_ATTEMPTS: u32 = 5;

/// Why a signature is not in the registry.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The registry.
    #[error("cannot push the signature")]
    Remote(#[from] RemoteError),
    /// The fallback tag holds something else, which is left alone.
    #[error("the tag `{tag}`, where referrers are listed, holds something else: {problem}")]
    List {
        /// The tag.
        tag: String,
        /// What is wrong.
        problem: String,
    },
    /// Other writers won every time.
    #[error("the list of referrers under `{0}` keeps changing; try again")]
    Contended(String),
}

/// Where a signature now lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its tag, or the fallback list's.
    pub tag: Option<String>,
}

/// Pushes one signature of `subject`.
pub fn publish(
    remote: &Remote,
    subject: &Digest,
    artifact: &SignedArtifact,
) -> Result<Published, PublishError> {
    for blob in &artifact.blobs {
        remote.push_blob(&blob.bytes)?;
    }
    let digest = Digest::sha256_of(&artifact.manifest.bytes);
    if let Some(tag) = &artifact.tag {
        remote.push_manifest(tag, &artifact.manifest.bytes, artifact.media_type)?;
        return Ok(Published { digest, tag: Some(tag.clone()) });
    }
    remote.push_manifest(digest.as_str(), &artifact.manifest.bytes, artifact.media_type)?;
    let tag = subject.as_str().replacen(':', "-", 1);
    for attempt in 0..LIST_ATTEMPTS {
        // A registry that knows referrers lists it by itself; another one lists it once the tag says so.
        if remote.referrers(subject)?.contains(&digest) {
            return Ok(Published { digest, tag: (attempt > 0).then_some(tag) });
        }
        let list = with_entry(remote.manifest_bytes(&tag)?.as_deref(), &tag, &digest, artifact)?;
        remote.push_manifest(&tag, list.to_string().as_bytes(), OCI_INDEX)?;
    }
    if remote.referrers(subject)?.contains(&digest) {
        return Ok(Published { digest, tag: Some(tag) });
    }
    Err(PublishError::Contended(tag))
}

/// The list with one more entry (distribution-spec "Referrers Tag Schema": type and annotations of the manifest are
/// repeated in its descriptor).
fn with_entry(
    list: Option<&[u8]>,
    tag: &str,
    digest: &Digest,
    artifact: &SignedArtifact,
) -> Result<Value, PublishError> {
    let broken = |problem: &str| PublishError::List { tag: tag.to_owned(), problem: problem.to_owned() };
    let mut list = match list {
        Some(bytes) => Value::Object(json::parse_object(bytes).map_err(|error| broken(&error.to_string()))?),
        None => json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}),
    };
    let signature =
        json::parse_object(&artifact.manifest.bytes).map_err(|error| broken(&error.to_string()))?;
    let entries =
        list.get_mut("manifests").and_then(Value::as_array_mut).ok_or_else(|| broken("it is no index"))?;
    if entries.len() >= INDEX_ENTRIES_MAX {
        return Err(broken("it is full; remove stale entries"));
    }
    if entries.iter().all(|entry| entry["digest"] != digest.as_str()) {
        let mut entry = json!({
            "mediaType": artifact.media_type,
            "digest": digest.as_str(),
            "size": artifact.manifest.bytes.len(),
        });
        for key in ["artifactType", "annotations"] {
            if let Some(value) = signature.get(key) {
                entry[key] = value.clone();
            }
        }
        entries.push(entry);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keys::keyring::{NewKey, generate};
    use keys::signer::{ImageDescriptor, Signer};

    use super::*;

    const SUBJECT: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn artifact() -> SignedArtifact {
        let image = ImageDescriptor { digest: SUBJECT, media_type: crate::manifest::OCI_MANIFEST, size: 7 };
        Signer::new(generate(NewKey::default()).unwrap()).sign_bundle(image, &BTreeMap::new(), 0).unwrap()
    }

    #[test]
    fn an_entry_is_added_once_and_the_others_are_kept() {
        let (first, second) = (artifact(), artifact());
        let digest = |artifact: &SignedArtifact| Digest::sha256_of(&artifact.manifest.bytes);
        let one = with_entry(None, "t", &digest(&first), &first).unwrap();
        let two = with_entry(Some(one.to_string().as_bytes()), "t", &digest(&second), &second).unwrap();
        let again = with_entry(Some(two.to_string().as_bytes()), "t", &digest(&second), &second).unwrap();
        assert_eq!(two, again);
        assert_eq!(two["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(two["manifests"][1]["artifactType"], keys::cosign::BUNDLE_MEDIA_TYPE);
    }

    #[test]
    fn a_tag_that_holds_something_else_is_left_alone() {
        let artifact = artifact();
        let digest = Digest::sha256_of(b"");
        for list in ["{}", "[]", r#"{"manifests":1}"#, r#"{"manifests":[],"manifests":[]}"#] {
            assert!(with_entry(Some(list.as_bytes()), "t", &digest, &artifact).is_err(), "{list}");
        }
    }
}
