//! The stable answer about one image: what is inside, what is wrong, and what could not be known.

use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::package::{Distribution, Package};
use crate::release::Support;

/// Everything the scanner can say about one image at one advisory revision. Sorted, so that the same image and the
/// same advisories always give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReport {
    /// The operating system in the final view; `None` when the image has none (see [`ScanReport::unknown`]).
    pub distribution: Option<Distribution>,
    /// How long its release is looked after; `None` when there is no distribution.
    #[serde(default)]
    pub support: Option<Support>,
    /// Installed packages in the final view.
    pub packages: Vec<ImagePackage>,
    /// Packages × advisories.
    pub findings: Vec<Finding>,
    /// What stops us from calling the image clean. Empty means that every package found was judged.
    pub unknown: Vec<Unknown>,
    /// Secrets in any layer, deleted files included.
    pub secrets: Vec<SecretFinding>,
    /// Files whose permissions deserve a look.
    pub permissions: Vec<PermissionFinding>,
    /// Bytes that are shipped but not visible in the final view.
    pub waste: Waste,
    /// One entry a layer, oldest first.
    pub layers: Vec<LayerSummary>,
    /// Which advisories judged the packages.
    pub advisories: Option<AdvisoryRevision>,
}

/// A package with its origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImagePackage {
    /// What.
    pub package: Package,
    /// The database file that lists it.
    pub path: String,
    /// The first layer in which this name and version stand.
    pub layer: usize,
    /// A package of a language whose file a package of the distribution installed, and that is still that file: the
    /// distribution backports fixes, so that its advisories judge it, and the language's do not.
    #[serde(default)]
    pub owned: bool,
}

/// A reason why "no finding" does not mean "clean".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Unknown {
    /// There are operating-system packages but no usable `os-release`.
    NoDistribution,
    /// A distribution, or a release of it, that no loaded advisory source covers.
    NoAdvisories {
        /// `debian 12`, `amzn 2023`, `npm`.
        ecosystem: String,
        /// How many packages could not be judged.
        packages: usize,
    },
    /// No advisory snapshot is loaded at all.
    NoAdvisoryData,
    /// A document that lists a system's packages and tells for none of them which source it was built from, by which
    /// advisories go.
    NoSourcePackages {
        /// `deb`, `apk`.
        kind: String,
        /// How many packages.
        packages: usize,
    },
    /// A document that lists packages, and is not whole or not clear.
    IncompleteDocument {
        /// What is missing.
        problem: String,
    },
    /// A package database that is there but cannot be read.
    BrokenDatabase {
        /// Where.
        path: String,
        /// Which layer wrote it.
        layer: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A package database of a kind that we cannot read yet (rpm, pacman…).
    UnsupportedDatabase {
        /// Where.
        path: String,
        /// Which layer wrote it.
        layer: usize,
    },
    /// Nothing recognisable is installed: no package database, no language packages.
    NothingRecognised,
    /// A package whose version cannot be ordered by its ecosystem's rules.
    UnorderableVersion {
        /// Name and version.
        package: String,
    },
    /// A Java archive that does not tell its group, while advisories name a library of its name and version.
    UnidentifiedPackage {
        /// Name and version.
        package: String,
    },
    /// An executable that should tell what was built into it, and cannot be read: packed, or built by a Go before 1.18.
    UnreadableExecutable {
        /// Where.
        path: String,
        /// Which layer wrote it.
        layer: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A layer that is not a file-system layer, or was refused while walking.
    UnreadableLayer {
        /// Which.
        layer: usize,
        /// The limit or malformation, with the value seen.
        problem: String,
    },
}

/// A credential found in a layer. The value itself is never kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretFinding {
    /// Rule name: `aws-access-key-id`, `private-key`.
    pub rule: String,
    /// File in the layer, with `!` and the member where it is a packed archive; `config.Env[NAME]`, `config.Labels[NAME]` or `history[N].created_by` for the image
    /// configuration.
    pub path: String,
    /// Which layer; `None` for the image configuration.
    pub layer: Option<usize>,
    /// A later layer hides the file; the secret still ships.
    pub deleted_later: bool,
    /// SHA-256 of the value, hex: lets an exception name it without repeating it.
    pub value_sha256: String,
    /// At most the first six characters, then `…`.
    pub preview: String,
}

/// A file with permissions that widen an attacker's reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PermissionFinding {
    /// Why it is listed.
    pub kind: PermissionKind,
    /// File in the final view.
    pub path: String,
    /// Mode bits, octal meaning (`0o4755`).
    pub mode: u32,
    /// Which layer wrote it.
    pub layer: usize,
}

/// See [`PermissionFinding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionKind {
    /// Set-group-ID executable.
    Setgid,
    /// Set-user-ID executable.
    Setuid,
    /// Writable by everyone, and no sticky directory.
    WorldWritable,
}

/// Bytes that ship in the layers but that no container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waste {
    /// Uncompressed bytes in earlier layers that a later layer overwrites or deletes: what squashing would save.
    pub hidden_bytes: u64,
    /// Uncompressed bytes of equal files beyond their first copy, in the final view.
    pub duplicate_bytes: u64,
    /// All uncompressed file bytes of all layers.
    pub total_bytes: u64,
    /// The worst paths, most wasted bytes first; bounded.
    pub paths: Vec<WastedPath>,
}

impl Waste {
    /// Hidden bytes as a share of all bytes, 0 to 1.
    pub fn ratio(&self) -> f64 {
        if self.total_bytes == 0 { 0.0 } else { self.hidden_bytes as f64 / self.total_bytes as f64 }
    }
}

/// One path that wastes bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WastedPath {
    /// File.
    pub path: String,
    /// Bytes that ship and are not visible.
    pub bytes: u64,
    /// The layer that shipped them.
    pub layer: usize,
    /// The layer that overwrote or deleted them.
    pub hidden_by: usize,
}

/// Size and origin of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// Digest of the blob as stored.
    pub digest: String,
    /// Digest of the uncompressed archive, which `config.rootfs.diff_ids` must repeat.
    pub diff_id: Option<String>,
    /// The history entry that made it (`created_by`), where the configuration tells.
    pub instruction: Option<String>,
    /// Bytes on the wire.
    pub compressed_bytes: u64,
    /// Bytes of the archive.
    pub uncompressed_bytes: u64,
    /// Sum of regular file sizes.
    pub file_bytes: u64,
    /// Entries in the archive.
    pub entries: u64,
}

/// Names the advisory snapshot that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvisoryRevision {
    /// SHA-256 of the snapshot, hex: part of every verdict's key.
    pub digest: String,
    /// Seconds since 1970-01-01 UTC: the newest modification among its sources, so that "how old is our knowledge" can
    /// be judged.
    pub newest: i64,
    /// Seconds since 1970-01-01 UTC: when its sources were last fetched or built.
    pub built: i64,
}
