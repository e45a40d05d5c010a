//! Names of the worlds that advisories speak about: a distribution's release, or a language's packages.

mod keys;
mod osv_names;
mod red_hat;

use serde::{Deserialize, Serialize};

use crate::package::{Distribution, Package, PackageKind};
use crate::versions::Scheme;

/// `debian:12`, `ubuntu:24.04`, `alpine:3.20`, `almalinux:9`, `suse:15.4`, `wolfi`, `npm`, `go`. Only ecosystems whose versions we can order have
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

    /// Packages of a language; `None` for a distribution's.
    fn of_language(kind: PackageKind) -> Option<Self> {
        let (_, _, name, _) = LANGUAGES.iter().find(|(language, ..)| *language == kind)?;
        Some(Self((*name).to_owned()))
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

    /// A channel as it is written in the file.
    pub(crate) fn of_written(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A release of one of the yum families, by the name of the family here.
    pub(super) fn of_rpm_release(family: &str, release: &str) -> Option<Self> {
        is_number(release).then(|| Self(format!("{family}:{release}")))
    }

    /// A release of Photon by its number in versions (`.ph5`).
    pub(super) fn photon(number: &str) -> Self {
        Self(format!("photon:{number}.0"))
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
            "wolfi" | "chainguard" | "minimos" => Some(Self::rolling(&distribution.id)),
            id => Self::of_rpm_distribution(id, version),
        }
    }

    fn of_rpm_distribution(id: &str, version: Option<&str>) -> Option<Self> {
        if id == "opensuse-tumbleweed" {
            return Some(Self("opensuse:tumbleweed".to_owned()));
        }
        let version = version.filter(|version| is_number(version))?;
        let major = version.split('.').next()?;
        let (family, release) = match id {
            "almalinux" => ("almalinux", major),
            // Amazon Linux 1 counted by dates: `2018.03`.
            "amzn" => ("amazon", if version.contains('.') { "1" } else { version }),
            // CBL-Mariner became Azure Linux with release 3; its feed kept one name.
            "azurelinux" | "mariner" => ("azurelinux", major),
            // CentOS Linux rebuilt Red Hat's packages under their versions. Stream, which is all there is since 9, does not.
            "centos" if matches!(major, "5" | "6" | "7" | "8") => ("redhat", major),
            "mageia" => ("mageia", version),
            "ol" => ("oracle", major),
            "opensuse-leap" => ("opensuse", version),
            "photon" => ("photon", version),
            "rhel" => ("redhat", major),
            "rocky" => ("rocky", major),
            "sl-micro" | "sle-micro" | "sle-micro-rancher" => ("suse-micro", version),
            "sles" => ("suse", version),
            _ => return None,
        };
        Some(Self(format!("{family}:{release}")))
    }

    /// The ecosystem that judges packages of a kind in an image of this distribution.
    pub fn of_package(kind: PackageKind, distribution: Option<&Distribution>) -> Option<Self> {
        match kind {
            // No feed of Arch Linux is read.
            PackageKind::Alpm => None,
            PackageKind::Apk => Self::of_system(distribution, Scheme::Apk),
            PackageKind::Deb => Self::of_system(distribution, Scheme::Dpkg),
            PackageKind::Rpm => Self::of_system(distribution, Scheme::Rpm),
            language => Self::of_language(language),
        }
    }

    fn of_system(distribution: Option<&Distribution>, scheme: Scheme) -> Option<Self> {
        distribution.and_then(Self::of_distribution).filter(|it| it.scheme() == scheme)
    }

    /// How its versions are ordered.
    pub fn scheme(&self) -> Scheme {
        if let Some((.., scheme)) = LANGUAGES.iter().find(|(_, _, name, _)| *name == self.0) {
            return *scheme;
        }
        match self.family() {
            "debian" | "ubuntu" => Scheme::Dpkg,
            "almalinux" | "amazon" | "azurelinux" | "mageia" | "opensuse" | "oracle" | "photon"
            | "redhat" | "rocky" | "suse" | "suse-micro" => Scheme::Rpm,
            _ => Scheme::Apk,
        }
    }

    /// Is it a distribution, not a language?
    pub fn is_distribution(&self) -> bool {
        matches!(self.scheme(), Scheme::Apk | Scheme::Dpkg | Scheme::Rpm)
    }

    /// Do its advisories name source packages? Else they name the binary packages themselves.
    pub fn names_sources(&self) -> bool {
        match self.scheme() {
            Scheme::Apk | Scheme::Dpkg => true,
            Scheme::Rpm => {
                matches!(
                    self.family(),
                    "azurelinux" | "mageia" | "opensuse" | "photon" | "rocky" | "suse" | "suse-micro"
                )
            }
            _ => false,
        }
    }

    /// Was this package built by someone else than the distribution? Its advisories say nothing about such builds, nor
    /// about what is in them. Told by the vendor that rpm packages bear; one without any passes as the distribution's.
    pub fn is_foreign(&self, package: &Package) -> bool {
        let builders: &[&str] = match self.family() {
            "almalinux" => &["AlmaLinux"],
            "amazon" => &["Amazon"],
            "azurelinux" => &["Microsoft"],
            "mageia" => &["Mageia"],
            "opensuse" | "suse" | "suse-micro" => &["SUSE", "obs://build.suse.de"],
            "oracle" => &["Oracle"],
            "photon" => &["VMware", "Broadcom"],
            "redhat" => &["CentOS", "Red Hat"],
            "rocky" => &["Rocky"],
            _ => return false,
        };
        package.vendor.as_ref().is_some_and(|vendor| !builders.iter().any(|builder| vendor.contains(builder)))
    }

    /// Without the release: `debian`.
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or(&self.0)
    }

    /// As written in the file: `debian:12`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl std::fmt::Display for Ecosystem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Kind of package, OSV's name for the ecosystem, ours, and how its versions are ordered.
const LANGUAGES: [(PackageKind, &str, &str, Scheme); 8] = [
    (PackageKind::Cargo, "crates.io", "crates.io", Scheme::Semver),
    (PackageKind::Composer, "Packagist", "packagist", Scheme::Packagist),
    (PackageKind::Gem, "RubyGems", "rubygems", Scheme::Rubygems),
    (PackageKind::Golang, "Go", "go", Scheme::Go),
    (PackageKind::Maven, "Maven", "maven", Scheme::Maven),
    (PackageKind::Npm, "npm", "npm", Scheme::Semver),
    (PackageKind::Nuget, "NuGet", "nuget", Scheme::Nuget),
    (PackageKind::Python, "PyPI", "pypi", Scheme::Pep440),
];

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
