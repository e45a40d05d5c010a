//! An SBOM as input: the packages that a document lists, for the same matcher. What the document leaves out is unknown.
//!
//! A document is somebody's word: it tells no layers, no secrets, no files.

mod cyclonedx;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use thiserror::Error;

use crate::advisory::{Advisories, AdvisoryError};
use crate::explain::{self, Explanation};
use crate::limits::{SBOM_BYTES_MAX, SBOM_PACKAGES_MAX};
use crate::matcher::match_packages;
use crate::package::{Distribution, Package, PackageKind, SourcePackage};
use crate::purl::Purl;
use crate::release;
use crate::report::{Coverage, ImagePackage, Malware, ScanReport, Unknown, Waste};

/// A document, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// `CycloneDX 1.6`, `SPDX 2.3`.
    pub format: String,
    /// The system that the document names; `None` when it names none, or several.
    pub distribution: Option<Distribution>,
    packages: Vec<ImagePackage>,
    unknown: BTreeSet<Unknown>,
}

/// Why a document is not read.
#[derive(Debug, Error)]
pub enum SbomError {
    /// Not JSON of the right shape.
    #[error("not a readable document: {0}")]
    Json(#[from] serde_json::Error),
    /// Another format or version.
    #[error("neither CycloneDX 1.4 to 1.6 nor SPDX 2.2 or 2.3 as JSON{found}")]
    Format {
        /// What it says it is.
        found: String,
    },
    /// A limit.
    #[error("over the limit: {0}")]
    Limit(String),
}

/// What one entry of a document tells of a package.
#[derive(Default)]
struct Listed {
    name: String,
    version: Option<String>,
    purls: Vec<String>,
    /// Where the document says that it was found.
    place: Option<String>,
    /// Name, and version if told, of the source package, beside the package URL.
    source: Option<String>,
}

/// Which family a document is of.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "bomFormat")]
    bom_format: Option<String>,
    #[serde(rename = "specVersion")]
    spec_version: Option<String>,
    #[serde(rename = "spdxVersion")]
    spdx_version: Option<String>,
}

/// Reads a document. Keys that are not needed are passed over; versions that are not known are refused.
///
/// # Errors
/// See [`SbomError`].
pub fn parse(bytes: &[u8]) -> Result<Inventory, SbomError> {
    if bytes.len() > SBOM_BYTES_MAX {
        return Err(SbomError::Limit(format!("{} bytes, more than {SBOM_BYTES_MAX}", bytes.len())));
    }
    let head: Head = serde_json::from_slice(bytes)?;
    let version = |version: &Option<String>| version.clone().unwrap_or_default();
    match (head.bom_format.as_deref(), head.spdx_version.as_deref()) {
        (Some("CycloneDX"), None) if ["1.4", "1.5", "1.6"].contains(&&*version(&head.spec_version)) => {
            cyclonedx::parse(bytes, format!("CycloneDX {}", version(&head.spec_version)))
        }
        (None, Some("SPDX-2.2" | "SPDX-2.3")) => {
            spdx::parse(bytes, version(&head.spdx_version).replace('-', " "))
        }
        (None, None) => Err(SbomError::Format { found: String::new() }),
        _ => {
            let found = [&head.bom_format, &head.spec_version, &head.spdx_version];
            let words: Vec<&str> = found.iter().filter_map(|word| word.as_deref()).collect();
            let shown: String = words.join(" ").chars().filter(|it| !it.is_control()).take(60).collect();
            Err(SbomError::Format { found: format!("; it says `{shown}`") })
        }
    }
}

/// Matches what a document lists. Only packages and what bears on them is told: there are no layers.
pub fn scan(inventory: &Inventory, advisories: Option<&Advisories>) -> ScanReport {
    let matched = match_packages(inventory.distribution.as_ref(), &inventory.packages, advisories);
    let unknown: BTreeSet<Unknown> = inventory.unknown.iter().cloned().chain(matched.unknown).collect();
    ScanReport {
        programs: Vec::new(),
        support: inventory.distribution.as_ref().map(release::support),
        distribution: inventory.distribution.clone(),
        packages: inventory.packages.clone(),
        findings: matched.findings,
        unknown: unknown.into_iter().collect(),
        secrets: Vec::new(),
        permissions: Vec::new(),
        attacks: Vec::new(),
        malware: Malware::default(),
        coverage: Coverage::default(),
        waste: Waste::default(),
        layers: Vec::new(),
        advisories: advisories.map(Advisories::revision),
    }
}

/// As [`crate::image::explain`], of a document.
///
/// # Errors
/// When the advisory file is corrupt.
pub fn explain(
    inventory: &Inventory,
    advisories: Option<&Advisories>,
    query: &str,
) -> Result<Explanation, AdvisoryError> {
    let asked = explain::Asked {
        query,
        distribution: inventory.distribution.as_ref(),
        packages: &inventory.packages,
        owners: &BTreeMap::new(),
        unknown: inventory.unknown.clone(),
        layers: Vec::new(),
    };
    explain::explain(asked, advisories)
}

/// Gathers what the entries of a document tell.
struct Gathering {
    listed: Vec<Listed>,
    /// Systems that the document names by themselves.
    systems: BTreeSet<(String, Option<String>)>,
    unknown: BTreeSet<Unknown>,
}

impl Gathering {
    fn new() -> Self {
        Self { listed: Vec::new(), systems: BTreeSet::new(), unknown: BTreeSet::new() }
    }

    fn add(&mut self, listed: Listed) -> Result<(), SbomError> {
        if self.listed.len() >= SBOM_PACKAGES_MAX {
            return Err(SbomError::Limit(format!("more than {SBOM_PACKAGES_MAX} packages")));
        }
        self.listed.push(listed);
        Ok(())
    }

    fn incomplete(&mut self, problem: &str) {
        self.unknown.insert(Unknown::IncompleteDocument { problem: problem.to_owned() });
    }

    fn finish(mut self, format: String) -> Inventory {
        let mut packages = BTreeSet::new();
        let mut unjudged: BTreeMap<String, usize> = BTreeMap::new();
        let mut sources = Sources::default();
        let mut named = BTreeSet::new();
        for listed in std::mem::take(&mut self.listed) {
            let mut known = false;
            for purl in listed.purls.iter().filter_map(|text| Purl::parse(text)) {
                known = true;
                let Some((package, is_told)) = package(&purl, &listed) else {
                    *unjudged.entry(purl.kind.clone()).or_default() += 1;
                    continue;
                };
                if package.kind.is_system() {
                    named.extend(system(&purl));
                }
                sources.count(&package, is_told);
                let path = listed.place.clone().unwrap_or_else(|| "the document".to_owned());
                packages.insert(ImagePackage { package, path, layer: 0, owned: false });
            }
            if !known {
                let version = listed.version.as_deref().unwrap_or("without version");
                let package = format!("{} {version}", listed.name);
                self.unknown.insert(Unknown::UnidentifiedPackage { package });
            }
        }
        let distribution = self.distribution(named);
        self.unknown.extend(
            unjudged.into_iter().map(|(ecosystem, packages)| Unknown::NoAdvisories { ecosystem, packages }),
        );
        self.unknown.extend(sources.missing());
        if packages.is_empty() && self.unknown.is_empty() {
            self.unknown.insert(Unknown::NothingRecognised);
        }
        Inventory { format, distribution, packages: packages.into_iter().collect(), unknown: self.unknown }
    }

    /// The one system that the document names; what its packages' URLs say must not contradict it.
    fn distribution(&mut self, named: BTreeSet<(String, String)>) -> Option<Distribution> {
        let own: Vec<_> = self.systems.iter().cloned().collect();
        let mut releases: Vec<Distribution> = match own.as_slice() {
            [(id, version)] => vec![release_of(id, version.as_deref().unwrap_or_default())],
            _ => Vec::new(),
        };
        let by_packages: Vec<Distribution> =
            named.iter().map(|(id, release)| release_of(id, release)).collect();
        let agree = |a: &Distribution, b: &Distribution| {
            a.id == b.id
                && match (&a.version_id, &b.version_id) {
                    (Some(a), Some(b)) => a.starts_with(b.as_str()) || b.starts_with(a.as_str()),
                    _ => true,
                }
        };
        releases.extend(by_packages);
        let best = releases.iter().find(|it| it.version_id.is_some()).or(releases.first()).cloned()?;
        if own.len() > 1 || releases.iter().any(|other| !agree(&best, other)) {
            self.incomplete("it names several distributions, so that none can be asked");
            return None;
        }
        Some(best)
    }
}

/// `debian`, `12` or `bookworm`.
fn release_of(id: &str, release: &str) -> Distribution {
    let is_number = release.starts_with(|first: char| first.is_ascii_digit());
    let text = |wanted: bool| (wanted && !release.is_empty()).then(|| release.to_owned());
    Distribution {
        id: id.to_lowercase(),
        version_id: text(is_number),
        codename: text(!is_number),
        pretty_name: None,
        repositories: Vec::new(),
    }
}

/// Distribution and release out of a system package's URL: `distro=debian-12`, `distro=bookworm`, `distro=alpine-3.20.1`.
fn system(purl: &Purl) -> Option<(String, String)> {
    let distro = purl.qualifiers.get("distro")?;
    let vendor = match purl.namespace.as_str() {
        "redhat" => "rhel",
        namespace => namespace,
    };
    Some(match distro.rsplit_once('-') {
        Some((id, release)) if release.starts_with(|first: char| first.is_ascii_digit()) => {
            (id.to_owned(), release.to_owned())
        }
        _ if distro.eq_ignore_ascii_case(vendor) => (vendor.to_owned(), String::new()),
        _ => (vendor.to_owned(), distro.clone()),
    })
}

/// The package behind a URL, and whether its source is told; `None` for a type that is not judged.
fn package(purl: &Purl, listed: &Listed) -> Option<(Package, bool)> {
    let kind = kind(&purl.kind)?;
    let name = match (kind, purl.namespace.as_str()) {
        (_, "") => purl.name.clone(),
        (PackageKind::Maven, group) => format!("{group}:{}", purl.name),
        (PackageKind::Composer | PackageKind::Golang | PackageKind::Npm, namespace) => {
            format!("{namespace}/{}", purl.name)
        }
        _ => purl.name.clone(),
    };
    let version = purl.version.clone().or_else(|| listed.version.clone()).unwrap_or_default();
    let version = match (kind, purl.qualifiers.get("epoch")) {
        (PackageKind::Rpm, Some(epoch)) if !version.contains(':') => format!("{epoch}:{version}"),
        _ => version,
    };
    let mut package = Package::new(kind, name, version);
    if !kind.is_system() {
        return Some((package, true));
    }
    package.architecture = purl.qualifiers.get("arch").cloned();
    package.module = purl.qualifiers.get("rpmmod").cloned();
    let told = purl.qualifiers.get("upstream").or(listed.source.as_ref());
    let is_told = told.is_some();
    package.source = source(&package, told.map(String::as_str));
    Some((package, is_told))
}

fn kind(purl_type: &str) -> Option<PackageKind> {
    const KINDS: [PackageKind; 12] = [
        PackageKind::Alpm,
        PackageKind::Apk,
        PackageKind::Cargo,
        PackageKind::Composer,
        PackageKind::Deb,
        PackageKind::Gem,
        PackageKind::Golang,
        PackageKind::Maven,
        PackageKind::Npm,
        PackageKind::Nuget,
        PackageKind::Python,
        PackageKind::Rpm,
    ];
    KINDS.into_iter().find(|kind| kind.purl_type() == purl_type)
}

/// `openssl`, `openssl@1.1.1n-0`, `openssl 1.1.1n-0`, `openssl-1.1.1k-7.el8.src.rpm`. Without one the package is its own
/// source; a rebuild's suffix (`+b1`) is not its source's.
fn source(package: &Package, told: Option<&str>) -> Option<SourcePackage> {
    let own = || match (package.kind, package.version.rsplit_once("+b")) {
        (PackageKind::Deb, Some((version, build))) if build.bytes().all(|byte| byte.is_ascii_digit()) => {
            version
        }
        _ => &package.version,
    };
    let (name, version) = match told {
        None if package.kind == PackageKind::Rpm => return None,
        None => (package.name.as_str(), None),
        Some(file) if package.kind == PackageKind::Rpm => {
            let file = file.strip_suffix(".src.rpm").unwrap_or(file);
            // Name, version and release are told apart from the right.
            let mut parts = file.rsplitn(3, '-');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(release), Some(version), Some(name)) => (name, Some(format!("{version}-{release}"))),
                _ => (file, None),
            }
        }
        Some(told) => match told.split_once(['@', ' ']) {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (told, None),
        },
    };
    let version = version.filter(|version| !version.is_empty()).unwrap_or_else(|| own().to_owned());
    // An rpm's source has its epoch, which file names leave out.
    let version = match package.version.split_once(':') {
        Some((epoch, _)) if package.kind == PackageKind::Rpm && !version.contains(':') => {
            format!("{epoch}:{version}")
        }
        _ => version,
    };
    Some(SourcePackage { name: name.to_owned(), version })
}

/// Whether the document tells the source packages of systems whose advisories go by source. One that tells those of some
/// packages leaves out those that are called alike; one that tells none leaves out all.
#[derive(Default)]
struct Sources(BTreeMap<PackageKind, (usize, usize)>);

impl Sources {
    fn count(&mut self, package: &Package, is_told: bool) {
        if matches!(package.kind, PackageKind::Apk | PackageKind::Deb) {
            let (told, all) = self.0.entry(package.kind).or_default();
            *told += usize::from(is_told);
            *all += 1;
        }
    }

    fn missing(self) -> impl Iterator<Item = Unknown> {
        let silent = self.0.into_iter().filter(|(_, (told, _))| *told == 0);
        silent.map(|(kind, (_, packages))| Unknown::NoSourcePackages {
            kind: kind.purl_type().to_owned(),
            packages,
        })
    }
}
