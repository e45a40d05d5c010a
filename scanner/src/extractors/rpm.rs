//! RPM packages: the database in its three formats, and the manifest that images without rpm carry.

use std::borrow::Cow;

use crate::extractors::{ExtractError, Extracted, Extractor, Want, ends_with, text};
use crate::limits::Limits;
use crate::package::Package;

mod bdb;
mod header;
mod manifest;
mod ndb;
mod sqlite;

/// Reads `rpmdb.sqlite`, `Packages.db` (NDB) and `Packages` (Berkeley DB) wherever rpm keeps them, and
/// `container-manifest-2` of Azure Linux.
pub struct Rpm;

/// Folders in which distributions keep the database.
const FOLDERS: [&[u8]; 3] = [b"var/lib/rpm", b"usr/lib/sysimage/rpm", b"usr/share/rpm"];

/// The database of each format, and SQLite's write-ahead log.
const FILES: [&[u8]; 4] = [b"rpmdb.sqlite", b"rpmdb.sqlite-wal", b"Packages.db", b"Packages"];

impl Extractor for Rpm {
    fn name(&self) -> &'static str {
        "rpm"
    }

    fn version(&self) -> u32 {
        4
    }

    fn wants(&self, path: &[u8]) -> Want {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return Want::No };
        let (folder, name) = (&path[..slash], &path[slash + 1..]);
        let database = FILES.contains(&name) && FOLDERS.iter().any(|known| ends_with(folder, known));
        let manifest = name == b"container-manifest-2" && ends_with(folder, b"var/lib/rpmmanifest");
        if database || manifest { Want::Content } else { Want::No }
    }

    fn bytes_max(&self, limits: &Limits) -> usize {
        limits.database_bytes_max
    }

    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError> {
        if path.ends_with(b"container-manifest-2") {
            return manifest::packages(&text(bytes)).map(Extracted::Packages);
        }
        if path.ends_with(b"-wal") {
            return without_changes(bytes);
        }
        let (mut packages, mut owned) = (Vec::new(), Vec::new());
        let mut add = |blob: &[u8]| -> Result<(), ExtractError> {
            let Some((package, files)) = header::package(blob)? else { return Ok(()) };
            let number = u32::try_from(packages.len()).expect("fewer packages than bytes in a bounded file");
            packages.push(package);
            owned.extend(files.into_iter().map(|file| (number, file)));
            Ok(())
        };
        // By content, not by name: rpm itself converts one format into another under the old name.
        if bytes.starts_with(sqlite::MAGIC) {
            sqlite::for_each_header(bytes, &mut add)?;
        } else if bytes.starts_with(ndb::MAGIC) {
            ndb::for_each_header(bytes, &mut add)?;
        } else if bdb::recognises(bytes) {
            bdb::for_each_header(bytes, &mut add)?;
        } else if !bytes.is_empty() {
            return Err(malformed("neither SQLite nor NDB nor Berkeley DB begins so"));
        }
        Ok(Extracted::System { packages, owned })
    }
}

/// What stands in a write-ahead log has not reached the database: a scanner that read the database alone would miss it.
fn without_changes(log: &[u8]) -> Result<Extracted, ExtractError> {
    if log.is_empty() {
        return Ok(Extracted::Packages(Vec::new()));
    }
    Err(malformed("a write-ahead log that is not empty: the database beside it is not complete"))
}

fn malformed(problem: impl Into<Cow<'static, str>>) -> ExtractError {
    ExtractError::Malformed { expected: "an rpm database", problem: problem.into().into_owned() }
}

/// Takes one package's header; what it refuses ends the reading.
type Visit<'v> = &'v mut dyn FnMut(&[u8]) -> Result<(), ExtractError>;

/// The version as rpm's tools write it: `epoch:version-release`, without an epoch where the database has none.
fn evr(epoch: Option<u32>, version: &str, release: &str) -> String {
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    if release.is_empty() { format!("{epoch}{version}") } else { format!("{epoch}{version}-{release}") }
}

/// Name and version of the source package out of its file's name, `bash-5.1.8-6.el9.src.rpm`. The epoch is not in the
/// name; binaries nearly always share it.
fn source(file: &str, epoch: Option<u32>) -> Option<crate::package::SourcePackage> {
    let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    let complete = !name.is_empty() && !version.is_empty() && !release.is_empty();
    complete.then(|| crate::package::SourcePackage {
        name: name.to_owned(),
        version: evr(epoch, version, release),
    })
}

/// Public keys are kept as packages; nothing of them is installed.
fn is_key(package: &Package) -> bool {
    package.name == "gpg-pubkey"
}
