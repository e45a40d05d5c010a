//! The client that background work fetches public files with.

use std::time::Duration;

use reqwest::Client;

/// Files move, but not in circles.
const REDIRECTS_MAX: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence between two pieces.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A client that follows few redirects, never from https to http, and tells nobody where it came from. How long a whole
/// download may take is for each request to say.
///
/// # Errors
/// When no TLS configuration can be made.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
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
}
