//! Answers that were given before: a warm pull costs a look-up, no SQL, no policy, no file to open.

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::HeaderMap;

use crate::records::manifests::View;

/// Answers kept; when full, all are forgotten, because what is asked for comes back at once and anything finer would
/// cost more than it saves.
const MANIFESTS_MAX: usize = 4096;
/// Open files kept.
const BLOBS_MAX: usize = 1024;
/// Larger manifests are read each time: the cache's memory is then at most 4096 × 16 KiB.
pub(super) const MANIFEST_BYTES_MAX: usize = 16 * 1024;

/// A manifest, ready to be sent.
#[derive(Debug)]
pub(super) struct WarmManifest {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) policy: Arc<str>,
    /// See [`crate::judge::Answer::until`].
    pub(super) until: Option<i64>,
}

/// A blob that may be sent.
#[derive(Debug)]
pub(super) struct WarmBlob {
    pub(super) headers: HeaderMap,
    pub(super) file: Arc<File>,
    pub(super) size: u64,
    pub(super) policy: Arc<str>,
    /// See [`crate::judge::Answer::until`].
    pub(super) until: Option<i64>,
}

type Shelf<T> = HashMap<Box<str>, HashMap<Box<str>, [Option<Arc<T>>; 2]>>;

/// By repository, then by reference as asked, then by class of caller. A change of a repository empties its shelf before
/// the change is acknowledged.
#[derive(Debug, Default)]
pub(super) struct Warm {
    manifests: RwLock<Shelf<WarmManifest>>,
    blobs: RwLock<Shelf<WarmBlob>>,
    changes: AtomicU64,
}

impl Warm {
    /// A repository changed: nothing that was said about it before is said again.
    pub(super) fn forget(&self, repository: &str) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.manifests.write().unwrap_or_else(PoisonError::into_inner).remove(repository);
        self.blobs.write().unwrap_or_else(PoisonError::into_inner).remove(repository);
    }

    /// How many changes there were. Read before the records are, and handed back with what was made of them.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    pub(super) fn manifest(
        &self,
        repository: &str,
        reference: &str,
        view: View,
    ) -> Option<Arc<WarmManifest>> {
        find(&self.manifests, repository, reference, view)
    }

    pub(super) fn blob(&self, repository: &str, digest: &str, view: View) -> Option<Arc<WarmBlob>> {
        find(&self.blobs, repository, digest, view)
    }

    /// Keeps an answer, unless anything changed since `changes` was read: it may have been made from the old state.
    pub(super) fn keep_manifest(
        &self,
        repository: &str,
        reference: &str,
        view: View,
        changes: u64,
        manifest: &Arc<WarmManifest>,
    ) {
        self.keep(&self.manifests, MANIFESTS_MAX, (repository, reference, view), changes, manifest);
    }

    /// See [`Warm::keep_manifest`].
    pub(super) fn keep_blob(
        &self,
        repository: &str,
        digest: &str,
        view: View,
        changes: u64,
        blob: &Arc<WarmBlob>,
    ) {
        self.keep(&self.blobs, BLOBS_MAX, (repository, digest, view), changes, blob);
    }

    fn keep<T>(
        &self,
        shelf: &RwLock<Shelf<T>>,
        count_max: usize,
        (repository, reference, view): (&str, &str, View),
        changes: u64,
        value: &Arc<T>,
    ) {
        let mut shelf = shelf.write().unwrap_or_else(PoisonError::into_inner);
        if self.changes() != changes {
            return;
        }
        if shelf.values().map(HashMap::len).sum::<usize>() >= count_max {
            shelf.clear();
        }
        let row = shelf.entry(repository.into()).or_default().entry(reference.into()).or_default();
        row[slot(view)] = Some(Arc::clone(value));
    }
}

fn slot(view: View) -> usize {
    match view {
        View::Consumer => 0,
        View::Producer => 1,
    }
}

fn find<T>(shelf: &RwLock<Shelf<T>>, repository: &str, reference: &str, view: View) -> Option<Arc<T>> {
    let shelf = shelf.read().unwrap_or_else(PoisonError::into_inner);
    shelf.get(repository)?.get(reference)?[slot(view)].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Arc<WarmManifest> {
        Arc::new(WarmManifest {
            headers: HeaderMap::new(),
            bytes: Bytes::new(),
            policy: "p".into(),
            until: None,
        })
    }

    #[test]
    fn an_answer_made_before_a_change_is_not_kept_after_it() {
        let warm = Warm::default();
        let before = warm.changes();
        warm.keep_manifest("a", "latest", View::Consumer, before, &manifest());
        assert!(warm.manifest("a", "latest", View::Consumer).is_some());
        assert!(warm.manifest("a", "latest", View::Producer).is_none(), "classes of callers are kept apart");
        warm.forget("a");
        assert!(warm.manifest("a", "latest", View::Consumer).is_none());
        warm.keep_manifest("a", "latest", View::Consumer, before, &manifest());
        assert!(warm.manifest("a", "latest", View::Consumer).is_none());
    }
}
