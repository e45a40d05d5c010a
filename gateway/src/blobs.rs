//! Bytes by digest: written once, synced, renamed into place; never changed afterwards.

pub mod body;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::digest::{Algorithm, Digest};

/// How many digits of the hex name the folder: 256 folders keep each one small.
const FOLDER_DIGITS: usize = 2;

/// Why the store could not do what it was asked. Always our fault or the disk's, never the client's.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{path}`")]
pub struct BlobError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError { action, path, source }
}

/// The store: `blobs/<algorithm>/<2 hex>/<hex>` beside `uploads/<id>` in one file system, so that a rename publishes.
#[derive(Debug)]
pub struct Blobs {
    blobs: PathBuf,
    uploads: PathBuf,
}

impl Blobs {
    /// Opens or creates the store in `data_dir`.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn open(data_dir: &Path) -> Result<Self, BlobError> {
        let store = Self { blobs: data_dir.join("blobs"), uploads: data_dir.join("uploads") };
        for folder in [&store.blobs, &store.uploads] {
            fs::create_dir_all(folder).map_err(failed("create folder", folder))?;
        }
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let parent = store.blobs.join(algorithm.name());
            if parent.is_dir() {
                continue;
            }
            // Made beside its final name and renamed, so that a crash never leaves a half set of folders.
            let making = store.blobs.join(format!(".{}", algorithm.name()));
            for prefix in 0..=u8::MAX {
                let folder = making.join(format!("{prefix:02x}"));
                fs::create_dir_all(&folder).map_err(failed("create folder", &folder))?;
            }
            sync_folder(&making)?;
            fs::rename(&making, &parent).map_err(failed("rename folder", &parent))?;
            sync_folder(&store.blobs)?;
        }
        sync_folder(data_dir)?;
        Ok(store)
    }

    /// Where the content of `digest` lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs.join(digest.algorithm().name()).join(&hex[..FOLDER_DIGITS]).join(hex)
    }

    /// Where an upload with this id collects its bytes. The id must be one of ours: hex digits.
    pub fn upload_path(&self, id: &str) -> PathBuf {
        self.uploads.join(id)
    }

    /// The folder of unfinished uploads.
    pub fn uploads(&self) -> &Path {
        &self.uploads
    }

    /// Opens the content of `digest`; `None` when there is none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<(File, u64)>, BlobError> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => {
                let size = file.metadata().map_err(failed("read size of", &path))?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    /// Reads a small blob whole and checks it against its digest; `None` when it is absent, larger than `bytes_max`, or
    /// no longer what its name says.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read_checked(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, BlobError> {
        let Some((file, size)) = self.open_blob(digest)? else { return Ok(None) };
        if size > bytes_max {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes).map_err(failed("read", &self.path(digest)))?;
        Ok(digest.matches(&bytes).then_some(bytes))
    }

    /// Creates, or opens again, the file of an upload. Its length is the upload's durable offset.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open_upload(&self, id: &str) -> Result<(File, u64), BlobError> {
        let path = self.upload_path(id);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(&path).map_err(failed("open", &path))?;
        let offset = file.metadata().map_err(failed("read size of", &path))?.len();
        Ok((file, offset))
    }

    /// Makes a synced upload file the content of `digest`: rename, then sync of the folder. The caller holds the digest's
    /// lock against garbage collection until the record is written, too.
    ///
    /// # Errors
    /// When the disk fails; the upload file may then still be there.
    pub fn publish(&self, upload: &Path, digest: &Digest) -> Result<(), BlobError> {
        let path = self.path(digest);
        fs::rename(upload, &path).map_err(failed("publish", &path))?;
        sync_folder(path.parent().unwrap_or(&self.blobs))
    }

    /// Removes the content of `digest`; absent is fine. Only garbage collection calls this, after the record is gone.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        remove_file(&self.path(digest))
    }

    /// Removes what an upload left behind; absent is fine.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_upload(&self, id: &str) -> Result<(), BlobError> {
        let path = self.upload_path(id);
        remove_file(&path)?;
        remove_file(&owner_path(&path))
    }

    /// Remembers whose upload it is, so that it can go on after a restart. Not synced: after a power cut the client begins
    /// again.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_upload_owner(&self, id: &str, owner: &str) -> Result<(), BlobError> {
        let path = owner_path(&self.upload_path(id));
        let mut file = File::create(&path).map_err(failed("create", &path))?;
        file.write_all(owner.as_bytes()).map_err(failed("write", &path))
    }

    /// Whose upload it is; `None` when nothing is known about it.
    pub fn read_upload_owner(&self, id: &str) -> Option<String> {
        let file = File::open(owner_path(&self.upload_path(id))).ok()?;
        let mut owner = String::new();
        file.take(4096).read_to_string(&mut owner).ok()?;
        Some(owner)
    }

    /// Every digest that has a file; for the sweep that finds files without a record.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&self) -> Result<Vec<Digest>, BlobError> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let parent = self.blobs.join(algorithm.name());
            for folder in fs::read_dir(&parent).map_err(failed("list", &parent))?.flatten() {
                let Ok(files) = fs::read_dir(folder.path()) else { continue };
                found.extend(files.flatten().filter_map(|file| {
                    let name = format!("{}:{}", algorithm.name(), file.file_name().to_str()?);
                    Digest::parse(&name).ok()
                }));
            }
        }
        Ok(found)
    }
}

/// Reads at an offset until the buffer is full or the file ends.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let at = offset + u64::try_from(filled).unwrap_or(u64::MAX);
        match file.read_at(&mut buffer[filled..], at) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn owner_path(upload: &Path) -> PathBuf {
    upload.with_extension("owner")
}

fn remove_file(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(failed("sync folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_bytes_are_found_by_digest_and_survive_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::sha256_of(b"content");
        {
            let blobs = Blobs::open(folder.path()).unwrap();
            assert!(blobs.open_blob(&digest).unwrap().is_none());
            let (mut file, offset) = blobs.open_upload("ab12").unwrap();
            assert_eq!(offset, 0);
            file.write_all(b"content").unwrap();
            blobs.publish(&blobs.upload_path("ab12"), &digest).unwrap();
        }
        let blobs = Blobs::open(folder.path()).unwrap();
        assert_eq!(blobs.read_checked(&digest, 100).unwrap().unwrap(), b"content");
        assert_eq!(blobs.read_checked(&digest, 6).unwrap(), None, "over the limit");
        assert_eq!(blobs.list().unwrap(), std::slice::from_ref(&digest));
        fs::write(blobs.path(&digest), b"c0ntent").unwrap();
        assert_eq!(blobs.read_checked(&digest, 100).unwrap(), None, "rotten bytes are not content");
        blobs.remove(&digest).unwrap();
        blobs.remove(&digest).unwrap();
        assert!(blobs.open_blob(&digest).unwrap().is_none());
    }
}
