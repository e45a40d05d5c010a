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
    /// The repositories that its packages come from, where the image tells; sorted. Red Hat's advisories need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
}

/// Which package manager installed a package; it decides how versions are ordered and which advisories apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    /// Arch Linux and its relatives.
    Alpm,
    /// Alpine and its relatives.
    Apk,
    /// A crate inside an executable, from the list that `cargo auditable` leaves there.
    Cargo,
    /// An entry of a `vendor/composer/installed.json`.
    Composer,
    /// Debian and its relatives.
    Deb,
    /// An installed gem's specification.
    Gem,
    /// A module inside a Go executable, or Go's own library.
    Golang,
    /// A Java archive, or one inside another: `group:artifact`, or the artifact alone where nothing tells the group.
    Maven,
    /// An installed `node_modules/*/package.json`.
    Npm,
    /// A library that a `*.deps.json` names.
    Nuget,
    /// An installed `*.dist-info` or `*.egg-info`.
    Python,
    /// Red Hat, SUSE and their relatives.
    Rpm,
}

impl PackageKind {
    /// The package URL type (purl-spec): `deb`, `golang`, `pypi`.
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Alpm => "alpm",
            Self::Apk => "apk",
            Self::Cargo => "cargo",
            Self::Composer => "composer",
            Self::Deb => "deb",
            Self::Gem => "gem",
            Self::Golang => "golang",
            Self::Maven => "maven",
            Self::Npm => "npm",
            Self::Nuget => "nuget",
            Self::Python => "pypi",
            Self::Rpm => "rpm",
        }
    }

    /// Packages of the distribution, not of a language.
    pub fn is_system(self) -> bool {
        matches!(self, Self::Alpm | Self::Apk | Self::Deb | Self::Rpm)
    }
}

/// The source package that a binary package was built from; distributions publish their advisories for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Debian `Source`, Alpine `o:` (origin), the name in `SOURCERPM`.
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
    /// Module and stream that an rpm package belongs to, `nodejs:16`: its advisories are another stream's nonsense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Who built an rpm package, as its header says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
}

impl Package {
    /// A package of which nothing but name and version is known.
    pub fn new(kind: PackageKind, name: String, version: String) -> Self {
        Self { kind, name, version, architecture: None, source: None, module: None, vendor: None }
    }
}
