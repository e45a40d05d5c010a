//! Logs, metrics and request ids.

mod metrics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use http::HeaderValue;
use http::request::Parts;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

pub(crate) use metrics::Counted;
pub use metrics::{Metrics, Route, TrustRootTimes};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// For people at a terminal.
    Text,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogConfig {
    /// JSON or text.
    pub format: LogFormat,
    /// A filter: `info`, or `warn,portcullis::registry=debug`.
    pub level: String,
    /// Whether each request is a line.
    pub requests: bool,
}

/// Logging that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("`{level}` is no log filter")]
    Filter {
        /// As configured.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Checks a log filter without setting it up.
///
/// # Errors
/// When it does not parse.
pub fn check_filter(level: &str) -> Result<(), TelemetryError> {
    filter(level).map(|_| ())
}

/// Sends log lines to stderr; stdout is for data. A second call in one process changes nothing, which tests need.
///
/// # Errors
/// When the filter does not parse.
pub fn start(config: &LogConfig) -> Result<(), TelemetryError> {
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(&config.level)?).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was set up before");
    }
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| TelemetryError::Filter { level: level.to_owned(), source })
}

/// Names one request in logs, error bodies and the `X-Request-Id` answer header. Always ours: a client's own id could
/// be chosen to confuse whoever reads the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The text, 16 to 33 lower-case hexadecimal digits and a dash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For the answer's header.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(Arc::from("-"))))
    }
}

/// Makes request ids: a random number per start, and a count.
#[derive(Debug)]
pub struct RequestIds {
    start: u32,
    count: AtomicU64,
}

impl RequestIds {
    /// Begins a new series.
    pub fn new() -> Self {
        let mut start = [0u8; 4];
        // Without randomness the series may repeat after a restart; that only makes logs harder to read.
        if aws_lc_rs::rand::fill(&mut start).is_err() {
            tracing::warn!("no randomness for request ids");
        }
        Self { start: u32::from_le_bytes(start), count: AtomicU64::new(1) }
    }

    /// The next one.
    pub fn issue(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        RequestId(Arc::from(format!("{:08x}-{count:07x}", self.start)))
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ() {
        let ids = RequestIds::new();
        assert_ne!(ids.issue(), ids.issue());
    }

    #[test]
    fn a_wrong_filter_is_named() {
        assert!(check_filter("info,portcullis=debug").is_ok());
        let error = check_filter("portcullis=loud").unwrap_err();
        assert_eq!(error.to_string(), "`portcullis=loud` is no log filter");
    }
}
