//! One conditional download of one feed, under limits, into a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::SourceUrl;
use crate::download::{self, DownloadError};

/// Largest download, in bytes. The largest public feed has 250 MB.
pub const DOWNLOAD_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Longest download altogether: a server that drips one byte a minute must not hold the round for ever.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Longest validator that is stored and sent back.
const VALIDATOR_BYTES_MAX: usize = 1024;

/// What a server said about the version it sent (RFC 9110 §8.8), to ask "anything newer?" with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A new version was written to the file.
    New(Validators),
    /// What we have is the newest (304).
    NotModified,
}

/// Why a feed could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It did not come.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The download cannot be stored.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Fetches feeds. One for all of them: it keeps connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    bytes_max: u64,
}

impl Fetcher {
    /// A client that never decodes: a feed's own compression is undone under the limits of [`super::intake`].
    ///
    /// # Errors
    ///
    /// When no TLS configuration can be made.
    pub fn new() -> Result<Self, FetchError> {
        Self::with_limit(DOWNLOAD_BYTES_MAX)
    }

    /// The same with another bound on the size of a download.
    ///
    /// # Errors
    ///
    /// As [`Fetcher::new`].
    pub fn with_limit(bytes_max: u64) -> Result<Self, FetchError> {
        Ok(Self { client: download::client()?, bytes_max })
    }

    /// Asks for the feed unless it is still the one described by `known`, and writes it to `file`. `progress` hears how
    /// many bytes are there, and of how many.
    ///
    /// # Errors
    ///
    /// When there is no good answer, or it is too large or cut short. What is in `file` then is not a feed.
    pub async fn fetch(
        &self,
        url: &SourceUrl,
        known: Option<&Validators>,
        file: &Path,
        progress: &(dyn Fn(u64, Option<u64>) + Send + Sync),
    ) -> Result<Fetched, FetchError> {
        let failed = |source| DownloadError::request(url.to_string(), source);
        let mut request = self.client.get(url.url()).timeout(TOTAL_TIMEOUT);
        if let Some(etag) = known.and_then(|known| known.etag.as_deref()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(date) = known.and_then(|known| known.last_modified.as_deref()) {
            request = request.header(IF_MODIFIED_SINCE, date);
        }
        let mut response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::NotModified),
            status => return Err(DownloadError::Status { url: url.to_string(), status }.into()),
        }
        let total = response.content_length();
        let too_large = || DownloadError::TooLarge { url: url.to_string(), max: self.bytes_max };
        if total.is_some_and(|total| total > self.bytes_max) {
            return Err(too_large().into());
        }
        let write = |source| FetchError::Write { path: file.to_owned(), source };
        let mut out = tokio::fs::File::create(file).await.map_err(write)?;
        let mut done = 0_u64;
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            done = done.saturating_add(piece.len() as u64);
            if done > self.bytes_max {
                return Err(too_large().into());
            }
            out.write_all(&piece).await.map_err(write)?;
            progress(done, total);
        }
        out.sync_all().await.map_err(write)?;
        Ok(Fetched::New(validators(response.headers())))
    }
}

fn validators(headers: &HeaderMap) -> Validators {
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= VALIDATOR_BYTES_MAX).then(|| value.to_owned())
    };
    Validators { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
}
