//! The client that background work fetches public files with.

use std::time::Duration;

use reqwest::{Client, StatusCode};

/// Files move, but not in circles.
const REDIRECTS_MAX: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence between two pieces.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a download gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The client cannot be set up.
    #[error("cannot set up the client")]
    Client(#[source] reqwest::Error),
    /// No connection, no answer, or a body cut short.
    #[error("cannot fetch `{url}`")]
    Request {
        /// From where.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// Not an answer that was asked for.
    #[error("`{url}` answered {status}")]
    Status {
        /// From where.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// More than the bound, announced or sent.
    #[error("`{url}` has more than {max} bytes")]
    TooLarge {
        /// From where.
        url: String,
        /// The bound.
        max: u64,
    },
}

impl DownloadError {
    /// Without the address that reqwest would name, with its query and credentials: `url` is what may be shown.
    pub(crate) fn request(url: impl Into<String>, source: reqwest::Error) -> Self {
        Self::Request { url: url.into(), source: source.without_url() }
    }
}

/// A client that follows few redirects, never from https to http, and tells nobody where it came from. How long a whole
/// download may take is for each request to say.
///
/// # Errors
/// When no TLS configuration can be made.
pub(crate) fn client() -> Result<Client, DownloadError> {
    // A second installation fails and changes nothing; the provider is the same everywhere in this program.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::custom(|attempt| {
            let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("too many redirects")
            } else if secure && attempt.url().scheme() != "https" {
                attempt.error("a redirect leaves https")
            } else {
                attempt.follow()
            }
        }))
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()
        .map_err(DownloadError::Client)
}
