//! Packages × advisories → findings; pure.

mod trace;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::advisory::{Advisories, AdvisoryError, Ecosystem, Entry, Place, RangeEnd, is_modular};
use crate::finding::{Finding, Severity};
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
    for package in packages {
        if package.owned || owned.holds(package) {
            trace(&Step::Passed(package, Passed::OwnedBySystem));
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
        let judged = judge(package, &ecosystem, advisories, trace);
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
            Self::Advisories => "the advisories for it cannot be told apart or read",
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

fn judge(
    package: &ImagePackage,
    ecosystem: &Ecosystem,
    advisories: &Advisories,
    trace: &mut Trace<'_>,
) -> Result<Vec<Finding>, Unjudged> {
    let installed = &package.package;
    let scheme = ecosystem.scheme();
    let mut affecting = Vec::new();
    for (name, version) in called(installed, ecosystem) {
        for name in names(installed, ecosystem, name)? {
            trace(&Step::Asked { name: &name, version });
            for entry in advisories.lookup(ecosystem, &name)? {
                let entry = entry?;
                let fixed = affects(&entry, scheme, version, trace)?;
                trace(&Step::Advisory { entry: &entry, version, affected: fixed.is_some() });
                if let Some(fixed) = fixed {
                    affecting.push((entry, fixed));
                }
            }
        }
    }
    if !affecting.is_empty() && ecosystem.names_part(&installed.name) {
        return Err(Unjudged::Identity);
    }
    Ok(merge(&affecting, scheme).into_iter().map(|problem| problem.into_finding(package)).collect())
}

/// By which name and version advisories speak of a package: its source's or its own. Feeds of the rpm family that name
/// sources name single binaries too.
fn called<'p>(installed: &'p Package, ecosystem: &Ecosystem) -> Vec<(&'p str, &'p str)> {
    let own = (installed.name.as_str(), installed.version.as_str());
    match &installed.source {
        Some(source) if ecosystem.names_sources() => {
            let mut called = vec![(source.name.as_str(), source.version.as_str())];
            if ecosystem.scheme() == Scheme::Rpm && source.name != installed.name {
                called.push(own);
            }
            called
        }
        _ => vec![own],
    }
}

/// Under which names advisories about a package stand. A package of a module is judged by its own stream's, and by those
/// that do not tell their stream; one whose stream is not known cannot be judged.
fn names(installed: &Package, ecosystem: &Ecosystem, name: &str) -> Result<Vec<String>, Unjudged> {
    match &installed.module {
        Some(stream) => {
            Ok([Some(stream.as_str()), None].map(|stream| Ecosystem::in_module(stream, name)).to_vec())
        }
        None if installed.kind == PackageKind::Rpm && is_modular(&installed.version) => {
            Err(Unjudged::Advisories)
        }
        None if ecosystem.names_part(name) => Ok(vec![Ecosystem::of_any_group(name)]),
        None => Ok(vec![ecosystem.normalise(name)]),
    }
}

/// `Some` when the version is affected: the version that fixes it, where the advisory names one.
fn affects<'a>(
    entry: &Entry<'a>,
    scheme: Scheme,
    version: &str,
    trace: &mut Trace<'_>,
) -> Result<Option<Option<&'a str>>, VersionError> {
    for range in &entry.ranges {
        let place = range.place(scheme, version)?;
        trace(&Step::Range { range, place });
        if place == Place::Inside {
            return Ok(Some(match range.end {
                RangeEnd::Fixed(fixed) => Some(fixed),
                RangeEnd::LastAffected(_) | RangeEnd::Open => None,
            }));
        }
    }
    let listed = entry.versions.iter().find(|listed| {
        **listed == version || compare(scheme, listed, version).is_ok_and(std::cmp::Ordering::is_eq)
    });
    if let Some(listed) = listed {
        trace(&Step::Listed(listed));
    }
    Ok(listed.map(|_| None))
}

/// Everything that the affecting advisories say about one problem.
struct Problem<'a> {
    names: BTreeSet<&'a str>,
    severity: Severity,
    fixed: Vec<Option<&'a str>>,
    summary: Option<&'a str>,
    sources: BTreeSet<&'a str>,
    scheme: Scheme,
}

/// Advisories that share a name are about one problem: a CVE, its GHSA and the distribution's record count once.
fn merge<'a>(affecting: &[(Entry<'a>, Option<&'a str>)], scheme: Scheme) -> Vec<Problem<'a>> {
    // By name, because a source package may have thousands of CVEs (a kernel) and comparing all pairs would be slow.
    let mut group_of: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Option<Problem<'a>>> = Vec::new();
    for (entry, fixed) in affecting {
        let names: BTreeSet<&str> = std::iter::once(entry.id).chain(entry.aliases.iter().copied()).collect();
        let joined: BTreeSet<usize> = names.iter().filter_map(|name| group_of.get(name)).copied().collect();
        let mut problem = Problem {
            names,
            severity: entry.severity,
            fixed: vec![*fixed],
            summary: entry.summary,
            sources: BTreeSet::from([entry.source]),
            scheme,
        };
        for group in joined {
            if let Some(known) = groups[group].take() {
                problem.absorb(known);
            }
        }
        group_of.extend(problem.names.iter().map(|name| (*name, groups.len())));
        groups.push(Some(problem));
    }
    groups.into_iter().flatten().collect()
}

impl<'a> Problem<'a> {
    fn absorb(&mut self, other: Self) {
        self.names.extend(other.names);
        self.severity = self.severity.max(other.severity);
        self.fixed.extend(other.fixed);
        self.summary = other.summary.or(self.summary);
        self.sources.extend(other.sources);
    }

    fn into_finding(self, package: &ImagePackage) -> Finding {
        let best = self.names.iter().find(|name| name.starts_with("CVE-")).or_else(|| self.names.first());
        let id = best.copied().unwrap_or_default().to_owned();
        Finding {
            aliases: self.names.iter().filter(|name| **name != id).map(|name| (*name).to_owned()).collect(),
            severity: self.severity,
            package: package.package.clone(),
            layer: package.layer,
            fixed_version: self.fixed_version().map(str::to_owned),
            summary: self.summary.map(str::to_owned),
            source: self.sources.into_iter().collect::<Vec<_>>().join(", "),
            id,
        }
    }

    /// The newest of the versions named: only there do all sources agree that the problem is gone.
    fn fixed_version(&self) -> Option<&'a str> {
        let newer = |a: &&str, b: &&str| compare(self.scheme, a, b).unwrap_or(std::cmp::Ordering::Equal);
        self.fixed.iter().flatten().copied().max_by(newer)
    }
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
