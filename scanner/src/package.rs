//! What was found installed in an image: distributions and packages.

use serde::{Deserialize, Serialize};

/// The operating system an image says it is, from `os-release` (freedesktop.org os-release(5)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`, lower case: `debian`, `alpine`.
    pub id: String,
    /// `VERSION_ID` as written: `12`, `3.19.1`. Rolling releases have none.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: Option<String>,
    /// `PRETTY_NAME`, for people.
    pub pretty_name: Option<String>,
}

/// Which package manager installed a package; it decides how versions are ordered and which advisories apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// Alpine and its relatives.
    Apk,
    /// Debian and its relatives.
    Deb,
    /// An installed `node_modules/*/package.json`.
    Npm,
    /// An installed `*.dist-info` or `*.egg-info`.
    Python,
}

impl PackageKind {
    /// The package URL type (purl-spec): `apk`, `deb`, `npm`, `pypi`.
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Deb => "deb",
            Self::Npm => "npm",
            Self::Python => "pypi",
        }
    }
}

/// The source package that a binary package was built from; distributions publish their advisories for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Debian `Source`, Alpine `o:` (origin).
    pub name: String,
    /// The source's own version, which differs from the binary's for rebuilds (`Source: foo (1.2)`).
    pub version: String,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Package {
    /// Which package manager.
    pub kind: PackageKind,
    /// Name as its package manager writes it; Python names are normalised (PEP 503).
    pub name: String,
    /// Version as written.
    pub version: String,
    /// Architecture, where the database tells.
    pub architecture: Option<String>,
    /// What it was built from. For [`PackageKind::Deb`] and [`PackageKind::Apk`] always present.
    pub source: Option<SourcePackage>,
}
