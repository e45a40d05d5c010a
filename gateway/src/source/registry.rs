//! A registry as a client sees it: manifests, blobs, referrers; and what signing pushes. Blocking, for the command line.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use oci_distribution::Reference;
use oci_distribution::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_distribution::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_distribution::manifest::OciDescriptor;
use oci_distribution::secrets::RegistryAuth;
use oci_distribution::{RegistryOperation, client::SizedStream};
use tokio::runtime::{Handle, Runtime};

use crate::digest::Digest;
use crate::manifest::{
    self, DOCKER_LIST, DOCKER_MANIFEST, MANIFEST_BYTES_MAX, Manifest, ManifestError, OCI_INDEX, OCI_MANIFEST,
};
use crate::reference::ImageReference;

/// Every kind of manifest that [`manifest::classify`] reads.
const ACCEPTED: &[&str] = &[OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a registry may stay silent within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is made in all, when the registry is busy or away.
const ATTEMPTS: u32 = 5;
/// Pause before the second attempt; it doubles each time: 0.25 + 0.5 + 1 + 2 s.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Most referrers of one image that are looked at; anybody who may push can add to them.
pub const REFERRERS_MAX: usize = 256;

/// Why a registry did not answer the question. Says whether asking again can help.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The registry says no, with its reasons.
    #[error("the registry denies it: {message}")]
    Denied {
        /// Its words.
        message: String,
        /// Which question of a gate was answered with no: `push`, `release`, `pull`; other registries do not say.
        checkpoint: Option<String>,
    },
    /// No or wrong credentials.
    #[error(
        "the registry `{0}` wants other credentials; log in with `docker login {0}` or pass user name and password"
    )]
    Unauthorized(String),
    /// Busy (429) or broken (5xx) after all attempts.
    #[error("the registry is not available: {0}")]
    Unavailable(String),
    /// Everything else that it can answer.
    #[error("unexpected answer of the registry: {0}")]
    Answer(String),
    /// The connection.
    #[error("cannot reach the registry")]
    Connection(#[source] Box<OciDistributionError>),
    /// Its manifest is refused.
    #[error("the registry's manifest is refused")]
    Manifest(#[from] ManifestError),
    /// The bytes are not those that were asked for (CVE-2022-47633: the second fetch may differ from the first).
    #[error("digest mismatch: asked for `{expected}`, received `{computed}`")]
    Digest {
        /// Asked for.
        expected: String,
        /// Of the bytes received.
        computed: String,
    },
    /// A blob over its limit.
    #[error("blob `{digest}` of {size} bytes is over the limit of {max}")]
    TooLarge {
        /// Which.
        digest: String,
        /// Bytes.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The runtime for network work cannot be started, or the trust roots do not parse.
    #[error("cannot set up the registry client")]
    Setup(#[source] io::Error),
}

/// How to reach a registry.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who we are.
    pub auth: RegistryAuth,
    /// PEM certificates of further certificate authorities.
    pub certificate_authorities: Vec<u8>,
    /// Plain HTTP for a registry that is not this machine.
    pub insecure_plain_http: PlainHttp,
}

/// Whether bytes may travel without TLS. Digests protect what is read by digest, but not tags and not passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only to this machine.
    #[default]
    Loopback,
    /// To any registry: asked for in so many words.
    Anywhere,
}

/// One repository of one registry.
pub struct Remote {
    runtime: Arc<Runtime>,
    client: Client,
    auth: RegistryAuth,
    reference: ImageReference,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Remote").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// A blob while it arrives. Its bytes are unproven until whoever reads them has compared size and digest.
pub struct BlobReader {
    handle: Handle,
    stream: SizedStream,
    piece: Bytes,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let wanted = buffer.len().min(self.piece.len());
        buffer[..wanted].copy_from_slice(&self.piece.split_to(wanted));
        Ok(wanted)
    }
}

impl Remote {
    /// Prepares to talk to the registry of `reference`. Nothing is sent yet.
    pub fn connect(reference: &ImageReference, access: Access) -> Result<Self, RemoteError> {
        // A second installation fails and changes nothing; the provider is the same everywhere in this program.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(RemoteError::Setup)?;
        let is_plain = access.insecure_plain_http == PlainHttp::Anywhere || reference.is_loopback();
        let authorities = pem_certificates(&access.certificate_authorities)?;
        let config = ClientConfig {
            protocol: if is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: authorities,
            use_monolithic_push: true,
            platform_resolver: None,
            read_timeout: Some(READ_TIMEOUT),
            connect_timeout: Some(CONNECT_TIMEOUT),
            user_agent: concat!("portcullis/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        // `Client::new` would fall back to defaults, that is, to no certificate authority of ours.
        let client = Client::try_from(config).map_err(|error| RemoteError::Connection(Box::new(error)))?;
        Ok(Self { runtime: Arc::new(runtime), client, auth: access.auth, reference: reference.clone() })
    }

    /// The image that was asked for.
    pub fn reference(&self) -> &ImageReference {
        &self.reference
    }

    /// Asks for a token, so that wrong credentials are told here and not as some later "not found".
    pub fn log_in(&self, operation: RegistryOperation) -> Result<(), RemoteError> {
        let reference = self.target("latest");
        self.retry(|| async { self.client.auth(&reference, &self.auth, operation).await.map(|_| ()) })
    }

    /// The manifest of a tag or digest, classified; `None` when the registry does not have it.
    pub fn manifest(&self, target: &str) -> Result<Option<Manifest>, RemoteError> {
        match self.manifest_bytes(target)? {
            Some(bytes) => Ok(Some(manifest::classify(Bytes::from(bytes), None)?)),
            None => Ok(None),
        }
    }

    /// The exact bytes of a manifest. Asked for by digest, they are that digest's.
    ///
    /// The client library reads an answer whole, so a hostile registry can make this process, a short-lived command,
    /// hold a large one; it is then refused.
    pub fn manifest_bytes(&self, target: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        let reference = self.target(target);
        let pulled = self.retry(|| async {
            self.client.pull_manifest_raw(&reference, &self.auth, ACCEPTED).await.map(|(bytes, _)| bytes)
        });
        let bytes = match pulled {
            Ok(bytes) => bytes,
            Err(RemoteError::Answer(text)) if text == NOT_FOUND => return Ok(None),
            Err(error) => return Err(error),
        };
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge(bytes.len()).into());
        }
        if let Ok(expected) = Digest::parse(target)
            && !expected.matches(&bytes)
        {
            let computed = Digest::of(expected.algorithm(), &bytes).to_string();
            return Err(RemoteError::Digest { expected: expected.to_string(), computed });
        }
        Ok(Some(bytes.to_vec()))
    }

    /// A blob's bytes as they come. Foreign addresses of a descriptor are never followed.
    pub fn blob(&self, digest: &Digest, size: u64) -> Result<BlobReader, RemoteError> {
        let reference = self.target(digest.as_str());
        let descriptor = OciDescriptor {
            digest: digest.to_string(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            urls: None,
            ..OciDescriptor::default()
        };
        let stream = self.retry(|| async {
            self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
            self.client.pull_blob_stream(&reference, &descriptor).await
        })?;
        Ok(BlobReader { handle: self.runtime.handle().clone(), stream, piece: Bytes::new() })
    }

    /// A small blob, whole, with its digest checked.
    pub fn small_blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, RemoteError> {
        let mut bytes = Vec::new();
        self.blob(digest, bytes_max)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(
            |error| match error.get_ref() {
                // The client library ends a stream of the wrong bytes with this.
                Some(inner) if inner.is::<DigestError>() => RemoteError::Answer(error.to_string()),
                _ => RemoteError::Unavailable(error.to_string()),
            },
        )?;
        if bytes.len() as u64 > bytes_max {
            return Err(RemoteError::TooLarge {
                digest: digest.to_string(),
                size: bytes.len() as u64,
                max: bytes_max,
            });
        }
        if !digest.matches(&bytes) {
            let computed = Digest::of(digest.algorithm(), &bytes).to_string();
            return Err(RemoteError::Digest { expected: digest.to_string(), computed });
        }
        Ok(bytes)
    }

    /// Digests of the manifests that say they are about `digest`: by the referrers API, or by the fallback tag where the
    /// registry has none (distribution-spec "Referrers Tag Schema"). Only the digests are used: types and annotations in
    /// such a list are claims of whoever wrote it.
    pub fn referrers(&self, digest: &Digest) -> Result<Vec<Digest>, RemoteError> {
        let reference = self.target(digest.as_str());
        let index = self.retry(|| async {
            self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
            self.client.pull_referrers(&reference, None).await
        })?;
        let mut digests: Vec<Digest> =
            index.manifests.iter().filter_map(|entry| Digest::parse(&entry.digest).ok()).collect();
        digests.dedup();
        digests.truncate(REFERRERS_MAX);
        Ok(digests)
    }

    /// Pushes a small blob and returns its digest.
    pub fn push_blob(&self, bytes: &[u8]) -> Result<Digest, RemoteError> {
        let digest = Digest::sha256_of(bytes);
        let reference = self.target("latest");
        let bytes = Bytes::copy_from_slice(bytes);
        self.retry(|| async {
            self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
            self.client.push_blob(&reference, bytes.clone(), digest.as_str()).await.map(|_| ())
        })?;
        Ok(digest)
    }

    /// Pushes a manifest under a tag or its digest.
    pub fn push_manifest(&self, target: &str, bytes: &[u8], media_type: &str) -> Result<(), RemoteError> {
        let reference = self.target(target);
        let media_type = http::HeaderValue::from_str(media_type)
            .map_err(|error| RemoteError::Answer(format!("`{media_type}` is no header value: {error}")))?;
        let bytes = Bytes::copy_from_slice(bytes);
        self.retry(|| async {
            self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
            self.client.push_manifest_raw(&reference, bytes.clone(), media_type.clone()).await.map(|_| ())
        })
    }

    fn target(&self, target: &str) -> Reference {
        let (registry, repository) =
            (self.reference.registry().to_owned(), self.reference.repository().to_owned());
        match Digest::parse(target) {
            Ok(digest) => Reference::with_digest(registry, repository, digest.to_string()),
            Err(_) => Reference::with_tag(registry, repository, target.to_owned()),
        }
    }

    /// Runs a request; a busy or broken registry is asked again after growing pauses.
    fn retry<T, F, W>(&self, request: F) -> Result<T, RemoteError>
    where
        F: Fn() -> W,
        W: Future<Output = Result<T, OciDistributionError>>,
    {
        self.runtime.block_on(async {
            let mut pause = FIRST_PAUSE;
            for attempt in 1.. {
                match request().await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if attempt < ATTEMPTS && is_passing(&error) => {
                        tracing::debug!(attempt, "registry request failed and is repeated: {error}");
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                    }
                    Err(error) => return Err(self.explain(error)),
                }
            }
            Err(RemoteError::Unavailable("no attempt was made".into()))
        })
    }

    fn explain(&self, error: OciDistributionError) -> RemoteError {
        match error {
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => {
                RemoteError::Unauthorized(self.reference.registry().to_owned())
            }
            OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. } => RemoteError::Answer(NOT_FOUND.into()),
            OciDistributionError::ServerError { code: 403, message, .. } => {
                RemoteError::Denied { message, checkpoint: None }
            }
            OciDistributionError::ServerError { code: code @ (429 | 500..), message, .. } => {
                RemoteError::Unavailable(format!("{code} {}", message.chars().take(500).collect::<String>()))
            }
            OciDistributionError::RegistryError { envelope, .. } => explain_envelope(&envelope.errors),
            error @ (OciDistributionError::RequestError(_) | OciDistributionError::IoError(_)) => {
                RemoteError::Connection(Box::new(error))
            }
            other => RemoteError::Answer(other.to_string()),
        }
    }
}

const NOT_FOUND: &str = "not found";

fn explain_envelope(errors: &[oci_distribution::errors::OciError]) -> RemoteError {
    let text = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("\n");
    let has = |code: &OciErrorCode| errors.iter().any(|error| error.code == *code);
    if has(&OciErrorCode::Denied) {
        let checkpoint =
            errors.iter().find_map(|error| error.detail["checkpoint"].as_str()).map(str::to_owned);
        RemoteError::Denied { message: text, checkpoint }
    } else if [OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound]
        .iter()
        .any(has)
    {
        RemoteError::Answer(NOT_FOUND.into())
    } else if has(&OciErrorCode::Toomanyrequests) {
        RemoteError::Unavailable(text)
    } else {
        RemoteError::Answer(text)
    }
}

/// Worth another attempt: the connection failed, or the registry is busy or broken at the moment.
fn is_passing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ServerError { code, .. } => *code == 429 || *code >= 500,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| error.code == OciErrorCode::Toomanyrequests)
        }
        OciDistributionError::RequestError(error) => error.is_connect() || error.is_timeout(),
        _ => false,
    }
}

/// One certificate of a PEM file each: the client library takes only the first of several.
fn pem_certificates(pem: &[u8]) -> Result<Vec<Certificate>, RemoteError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::pem_slice_iter(pem)
        .map(|certificate| match certificate {
            Ok(der) => Ok(Certificate { encoding: CertificateEncoding::Der, data: der.to_vec() }),
            Err(error) => Err(RemoteError::Setup(io::Error::other(error.to_string()))),
        })
        .collect()
}

#[cfg(test)]
mod tests;
