//! Looks for signatures of one digest in its registry: cosign's `.sig` tag, and referrers with a sigstore bundle or a
//! Notation envelope.
//!
//! All places are always read: a junk bundle must not hide a good legacy signature, nor the other way round. What cannot
//! be parsed is no error for the image, because anybody who may push can put it there; it is told in the trace.

use keys::cosign;
use keys::limits::{BUNDLE_BYTES_MAX, SIMPLE_PAYLOAD_BYTES_MAX};
use keys::notation;
use keys::signature::UnverifiedSignature;
use keys::verify::Rejection;

use super::registry::{Remote, RemoteError};
use crate::digest::Digest;
use crate::manifest::Manifest;

/// Most signature blobs fetched for one image; each is a request to the registry.
const FETCHES_MAX: usize = 256;

/// What was found for one digest.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// For [`keys::verify::verify`].
    pub signatures: Vec<UnverifiedSignature>,
    /// What looked like a signature and could not be read.
    pub unreadable: Vec<Rejection>,
}

/// Fetches all candidates. Errors are the registry's; "no signature" is none.
pub fn find(remote: &Remote, digest: &Digest) -> Result<Found, RemoteError> {
    let mut found = Found::default();
    if let Some(tag) = cosign::legacy_tag(digest.as_str())
        && let Some(manifest) = remote.manifest_bytes(&tag)?
    {
        simple(remote, &tag, &manifest, &mut found)?;
    }
    let mut image = None;
    for referrer in remote.referrers(digest)? {
        let Some(manifest) = remote.manifest_bytes(referrer.as_str())? else {
            found.skip(referrer.as_str(), "listed as a referrer, but the registry does not have it");
            continue;
        };
        // What it is stands in the manifest; the list's word for it is anybody's.
        if let Ok(Some(envelopes)) = notation::signature_layers(&manifest) {
            if image.is_none() {
                image = remote.manifest(digest.as_str())?;
            }
            envelope(remote, (image.as_ref(), &referrer), envelopes, &mut found)?;
            continue;
        }
        match cosign::bundle_layers(&manifest) {
            Ok(bundles) if !bundles.layers.is_empty() || !bundles.skipped.is_empty() => {
                bundle(remote, &referrer, bundles, &mut found)?;
            }
            Ok(_) => simple(remote, referrer.as_str(), &manifest, &mut found)?,
            Err(error) => found.skip(referrer.as_str(), &error.to_string()),
        }
    }
    Ok(found)
}

fn simple(remote: &Remote, place: &str, manifest: &[u8], found: &mut Found) -> Result<(), RemoteError> {
    let listed = match cosign::simple_signatures(manifest) {
        Ok(listed) => listed,
        Err(error) => {
            found.skip(place, &error.to_string());
            return Ok(());
        }
    };
    found.unreadable.extend(listed.skipped);
    for layer in listed.layers {
        if let Some(payload) = fetch(remote, &layer.payload_digest, SIMPLE_PAYLOAD_BYTES_MAX, found)? {
            found.signatures.push(layer.with_payload(payload));
        }
    }
    Ok(())
}

fn bundle(
    remote: &Remote,
    manifest: &Digest,
    bundles: cosign::Bundles,
    found: &mut Found,
) -> Result<(), RemoteError> {
    found.unreadable.extend(bundles.skipped);
    for layer in bundles.layers {
        if let Some(bundle) = fetch(remote, &layer.digest, BUNDLE_BYTES_MAX, found)? {
            let subject = bundles.subject_digest.clone();
            found.signatures.push(layer.with_bundle(manifest.to_string(), subject, bundle));
        }
    }
    Ok(())
}

/// Notation signs the media type and size of the image too, so the image's manifest is looked at.
fn envelope(
    remote: &Remote,
    (image, manifest): (Option<&Manifest>, &Digest),
    envelopes: notation::Envelopes,
    found: &mut Found,
) -> Result<(), RemoteError> {
    found.unreadable.extend(envelopes.skipped);
    for layer in envelopes.layers {
        let Some(envelope) = fetch(remote, &layer.digest, layer.size, found)? else { continue };
        let Some(image) = image else {
            found.skip(manifest.as_str(), "the registry does not have the image it is about");
            continue;
        };
        let described = (image.media_type.clone(), image.bytes.len() as u64);
        let place = (manifest.to_string(), envelopes.subject_digest.clone());
        found.signatures.push(layer.with_envelope(place, described, envelope));
    }
    Ok(())
}

fn fetch(
    remote: &Remote,
    digest: &str,
    bytes_max: u64,
    found: &mut Found,
) -> Result<Option<Vec<u8>>, RemoteError> {
    if found.signatures.len() + found.unreadable.len() >= FETCHES_MAX {
        found.skip(digest, "not fetched: there are too many signatures");
        return Ok(None);
    }
    let Ok(parsed) = Digest::parse(digest) else {
        found.skip(digest, "not a digest");
        return Ok(None);
    };
    match remote.small_blob(&parsed, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        // The blob is somebody's mistake or trick; a registry that is away is not.
        Err(error @ (RemoteError::Answer(_) | RemoteError::Digest { .. } | RemoteError::TooLarge { .. })) => {
            found.skip(digest, &error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Found {
    fn skip(&mut self, candidate: &str, reason: &str) {
        self.unreadable.push(Rejection { candidate: candidate.to_owned(), reason: reason.to_owned() });
    }
}
