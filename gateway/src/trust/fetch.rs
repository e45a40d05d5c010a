//! One file of a TUF repository: over HTTP or from a folder, never more than was asked for.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use keys::tuf::{Need, Place};
use reqwest::{Client, StatusCode, Url};

use crate::download::{self, DownloadError};
use crate::gate::policy::RootSource;

/// Longest download of one file: a server that drips must not hold the round for ever.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest address that is shown.
const SHOWN_CHARS_MAX: usize = 300;

/// Why a file did not come. That it is not there is no error.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address of the repository is none that a file can be appended to.
    #[error("`{0}` is not the address of a repository")]
    Address(String),
    /// It did not come.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A file of a folder cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where a repository is.
#[derive(Debug)]
pub enum Origin {
    /// A folder that mirrors one: metadata in it or in `metadata/`, target files in `targets/`.
    Folder(PathBuf),
    /// A server.
    Server {
        /// Shared by all repositories.
        client: Client,
        /// Below which the metadata is.
        metadata: Url,
        /// Below which the target files are.
        targets: Url,
    },
}

/// The client for all repositories.
///
/// # Errors
/// When no TLS configuration can be made.
pub fn client() -> Result<Client, FetchError> {
    Ok(download::client()?)
}

impl Origin {
    /// The server that the policy names; `None`: it names none.
    ///
    /// # Errors
    /// When its address is none.
    pub fn of(source: &RootSource, client: Client) -> Result<Option<Self>, FetchError> {
        let Some(address) = &source.url else { return Ok(None) };
        let below = |address: &str| {
            let address = format!("{}/", address.trim_end_matches('/'));
            Url::parse(&address).map_err(|_| FetchError::Address(address))
        };
        let metadata = below(address)?;
        let targets = match &source.targets_url {
            Some(address) => below(address)?,
            None => below(&format!("{}targets", metadata.as_str()))?,
        };
        Ok(Some(Self::Server { client, metadata, targets }))
    }

    /// The file, or `None` if the repository does not have it.
    ///
    /// # Errors
    /// When it cannot be told, or the file is too large.
    pub async fn fetch(&self, need: &Need) -> Result<Option<Vec<u8>>, FetchError> {
        match self {
            Self::Folder(folder) => from_folder(folder, need),
            Self::Server { client, metadata, targets } => {
                let base = if need.place == Place::Metadata { metadata } else { targets };
                // A path is made of versions, digests and the name in the policy: nothing in it leaves the base.
                let url = base.join(&need.path).map_err(|_| FetchError::Address(base.to_string()))?;
                from_server(client, url, need).await
            }
        }
    }
}

fn from_folder(folder: &std::path::Path, need: &Need) -> Result<Option<Vec<u8>>, FetchError> {
    let below = match need.place {
        Place::Metadata if folder.join("metadata").is_dir() => folder.join("metadata"),
        Place::Metadata => folder.to_owned(),
        Place::Targets => folder.join("targets"),
    };
    let path = below.join(&need.path);
    let failed = |source| FetchError::File { path: path.clone(), source };
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(need.bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > need.bytes_max {
        return Err(too_large(path.display().to_string(), need));
    }
    Ok(Some(bytes))
}

async fn from_server(client: &Client, url: Url, need: &Need) -> Result<Option<Vec<u8>>, FetchError> {
    let shown: String = url.as_str().chars().take(SHOWN_CHARS_MAX).collect();
    let failed = |source| DownloadError::request(shown.clone(), source);
    let mut response = client.get(url).timeout(TOTAL_TIMEOUT).send().await.map_err(failed)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        // Buckets that may not be listed answer so for what is not there.
        StatusCode::FORBIDDEN if need.may_be_absent => return Ok(None),
        status => return Err(DownloadError::Status { url: shown, status }.into()),
    }
    if response.content_length().is_some_and(|length| length > need.bytes_max as u64) {
        return Err(too_large(shown, need));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if bytes.len() + piece.len() > need.bytes_max {
            return Err(too_large(shown, need));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}

fn too_large(from: String, need: &Need) -> FetchError {
    DownloadError::TooLarge { url: from, max: need.bytes_max as u64 }.into()
}
