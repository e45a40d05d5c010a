//! One finding for one problem, whatever its names and however many advisories speak of it.

use std::collections::{BTreeSet, HashMap};

use super::Fix;
use crate::advisory::{Entry, Remedy};
use crate::finding::{Cvss, Decimal, Epss, Exploited, Finding, Risk, Severity, Unfixed};
use crate::report::ImagePackage;
use crate::versions::{Scheme, compare};

/// Advisories that share a name are about one problem: a CVE, its GHSA and the distribution's record count once.
pub(super) fn findings<'a>(
    affecting: Vec<(Entry<'a>, Fix<'a>)>,
    scheme: Scheme,
    package: &ImagePackage,
) -> Vec<Finding> {
    // By name, because a source package may have thousands of CVEs (a kernel) and comparing all pairs would be slow.
    let mut group_of: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Option<Problem<'a>>> = Vec::new();
    for (entry, fix) in affecting {
        let mut problem = Problem::new(entry, fix, scheme);
        let joined: BTreeSet<usize> =
            problem.names.iter().filter_map(|name| group_of.get(name)).copied().collect();
        for group in joined {
            if let Some(known) = groups[group].take() {
                problem.absorb(known);
            }
        }
        group_of.extend(problem.names.iter().map(|name| (*name, groups.len())));
        groups.push(Some(problem));
    }
    groups.into_iter().flatten().map(|problem| problem.into_finding(package)).collect()
}

/// Everything that the affecting advisories say about one problem.
struct Problem<'a> {
    names: BTreeSet<&'a str>,
    rating: Rating<'a>,
    exploited: Option<Exploited>,
    epss: Option<Epss>,
    fixes: Vec<Fix<'a>>,
    summary: Option<&'a str>,
    sources: BTreeSet<&'a str>,
    scheme: Scheme,
}

/// How bad it is, and who says so. Ordered: the worse rating first by severity, then by score.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rating<'a> {
    severity: Severity,
    cvss: Option<(Decimal, &'a str)>,
    source: Option<&'a str>,
}

impl<'a> Problem<'a> {
    fn new(entry: Entry<'a>, fix: Fix<'a>, scheme: Scheme) -> Self {
        Self {
            names: std::iter::once(entry.id).chain(entry.aliases).collect(),
            rating: Rating { severity: entry.severity, cvss: entry.cvss, source: entry.severity_source },
            exploited: entry.exploited,
            epss: entry.epss,
            fixes: vec![fix],
            summary: entry.summary,
            sources: BTreeSet::from([entry.source]),
            scheme,
        }
    }

    fn absorb(&mut self, other: Self) {
        self.names.extend(other.names);
        self.rating = self.rating.max(other.rating);
        self.exploited = match (self.exploited, other.exploited) {
            (Some(a), Some(b)) => {
                Some(Exploited { since: a.since.min(b.since), ransomware: a.ransomware || b.ransomware })
            }
            (a, b) => a.or(b),
        };
        self.epss = self.epss.max(other.epss);
        self.fixes.extend(other.fixes);
        self.summary = other.summary.or(self.summary);
        self.sources.extend(other.sources);
    }

    fn into_finding(self, package: &ImagePackage) -> Finding {
        let best = self.names.iter().find(|name| name.starts_with("CVE-")).or_else(|| self.names.first());
        let id = best.copied().unwrap_or_default().to_owned();
        let fixed_version = self.fixed_version();
        Finding {
            aliases: self.names.iter().filter(|name| **name != id).map(|name| (*name).to_owned()).collect(),
            severity: self.rating.severity,
            risk: Risk {
                severity_source: self.rating.source.map(str::to_owned),
                cvss: self.rating.cvss.map(|(score, vector)| Cvss { score, vector: vector.to_owned() }),
                exploited: self.exploited,
                epss: self.epss,
            },
            package: package.package.clone(),
            layer: package.layer,
            fixed_version: fixed_version.map(str::to_owned),
            unfixed: if fixed_version.is_none() { self.unfixed() } else { None },
            summary: self.summary.map(str::to_owned),
            source: self.sources.into_iter().collect::<Vec<_>>().join(", "),
            id,
        }
    }

    /// The newest of the versions named: only there do all sources agree that the problem is gone.
    fn fixed_version(&self) -> Option<&'a str> {
        let available = |fix: &Fix<'a>| match fix {
            Fix::Available(version) => Some(*version),
            Fix::Elsewhere { .. } | Fix::Missing(_) => None,
        };
        self.fixes.iter().filter_map(available).max_by(|a, b| self.newer(a, b))
    }

    fn newer(&self, a: &str, b: &str) -> std::cmp::Ordering {
        compare(self.scheme, a, b).unwrap_or(std::cmp::Ordering::Equal)
    }

    /// A fix that others can have tells more than why there is none.
    fn unfixed(&self) -> Option<Unfixed> {
        let elsewhere = self.fixes.iter().filter_map(|fix| match fix {
            Fix::Elsewhere { version, channel } => Some((*version, *channel)),
            Fix::Available(_) | Fix::Missing(_) => None,
        });
        if let Some((version, channel)) = elsewhere.max_by(|(a, _), (b, _)| self.newer(a, b)) {
            return Some(Unfixed::Elsewhere { version: version.to_owned(), channel: channel.to_owned() });
        }
        let remedies = self.fixes.iter().filter_map(|fix| match fix {
            Fix::Missing(remedy) => *remedy,
            Fix::Available(_) | Fix::Elsewhere { .. } => None,
        });
        remedies.max().and_then(|remedy| match remedy {
            Remedy::Deferred => Some(Unfixed::Deferred),
            // Without a version there is nothing to be had elsewhere.
            Remedy::Elsewhere { .. } => None,
            Remedy::OutOfSupport => Some(Unfixed::OutOfSupport),
            Remedy::UnderInvestigation => Some(Unfixed::UnderInvestigation),
            Remedy::WillNotFix => Some(Unfixed::WillNotFix),
        })
    }
}
