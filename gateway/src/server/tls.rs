//! The certificate we show, and its replacement while we serve.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// Largest certificate or key file, in bytes: a chain of a few kilobytes, and room.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the certificate lies.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CertificateFiles {
    /// PEM, our certificate first, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM, the private key (PKCS#8, SEC1 or PKCS#1).
    pub key: PathBuf,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file holds no certificate.
    #[error("`{}` holds no certificate in PEM form", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key is of no kind we know, or not the certificate's.
    #[error("the key `{}` does not fit the certificate `{}`", key.display(), certificate.display())]
    Pair {
        /// Which certificate.
        certificate: PathBuf,
        /// Which key.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The file is not PEM.
    #[error("`{}` is not PEM", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// TLS cannot be set up with our cryptography; a mistake of ours.
    #[error("TLS cannot be set up")]
    Provider(#[source] rustls::Error),
}

/// Makes aws-lc-rs the process's cryptography. With two providers linked and none chosen, rustls panics at the first
/// connection; so this is called first thing, and again is harmless.
pub fn install_provider() {
    if aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("the cryptography was chosen before");
    }
}

/// The certificate in use. A new one is taken up without closing a connection; a broken one is refused and the old one
/// stays.
#[derive(Debug)]
pub struct CertificateStore {
    files: CertificateFiles,
    current: Arc<Current>,
    acceptor_config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current {
    certified: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified.load_full())
    }
}

/// What tells a changed file from an unchanged one without reading it.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl CertificateStore {
    /// Reads the files once.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let current = Arc::new(Current { certified: ArcSwap::from_pointee(read(&files)?) });
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Provider)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { files, current, acceptor_config: Arc::new(config) })
    }

    /// For one listener; shows whatever certificate is current at each handshake.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.acceptor_config.clone())
    }

    /// Reads the files again; new handshakes get the new certificate.
    ///
    /// # Errors
    /// As [`CertificateStore::load`]; the old certificate stays in use.
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.current.certified.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// Looks at the files every `interval`, and reloads when either has changed. Certificate and key are two files: a
    /// look between the two replacements finds a pair that does not fit, says so, and tries again at the next look.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        let mut seen = self.stamp().await;
        loop {
            tokio::time::sleep(interval).await;
            let stamp = self.stamp().await;
            if stamp == seen {
                continue;
            }
            let store = self.clone();
            match tokio::task::spawn_blocking(move || store.reload()).await {
                Ok(Ok(())) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "took up the new certificate");
                    seen = stamp;
                }
                Ok(Err(error)) => tracing::error!(
                    error = %error,
                    certificate = %self.files.certificate.display(),
                    "the new certificate is not usable, the old one stays in use"
                ),
                Err(error) => tracing::error!(error = %error, "reading the new certificate failed"),
            }
        }
    }

    async fn stamp(&self) -> Stamp {
        let mut stamp = [None, None];
        for (slot, path) in stamp.iter_mut().zip([&self.files.certificate, &self.files.key]) {
            let metadata = tokio::fs::metadata(path).await.ok();
            *slot = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
        }
        stamp
    }
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, CertificateError> {
    let pem = |path: &PathBuf, source| CertificateError::Pem { path: path.clone(), source };
    let bytes = read_file(&files.certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|source| pem(&files.certificate, source))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty { path: files.certificate.clone() });
    }
    let bytes = read_file(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| pem(&files.key, source))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
        CertificateError::Pair { certificate: files.certificate.clone(), key: files.key.clone(), source }
    })
}

fn read_file(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    use io::Read;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|source| CertificateError::File { path: path.clone(), source })?;
    Ok(bytes)
}
