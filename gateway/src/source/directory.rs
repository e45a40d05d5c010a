//! A folder that holds a root file system: packed as one layer on the way, so that it is read as a layer is.
//!
//! Nothing is followed: neither a link nor a mount leads out of the folder, and whoever changes it meanwhile can make the
//! reading fail, and no more.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use scanner::layer::LayerWalk;
use scanner::limits::Limits;
use serde_json::json;

use super::made_up::{self, ReadLayer};
use super::{Image, Progress, SourceError};
use crate::digest::{Algorithm, Hasher};

/// Directories inside directories, each of which is held open.
const DEPTH_MAX: usize = 256;
/// Names in one directory, which are sorted in memory.
const NAMES_MAX: usize = 200_000;

pub(super) fn load(folder: &Path, walk: LayerWalk, progress: Progress<'_>) -> Result<Image, SourceError> {
    let failed = |source| SourceError::File { path: folder.to_owned(), source };
    let root =
        rustix::fs::open(folder, directory_flags(), Mode::empty()).map_err(|error| failed(error.into()))?;
    let mut sink = Sink { walk, hasher: Hasher::new(Algorithm::Sha256), size: 0 };
    let device = rustix::fs::fstat(&root).map_err(|error| failed(error.into()))?.st_dev;
    let mut packing = Packing {
        archive: tar::Builder::new(&mut sink),
        device,
        entries: 0,
        links: HashMap::new(),
        root: folder,
        progress,
    };
    packing.directory(&root, Path::new(""), 0)?;
    packing.archive.finish().map_err(failed)?;
    drop(packing);
    let Sink { walk, hasher, size } = sink;
    let report = walk.finish();
    let config = json!({
        "rootfs": {"type": "layers", "diff_ids": report.diff_id.iter().collect::<Vec<_>>()},
        "history": [{"created_by": "a folder"}],
    });
    let config = config.to_string().into_bytes();
    let layer = ReadLayer { digest: hasher.finish(), size, report };
    made_up::image(config, vec![layer], "folder")
}

/// Where the archive goes: through the walk, and nowhere else.
struct Sink {
    walk: LayerWalk,
    hasher: Hasher,
    size: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.walk.feed(bytes);
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Packing<'a> {
    archive: tar::Builder<&'a mut Sink>,
    device: u64,
    entries: u64,
    /// The first path of each file with several names.
    links: HashMap<u64, PathBuf>,
    root: &'a Path,
    progress: Progress<'a>,
}

impl Packing<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &Path, depth: usize) -> Result<(), SourceError> {
        if depth > DEPTH_MAX {
            return Err(
                self.failed(path, io::Error::other(format!("more than {DEPTH_MAX} directories deep")))
            );
        }
        for name in self.names(directory, path)? {
            let path = path.join(&name);
            self.entry(directory.as_fd(), &name, &path, depth).map_err(|error| match error {
                Problem::Here(source) => self.failed(&path, source),
                Problem::Below(error) => error,
            })?;
        }
        Ok(())
    }

    /// Sorted, so that the same folder gives the same bytes.
    fn names(&self, directory: &OwnedFd, path: &Path) -> Result<Vec<OsString>, SourceError> {
        let failed = |error: rustix::io::Errno| self.failed(path, error.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let name = OsString::from_vec(entry.map_err(failed)?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." {
                names.push(name);
            }
            if names.len() > NAMES_MAX {
                return Err(self.failed(path, io::Error::other(format!("more than {NAMES_MAX} names"))));
            }
        }
        names.sort();
        Ok(names)
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), Problem> {
        self.entries += 1;
        let max = Limits::default().entries_max;
        if self.entries > max {
            return Err(io::Error::other(format!("more than {max} entries")).into());
        }
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_size(0);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let opened = rustix::fs::openat(parent, name, directory_flags(), Mode::empty())?;
                // What is mounted here is not the folder's; to leave it out in silence would hide what a container sees.
                if rustix::fs::fstat(&opened)?.st_dev != self.device {
                    return Err(io::Error::other(
                        "another file system is mounted here; copy the folder or unmount it",
                    )
                    .into());
                }
                header.set_entry_type(tar::EntryType::Directory);
                self.archive.append_data(&mut header, path, io::empty())?;
                self.directory(&opened, path, depth + 1).map_err(Problem::Below)?;
            }
            FileType::RegularFile => self.file(parent, name, path, header)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
                header.set_entry_type(tar::EntryType::Symlink);
                self.archive.append_link(&mut header, path, OsStr::from_bytes(target.as_bytes()))?;
            }
            kind => {
                let kind = match kind {
                    FileType::BlockDevice => tar::EntryType::Block,
                    FileType::CharacterDevice => tar::EntryType::Char,
                    FileType::Fifo => tar::EntryType::Fifo,
                    // A socket has no content, and archives have no word for it.
                    _ => return Ok(()),
                };
                header.set_entry_type(kind);
                self.archive.append_data(&mut header, path, io::empty())?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        mut header: tar::Header,
    ) -> Result<(), Problem> {
        // A pipe that takes the file's place meanwhile must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        let stat: Stat = rustix::fs::fstat(&opened)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_dev != self.device {
            return Err(io::Error::other("is being changed while it is read").into());
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                header.set_entry_type(tar::EntryType::Link);
                self.archive.append_link(&mut header, path, first)?;
                return Ok(());
            }
            self.links.insert(stat.st_ino, path.to_owned());
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        header.set_size(size);
        header.set_entry_type(tar::EntryType::Regular);
        (self.progress.expect)(size);
        let content = Exactly { file: File::from(opened), left: size, progress: self.progress };
        self.archive.append_data(&mut header, path, content)?;
        Ok(())
    }

    fn failed(&self, path: &Path, source: io::Error) -> SourceError {
        SourceError::File { path: self.root.join(path), source }
    }
}

/// Where something failed: at this entry, or at one below that has told already.
enum Problem {
    Here(io::Error),
    Below(SourceError),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Here(error)
    }
}

impl From<rustix::io::Errno> for Problem {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Here(error.into())
    }
}

/// As many bytes as the header promises, or an error.
struct Exactly<'a> {
    file: File,
    left: u64,
    progress: Progress<'a>,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= read as u64;
        (self.progress.advance)(read as u64);
        Ok(read)
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
