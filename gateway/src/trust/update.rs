//! One update of one repository: what is new is verified, and only then kept.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use keys::tuf::{Client, Place, Seen, TufError, VerifiedFile};

use super::fetch::{FetchError, Origin};
use super::kept::{Kept, KeptError};
use crate::gate::policy::RootSource;
use crate::rounds::chain;

/// How an update ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// `sha256:<hex>` of the trusted root.
    pub digest: String,
    /// It is another one than before.
    pub changed: bool,
}

/// Why nothing new is kept. What was kept before stays, and counts until it ends.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A file did not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What came does not verify.
    #[error("the repository is refused")]
    Refused(#[from] TufError),
    /// What came cannot be kept.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// Another process is at it.
    #[error("another process updates `{}`", path.display())]
    Busy {
        /// What it keeps.
        path: PathBuf,
    },
}

/// Asks the repository once. What a failed update verified on its way is remembered all the same, so that nothing older is
/// ever accepted.
///
/// # Errors
/// When the repository does not answer, or does not verify, or the disk refuses.
pub async fn update_once(
    dir: &Path,
    source: &RootSource,
    origin: &Origin,
    now: i64,
) -> Result<Updated, UpdateError> {
    let _lock = lock(dir, source)?;
    let mut kept = Kept::read(dir, source).unwrap_or_else(|error| {
        tracing::error!(
            trust_root = source.name,
            error = chain(&error),
            "starting anew from the pinned root"
        );
        Kept::nothing(source)
    });
    let before = kept.verified(source).ok().flatten().map(|file| file.digest().to_owned());
    let (verified, seen) = verify(source, origin, &kept, now).await;
    let learned = kept.seen != seen;
    kept.seen = seen;
    let accepted = verified.and_then(|(file, metadata)| {
        kept.accept(source, &file, metadata, now)?;
        Ok(file.digest().to_owned())
    });
    if accepted.is_ok() || learned {
        kept.write(dir, source)?;
    }
    accepted.map(|digest| Updated { changed: before.as_ref() != Some(&digest), digest })
}

type Verified = (VerifiedFile, BTreeMap<String, String>);

/// The verified file with the metadata that it rests on; and what was learned, however it ended.
async fn verify(
    source: &RootSource,
    origin: &Origin,
    kept: &Kept,
    now: i64,
) -> (Result<Verified, UpdateError>, Seen) {
    let mut client = match Client::new(&source.pinned, &source.target, kept.seen.clone(), now) {
        Ok(client) => client,
        Err(error) => return (Err(error.into()), kept.seen.clone()),
    };
    let walked = walk(&mut client, origin, kept).await;
    let seen = client.seen().clone();
    (walked.and_then(|metadata| Ok((client.finish()?, metadata))), seen)
}

async fn walk(
    client: &mut Client,
    origin: &Origin,
    kept: &Kept,
) -> Result<BTreeMap<String, String>, UpdateError> {
    let mut metadata = BTreeMap::new();
    while let Some(need) = client.needs() {
        let bytes = match kept.known_root(&need) {
            Some(known) => Some(known.as_bytes().to_vec()),
            None => origin.fetch(&need).await?,
        };
        client.supply(bytes.as_deref())?;
        if let (Place::Metadata, Some(bytes)) = (need.place, bytes) {
            // It was read as strict JSON, which is UTF-8.
            metadata.insert(need.path, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(metadata)
}

/// Two updates at once could each forget what the other learned.
fn lock(dir: &Path, source: &RootSource) -> Result<File, UpdateError> {
    let path = Kept::path(dir, source).with_extension("lock");
    let failed = |error| KeptError::File { action: "lock", path: path.clone(), source: error };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(UpdateError::Busy { path: Kept::path(dir, source) }),
        Err(TryLockError::Error(error)) => Err(failed(error).into()),
    }
}
