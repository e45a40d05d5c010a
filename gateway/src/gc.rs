//! Garbage collection in the background: what was staged for too long, blobs that nobody holds, uploads that nobody
//! continues. It can never race a push.
//!
//! - A push marks each blob it relies on (`linked_at`, `stored_at`) in the transaction in which it relies on it, and the
//!   marks are looked at again in the transaction that forgets a blob. The writer is one thread: either the push comes
//!   first and the blob stays, or the collection comes first and the push is told that the blob is unknown.
//! - A file is removed under the digest's lock, after the record. An upload of the same digest takes that lock from
//!   before its rename until its record is written.

use std::sync::Arc;
use std::time::Duration;

use crate::digest::Digest;
use crate::records::{RecordError, blobs, manifests};
use crate::registry::Registry;
use crate::staging;

/// Blobs and manifests looked at in one step, so that pushes get their turn with the writer.
const STEP: u32 = 200;
/// How long refusals are kept to explain themselves, in seconds.
const REFUSAL_SECONDS: i64 = 90 * 24 * 3600;

/// When something is garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcConfig {
    /// How long a manifest may stay staged, in seconds.
    pub staged_seconds: i64,
    /// How long a blob that no manifest names is kept, in seconds: a push may be under way, or tried again.
    pub unreferenced_seconds: i64,
    /// How long an upload may rest, in seconds.
    pub upload_seconds: i64,
    /// Time between two runs.
    pub every: Duration,
}

impl Default for GcConfig {
    fn default() -> Self {
        const DAY: i64 = 24 * 3600;
        Self {
            staged_seconds: 14 * DAY,
            unreferenced_seconds: DAY,
            upload_seconds: DAY,
            every: Duration::from_secs(3600),
        }
    }
}

/// What a run removed, or what it would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests staged for too long: repository and digest.
    pub manifests: Vec<(String, String)>,
    /// Blobs taken out of a repository: repository and digest.
    pub links: Vec<(String, String)>,
    /// Blobs forgotten, and their bytes.
    pub blobs: Vec<(Digest, u64)>,
    /// Uploads, by id.
    pub uploads: Vec<String>,
}

/// Lists what a run would remove now, as far as one step goes, and removes nothing.
///
/// # Errors
/// When the records fail.
pub fn dry_run(registry: &Registry, config: GcConfig) -> Result<Collected, RecordError> {
    let now = registry.clock.now();
    let mut collected = registry.records().read(|connection| -> Result<_, RecordError> {
        let before = now.saturating_sub(config.unreferenced_seconds);
        Ok(Collected {
            manifests: manifests::staged(connection, now.saturating_sub(config.staged_seconds), STEP)?,
            links: blobs::unused_links(connection, before)?,
            blobs: blobs::unreferenced(connection, before, STEP)?,
            uploads: Vec::new(),
        })
    })?;
    collected.uploads = stale_uploads(registry, config);
    Ok(collected)
}

/// Removes what is garbage now.
///
/// # Errors
/// When the records fail; what was removed before is removed.
pub async fn run(registry: &Registry, config: GcConfig) -> Result<Collected, RecordError> {
    let now = registry.clock.now();
    let mut collected = Collected::default();
    expire_staged(registry, now.saturating_sub(config.staged_seconds), &mut collected).await?;
    let before = now.saturating_sub(config.unreferenced_seconds);
    collected.links = registry.records().read(|connection| blobs::unused_links(connection, before))?;
    for (repository, digest) in &collected.links {
        let (held, digest) = (repository.clone(), digest.clone());
        registry
            .records()
            .write(repository, move |connection| blobs::unlink_unused(connection, &held, &digest, before))
            .await?;
    }
    let forgotten = registry.records().write("", move |connection| {
        manifests::forget_refusals(connection, now.saturating_sub(REFUSAL_SECONDS))
    });
    forgotten.await?;
    forget_blobs(registry, before, &mut collected).await?;
    collected.uploads = stale_uploads(registry, config);
    for id in &collected.uploads {
        registry.sessions.forget(id);
        registry.ingest.discard(id).await;
    }
    Ok(collected)
}

async fn expire_staged(
    registry: &Registry,
    before: i64,
    collected: &mut Collected,
) -> Result<(), RecordError> {
    let staged = registry.records().read(|connection| manifests::staged(connection, before, STEP))?;
    for (repository, digest) in staged {
        let (held, name) = (repository.clone(), digest.clone());
        let expired = registry
            .records()
            .write(&repository, move |connection| staging::expire(connection, &held, &name, before))
            .await;
        match expired {
            Ok(true) => collected.manifests.push((repository, digest)),
            Ok(false) => {}
            Err(staging::StagingError::Records(error)) => return Err(error),
            Err(error) => tracing::warn!(%error, repository, digest, "garbage: cannot expire"),
        }
    }
    Ok(())
}

async fn forget_blobs(
    registry: &Registry,
    before: i64,
    collected: &mut Collected,
) -> Result<(), RecordError> {
    loop {
        let unreferenced =
            registry.records().read(|connection| blobs::unreferenced(connection, before, STEP))?;
        let mut forgotten = 0;
        for (digest, size) in unreferenced {
            let _held = registry.ingest.lock(&digest).await;
            let name = digest.to_string();
            let gone = registry
                .records()
                .write("", move |connection| blobs::forget(connection, &name, before))
                .await?;
            if !gone {
                continue;
            }
            forgotten += 1;
            // A crash here leaves a file without a record: nobody is served from it, and an upload replaces it.
            let (store, file) = (Arc::clone(&registry.blobs), digest.clone());
            match tokio::task::spawn_blocking(move || store.remove(&file)).await {
                Ok(Ok(())) => collected.blobs.push((digest, size)),
                Ok(Err(error)) => tracing::warn!(%error, "garbage: cannot remove a file"),
                Err(error) => tracing::warn!(%error, "garbage: cannot remove a file"),
            }
        }
        if forgotten == 0 {
            return Ok(());
        }
    }
}

fn stale_uploads(registry: &Registry, config: GcConfig) -> Vec<String> {
    let since = registry.clock.now().saturating_sub(config.upload_seconds);
    let Ok(entries) = std::fs::read_dir(registry.blobs.uploads()) else { return Vec::new() };
    let mut ids: Vec<String> = entries
        .flatten()
        .filter(|entry| {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let modified = modified.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            modified
                .and_then(|age| i64::try_from(age.as_secs()).ok())
                .is_some_and(|modified| modified < since)
        })
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .filter(|id| !registry.sessions.is_active(id, since))
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Runs at the configured pace until the task is stopped.
pub async fn run_forever(registry: Arc<Registry>, config: GcConfig) {
    loop {
        tokio::time::sleep(config.every).await;
        match run(&registry, config).await {
            Ok(collected) => tracing::info!(
                manifests = collected.manifests.len(),
                links = collected.links.len(),
                blobs = collected.blobs.len(),
                bytes = collected.blobs.iter().map(|(_, size)| size).sum::<u64>(),
                uploads = collected.uploads.len(),
                "garbage collected"
            ),
            Err(error) => {
                registry.metrics.error("gc");
                tracing::error!(%error, "garbage collection failed");
            }
        }
        registry.count_store();
    }
}
