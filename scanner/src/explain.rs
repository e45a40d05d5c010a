//! Why a vulnerability is reported or not: what the matcher said on the way to its answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::advisory::{Advisories, AdvisoryError, Entry, Place, Range, RangeEnd};
use crate::finding::{Finding, Severity};
use crate::matcher::{Passed, Step, match_traced};
use crate::package::{Distribution, Package};
use crate::report::{AdvisoryRevision, ImagePackage, LayerSummary, Unknown};

/// Places that advisories of one name are listed under; a CVE of a kernel names hundreds of packages.
const NAMED_MAX: usize = 200;

/// What is in the image, and what is asked about it.
pub(crate) struct Asked<'a> {
    pub(crate) query: &'a str,
    pub(crate) distribution: Option<&'a Distribution>,
    pub(crate) packages: &'a [ImagePackage],
    /// The system's package behind an owned one, by path.
    pub(crate) owners: &'a BTreeMap<String, String>,
    pub(crate) unknown: BTreeSet<Unknown>,
    pub(crate) layers: Vec<LayerSummary>,
}

/// Everything that bears on one question about one image.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// As asked.
    pub query: String,
    /// What the question was taken for.
    pub asked: Subject,
    /// The image's system.
    pub distribution: Option<Distribution>,
    /// Which advisories were asked; `None`: none are loaded.
    pub advisories: Option<AdvisoryRevision>,
    /// Advisories that were left out of that file when it was built: withdrawn, or of ecosystems that are not judged.
    pub left_out: u64,
    /// How many of the image's packages were looked up, and how many not, by reason.
    pub looked_at: LookedAt,
    /// Where the file names the vulnerability, whether or not such a package is installed; at most two hundred.
    pub named: Vec<Named>,
    /// Packages that the question is about, in the order of the report.
    pub packages: Vec<PackageStory>,
    /// What became of it.
    pub findings: Vec<Finding>,
    /// Why an empty list of findings would not mean "not affected".
    pub unknown: Vec<Unknown>,
}

/// What a question was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A package in the image has that name, or a source that one was built from.
    Package,
    /// Everything else: the name of a vulnerability.
    Vulnerability,
}

/// Counts of the image's packages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LookedAt {
    /// All.
    pub packages: usize,
    /// Looked up in advisories that cover their ecosystem.
    pub judged: usize,
    /// Looked up, but nothing speaks about the whole of their ecosystem.
    pub uncovered: usize,
    /// A package of the distribution installed them and answers for them.
    pub owned_by_system: usize,
    /// Built by others than the distribution.
    pub foreign: usize,
    /// Headers, documentation or source text of a kernel.
    pub kernel_text: usize,
    /// No advisories of their kind can be read.
    pub no_ecosystem: usize,
}

/// One package that advisories name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    /// `debian:12`, `npm`.
    pub ecosystem: String,
    /// As the ecosystem writes it.
    pub package: String,
    /// The advisory's own name.
    pub id: String,
}

/// One package and what was asked about it.
#[derive(Clone, Debug, Serialize)]
pub struct PackageStory {
    /// Which.
    pub package: Package,
    /// Where it is listed.
    pub path: String,
    /// The layer that brought it.
    pub layer: usize,
    /// Digest of that layer.
    pub layer_digest: String,
    /// The instruction that made it.
    pub instruction: Option<String>,
    /// The distribution's package that installed it.
    pub owner: Option<String>,
    /// Whose advisories were asked; `None` where none were.
    pub ecosystem: Option<String>,
    /// Some source speaks about the whole of that ecosystem.
    pub covered: bool,
    /// What the matcher made of it.
    pub outcome: Outcome,
    /// Why it could not be judged.
    pub problem: Option<String>,
    /// Names and versions that advisories were asked about.
    pub asked: Vec<Lookup>,
    /// The advisories that bear on the question.
    pub advisories: Vec<AdvisoryStory>,
}

/// What the matcher made of a package, for this question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// At least one advisory says so.
    Affected,
    /// Built by others than the distribution: unknown.
    Foreign,
    /// Headers, documentation or source text of a kernel: none of the code that its advisories are about.
    KernelText,
    /// No advisories of its kind can be read: unknown.
    NoEcosystem,
    /// Advisories cover its ecosystem, and none of them affects this version.
    NotAffected,
    /// A package of the distribution installed it and answers for it.
    OwnedBySystem,
    /// It could not be judged, or nothing covers its ecosystem.
    Unknown,
}

/// One name under which advisories were looked for.
#[derive(Clone, Debug, Serialize)]
pub struct Lookup {
    /// The release's advisories, or those of a channel beside it.
    pub ecosystem: String,
    /// Of the package or its source, as the ecosystem writes it.
    pub name: String,
    /// The version that is compared.
    pub version: String,
}

/// One advisory and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct AdvisoryStory {
    /// Its own name.
    pub id: String,
    /// Other names of the same problem.
    pub aliases: Vec<String>,
    /// Which feed: `debian`, `alpine`, `osv`.
    pub source: String,
    /// How bad it says it is.
    pub severity: Severity,
    /// The installed version that was compared.
    pub version: String,
    /// Its answer.
    pub affected: bool,
    /// It was not asked: an earlier channel, or the package's own name, has spoken about its problem.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
    /// What was compared, in order; the first span that holds the version decides.
    pub compared: Vec<Comparison>,
}

/// One comparison.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "with", rename_all = "kebab-case")]
pub enum Comparison {
    /// A span of affected versions.
    Range {
        /// First affected; `None`: from the beginning.
        introduced: Option<String>,
        /// First that is not affected any more.
        fixed: Option<String>,
        /// Last affected.
        last_affected: Option<String>,
        /// Where the installed version stands: `before`, `inside`, `past`.
        place: &'static str,
    },
    /// The advisory's list of versions holds this one.
    Version {
        /// As the advisory writes it.
        listed: String,
    },
}

pub(crate) fn explain(
    asked: Asked<'_>,
    advisories: Option<&Advisories>,
) -> Result<Explanation, AdvisoryError> {
    let subject = if asked.packages.iter().any(|package| is_called(&package.package, asked.query)) {
        Subject::Package
    } else {
        Subject::Vulnerability
    };
    let mut listener = Listener {
        names: BTreeSet::from([asked.query.to_uppercase()]),
        subject,
        asked: &asked,
        looked_at: LookedAt { packages: asked.packages.len(), ..LookedAt::default() },
        stories: Vec::new(),
        current: None,
        compared: Vec::new(),
    };
    let mut named = BTreeSet::new();
    if let (Subject::Vulnerability, Some(advisories)) = (subject, advisories) {
        let known = listener.names.clone();
        advisories.for_each(|ecosystem, package, entry| {
            if names(&entry).any(|name| known.contains(&name.to_uppercase())) {
                listener.names.extend(names(&entry).map(str::to_uppercase));
                let (ecosystem, package) = (ecosystem.to_owned(), package.to_owned());
                named.insert(Named { ecosystem, package, id: entry.id.to_owned() });
            }
        })?;
    }
    let matched =
        match_traced(asked.distribution, asked.packages, advisories, &mut |step| listener.hear(step));
    let mut findings = matched.findings;
    findings.retain(|finding| listener.is_asked_about(finding));
    let mut unknown = asked.unknown.clone();
    unknown.extend(matched.unknown);
    Ok(Explanation {
        query: asked.query.to_owned(),
        asked: subject,
        distribution: asked.distribution.cloned(),
        advisories: advisories.map(Advisories::revision),
        left_out: advisories.map_or(0, |it| it.sources().iter().map(|source| source.skipped).sum()),
        looked_at: listener.looked_at,
        named: named.into_iter().take(NAMED_MAX).collect(),
        packages: listener.stories,
        findings,
        unknown: unknown.into_iter().collect(),
    })
}

/// By its own name or by its source's.
fn is_called(package: &Package, name: &str) -> bool {
    let source = package.source.as_ref().map(|source| source.name.as_str());
    package.name.eq_ignore_ascii_case(name) || source.is_some_and(|source| source.eq_ignore_ascii_case(name))
}

fn names<'e>(entry: &'e Entry<'_>) -> impl Iterator<Item = &'e str> {
    std::iter::once(entry.id).chain(entry.aliases.iter().copied())
}

/// Writes down what the matcher tells, as far as it bears on the question.
struct Listener<'a> {
    /// All names of the vulnerability, upper case.
    names: BTreeSet<String>,
    subject: Subject,
    asked: &'a Asked<'a>,
    looked_at: LookedAt,
    stories: Vec<PackageStory>,
    current: Option<PackageStory>,
    compared: Vec<Comparison>,
}

impl Listener<'_> {
    fn hear(&mut self, step: &Step<'_>) {
        match step {
            Step::Passed(package, why) => self.pass(package, *why),
            Step::Package { package, ecosystem, covered } => {
                *(if *covered { &mut self.looked_at.judged } else { &mut self.looked_at.uncovered }) += 1;
                let outcome = if *covered { Outcome::NotAffected } else { Outcome::Unknown };
                let story = self.story(package, outcome);
                self.current =
                    Some(PackageStory { ecosystem: Some(ecosystem.to_string()), covered: *covered, ..story });
            }
            Step::Asked { ecosystem, name, version } => {
                if let Some(story) = &mut self.current {
                    let (name, version) = ((*name).to_owned(), (*version).to_owned());
                    story.asked.push(Lookup { ecosystem: ecosystem.to_string(), name, version });
                }
            }
            Step::Range { range, place } => self.compared.push(comparison(range, *place)),
            Step::Listed(version) => {
                self.compared.push(Comparison::Version { listed: (*version).to_owned() });
            }
            Step::Advisory { entry, version, affected } => self.advisory(entry, version, *affected),
            Step::Superseded { entry, version } => {
                self.advisory(entry, version, false);
                if let Some(told) = self.current.as_mut().and_then(|story| story.advisories.last_mut())
                    && told.id == entry.id
                {
                    told.superseded = true;
                }
            }
            Step::Done { problem } => self.done(*problem),
        }
    }

    fn pass(&mut self, package: &ImagePackage, why: Passed) {
        let (count, outcome) = match why {
            Passed::Foreign => (&mut self.looked_at.foreign, Outcome::Foreign),
            Passed::KernelText => (&mut self.looked_at.kernel_text, Outcome::KernelText),
            Passed::NoEcosystem => (&mut self.looked_at.no_ecosystem, Outcome::NoEcosystem),
            Passed::OwnedBySystem => (&mut self.looked_at.owned_by_system, Outcome::OwnedBySystem),
        };
        *count += 1;
        if self.subject == Subject::Package && is_called(&package.package, self.asked.query) {
            let story = self.story(package, outcome);
            self.stories.push(story);
        }
    }

    fn story(&self, package: &ImagePackage, outcome: Outcome) -> PackageStory {
        let layer = self.asked.layers.get(package.layer);
        PackageStory {
            package: package.package.clone(),
            path: package.path.clone(),
            layer: package.layer,
            layer_digest: layer.map(|layer| layer.digest.clone()).unwrap_or_default(),
            instruction: layer.and_then(|layer| layer.instruction.clone()),
            owner: self.asked.owners.get(&package.path).cloned(),
            ecosystem: None,
            covered: false,
            outcome,
            problem: None,
            asked: Vec::new(),
            advisories: Vec::new(),
        }
    }

    fn advisory(&mut self, entry: &Entry<'_>, version: &str, affected: bool) {
        let compared = std::mem::take(&mut self.compared);
        let wanted = self.subject == Subject::Package
            || names(entry).any(|name| self.names.contains(&name.to_uppercase()));
        let Some(story) = self.current.as_mut().filter(|_| wanted) else { return };
        if affected {
            story.outcome = Outcome::Affected;
        }
        story.advisories.push(AdvisoryStory {
            id: entry.id.to_owned(),
            aliases: entry.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            source: entry.source.to_owned(),
            severity: entry.severity,
            version: version.to_owned(),
            affected,
            superseded: false,
            compared,
        });
    }

    fn done(&mut self, problem: Option<&'static str>) {
        let compared = std::mem::take(&mut self.compared);
        let Some(mut story) = self.current.take() else { return };
        let wanted = match self.subject {
            Subject::Package => is_called(&story.package, self.asked.query),
            // A version that cannot be ordered stops the matcher inside the advisory that may be the one.
            Subject::Vulnerability => !story.advisories.is_empty() || !compared.is_empty(),
        };
        if let Some(problem) = problem {
            story.outcome = Outcome::Unknown;
            story.problem = Some(problem.to_owned());
        }
        if wanted {
            self.stories.push(story);
        }
    }

    fn is_asked_about(&self, finding: &Finding) -> bool {
        match self.subject {
            Subject::Package => self.stories.iter().any(|story| story.package == finding.package),
            Subject::Vulnerability => std::iter::once(&finding.id)
                .chain(&finding.aliases)
                .any(|name| self.names.contains(&name.to_uppercase())),
        }
    }
}

fn comparison(range: &Range<&str>, place: Place) -> Comparison {
    let (fixed, last_affected) = match range.end {
        RangeEnd::Fixed(version) => (Some(version.to_owned()), None),
        RangeEnd::LastAffected(version) => (None, Some(version.to_owned())),
        RangeEnd::Open => (None, None),
    };
    Comparison::Range {
        introduced: range.introduced.map(str::to_owned),
        fixed,
        last_affected,
        place: match place {
            Place::Before => "before",
            Place::Inside => "inside",
            Place::Past => "past",
        },
    }
}
