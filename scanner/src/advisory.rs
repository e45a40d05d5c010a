//! The advisory snapshot: compiled once from public sources, then only read.

use std::sync::Arc;

/// A compiled snapshot, opened over bytes that the caller owns (a mapped file, a buffer).
#[derive(Clone)]
pub struct Advisories {
    _bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
}
