//! Packages × advisories → findings; pure.

mod headers;
mod merge;
mod trace;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::advisory::{
    Advisories, AdvisoryError, Ecosystem, Entry, Key, Place, Range, RangeEnd, Remedy, is_modular,
};
use crate::finding::Finding;
use crate::package::{Distribution, Package, PackageKind};
use crate::report::{ImagePackage, Unknown};
use crate::versions::{Scheme, VersionError, compare};
pub use trace::{Passed, Step, Trace};

/// What is wrong, and what could not be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// One for each problem and package, worst first, then by package and id.
    pub findings: Vec<Finding>,
    /// Why "no finding" would not mean "clean". Sorted.
    pub unknown: Vec<Unknown>,
}

/// Judges the packages of one image. Packages of a distribution are looked up by source package name and version, as
/// distributions publish their advisories; those of a language by name and version.
pub fn match_packages(
    distribution: Option<&Distribution>,
    packages: &[ImagePackage],
    advisories: Option<&Advisories>,
) -> Matched {
    match_traced(distribution, packages, advisories, &mut |_| {})
}

/// The same, and tells each step on the way: whoever explains an answer hears it from where the answer is made.
pub fn match_traced(
    distribution: Option<&Distribution>,
    packages: &[ImagePackage],
    advisories: Option<&Advisories>,
    trace: &mut Trace<'_>,
) -> Matched {
    let of_system = |package: &ImagePackage| package.package.kind.is_system();
    let mut unknown = BTreeSet::new();
    if distribution.is_none() && packages.iter().any(of_system) {
        unknown.insert(Unknown::NoDistribution);
    }
    let Some(advisories) = advisories else {
        unknown.insert(Unknown::NoAdvisoryData);
        return Matched { findings: Vec::new(), unknown: unknown.into_iter().collect() };
    };
    let mut uncovered: BTreeMap<String, usize> = BTreeMap::new();
    let mut findings: BTreeMap<(String, Package), Finding> = BTreeMap::new();
    let owned = OwnedModules::new(distribution, packages, advisories);
    let of_release = distribution.and_then(Ecosystem::of_distribution);
    let channels = of_release.as_ref().zip(distribution).map(|(it, of)| Channel::of(of, it, advisories));
    for package in packages {
        // Nobody publishes advisories by the mere name of a program: it is listed, and its version told.
        if package.package.kind == PackageKind::Binary {
            trace(&Step::Passed(package, Passed::NoEcosystem));
            continue;
        }
        if package.owned || owned.holds(package) {
            trace(&Step::Passed(package, Passed::OwnedBySystem));
            continue;
        }
        if headers::is_kernel_text(&package.package) {
            trace(&Step::Passed(package, Passed::KernelText));
            continue;
        }
        let ecosystem = Ecosystem::of_package(package.package.kind, distribution);
        if let Some(vendor) = foreign(package, ecosystem.as_ref()) {
            trace(&Step::Passed(package, Passed::Foreign));
            *uncovered.entry(vendor).or_default() += 1;
            continue;
        }
        let covered = ecosystem.as_ref().is_some_and(|ecosystem| advisories.covers(ecosystem));
        if !covered && (distribution.is_some() || !of_system(package)) {
            *uncovered.entry(ecosystem_name(package, distribution)).or_default() += 1;
        }
        let Some(ecosystem) = ecosystem else {
            trace(&Step::Passed(package, Passed::NoEcosystem));
            continue;
        };
        trace(&Step::Package { package, ecosystem: &ecosystem, covered });
        let judged = match &channels {
            Some(Ok(channels)) if of_system(package) => {
                judge(package, &ecosystem, channels, advisories, trace)
            }
            Some(Err(_)) if of_system(package) => Err(Unjudged::Advisories),
            _ => judge(package, &ecosystem, &[Channel::only(&ecosystem)], advisories, trace),
        };
        trace(&Step::Done { problem: judged.as_ref().err().map(Unjudged::problem) });
        match judged {
            Ok(problems) => {
                for finding in problems {
                    // The same package at two places is one finding, in the layer that brought it first.
                    let key = (finding.id.clone(), finding.package.clone());
                    let layer = finding.layer;
                    let known = findings.entry(key).or_insert(finding);
                    known.layer = known.layer.min(layer);
                }
            }
            Err(Unjudged::Version) => {
                let package = format!("{} {}", package.package.name, package.package.version);
                unknown.insert(Unknown::UnorderableVersion { package });
            }
            Err(Unjudged::Identity) => {
                let package = format!("{} {}", package.package.name, package.package.version);
                unknown.insert(Unknown::UnidentifiedPackage { package });
            }
            Err(Unjudged::Advisories) => *uncovered.entry(ecosystem.to_string()).or_default() += 1,
        }
    }
    let uncovered = uncovered.into_iter();
    unknown.extend(uncovered.map(|(ecosystem, packages)| Unknown::NoAdvisories { ecosystem, packages }));
    let mut findings: Vec<Finding> = findings.into_values().collect();
    findings.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.package.cmp(&b.package)).then_with(|| a.id.cmp(&b.id))
    });
    Matched { findings, unknown: unknown.into_iter().collect() }
}

/// Under which keys [`match_packages`] asks the advisories about these packages.
pub(crate) fn keys(distribution: Option<&Distribution>, packages: &[ImagePackage]) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for package in packages.iter().map(|package| &package.package) {
        let Some(ecosystem) = Ecosystem::of_package(package.kind, distribution) else { continue };
        for called in called(package, &ecosystem) {
            // What cannot be asked is unknown, whatever the advisories say.
            let names = called.names(package, &ecosystem).unwrap_or_default();
            keys.extend(names.into_iter().map(|name| Key { ecosystem: ecosystem.clone(), name }));
        }
    }
    // Which channels an image of Red Hat has besides its release is for the advisories to say.
    let repositories = distribution.map(|distribution| distribution.repositories.as_slice());
    for name in repositories.unwrap_or_default().iter().cloned() {
        keys.insert(Key { ecosystem: Ecosystem::red_hat_repositories(), name });
    }
    keys
}

/// Whose build it is, when not the distribution's.
fn foreign(package: &ImagePackage, ecosystem: Option<&Ecosystem>) -> Option<String> {
    let ecosystem = ecosystem.filter(|ecosystem| ecosystem.is_foreign(&package.package))?;
    let vendor = package.package.vendor.as_deref().unwrap_or_default();
    Some(format!("{ecosystem}, built by {vendor}"))
}

/// How an ecosystem that nobody covers is called in the report: `debian 12`, `amzn 2023`, `npm`.
fn ecosystem_name(package: &ImagePackage, distribution: Option<&Distribution>) -> String {
    if !package.package.kind.is_system() {
        return package.package.kind.purl_type().to_owned();
    }
    distribution.map_or_else(String::new, |distribution| {
        let release = distribution.version_id.as_ref().or(distribution.codename.as_ref());
        release.map_or_else(|| distribution.id.clone(), |release| format!("{} {release}", distribution.id))
    })
}

/// Why a package could not be judged.
enum Unjudged {
    /// The snapshot cannot be read.
    Advisories,
    /// Its name is only a part of what advisories call it.
    Identity,
    /// The version has no place in its ecosystem's order.
    Version,
}

impl Unjudged {
    fn problem(&self) -> &'static str {
        match self {
            Self::Advisories => {
                "the advisories for it cannot be told apart or read, or nothing speaks of its kind"
            }
            Self::Identity => {
                "nothing tells its group, and advisories name a library of its name and version"
            }
            Self::Version => "its version has no place in the order of its ecosystem",
        }
    }
}

impl From<AdvisoryError> for Unjudged {
    fn from(_: AdvisoryError) -> Self {
        Self::Advisories
    }
}

impl From<VersionError> for Unjudged {
    fn from(_: VersionError) -> Self {
        Self::Version
    }
}

/// Where advisories about a distribution's packages are looked for. The first that speaks about a problem of a package is
/// right: its fixes are the versions that the image gets.
struct Channel {
    ecosystem: Ecosystem,
    /// Does the image get packages from it? Else its fixes are somewhere else.
    used: bool,
}

impl Channel {
    fn only(ecosystem: &Ecosystem) -> Self {
        Self { ecosystem: ecosystem.clone(), used: true }
    }

    /// The products whose repositories an image of Red Hat names, and the release itself last: what nothing was said about
    /// in a channel of longer support is still a problem there.
    fn of(
        distribution: &Distribution,
        release: &Ecosystem,
        advisories: &Advisories,
    ) -> Result<Vec<Self>, AdvisoryError> {
        let mut named = BTreeSet::new();
        if release.tells_sources() {
            for repository in &distribution.repositories {
                let known = advisories.channels(repository)?;
                let guessed = Ecosystem::of_red_hat_repository(repository).filter(|_| known.is_empty());
                named.extend(known.into_iter().chain(guessed));
            }
        }
        let used = named.remove(release) || named.is_empty();
        let mut channels: Vec<Self> =
            named.into_iter().map(|ecosystem| Self { ecosystem, used: true }).collect();
        channels.push(Self { ecosystem: release.clone(), used });
        Ok(channels)
    }
}

fn judge(
    package: &ImagePackage,
    ecosystem: &Ecosystem,
    channels: &[Channel],
    advisories: &Advisories,
    trace: &mut Trace<'_>,
) -> Result<Vec<Finding>, Unjudged> {
    let installed = &package.package;
    let mut affecting = Vec::new();
    // What a package's own name and an earlier channel say goes before what its source and a later one say.
    let decides = channels.len() > 1 || ecosystem.tells_sources();
    let mut spoken_of: HashSet<&str> = HashSet::new();
    let mut is_known = false;
    for channel in channels {
        for called in called(installed, ecosystem) {
            let mut here = Vec::new();
            for name in called.names(installed, ecosystem)? {
                let (ecosystem_asked, version) = (&channel.ecosystem, called.version);
                trace(&Step::Asked { ecosystem: ecosystem_asked, name: &name, version });
                for entry in advisories.lookup(&channel.ecosystem, &name)? {
                    let entry = entry?;
                    is_known = true;
                    if spoken_of.contains(entry.id) {
                        trace(&Step::Superseded { entry: &entry, version });
                        continue;
                    }
                    if decides {
                        here.push(entry.id);
                    }
                    let fix = affects(&entry, ecosystem, channel, &called, trace)?;
                    trace(&Step::Advisory { entry: &entry, version, affected: fix.is_some() });
                    if let Some(fix) = fix {
                        affecting.push((entry, fix));
                    }
                }
            }
            spoken_of.extend(here);
        }
    }
    if !is_known && ecosystem.build(&installed.version).is_some() {
        // Nobody has ever said anything about builds of this kind: that is no clean bill.
        return Err(Unjudged::Advisories);
    }
    if !affecting.is_empty() && ecosystem.names_part(&installed.name) {
        return Err(Unjudged::Identity);
    }
    Ok(merge::findings(affecting, ecosystem.scheme(), package))
}

/// By which name and version advisories speak of a package.
struct Called<'p> {
    name: &'p str,
    version: &'p str,
    is_source: bool,
    /// The epoch of a source is not known where the binary has a version of its own.
    ignores_epoch: bool,
}

/// Its source's or its own. Feeds of the rpm family that name sources name single binaries too.
fn called<'p>(installed: &'p Package, ecosystem: &Ecosystem) -> Vec<Called<'p>> {
    let (name, version) = (installed.name.as_str(), installed.version.as_str());
    let own = Called { name, version, is_source: false, ignores_epoch: false };
    let is_rpm = ecosystem.scheme() == Scheme::Rpm;
    match &installed.source {
        Some(source) if ecosystem.names_sources() || ecosystem.tells_sources() => {
            let (name, version) = (source.name.as_str(), source.version.as_str());
            let ignores_epoch = is_rpm && without_epoch(version) != without_epoch(&installed.version);
            let of_source = Called { name, version, is_source: true, ignores_epoch };
            if ecosystem.tells_sources() {
                vec![own, of_source]
            } else if is_rpm && source.name != installed.name {
                vec![of_source, own]
            } else {
                vec![of_source]
            }
        }
        _ => vec![own],
    }
}

fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, version)| version)
}

impl Called<'_> {
    /// Under which names advisories about a package stand. A package of a module is judged by its own stream's, and by
    /// those that do not tell their stream; one whose stream is not known cannot be judged.
    fn names(&self, installed: &Package, ecosystem: &Ecosystem) -> Result<Vec<String>, Unjudged> {
        let name = self.name;
        let names = match &installed.module {
            Some(stream) => [Some(stream.as_str()), None].map(|it| Ecosystem::in_module(it, name)).to_vec(),
            None if installed.kind == PackageKind::Rpm && is_modular(&installed.version) => {
                return Err(Unjudged::Advisories);
            }
            None if ecosystem.names_part(name) => vec![Ecosystem::of_any_group(name)],
            None => match ecosystem.build(self.version) {
                Some(build) => vec![Ecosystem::of_build(build, name)],
                None => vec![ecosystem.normalise(name)],
            },
        };
        let told_apart = self.is_source && ecosystem.tells_sources();
        Ok(if told_apart { names.iter().map(|name| Ecosystem::of_source(name)).collect() } else { names })
    }
}

/// How an affected version is mended.
#[derive(Clone, Copy)]
enum Fix<'a> {
    /// By this version.
    Available(&'a str),
    /// By this version, which the image cannot get.
    Elsewhere { version: &'a str, channel: &'a str },
    /// Not, and why, where somebody says so.
    Missing(Option<Remedy<'a>>),
}

/// `Some` when the version is affected.
fn affects<'a>(
    entry: &Entry<'a>,
    ecosystem: &Ecosystem,
    channel: &'a Channel,
    called: &Called<'_>,
    trace: &mut Trace<'_>,
) -> Result<Option<Fix<'a>>, VersionError> {
    let scheme = ecosystem.scheme();
    let bound = |bound: &'a str| if called.ignores_epoch { without_epoch(bound) } else { bound };
    let version = if called.ignores_epoch { without_epoch(called.version) } else { called.version };
    for range in &entry.ranges {
        let compared = Range {
            introduced: range.introduced.map(bound),
            end: match range.end {
                RangeEnd::Fixed(version) => RangeEnd::Fixed(bound(version)),
                RangeEnd::LastAffected(version) => RangeEnd::LastAffected(bound(version)),
                RangeEnd::Open => RangeEnd::Open,
            },
        };
        let place = compared.place(scheme, version)?;
        trace(&Step::Range { range: &compared, place });
        if place == Place::Inside {
            return Ok(Some(match (&range.end, entry.remedy) {
                // Who has installed from the pocket that is sold has bought it.
                (RangeEnd::Fixed(fixed), Some(Remedy::Elsewhere { .. })) if version.contains("esm") => {
                    Fix::Available(fixed)
                }
                (RangeEnd::Fixed(version), Some(Remedy::Elsewhere { channel })) => {
                    Fix::Elsewhere { version, channel }
                }
                (RangeEnd::Fixed(version), _) if !channel.used => {
                    Fix::Elsewhere { version, channel: channel.ecosystem.as_str() }
                }
                (RangeEnd::Fixed(version), _) => Fix::Available(version),
                (_, remedy) => Fix::Missing(remedy),
            }));
        }
    }
    let listed = entry.versions.iter().find(|listed| {
        **listed == version || compare(scheme, listed, version).is_ok_and(std::cmp::Ordering::is_eq)
    });
    if let Some(listed) = listed {
        trace(&Step::Listed(listed));
    }
    Ok(listed.map(|_| Fix::Missing(entry.remedy)))
}

/// Python modules that a distribution's package installed. Their upstream version says nothing: the distribution
/// backports fixes, and judges the module under its own package.
struct OwnedModules<'a> {
    family: Option<PackageKind>,
    packages: HashMap<&'a str, &'a str>,
}

impl<'a> OwnedModules<'a> {
    fn new(
        distribution: Option<&Distribution>,
        packages: &'a [ImagePackage],
        advisories: &Advisories,
    ) -> Self {
        let ecosystem = distribution.and_then(Ecosystem::of_distribution).filter(|it| advisories.covers(it));
        let family = ecosystem.map(|ecosystem| match ecosystem.scheme() {
            Scheme::Apk => PackageKind::Apk,
            Scheme::Rpm => PackageKind::Rpm,
            _ => PackageKind::Deb,
        });
        let mut owners = HashMap::new();
        for package in packages.iter().map(|package| &package.package).filter(|it| Some(it.kind) == family) {
            let source = package.source.iter().map(|source| source.name.as_str());
            for name in source.chain([package.name.as_str()]) {
                owners.insert(module_name(name), package.version.as_str());
            }
        }
        Self { family, packages: owners }
    }

    /// By place and by name: `pip` installs elsewhere on Debian, and on Alpine the version must agree too. A module that
    /// no package claims is judged by its own version.
    fn holds(&self, package: &ImagePackage) -> bool {
        let module = &package.package;
        let path = package.path.trim_start_matches('/');
        if module.kind != PackageKind::Python
            || !["usr/lib/python3", "usr/lib64/python3"].iter().any(|place| path.starts_with(place))
        {
            return false;
        }
        let owner = self.packages.get(module_name(&module.name));
        match self.family {
            Some(PackageKind::Deb) => path.starts_with("usr/lib/python3/dist-packages/") && owner.is_some(),
            Some(PackageKind::Apk) => owner.is_some_and(|version| {
                let upstream = version.rsplit_once("-r").map_or(*version, |(upstream, _)| upstream);
                upstream == module.version
            }),
            Some(PackageKind::Rpm) => owner.is_some_and(|version| {
                let version = version.split_once(':').map_or(*version, |(_, version)| version);
                version.split_once('-').map_or(version, |(upstream, _)| upstream) == module.version
            }),
            _ => false,
        }
    }
}

/// `python3-requests`, `py3-requests`, `python-requests`, `requests` → `requests`.
fn module_name(name: &str) -> &str {
    ["python3-", "py3-", "python-"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}
