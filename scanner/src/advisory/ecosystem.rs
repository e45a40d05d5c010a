//! Names of the worlds that advisories speak about: a distribution's release, or a language's packages.

use serde::{Deserialize, Serialize};

use crate::package::{Distribution, PackageKind};
use crate::versions::Scheme;

/// `debian:12`, `ubuntu:24.04`, `alpine:3.20`, `wolfi`, `npm`, `pypi`. Only ecosystems whose versions we can order have
/// a name here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ecosystem(String);

/// Debian's code names (debian.org/releases); feeds key by them.
const DEBIAN_RELEASES: [(&str, &str); 14] = [
    ("sarge", "3.1"),
    ("etch", "4"),
    ("lenny", "5"),
    ("squeeze", "6"),
    ("wheezy", "7"),
    ("jessie", "8"),
    ("stretch", "9"),
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("duke", "15"),
    ("sid", "sid"),
];

impl Ecosystem {
    /// Packages of the npm registry.
    pub fn npm() -> Self {
        Self("npm".to_owned())
    }

    /// Packages of the Python package index.
    pub fn pypi() -> Self {
        Self("pypi".to_owned())
    }

    /// A Debian release by its code name; `None` for one that we do not know.
    pub fn debian(codename: &str) -> Option<Self> {
        let (_, number) = DEBIAN_RELEASES.iter().find(|(name, _)| *name == codename)?;
        Some(Self(format!("debian:{number}")))
    }

    /// An Alpine branch as its security database writes it: `v3.20`, `edge`.
    pub fn alpine(branch: &str) -> Self {
        Self(format!("alpine:{}", branch.strip_prefix('v').unwrap_or(branch)))
    }

    /// A rolling distribution of Alpine's kind: `wolfi`, `chainguard`.
    pub(super) fn rolling(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// The `ecosystem` of an OSV document (ossf.github.io/osv-schema); `None` for one that is not judged here.
    pub fn from_osv(name: &str) -> Option<Self> {
        let (family, release) = name.split_once(':').unwrap_or((name, ""));
        match (family, release) {
            ("npm", "") => Some(Self::npm()),
            ("PyPI", "") => Some(Self::pypi()),
            ("Wolfi", "") => Some(Self::rolling("wolfi")),
            ("Chainguard", "") => Some(Self::rolling("chainguard")),
            ("Debian", release) if is_number(release) => Some(Self(format!("debian:{release}"))),
            ("Alpine", branch) if branch.starts_with('v') || branch == "edge" => Some(Self::alpine(branch)),
            // `22.04`, `22.04:LTS`. `Pro:…` is the paid pocket: its fixes are not installable for everyone, and its
            // versions would turn "no fix" into "fixed".
            ("Ubuntu", release) => {
                let number = release.strip_suffix(":LTS").unwrap_or(release);
                is_number(number).then(|| Self(format!("ubuntu:{number}")))
            }
            _ => None,
        }
    }

    /// The ecosystem of a distribution's own packages; `None` when no advisories of that kind can be read. A derivative
    /// is never judged by its parent's advisories: it rebuilds packages with other versions.
    pub fn of_distribution(distribution: &Distribution) -> Option<Self> {
        let version = distribution.version_id.as_deref();
        match distribution.id.as_str() {
            "debian" => match version {
                // Point releases (`12.5`) share their release's advisories.
                Some(version) => {
                    let major = version.split('.').next().filter(|major| is_number(major))?;
                    Some(Self(format!("debian:{major}")))
                }
                None => distribution.codename.as_deref().and_then(Self::debian),
            },
            "ubuntu" => {
                version.filter(|version| is_number(version)).map(|version| Self(format!("ubuntu:{version}")))
            }
            "alpine" => {
                let version = version?;
                if version.contains("alpha") || version == "edge" {
                    return Some(Self::alpine("edge"));
                }
                let mut parts = version.split('.');
                let (major, minor) = (parts.next()?, parts.next()?);
                (is_number(major) && is_number(minor)).then(|| Self(format!("alpine:{major}.{minor}")))
            }
            "wolfi" | "chainguard" => Some(Self::rolling(&distribution.id)),
            _ => None,
        }
    }

    /// The ecosystem that judges packages of a kind in an image of this distribution.
    pub fn of_package(kind: PackageKind, distribution: Option<&Distribution>) -> Option<Self> {
        match kind {
            PackageKind::Npm => Some(Self::npm()),
            PackageKind::Python => Some(Self::pypi()),
            PackageKind::Apk => {
                distribution.and_then(Self::of_distribution).filter(|it| it.scheme() == Scheme::Apk)
            }
            PackageKind::Deb => {
                distribution.and_then(Self::of_distribution).filter(|it| it.scheme() == Scheme::Dpkg)
            }
        }
    }

    /// How its versions are ordered.
    pub fn scheme(&self) -> Scheme {
        match self.family() {
            "npm" => Scheme::Semver,
            "pypi" => Scheme::Pep440,
            "debian" | "ubuntu" => Scheme::Dpkg,
            _ => Scheme::Apk,
        }
    }

    /// Is it a distribution, not a language?
    pub fn is_distribution(&self) -> bool {
        matches!(self.scheme(), Scheme::Apk | Scheme::Dpkg)
    }

    /// Without the release: `debian`.
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or(&self.0)
    }

    /// As written in the file: `debian:12`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A package name as this ecosystem compares it: Python's are normalised (PEP 503), all others are exact.
    pub fn normalise(&self, name: &str) -> String {
        if self.0 != "pypi" {
            return name.to_owned();
        }
        let mut normal = String::with_capacity(name.len());
        for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
            if !normal.is_empty() {
                normal.push('-');
            }
            normal.push_str(&part.to_lowercase());
        }
        normal
    }
}

impl std::fmt::Display for Ecosystem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
