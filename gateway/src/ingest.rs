//! The streaming pipeline of one upload: each byte passes once through size limit, digest, file and layer walk.
//!
//! A request's body is cut into batches. While one batch is hashed and written on a blocking thread, the next is read
//! from the socket and what was written is walked on two more. The walk lives in the [`Session`], goes on between requests,
//! and may fall behind its upload: the bytes are in the file. An upload is answered when they are durable; whoever needs
//! the report waits for the walk's end at [`Pending`]. All queues are bounded, so that a slow stage stops the socket in the
//! end and memory stays constant. What is in memory can always be made again from the stored bytes: after a restart, or
//! when an idle session was dropped to make room.

mod backlog;
mod pending;
mod pool;
mod sessions;
mod walk;

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use rusqlite::Connection;
use scanner::layer::{LayerReport, LayerWalk};
use scanner::limits::Limits;
use scanner::yara::RuleSet;
use tokio::task::JoinHandle;

use crate::blobs::{BlobError, Blobs, read_at};
use crate::clock::Clock;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::malware::RuleStore;
use crate::records::{self, RecordError, Records};
use crate::telemetry::Metrics;
use pending::Going;
pub(crate) use pending::Pending;
pub use sessions::{Session, SessionError, Sessions};
use walk::{Walk, Walks};

/// Bytes handled at once: large enough that the hops between threads cost nothing beside the hash, small enough that
/// eight of them in flight are no memory.
const BATCH_BYTES: usize = 256 * 1024;
/// How many bytes may be dirty before the disk is asked to begin; otherwise the last request would wait for all of them.
const SYNC_EVERY_BYTES: u64 = 32 * 1024 * 1024;
/// A walk of so few bytes is waited for, so that its report is stored with the blob.
const WAITED_FOR_BYTES_MAX: u64 = 1024 * 1024;
/// Locks against garbage collection; a digest picks one.
const LOCKS: usize = 64;

/// Why an upload did not become a blob.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The client went away or sent a broken body; what arrived is kept.
    #[error("the request body ended early")]
    Body(#[source] axum::Error),
    /// Over the configured size.
    #[error("blob is larger than the limit of {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// The bytes are not what the client says; they are discarded.
    #[error("digest mismatch: expected `{expected}`, computed `{computed}`")]
    Digest {
        /// From the request.
        expected: Digest,
        /// From the bytes.
        computed: Digest,
    },
    /// The blob store failed.
    #[error("the blob store failed")]
    Blobs(#[from] BlobError),
    /// The upload's file failed.
    #[error("the upload's file failed")]
    File(#[from] io::Error),
    /// The records failed.
    #[error("the records failed")]
    Records(#[from] RecordError),
    /// A thread of ours died; the upload is lost.
    #[error("a worker failed")]
    Worker(#[from] tokio::task::JoinError),
}

/// What turns requests into blobs. One for the process.
#[derive(Debug)]
pub struct Ingest {
    blobs: Arc<Blobs>,
    records: Arc<Records>,
    walks: Walks,
    pending: Arc<Pending>,
    blob_bytes_max: u64,
    locks: Vec<tokio::sync::Mutex<()>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// How far an upload has come.
#[derive(Debug)]
pub struct Progress {
    file: Arc<File>,
    offset: u64,
    hasher: Option<Hasher>,
    walk: Option<Walk>,
    synced_to: u64,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Progress {
    /// Bytes received and written.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl Ingest {
    /// `threads`: how many layers may be unpacked at the same moment, and as many read.
    pub fn new(
        blobs: Arc<Blobs>,
        records: Arc<Records>,
        threads: usize,
        blob_bytes_max: u64,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            blobs,
            records,
            walks: Walks::new(threads, Arc::clone(&metrics)),
            // Enough that the cores need not wait for the client.
            pending: Arc::new(Pending::new(threads.max(2))),
            blob_bytes_max,
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            clock,
            metrics,
        }
    }

    /// The same, searching by the YARA rules in force when a layer begins to arrive.
    pub fn with_rules(self, rules: Arc<RuleStore>) -> Self {
        Self { walks: self.walks.with_rules(rules), ..self }
    }

    /// Largest blob accepted, in bytes.
    pub fn blob_bytes_max(&self) -> u64 {
        self.blob_bytes_max
    }

    /// Where the bytes are.
    pub(crate) fn blobs(&self) -> &Arc<Blobs> {
        &self.blobs
    }

    /// Where they are recorded.
    pub(crate) fn records(&self) -> &Arc<Records> {
        &self.records
    }

    /// The layers that are stored and still walked.
    pub(crate) fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// Holds off garbage collection of `digest` (and of its lock's neighbours) until the guard is dropped.
    pub async fn lock(&self, digest: &Digest) -> tokio::sync::MutexGuard<'_, ()> {
        let first = u8::from_str_radix(&digest.hex()[..2], 16).map_or(0, usize::from);
        self.locks[first % LOCKS].lock().await
    }

    /// Opens an upload where its file ends. Bytes of an earlier process are hashed and walked again.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn open(&self, id: &str) -> Result<Progress, IngestError> {
        let (blobs, owned_id) = (Arc::clone(&self.blobs), id.to_owned());
        let (file, length) = tokio::task::spawn_blocking(move || blobs.open_upload(&owned_id)).await??;
        let mut progress = Progress {
            file: Arc::new(file),
            offset: 0,
            hasher: Some(Hasher::new(Algorithm::Sha256)),
            walk: None,
            synced_to: 0,
            syncing: None,
        };
        while progress.offset < length {
            let (file, at) = (Arc::clone(&progress.file), progress.offset);
            let batch = tokio::task::spawn_blocking(move || read_batch(&file, at)).await??;
            if batch.is_empty() {
                break;
            }
            let mut hasher = progress.hasher.take().unwrap_or_else(|| Hasher::new(Algorithm::Sha256));
            hasher.update(&batch);
            progress.hasher = Some(hasher);
            progress.offset += length_of(&batch);
            self.feed(&mut progress, length_of(&batch)).await;
        }
        Ok(progress)
    }

    /// Takes a request's body in. On an early end everything that arrived is kept, and is the offset to resume from.
    /// `known` says that the blob's report exists, so that it need not be walked.
    ///
    /// # Errors
    /// See [`IngestError`].
    pub async fn receive(&self, progress: &mut Progress, body: Body, known: bool) -> Result<(), IngestError> {
        if known {
            // A walk that misses these bytes would give a report of half a layer.
            progress.walk = None;
        }
        let mut stream = body.into_data_stream();
        let mut writing: Option<Writing> = None;
        let ended = loop {
            let (batch, ended) = next_batch(&mut stream).await;
            if let Some(writing) = writing.take() {
                self.written(progress, writing, known).await?;
            }
            let bytes: u64 = batch.iter().map(length_of).sum();
            if bytes > 0 {
                self.metrics.bytes_received.inc_by(bytes);
                progress.offset = progress.offset.saturating_add(bytes);
                if progress.offset > self.blob_bytes_max {
                    return Err(IngestError::TooLarge { max: self.blob_bytes_max });
                }
                let hasher = progress.hasher.take().unwrap_or_else(|| Hasher::new(Algorithm::Sha256));
                let file = Arc::clone(&progress.file);
                let hasher = tokio::task::spawn_blocking(move || write_batch(&file, hasher, &batch));
                writing = Some(Writing { bytes, hasher });
                sync_early(progress);
            }
            if let Some(ended) = ended {
                break ended;
            }
        };
        if let Some(writing) = writing {
            self.written(progress, writing, known).await?;
        }
        ended.map_err(IngestError::Body)
    }

    /// A batch is in the file: the walk may have it.
    async fn written(
        &self,
        progress: &mut Progress,
        writing: Writing,
        known: bool,
    ) -> Result<(), IngestError> {
        progress.hasher = Some(writing.hasher.await??);
        if !known {
            self.feed(progress, writing.bytes).await;
        }
        Ok(())
    }

    /// Checks the digest, makes the bytes durable, and records the blob and its place in `repository` in one transaction;
    /// its report, too, unless the walk is behind: then that goes on, and [`Pending`] knows of it.
    ///
    /// # Errors
    /// See [`IngestError`]; on a wrong digest nothing is kept.
    pub async fn finish(
        &self,
        id: &str,
        progress: Progress,
        expected: &Digest,
        repository: &str,
    ) -> Result<(), IngestError> {
        let Progress { file, offset, hasher, walk, syncing, .. } = progress;
        let computed = match expected.algorithm() {
            Algorithm::Sha256 => hasher.unwrap_or_else(|| Hasher::new(Algorithm::Sha256)).finish(),
            Algorithm::Sha512 => {
                let file = Arc::clone(&file);
                tokio::task::spawn_blocking(move || hash_file(&file, Algorithm::Sha512)).await??
            }
        };
        if computed != *expected {
            self.discard(id).await;
            return Err(IngestError::Digest { expected: expected.clone(), computed });
        }
        let synced = tokio::task::spawn_blocking(move || file.sync_data());
        let (report, behind) = match walk {
            Some(walk) if offset <= WAITED_FOR_BYTES_MAX => (walk.finish().await, None),
            Some(walk) => (None, Some(walk)),
            None if offset == 0 => (Some(LayerWalk::new(Limits::default()).finish()), None),
            None => (None, None),
        };
        if let Some(syncing) = syncing {
            syncing.await??;
        }
        synced.await??;
        // Before the record: whoever finds the blob there must know that its report is on the way.
        let going = match behind {
            Some(walk) => self.pending.begin(expected.as_str()).await.map(|going| (walk, going)),
            None => None,
        };
        self.store(id, expected, offset, report, repository).await?;
        if let Some((walk, going)) = going {
            tokio::spawn(keep_report(walk, going, Arc::clone(&self.records), repository.to_owned()));
        }
        Ok(())
    }

    /// Stores a small blob that was made here, and that no layer can be.
    ///
    /// # Errors
    /// When the disk or the records fail.
    pub(crate) async fn keep(&self, bytes: Vec<u8>, repository: &str) -> Result<(), IngestError> {
        let digest = Digest::sha256_of(&bytes);
        let size = bytes.len() as u64;
        let uploads = self.blobs.uploads().to_owned();
        let written = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let mut file = tempfile::Builder::new().prefix("own-").tempfile_in(uploads)?;
            file.write_all(&bytes)?;
            file.as_file().sync_data()?;
            Ok(file.into_temp_path())
        });
        // Removes itself if anything fails from here on.
        let file = written.await??;
        let _held = self.lock(&digest).await;
        let (blobs, name) = (Arc::clone(&self.blobs), digest.clone());
        tokio::task::spawn_blocking(move || blobs.publish(&file, &name)).await??;
        let (name, holder, now) = (digest.to_string(), repository.to_owned(), self.clock.now());
        let record = move |connection: &Connection| -> Result<(), RecordError> {
            records::blobs::store(connection, &name, size, now)?;
            records::blobs::link(connection, &holder, &name, now)?;
            Ok(())
        };
        Ok(self.records.write(repository, record).await?)
    }

    async fn store(
        &self,
        id: &str,
        digest: &Digest,
        size: u64,
        report: Option<LayerReport>,
        repository: &str,
    ) -> Result<(), IngestError> {
        let _held = self.lock(digest).await;
        let (blobs, upload, name) = (Arc::clone(&self.blobs), self.blobs.upload_path(id), digest.clone());
        // Publishing over an equal file is harmless, and repairs one that was lost or is rotten.
        tokio::task::spawn_blocking(move || blobs.publish(&upload, &name)).await??;
        let (name, holder, now) = (digest.to_string(), repository.to_owned(), self.clock.now());
        self.records
            .write(repository, move |connection| -> Result<(), RecordError> {
                records::blobs::store(connection, &name, size, now)?;
                records::blobs::link(connection, &holder, &name, now)?;
                if let Some(report) = report {
                    records::blobs::put_report(connection, &name, &report.analyzer(), &report.encode())?;
                }
                Ok(())
            })
            .await?;
        self.discard(id).await;
        Ok(())
    }

    /// Removes whatever an upload left behind.
    pub async fn discard(&self, id: &str) {
        let (blobs, id) = (Arc::clone(&self.blobs), id.to_owned());
        match tokio::task::spawn_blocking(move || blobs.remove_upload(&id)).await {
            Ok(Ok(())) => {}
            // Harmless: the stale-upload sweep tries again.
            Ok(Err(error)) => tracing::warn!(%error, "cannot remove an upload's file"),
            Err(error) => tracing::warn!(%error, "cannot remove an upload's file"),
        }
    }

    async fn feed(&self, progress: &mut Progress, bytes: u64) {
        let Progress { walk, file, .. } = progress;
        walk.get_or_insert_with(|| self.walks.begin(Arc::clone(file))).feed(bytes).await;
    }
}

/// A batch on its way into the file.
struct Writing {
    bytes: u64,
    hasher: JoinHandle<io::Result<Hasher>>,
}

/// Stores the report of a walk that went on after its upload was answered. Without it the layer is walked again when a
/// manifest names it.
async fn keep_report(walk: Walk, going: Going, records: Arc<Records>, repository: String) {
    let Some(report) = walk.finish().await else { return };
    let digest = going.digest().to_owned();
    let put = move |connection: &Connection| {
        records::blobs::put_report(connection, &digest, &report.analyzer(), &report.encode())
    };
    if let Err(error) = records.write(&repository, put).await {
        tracing::warn!(%error, "cannot keep what a scan found");
    }
}

/// Walks a stored blob whose report is missing, of another version or by other rules. Blocking.
///
/// # Errors
/// When the file cannot be read.
pub fn walk_stored(file: &File, rules: Option<Arc<RuleSet>>) -> io::Result<LayerReport> {
    let mut walk = LayerWalk::new(Limits::default()).with_rules(rules);
    let mut at = 0;
    loop {
        let batch = read_batch(file, at)?;
        if batch.is_empty() {
            return Ok(walk.finish());
        }
        at += length_of(&batch);
        walk.feed(&batch);
    }
}

/// Collects frames until a batch is full. The second value tells that the body ended, and how.
async fn next_batch(stream: &mut BodyDataStream) -> (Vec<Bytes>, Option<Result<(), axum::Error>>) {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES {
        match stream.next().await {
            Some(Ok(frame)) => {
                bytes += frame.len();
                batch.push(frame);
            }
            Some(Err(error)) => return (batch, Some(Err(error))),
            None => return (batch, Some(Ok(()))),
        }
    }
    (batch, None)
}

fn write_batch(mut file: &File, mut hasher: Hasher, batch: &[Bytes]) -> io::Result<Hasher> {
    for bytes in batch {
        file.write_all(bytes)?;
        hasher.update(bytes);
    }
    Ok(hasher)
}

fn sync_early(progress: &mut Progress) {
    let idle = progress.syncing.as_ref().is_none_or(JoinHandle::is_finished);
    if idle && progress.offset - progress.synced_to >= SYNC_EVERY_BYTES {
        progress.synced_to = progress.offset;
        let file = Arc::clone(&progress.file);
        // Only a head start: `finish` syncs again and looks at the outcome.
        progress.syncing = Some(tokio::task::spawn_blocking(move || file.sync_data()));
    }
}

fn read_batch(file: &File, at: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; BATCH_BYTES];
    let count = read_at(file, &mut buffer, at)?;
    buffer.truncate(count);
    Ok(Bytes::from(buffer))
}

fn hash_file(file: &File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut at = 0;
    loop {
        let batch = read_batch(file, at)?;
        if batch.is_empty() {
            return Ok(hasher.finish());
        }
        at += length_of(&batch);
        hasher.update(&batch);
    }
}

fn length_of(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
