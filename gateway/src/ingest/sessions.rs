//! Unfinished uploads: whose they are, and the ones that are open in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::{Ingest, IngestError, Progress};
use crate::blobs::{BlobError, Blobs};

/// Open uploads kept in memory, each with a walk of about a megabyte; the one idle for longest makes room.
const OPEN_MAX: usize = 64;
/// How long a request waits for an earlier one on the same upload: a client that lost its connection comes back before we
/// notice that it went.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Digits of an upload id: 128 random bits, because whoever knows the id (and may push) can write to the upload.
const ID_BYTES: usize = 16;

/// Why there is no such upload for this caller.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another request is writing to it.
    #[error("another request is writing to this upload")]
    Busy,
    /// Its bytes could not be opened.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// It cannot be begun.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// No randomness for an id.
    #[error("no randomness for an upload id")]
    Randomness,
    /// Never begun, finished, cancelled, expired, or somebody else's: not told apart.
    #[error("no such upload")]
    Unknown,
}

/// One upload in memory.
#[derive(Debug)]
pub struct Session {
    id: String,
    owner: String,
    touched: AtomicI64,
    progress: Arc<tokio::sync::Mutex<Option<Progress>>>,
}

impl Session {
    /// Its name in the URL.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes the upload for one request, opening its file if it is not open. The guard holds `Some`.
    ///
    /// # Errors
    /// When another request has it, or the file cannot be read.
    pub async fn take(&self, ingest: &Ingest) -> Result<OwnedMutexGuard<Option<Progress>>, SessionError> {
        let waiting = Arc::clone(&self.progress).lock_owned();
        let mut guard = tokio::time::timeout(BUSY_WAIT, waiting).await.map_err(|_| SessionError::Busy)?;
        if guard.is_none() {
            *guard = Some(ingest.open(&self.id).await?);
        }
        Ok(guard)
    }
}

/// All uploads of the process.
#[derive(Debug)]
pub struct Sessions {
    blobs: Arc<Blobs>,
    open: Mutex<HashMap<String, Arc<Session>>>,
}

impl Sessions {
    /// None open yet; those of an earlier process are found by their files.
    pub fn new(blobs: Arc<Blobs>) -> Self {
        Self { blobs, open: Mutex::new(HashMap::new()) }
    }

    /// Begins an upload into `repository` by `account`.
    ///
    /// # Errors
    /// When there is no randomness or the disk fails.
    pub fn begin(&self, repository: &str, account: &str, now: i64) -> Result<Arc<Session>, SessionError> {
        let mut id = [0; ID_BYTES];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| SessionError::Randomness)?;
        let id = hex::encode(id);
        let owner = owner(repository, account);
        self.blobs.write_upload_owner(&id, &owner)?;
        Ok(self.keep(id, owner, now))
    }

    /// Finds an upload again, if it is into this repository and by this account.
    ///
    /// # Errors
    /// [`SessionError::Unknown`] otherwise.
    pub fn find(
        &self,
        id: &str,
        repository: &str,
        account: &str,
        now: i64,
    ) -> Result<Arc<Session>, SessionError> {
        let well_formed = id.len() == ID_BYTES * 2
            && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !well_formed {
            return Err(SessionError::Unknown);
        }
        let wanted = owner(repository, account);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let session = match open {
            Some(session) => session,
            None => {
                let owner = self.blobs.read_upload_owner(id).ok_or(SessionError::Unknown)?;
                self.keep(id.to_owned(), owner, now)
            }
        };
        if session.owner != wanted {
            return Err(SessionError::Unknown);
        }
        session.touched.store(now, Ordering::Relaxed);
        Ok(session)
    }

    /// Bytes that an upload has on the disk.
    pub fn stored_bytes(&self, session: &Session) -> u64 {
        std::fs::metadata(self.blobs.upload_path(&session.id)).map_or(0, |metadata| metadata.len())
    }

    /// The upload has ended, one way or the other.
    pub fn forget(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Whether a request may be writing to this upload, or touched it at `since` or later.
    pub fn is_active(&self, id: &str, since: i64) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(id).is_some_and(|session| {
            session.touched.load(Ordering::Relaxed) >= since || session.progress.try_lock().is_err()
        })
    }

    fn keep(&self, id: String, owner: String, now: i64) -> Arc<Session> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            let idle = open
                .values()
                .filter(|session| session.progress.try_lock().is_ok())
                .min_by_key(|session| session.touched.load(Ordering::Relaxed))
                .map(|session| session.id.clone());
            if let Some(idle) = idle {
                open.remove(&idle);
            }
        }
        let session = Session {
            id: id.clone(),
            owner,
            touched: AtomicI64::new(now),
            progress: Arc::new(tokio::sync::Mutex::new(None)),
        };
        Arc::clone(open.entry(id).or_insert_with(|| Arc::new(session)))
    }
}

fn owner(repository: &str, account: &str) -> String {
    format!("{repository}\n{account}")
}
