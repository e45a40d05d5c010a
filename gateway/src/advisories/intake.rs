//! Reads feeds from files, folders and archives into the builder, under limits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use scanner::advisory::{Builder, FeedError};

/// Largest document or list of documents after unpacking, in bytes. The largest real one, Debian's tracker, has 70 MB;
/// the bound stops decompression bombs.
pub const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Largest database of another scanner (`.db`), in bytes. Grype's has 1.6 GB; it is read whole.
pub const DATABASE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// How SQLite's files begin.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Sum of all documents of one archive after unpacking, in bytes.
pub const ARCHIVE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// The same of a tar archive, whose members are read one after the other: Red Hat's VEX documents of all years have some
/// 30 GB.
pub const TAR_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Most documents in one archive or folder; npm's feed has some 230 000.
pub const DOCUMENTS_MAX: usize = 2_000_000;
/// Deepest folder below the one named.
const FOLDER_DEPTH_MAX: usize = 16;

/// What a source brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Documents of known feeds.
    pub documents: u64,
    /// Documents that are of no known feed, and were left out.
    pub unrecognised: u64,
    /// Advisories that are judged here.
    pub advisories: u64,
    /// Advisories that are not: other ecosystems, withdrawn.
    pub skipped: u64,
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// A document is broken; leaving it out could hide an advisory.
    #[error("`{document}` is broken")]
    Document {
        /// File, member or line.
        document: String,
        /// How.
        #[source]
        source: FeedError,
    },
    /// Nothing in it is an advisory feed.
    #[error("`{}` holds no advisory feed: {unrecognised} documents have no known form", path.display())]
    NoFeed {
        /// Which file or folder.
        path: PathBuf,
        /// How many documents were looked at.
        unrecognised: u64,
    },
    /// The file cannot be read or unpacked.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system or the decoder said.
        #[source]
        source: io::Error,
    },
    /// A bound was reached.
    #[error("`{}` has more than {max} {unit}", path.display())]
    TooLarge {
        /// Which file or folder.
        path: PathBuf,
        /// The bound.
        max: u64,
        /// Of what.
        unit: &'static str,
    },
    /// The zip archive is broken.
    #[error("`{}` is no readable zip archive", path.display())]
    Zip {
        /// Which.
        path: PathBuf,
        /// How.
        #[source]
        source: zip::result::ZipError,
    },
}

/// The feed files below a path, sorted: the path itself when it is a file, else every `*.json`, `*.jsonl`, `*.csv`, `*.xml`,
/// `*.db`, `*.tar`, `*.zip` and their compressed forms in the folder.
///
/// # Errors
///
/// When a folder cannot be read, is too deep or has too many files.
pub fn feed_files(path: &Path) -> Result<Vec<PathBuf>, IntakeError> {
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, 0, &mut files)?;
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    Ok(files)
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), IntakeError> {
    let read = |source| IntakeError::Read { path: folder.to_owned(), source };
    if depth > FOLDER_DEPTH_MAX {
        let max = FOLDER_DEPTH_MAX as u64;
        return Err(IntakeError::TooLarge { path: folder.to_owned(), max, unit: "nested folders" });
    }
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        // The kind of the entry itself: a link to a folder could lead in circles.
        let kind = entry.file_type().map_err(read)?;
        let path = entry.path();
        if kind.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if is_feed_name(&path) {
            if files.len() >= DOCUMENTS_MAX {
                let max = DOCUMENTS_MAX as u64;
                return Err(IntakeError::TooLarge { path: folder.to_owned(), max, unit: "files" });
            }
            files.push(path);
        }
    }
    Ok(())
}

fn is_feed_name(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".zst").or_else(|| name.strip_suffix(".gz")).unwrap_or(&name);
    // `updateinfo.xml` is in most repositories `….updateinfo.xml`.
    [".csv", ".db", ".json", ".jsonl", ".tar", ".xml", ".zip"].iter().any(|suffix| name.ends_with(suffix))
}

/// Adds one file: a document, JSON lines, or a zip or tar archive of such, packed by gzip or zstd or plain. What it is is
/// found from its bytes, not from its name.
///
/// # Errors
///
/// When it cannot be read, is broken or breaks a bound. Documents of no known feed are counted, not refused.
pub fn add_file(builder: &mut Builder, source: &str, file: &Path) -> Result<Intake, IntakeError> {
    let read = |source| IntakeError::Read { path: file.to_owned(), source };
    let mut reader = BufReader::new(File::open(file).map_err(read)?);
    let modified = reader.get_ref().metadata().and_then(|metadata| metadata.modified()).ok();
    let dated = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    let dated = dated.and_then(|dated| i64::try_from(dated.as_secs()).ok());
    let mut magic = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut magic).map_err(read)?;
    if magic == *b"PK\x03\x04" {
        return add_zip(builder, source, dated, file);
    }
    let whole = io::Cursor::new(magic.clone()).chain(reader);
    let mut plain: Box<dyn Read> = if magic == [0x28, 0xb5, 0x2f, 0xfd] {
        Box::new(zstd::Decoder::new(whole).map_err(read)?)
    } else if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    };
    let mut start = Vec::new();
    plain.by_ref().take(TAR_BLOCK_BYTES).read_to_end(&mut start).map_err(read)?;
    let is_tar = start.get(257..262) == Some(b"ustar");
    let max = if start.starts_with(SQLITE) { DATABASE_BYTES_MAX } else { DOCUMENT_BYTES_MAX };
    let plain = io::Cursor::new(start).chain(plain);
    if is_tar {
        return add_tar(builder, source, dated, file, plain);
    }
    let bytes = read_capped(plain, max, file)?;
    let mut intake = Intake::default();
    add_text(builder, source, dated, &file.display().to_string(), &bytes, &mut intake)?;
    Ok(intake)
}

/// The first block of a tar archive, which bears its mark.
const TAR_BLOCK_BYTES: u64 = 512;

/// One document after the other, so that an archive of a quarter of a million (Red Hat's VEX) is never in memory.
fn add_tar(
    builder: &mut Builder,
    source: &str,
    dated: Option<i64>,
    file: &Path,
    reader: impl Read,
) -> Result<Intake, IntakeError> {
    let read = |source| IntakeError::Read { path: file.to_owned(), source };
    let too_large = |max, unit| IntakeError::TooLarge { path: file.to_owned(), max, unit };
    let mut archive = tar::Archive::new(reader.take(TAR_BYTES_MAX + 1));
    let mut intake = Intake::default();
    let mut total = 0_u64;
    for (number, member) in archive.entries().map_err(read)?.enumerate() {
        let member = member.map_err(read)?;
        if number >= DOCUMENTS_MAX {
            return Err(too_large(DOCUMENTS_MAX as u64, "documents"));
        }
        total = total.saturating_add(member.size()).saturating_add(TAR_BLOCK_BYTES);
        if total > TAR_BYTES_MAX {
            return Err(too_large(TAR_BYTES_MAX, "bytes"));
        }
        let name = member.path().map_err(read)?.to_string_lossy().into_owned();
        if !member.header().entry_type().is_file() || !is_feed_name(Path::new(&name)) {
            continue;
        }
        let max = if name.ends_with(".db") { DATABASE_BYTES_MAX } else { DOCUMENT_BYTES_MAX };
        let bytes = read_capped(member, max, file)?;
        add_text(builder, source, dated, &format!("{}!{name}", file.display()), &bytes, &mut intake)?;
    }
    Ok(intake)
}

fn read_capped(reader: impl Read, max: u64, file: &Path) -> Result<Vec<u8>, IntakeError> {
    let mut bytes = Vec::new();
    let read = reader.take(max + 1).read_to_end(&mut bytes);
    read.map_err(|source| IntakeError::Read { path: file.to_owned(), source })?;
    if bytes.len() as u64 > max {
        return Err(IntakeError::TooLarge { path: file.to_owned(), max, unit: "bytes" });
    }
    Ok(bytes)
}

fn add_zip(
    builder: &mut Builder,
    source: &str,
    dated: Option<i64>,
    file: &Path,
) -> Result<Intake, IntakeError> {
    let broken = |source| IntakeError::Zip { path: file.to_owned(), source };
    let reader = File::open(file).map_err(|source| IntakeError::Read { path: file.to_owned(), source })?;
    let mut archive = zip::ZipArchive::new(BufReader::new(reader)).map_err(broken)?;
    if archive.len() > DOCUMENTS_MAX {
        let max = DOCUMENTS_MAX as u64;
        return Err(IntakeError::TooLarge { path: file.to_owned(), max, unit: "documents" });
    }
    let mut intake = Intake::default();
    let mut total = 0_u64;
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(broken)?;
        let name = member.name().map_err(broken)?.into_owned();
        if !member.is_file() || !is_feed_name(Path::new(&name)) {
            continue;
        }
        let bytes = read_capped(member, DOCUMENT_BYTES_MAX, file)?;
        total = total.saturating_add(bytes.len() as u64);
        if total > ARCHIVE_BYTES_MAX {
            return Err(IntakeError::TooLarge {
                path: file.to_owned(),
                max: ARCHIVE_BYTES_MAX,
                unit: "bytes",
            });
        }
        add_text(builder, source, dated, &format!("{}!{name}", file.display()), &bytes, &mut intake)?;
    }
    Ok(intake)
}

/// One document, or one a line.
fn add_text(
    builder: &mut Builder,
    source: &str,
    dated: Option<i64>,
    name: &str,
    bytes: &[u8],
    intake: &mut Intake,
) -> Result<(), IntakeError> {
    if is_lines(bytes) {
        let lines = builder.add_lines(source, dated, bytes).map_err(|(line, source)| {
            IntakeError::Document { document: format!("{name}, line {line}"), source }
        })?;
        intake.documents += lines.documents;
        intake.unrecognised += lines.unrecognised;
        intake.advisories += lines.advisories;
        intake.skipped += lines.skipped;
        return Ok(());
    }
    match builder.add(source, dated, bytes) {
        Ok(added) => {
            intake.documents += 1;
            intake.advisories += added.advisories;
            intake.skipped += added.skipped;
            Ok(())
        }
        Err(FeedError::Unrecognised) => {
            intake.unrecognised += 1;
            Ok(())
        }
        Err(source) => Err(IntakeError::Document { document: name.to_owned(), source }),
    }
}

/// Is the first line a document of its own, with more behind it?
fn is_lines(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return false };
    let (first, rest) = bytes.split_at(end);
    !rest.iter().all(u8::is_ascii_whitespace)
        && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok()
}
