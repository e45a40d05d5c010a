//! The one place that maps a file into memory.
//!
//! A mapping is read like a slice, but its bytes belong to the file: whoever changes the file changes the slice, and
//! whoever cuts it short makes the next read end the process (`SIGBUS`). That is why mapping is unsafe in Rust, and why
//! it stands alone in this crate.
//!
//! The argument that makes it sound here is a discipline of the only caller: a mapped file is **never written in
//! place**. A new snapshot is written beside it under another name, synced, and renamed over it; the old file loses its
//! name but keeps its bytes until the last mapping is dropped. The file and its folder belong to the service's own
//! account. Whoever can write there can replace the program's data anyway.

use std::fs::File;
use std::io;
use std::path::Path;

/// A file's bytes, as they were when it was mapped.
#[derive(Debug)]
pub struct Mapped(memmap2::Mmap);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Maps a whole file for reading.
///
/// # Errors
///
/// When the file cannot be opened, is no regular file (a device or a pipe could not keep its bytes), or cannot be
/// mapped.
pub fn map(path: &Path) -> io::Result<Mapped> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "only a regular file can be mapped"));
    }
    #[expect(unsafe_code, reason = "the file is replaced by rename only, never changed in place: see above")]
    // SAFETY: the mapping is read-only and private, and by the discipline above nobody writes to this inode or shortens
    // it while the mapping lives.
    let mapping = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file)? };
    Ok(Mapped(mapping))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mapped-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_replaced_by_rename_keeps_its_mapped_bytes() {
        let folder = Folder::new("rename");
        let (path, aside) = (folder.0.join("file"), folder.0.join("file.new"));
        std::fs::write(&path, b"old").unwrap();
        let mapped = map(&path).unwrap();
        std::fs::write(&aside, b"newer").unwrap();
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(mapped.as_ref(), b"old");
        assert_eq!(map(&path).unwrap().as_ref(), b"newer");
    }

    #[test]
    fn an_empty_file_is_empty() {
        let folder = Folder::new("empty");
        let path = folder.0.join("file");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(map(&path).unwrap().as_ref(), b"");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = Folder::new("folder");
        assert!(map(&folder.0).is_err());
        assert_eq!(map(&folder.0.join("absent")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
