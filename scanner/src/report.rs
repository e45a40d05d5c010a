//! The stable answer about one image: what is inside, what is wrong, and what could not be known.

use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::package::{Distribution, Package};
use crate::release::Support;

mod malware;

pub use malware::{Malware, MalwareFinding, Unsearched, UnsearchedFile};

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
    /// What is aimed at the engine that unpacks or starts the image.
    #[serde(default)]
    pub attacks: Vec<EngineAttack>,
    /// What YARA rules say of the files, where there were any.
    #[serde(default, skip_serializing_if = "Malware::is_unasked")]
    pub malware: Malware,
    /// Who answers for the programs in the final view.
    #[serde(default)]
    pub coverage: Coverage,
    /// Every program of every layer, for lists of digests. Kept with the inventory of an image, so that a list is asked
    /// about images that were scanned before it was written.
    #[serde(default)]
    pub programs: Vec<ProgramFile>,
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
    /// `os-release` names one system, and the packages were built for another.
    ContradictingDistribution {
        /// What `os-release` says: `alpine 3.20`.
        claimed: String,
        /// What the packages say: `debian 12`.
        told: String,
        /// How many packages say so.
        witnesses: usize,
    },
    /// A package database that a later layer deletes or empties, and that nothing takes the place of.
    DeletedDatabase {
        /// Where it stood.
        path: String,
        /// Which layer took it away.
        layer: usize,
        /// How many packages it listed.
        packages: usize,
        /// How many of their programs and libraries are still there.
        files: usize,
    },
    /// Packages that are no longer listed, while their programs and libraries stay.
    ShortenedDatabase {
        /// The database that no longer lists them, or the list of files that nothing explains.
        path: String,
        /// Which layer wrote it.
        layer: usize,
        /// One of the packages.
        package: String,
        /// How many.
        packages: usize,
        /// How many of their programs and libraries are still there.
        files: usize,
    },
    /// A package database that is reached through a link that no distribution makes.
    LinkedDatabase {
        /// Where package managers look.
        path: String,
        /// Where the link leads.
        target: String,
        /// Which layer wrote what stands there.
        layer: usize,
    },
    /// Packages of a system that are listed only where no package manager looks.
    MisplacedDatabase {
        /// Where.
        path: String,
        /// Which layer wrote it.
        layer: usize,
    },
    /// A C library of a distribution that no package explains: its packages have been left behind or hidden.
    UnlistedSystem {
        /// The library.
        path: String,
        /// Which layer wrote it.
        layer: usize,
    },
    /// Code of a language whose description was deleted, emptied or put behind a link.
    HiddenPackages {
        /// Where.
        path: String,
        /// Which layer wrote the code, or hid its description.
        layer: usize,
        /// What is missing.
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

/// Content that has been used, or could be, against the engine that unpacks or starts an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EngineAttack {
    /// Which.
    pub kind: AttackKind,
    /// File in the image, or part of the configuration: `config.User`.
    pub place: String,
    /// Which layer wrote it; `None` for the configuration and where it is not told.
    pub layer: Option<usize>,
    /// What is wrong with it, with the value.
    pub problem: String,
}

/// See [`EngineAttack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackKind {
    /// `etc/passwd` or `etc/group` that is huge or no file: engines read it into memory.
    AccountFile,
    /// A device node that engines do not put into every container anyway.
    DeviceNode,
    /// A symbolic link that climbs above the root.
    EscapingLink,
    /// A hard link to a symbolic one: engines have followed it when they set permissions.
    LinkToLink,
    /// A link into the process that follows it, which is the engine's own while a container starts.
    ProcessLink,
    /// A label in a namespace where the engine keeps orders to itself.
    ReservedLabel,
    /// The root of the image is no directory.
    RootLink,
    /// A later layer lets a file run with its owner's or group's rights.
    SetuidGrowth,
    /// A user or group number that overflows, and is root's or a name's then.
    UserOutOfRange,
    /// A volume whose path leaves the image.
    VolumePath,
    /// A working directory that leaves the image, or lies in a process.
    WorkingDirectory,
}

impl AttackKind {
    /// The holes in engines that it has been used for.
    pub fn advisories(self) -> &'static [&'static str] {
        match self {
            Self::AccountFile => &["CVE-2026-47262"],
            Self::DeviceNode | Self::EscapingLink | Self::SetuidGrowth => &[],
            Self::LinkToLink => &["CVE-2021-32760"],
            Self::ProcessLink => &["CVE-2019-5736"],
            Self::ReservedLabel => &["CVE-2026-53488"],
            Self::RootLink => &["CVE-2021-29136"],
            Self::UserOutOfRange => &["CVE-2024-40635", "CVE-2026-46680"],
            Self::VolumePath => &["CVE-2022-23648"],
            Self::WorkingDirectory => &["CVE-2024-21626"],
        }
    }
}

/// Every program that a container sees (machine code, and scripts that name their interpreter), by who answers for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Coverage {
    /// Installed by a package, and still what its database states by SHA-256 (rpm, Python's `RECORD`).
    pub verified: CoverageSum,
    /// Installed by a package that states no such digest (dpkg, apk), and not written again by a later layer.
    pub owned: CoverageSum,
    /// Not installed by a package of the system, and known all the same: it tells what was built into it, or lies in a
    /// package of a language, or is a script whose interpreter is known.
    pub recognised: CoverageSum,
    /// Installed by a package, and changed since.
    pub modified: CoverageSum,
    /// Nobody answers for it.
    pub unexplained: CoverageSum,
    /// The largest files that are modified or unexplained, most bytes first; bounded.
    pub largest: Vec<UnexplainedFile>,
}

impl Coverage {
    /// Bytes of all programs.
    pub fn total_bytes(&self) -> u64 {
        let sums = [self.verified, self.owned, self.recognised, self.modified, self.unexplained];
        sums.iter().fold(0, |sum, class| sum.saturating_add(class.bytes))
    }

    /// What nobody answers for: files and bytes.
    pub fn unanswered(&self) -> CoverageSum {
        CoverageSum {
            files: self.modified.files + self.unexplained.files,
            bytes: self.modified.bytes.saturating_add(self.unexplained.bytes),
        }
    }
}

/// See [`Coverage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageSum {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One program that nobody answers for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnexplainedFile {
    /// File in the final view.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// Which layer wrote it.
    pub layer: usize,
    /// A package installed it, and it was changed since.
    pub modified: bool,
    /// SHA-256 of its content, hex.
    pub sha256: String,
}

/// One program, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProgramFile {
    /// File in its layer.
    pub path: String,
    /// Which layer.
    pub layer: usize,
    /// A later layer hides the file; it still ships.
    pub deleted_later: bool,
    /// SHA-256 of its content, hex.
    pub sha256: String,
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
    /// Seconds since 1970-01-01 UTC: the newest entry of the catalogue of exploited problems; `None` without one, and then
    /// nothing tells what is exploited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploited: Option<i64>,
    /// The same of exploit predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<i64>,
}
