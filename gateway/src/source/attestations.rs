//! Looks for attestations of one digest in its registry: cosign's `.att` tag, and referrers with a sigstore bundle.
//!
//! As with signatures, both places are read, and what cannot be parsed is told in the trace.

use keys::attestation::UnverifiedAttestation;
use keys::cosign;
use keys::limits::ATTESTATION_BYTES_MAX;
use keys::verify::Rejection;

use super::registry::{Remote, RemoteError};
use crate::digest::Digest;

/// Most blobs fetched for one image; each is a request to the registry.
const FETCHES_MAX: usize = 256;

/// Bytes fetched for one image, all attestations together: they are in memory at once, and a few SBOMs of the largest
/// kind would fill it.
const BYTES_MAX: usize = 64 << 20;

/// What was found for one digest.
#[derive(Clone, Debug, Default)]
pub struct FoundAttestations {
    /// For [`keys::attestation::verify`].
    pub attestations: Vec<UnverifiedAttestation>,
    /// What looked like an attestation and could not be read.
    pub unreadable: Vec<Rejection>,
    /// Some were not fetched, so a newer one may be among them.
    pub incomplete: bool,
    fetched: usize,
    bytes: usize,
}

/// Fetches all candidates. Errors are the registry's; "no attestation" is none.
pub fn find(remote: &Remote, digest: &Digest) -> Result<FoundAttestations, RemoteError> {
    let mut found = FoundAttestations::default();
    if let Some(tag) = cosign::attestation_tag(digest.as_str())
        && let Some(manifest) = remote.manifest_bytes(&tag)?
    {
        match cosign::attestation_envelopes(&manifest) {
            Ok(envelopes) => {
                found.unreadable.extend(envelopes.skipped);
                for layer in envelopes.layers {
                    if let Some(envelope) = found.fetch(remote, &layer.payload_digest)? {
                        found.attestations.push(layer.with_envelope(envelope));
                    }
                }
            }
            Err(error) => found.skip(&tag, &error.to_string()),
        }
    }
    for referrer in remote.referrers(digest)? {
        let Some(manifest) = remote.manifest_bytes(referrer.as_str())? else {
            found.skip(referrer.as_str(), "listed as a referrer, but the registry does not have it");
            continue;
        };
        match cosign::attestation_bundle_layers(&manifest) {
            Ok(bundles) => {
                found.unreadable.extend(bundles.skipped);
                for layer in bundles.layers {
                    if let Some(bundle) = found.fetch(remote, &layer.digest)? {
                        let subject = bundles.subject_digest.clone();
                        found.attestations.push(layer.with_attestation(
                            referrer.to_string(),
                            subject,
                            bundle,
                        ));
                    }
                }
            }
            Err(error) => found.skip(referrer.as_str(), &error.to_string()),
        }
    }
    Ok(found)
}

impl FoundAttestations {
    fn fetch(&mut self, remote: &Remote, digest: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        if self.fetched >= FETCHES_MAX || self.bytes >= BYTES_MAX {
            self.skip(digest, "not fetched: there are too many attestations, or too large ones");
            self.incomplete = true;
            return Ok(None);
        }
        let Ok(parsed) = Digest::parse(digest) else {
            self.skip(digest, "not a digest");
            return Ok(None);
        };
        self.fetched += 1;
        match remote.small_blob(&parsed, ATTESTATION_BYTES_MAX) {
            Ok(bytes) => {
                self.bytes = self.bytes.saturating_add(bytes.len());
                Ok(Some(bytes))
            }
            // The blob is somebody's mistake or trick; a registry that is away is not.
            Err(
                error @ (RemoteError::Answer(_) | RemoteError::Digest { .. } | RemoteError::TooLarge { .. }),
            ) => {
                self.skip(digest, &error.to_string());
                self.incomplete = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn skip(&mut self, candidate: &str, reason: &str) {
        self.unreadable.push(Rejection { candidate: candidate.to_owned(), reason: reason.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::Path;
    use axum::http::StatusCode;
    use axum::routing::get;
    use keys::attestation::verify;
    use keys::signature::Subject;
    use keys::sigstore::{Anchors, CertificateIdentity, CertificateTrust, Pattern, TrustRoot};
    use keys::trust_store::{Identity, RepositoryMatch, TrustStore, Vouches};
    use serde_json::json;

    use super::*;
    use crate::reference::ImageReference;
    use crate::source::registry::{Access, PlainHttp};

    const ROOT: &[u8] = include_bytes!("../../../keys/tests/vectors/keyless/trusted_root.json");
    const IMAGE: &[u8] = include_bytes!("../../../keys/tests/vectors/keyless/provenance/manifest.json");
    const REFERRER: &[u8] = include_bytes!("../../../keys/tests/vectors/keyless/provenance/referrer.json");
    const BUNDLE: &[u8] = include_bytes!("../../../keys/tests/vectors/keyless/provenance/bundle.json");

    /// Serves what is named, by tag or digest, from a thread of its own; it has no referrers API.
    fn registry(content: BTreeMap<String, Vec<u8>>) -> ImageReference {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let content = Arc::new(content);
        let answer = move |Path(name): Path<String>| {
            let found = content.get(&name).cloned();
            async move { found.map_or((StatusCode::NOT_FOUND, Vec::new()), |bytes| (StatusCode::OK, bytes)) }
        };
        let router = Router::new()
            .route("/v2/", get(|| async { StatusCode::OK }))
            .route("/v2/app/manifests/{name}", get(answer.clone()))
            .route("/v2/app/blobs/{name}", get(answer));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        ImageReference::parse(&format!("{address}/app:1")).unwrap()
    }

    fn trust_store(subject: &str) -> TrustStore {
        let exact = |text| Pattern::exact(text).unwrap();
        let identity = CertificateIdentity::new(exact("https://issuer.fixture.example"), exact(subject), []);
        let root = Arc::new(TrustRoot::parse(ROOT).unwrap());
        let anchors = Anchors::Root { root, log_entries: 1, certificate_log: true };
        let trust = CertificateTrust { identity: identity.unwrap(), anchors };
        let identity = Identity {
            name: "builder".to_owned(),
            principal: None,
            vouches: Vouches::Certificate(Box::new(trust)),
            repository_match: RepositoryMatch::Any,
            annotations: BTreeMap::new(),
        };
        TrustStore { identities: vec![identity], ..TrustStore::default() }
    }

    #[test]
    fn provenance_is_found_and_counts_for_its_signer_only() {
        let (image, referrer) = (Digest::sha256_of(IMAGE), Digest::sha256_of(REFERRER));
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let entry = json!({"mediaType": media_type, "digest": referrer.as_str(), "size": REFERRER.len()});
        let index_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": index_type, "manifests": [entry]});
        let reference = registry(BTreeMap::from([
            (image.to_string().replace(':', "-"), index.to_string().into_bytes()),
            (referrer.to_string(), REFERRER.to_vec()),
            (Digest::sha256_of(BUNDLE).to_string(), BUNDLE.to_vec()),
            // A junk manifest where cosign 2 keeps attestations hides nothing.
            (format!("{}.att", image.to_string().replace(':', "-")), b"{}".to_vec()),
        ]));
        let access = Access {
            auth: oci_distribution::secrets::RegistryAuth::Anonymous,
            certificate_authorities: Vec::new(),
            insecure_plain_http: PlainHttp::Loopback,
        };
        let remote = Remote::connect(&reference, access).unwrap();
        let found = find(&remote, &image).unwrap();
        assert_eq!((found.attestations.len(), found.unreadable.len()), (1, 1));
        let subject = Subject { digest: image.as_str(), repository: "registry.example/app" };
        for (signer, expected) in [("dev@acme.example", 1), ("boss@acme.example", 0)] {
            let answer = verify(&found.attestations, subject, &trust_store(signer), 1_795_521_600);
            assert_eq!(answer.verified.len(), expected, "{answer:?}");
            if let [one] = answer.verified.as_slice() {
                assert_eq!(one.predicate_type(), "https://slsa.dev/provenance/v1");
                assert_eq!(one.predicate()["runDetails"]["builder"]["id"], "https://builder.example/b1");
            }
        }
    }
}
