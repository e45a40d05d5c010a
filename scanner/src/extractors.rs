//! The `Extractor` seam and the full list; one file per package database.
//!
//! To add one: a file beside these, its name and version in [`all`], a new [`crate::layer::ANALYZER`] version, and cases
//! in its test module. The walk calls `wants` on every file, holds the ones that are wanted in memory, and the
//! extractor only parses.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::Limits;
use crate::package::{Distribution, Package};

pub mod apk;
pub mod chisel;
pub mod composer;
pub mod conda;
pub mod content_manifest;
pub mod cran;
pub mod dotnet;
pub mod dpkg;
pub mod erlang;
pub mod java;
pub mod node;
pub mod opkg;
pub mod os_release;
pub mod pacman;
pub mod python;
pub mod rpm;
pub mod ruby;
pub mod runtimes;
pub mod spdx;
pub mod unsupported;

/// Reads one kind of package database.
pub trait Extractor: Send + Sync {
    /// Its name in reports and in [`crate::layer::ANALYZER`]'s contract: stable, lower case.
    fn name(&self) -> &'static str;

    /// Raised whenever the same bytes would give another answer.
    fn version(&self) -> u32;

    /// Whether a file at this path (relative, cleaned, as the archive names it) is for this extractor. Called for each
    /// file, so it must be cheap.
    fn wants(&self, path: &[u8]) -> Want;

    /// Bytes of the largest file that it reads; a larger one is a broken database.
    fn bytes_max(&self, limits: &Limits) -> usize {
        limits.captured_bytes_max
    }

    /// Parses one file.
    fn extract(&self, path: &[u8], bytes: &[u8]) -> Result<Extracted, ExtractError>;
}

/// See [`Extractor::wants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Not for this extractor.
    No,
    /// The content is needed.
    Content,
    /// The name says enough.
    NameOnly,
}

/// What one file told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extracted {
    /// Which system this is.
    Distribution(Distribution),
    /// Packages that are installed; empty when the file lists none.
    Packages(Vec<Package>),
    /// A system's packages, with those of their files that may hold packages of a language.
    System {
        /// As in [`Extracted::Packages`].
        packages: Vec<Package>,
        /// Which package (an index), and the file.
        owned: Vec<(u32, OwnedFile)>,
    },
    /// Such files of one package, where they are listed by themselves.
    Owned(Vec<OwnedFile>),
    /// The repositories that the system's packages come from.
    Repositories(Vec<String>),
    /// A package database that cannot be read yet: what it lists is unknown.
    Unsupported,
}

/// A file that a package brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedFile {
    /// Relative to the root.
    pub path: String,
    /// What its content must be, where the database states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<FileDigest>,
}

/// The digest of a file's content, in lower-case hex, by the algorithm that its package manager uses. The weak ones tell a
/// file that was changed by the way, not one that was made to collide; who can do that can write the database too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileDigest {
    /// dpkg's lists, and rpm before 4.6.
    Md5(String),
    /// apk.
    Sha1(String),
    /// rpm, Python's records, Chisel.
    Sha256(String),
}

impl FileDigest {
    /// `None` when it is no digest of this length in hex.
    pub(crate) fn md5(hex: &str) -> Option<Self> {
        is_hex(hex, 32).then(|| Self::Md5(hex.to_ascii_lowercase()))
    }

    /// As [`FileDigest::md5`].
    pub(crate) fn sha1(hex: &str) -> Option<Self> {
        is_hex(hex, 40).then(|| Self::Sha1(hex.to_ascii_lowercase()))
    }

    /// As [`FileDigest::md5`].
    pub(crate) fn sha256(hex: &str) -> Option<Self> {
        is_hex(hex, 64).then(|| Self::Sha256(hex.to_ascii_lowercase()))
    }

    /// The digest in hex.
    pub(crate) fn hex(&self) -> &str {
        let (Self::Md5(hex) | Self::Sha1(hex) | Self::Sha256(hex)) = self;
        hex
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl From<String> for OwnedFile {
    fn from(path: String) -> Self {
        Self { path, digest: None }
    }
}

impl Extracted {
    /// Packages that are installed, if this is a list of such.
    pub fn packages(&self) -> Option<&[Package]> {
        match self {
            Self::Packages(packages) | Self::System { packages, .. } => Some(packages),
            Self::Distribution(_) | Self::Owned(_) | Self::Repositories(_) | Self::Unsupported => None,
        }
    }
}

/// Why a file that should list packages could not be read. The image is then unknown, never clean.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExtractError {
    /// Not what its place says it is.
    #[error("not {expected}: {problem}")]
    Malformed {
        /// The expected format.
        expected: &'static str,
        /// What is wrong, with the line where that is known.
        problem: String,
    },
    /// A field that must be there is not.
    #[error("{record} has no `{field}`")]
    MissingField {
        /// Which record.
        record: String,
        /// The field.
        field: &'static str,
    },
    /// See [`crate::limits::Limits::captured_bytes_max`].
    #[error("{bytes} bytes, more than {max}")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        max: usize,
    },
    /// A name or a version of impossible length.
    #[error("`{field}` of {bytes} bytes, more than {max}")]
    FieldTooLong {
        /// The field.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// All extractors. The order decides who reads a file that two want; none overlap.
pub fn all() -> &'static [&'static dyn Extractor] {
    &[
        &apk::Apk,
        &chisel::Chisel,
        &composer::Composer,
        &conda::Conda,
        &content_manifest::ContentManifest,
        &cran::Cran,
        &dotnet::Dotnet,
        &dpkg::Dpkg,
        &erlang::Erlang,
        &java::Java,
        &node::Node,
        &opkg::Opkg,
        &os_release::OsRelease,
        &pacman::Pacman,
        &python::Python,
        &rpm::Rpm,
        &ruby::Ruby,
        &runtimes::Runtimes,
        &spdx::Spdx,
        &unsupported::Unsupported,
    ]
}

/// Whether a file may hold packages of a language, by its path: it is worth knowing that a system's package owns it. All
/// others, most of a distribution, are not kept.
fn may_hold_packages(path: &[u8]) -> bool {
    let languages: [&dyn Extractor; 9] = [
        &composer::Composer,
        &cran::Cran,
        &dotnet::Dotnet,
        &erlang::Erlang,
        &java::Java,
        &node::Node,
        &python::Python,
        &ruby::Ruby,
        &runtimes::Runtimes,
    ];
    may_be_executable(path) || languages.iter().any(|language| language.wants(path) != Want::No)
}

/// Programs stand in few places, most without an ending; libraries are told by theirs.
fn may_be_executable(path: &[u8]) -> bool {
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return false };
    let (folder, name) = (&path[..slash], &path[slash + 1..]);
    let place = |place: &[u8]| memchr::memmem::find(folder, place).is_some();
    let bare = !name.contains(&b'.') || memchr::memmem::find(name, b".so").is_some();
    let program = place(b"bin") || bare && [&b"libexec"[..], b"games", b"lib", b"opt"].into_iter().any(place);
    program && !folder.starts_with(b"usr/share") && !folder.starts_with(b"etc")
}

/// A path as databases write it, without what begins it in the archive's.
fn relative(path: &str) -> &str {
    path.trim_start_matches('.').trim_start_matches('/')
}

/// Bytes of a name or version; the longest real ones are below 220.
const FIELD_BYTES_MAX: usize = 1024;

/// A name or version as text, bounded.
pub(crate) fn field(name: &'static str, value: &str) -> Result<String, ExtractError> {
    if value.len() > FIELD_BYTES_MAX {
        return Err(ExtractError::FieldTooLong { field: name, bytes: value.len(), max: FIELD_BYTES_MAX });
    }
    Ok(value.to_owned())
}

/// A database as text. Other encodings than UTF-8 appear in maintainers' names only, so that what is not UTF-8 is
/// replaced, never refused.
pub(crate) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Whether `path` is `suffix` or ends in `/suffix`.
fn ends_with(path: &[u8], suffix: &[u8]) -> bool {
    path.strip_suffix(suffix).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
}

#[cfg(test)]
mod tests;
