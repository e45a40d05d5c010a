//! Names of the worlds that advisories speak about: a distribution's release, or a language's packages.

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

    /// The `ecosystem` of an OSV document (ossf.github.io/osv-schema); `None` for one that is not judged here.
    pub fn from_osv(name: &str) -> Option<Self> {
        let (family, release) = name.split_once(':').unwrap_or((name, ""));
        match (family, release) {
            (language, "") if LANGUAGES.iter().any(|(_, name, ..)| *name == language) => {
                let (kind, ..) = LANGUAGES.iter().find(|(_, name, ..)| *name == language)?;
                Self::of_language(*kind)
            }
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
            ("SUSE", product) => suse_release(product).map(|release| Self(format!("suse:{release}"))),
            ("openSUSE", "Tumbleweed") => Some(Self("opensuse:tumbleweed".to_owned())),
            ("openSUSE", product) => {
                let release = product.strip_prefix("Leap ").filter(|release| is_number(release))?;
                Some(Self(format!("opensuse:{release}")))
            }
            // `enterprise_linux:9::baseos`. The products beside it (`rhel_eus:9.2`, `rhel_e4s:9.0`) are channels of
            // their own: a fix there is none for who does not pay for it.
            ("Red Hat", product) => {
                let release = product.strip_prefix("enterprise_linux:")?.split(':').next()?;
                release.bytes().all(|byte| byte.is_ascii_digit()).then(|| Self(format!("redhat:{release}")))
            }
            (family, release) if is_number(release) => {
                let (_, family) = RPM_FAMILIES.iter().find(|(name, _)| *name == family)?;
                Some(Self(format!("{family}:{release}")))
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
            "amzn" => ("amazon", version),
            // CBL-Mariner became Azure Linux with release 3; its feed kept one name.
            "azurelinux" | "mariner" => ("azurelinux", major),
            "mageia" => ("mageia", version),
            "ol" => ("oracle", major),
            "opensuse-leap" => ("opensuse", version),
            "photon" => ("photon", version),
            "rhel" => ("redhat", major),
            "rocky" => ("rocky", major),
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
            | "redhat" | "rocky" | "suse" => Scheme::Rpm,
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
                matches!(self.family(), "azurelinux" | "mageia" | "opensuse" | "photon" | "rocky" | "suse")
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
            "opensuse" | "suse" => &["SUSE", "obs://build.suse.de"],
            "oracle" => &["Oracle"],
            "photon" => &["VMware", "Broadcom"],
            "redhat" => &["Red Hat"],
            "rocky" => &["Rocky"],
            _ => return false,
        };
        package.vendor.as_ref().is_some_and(|vendor| !builders.iter().any(|builder| vendor.contains(builder)))
    }

    /// Is this only a part of a package's name? A Java archive often tells its artifact and not its group.
    pub fn names_part(&self, name: &str) -> bool {
        self.0 == "maven" && !name.contains(':')
    }

    /// Under which name all advisories about artifacts of a name stand, whatever their group.
    pub fn of_any_group(artifact: &str) -> String {
        format!("*:{artifact}")
    }

    /// Under which name advisories about a package of a module's stream stand: each stream has its own versions, and
    /// none says anything about another. `stream` is `None` where the advisory does not tell it.
    pub fn in_module(stream: Option<&str>, name: &str) -> String {
        format!("{}::{name}", stream.unwrap_or("*"))
    }

    /// Without the release: `debian`.
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or(&self.0)
    }

    /// As written in the file: `debian:12`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A package name as this ecosystem compares it: Python's are normalised (PEP 503), NuGet's and Composer's ignore
    /// case, all others are exact.
    pub fn normalise(&self, name: &str) -> String {
        match self.0.as_str() {
            "nuget" | "packagist" => return name.to_lowercase(),
            "pypi" => {}
            _ => return name.to_owned(),
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

/// Families whose OSV name is followed by a plain release.
const RPM_FAMILIES: [(&str, &str); 7] = [
    ("AlmaLinux", "almalinux"),
    ("Amazon Linux", "amazon"),
    ("Azure Linux", "azurelinux"),
    ("Mageia", "mageia"),
    ("Oracle Linux", "oracle"),
    ("Photon OS", "photon"),
    ("Rocky Linux", "rocky"),
];

/// `15.4` out of `Linux Enterprise Server 15 SP4` and of the modules that a container's packages come from. Products with
/// longer support (`-LTSS`, `-ESPOS`) are channels of their own.
fn suse_release(product: &str) -> Option<String> {
    let mut words: Vec<&str> = product.split(' ').collect();
    let pack = words.last()?.strip_prefix("SP").filter(|pack| is_number(pack)).map(str::to_owned);
    if pack.is_some() {
        words.pop();
    }
    let release = words.pop().filter(|release| is_number(release))?;
    let product = words.join(" ");
    let known = product == "Linux Enterprise Server" || product.starts_with("Linux Enterprise Module for ");
    known.then(|| pack.map_or_else(|| release.to_owned(), |pack| format!("{release}.{pack}")))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
