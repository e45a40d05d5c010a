//! Layers whose walk goes on after their upload was answered; who needs a report waits here for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The layers that are stored and still walked. A bounded number: each walk holds memory.
#[derive(Debug)]
pub(crate) struct Pending {
    ends: Mutex<HashMap<String, watch::Receiver<()>>>,
    places: Arc<Semaphore>,
}

/// One layer that is still walked, until this is dropped.
#[derive(Debug)]
pub(super) struct Going {
    pending: Arc<Pending>,
    digest: String,
    _ends: watch::Sender<()>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Pending {
    /// `walks`: how many there may be.
    pub(super) fn new(walks: usize) -> Self {
        Self { ends: Mutex::new(HashMap::new()), places: Arc::new(Semaphore::new(walks)) }
    }

    /// Waits for a place, and marks the layer. `None`: another walk of it goes on already, and is enough.
    pub(super) async fn begin(self: &Arc<Self>, digest: &str) -> Option<Going> {
        // It is never closed; without a place the walk would only go uncounted.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (sender, ends) = watch::channel(());
        let mut going = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if going.contains_key(digest) {
            return None;
        }
        going.insert(digest.to_owned(), ends);
        Some(Going { pending: Arc::clone(self), digest: digest.to_owned(), _ends: sender, _place: place })
    }

    /// Waits until none of these layers is walked any more: their reports are kept, or cannot be had from these walks.
    pub(crate) async fn settled(&self, digests: impl Iterator<Item = &str>) {
        for digest in digests {
            let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
            if let Some(mut ends) = ends {
                // Nothing is ever sent: this ends with an error, when the sender is dropped.
                drop(ends.changed().await);
            }
        }
    }
}

impl Going {
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.pending.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WAIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn who_needs_a_report_waits_for_its_walk_and_for_no_other() {
        let pending = Arc::new(Pending::new(2));
        let first = pending.begin("sha256:aa").await.unwrap();
        let second = pending.begin("sha256:bb").await.unwrap();
        pending.settled(["sha256:cc"].into_iter()).await;
        let both = || pending.settled(["sha256:cc", "sha256:aa", "sha256:bb"].into_iter());
        assert!(tokio::time::timeout(WAIT, both()).await.is_err());
        drop(second);
        assert!(tokio::time::timeout(WAIT, both()).await.is_err());
        let waiting = async {
            both().await;
            true
        };
        let ending = async {
            tokio::time::sleep(WAIT).await;
            drop(first);
        };
        assert!(tokio::join!(waiting, ending).0);
        both().await;
    }

    #[tokio::test]
    async fn only_so_many_go_on_and_a_second_walk_of_one_layer_is_not_needed() {
        let pending = Arc::new(Pending::new(2));
        let first = pending.begin("sha256:aa").await.unwrap();
        assert!(pending.begin("sha256:aa").await.is_none());
        let second = pending.begin("sha256:bb").await.unwrap();
        assert!(tokio::time::timeout(WAIT, pending.begin("sha256:cc")).await.is_err(), "no place");
        drop(first);
        assert!(pending.begin("sha256:cc").await.is_some());
        drop(second);
    }
}
