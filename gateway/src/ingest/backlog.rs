//! Bytes that were received and not walked yet: how many there may be of all uploads together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::Metrics;

/// How far the walks of all uploads together may fall behind. A client that sends layer after layer then keeps every
/// core at work; and as the last layer's manifest waits for what is behind, it waits for some seconds at most.
const BEHIND_BYTES_MAX: usize = 256 << 20;
/// What the smallest piece counts as, so that many tiny ones have a bound, too.
const PAGE_BYTES: u64 = 4096;

/// The places for bytes that are behind.
#[derive(Clone, Debug)]
pub(super) struct Backlog {
    pages: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Bytes that one walk owes; paid when this is dropped.
#[derive(Debug)]
pub(super) struct Owed {
    bytes: u64,
    metrics: Arc<Metrics>,
    _pages: Option<OwnedSemaphorePermit>,
}

impl Backlog {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { pages: Arc::new(Semaphore::new(pages(BEHIND_BYTES_MAX as u64) as usize)), metrics }
    }

    /// Waits until so many more bytes may be behind.
    pub(super) async fn owe(&self, bytes: u64) -> Owed {
        let wanted = pages(bytes).min(pages(BEHIND_BYTES_MAX as u64));
        // It is never closed; without places the bytes would only go uncounted.
        let _pages = Arc::clone(&self.pages).acquire_many_owned(wanted).await.ok();
        self.metrics.scan_behind_bytes.inc_by(gauged(bytes));
        Owed { bytes, metrics: Arc::clone(&self.metrics), _pages }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pages.available_permits() == pages(BEHIND_BYTES_MAX as u64) as usize
    }
}

impl Owed {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.metrics.scan_behind_bytes.dec_by(gauged(self.bytes));
    }
}

fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX).max(1)
}

fn gauged(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_behind_has_a_bound_and_tiny_pieces_count_too() {
        let metrics = Arc::new(Metrics::new());
        let backlog = Backlog::new(Arc::clone(&metrics));
        let most = backlog.owe(BEHIND_BYTES_MAX as u64 - 4096).await;
        let last = backlog.owe(1).await;
        assert_eq!(metrics.scan_behind_bytes.get(), (256 << 20) - 4095);
        let wait = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, backlog.owe(1)).await.is_err(), "full");
        drop(last);
        drop(backlog.owe(4096).await);
        drop(most);
        // More than there can ever be is let in alone instead of never.
        drop(backlog.owe(u64::MAX).await);
        assert!(backlog.is_empty());
        assert_eq!(metrics.scan_behind_bytes.get(), 0);
    }
}
