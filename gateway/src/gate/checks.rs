//! The table of checks: which are asked at which checkpoint, and what each objects to.

mod attack;
mod attestation;
mod base;
mod image;
mod integrity;
mod known_bad;
mod malware;
mod permission;
mod pin;
mod revocation;
mod runtime;
mod secret;
mod signature;
mod state;
mod unexplained;
mod unknown;
mod vex;
mod vulnerability;

use std::collections::BTreeMap;

use keys::revocation::Revocations;

use super::Checkpoint;
use super::evidence::{Content, Evidence, ImageFacts, Previous};
use super::policy::{ApprovedBase, Exception, Level, Rule, When};
use super::verdict::{LayerReference, Reason};
use super::vex::NamedPackage;
use super::words::printable;
pub(super) use attestation::{ask as ask_conditions, ends as attestations_end};
pub(super) use unknown::tell as tell_unknown;

/// One question about one image under one rule.
pub(super) struct Question<'a> {
    pub(super) checkpoint: Checkpoint,
    pub(super) evidence: &'a Evidence,
    pub(super) rule: &'a Rule,
    pub(super) revocations: &'a Revocations,
    /// Those for this repository, ended ones included.
    pub(super) exceptions: &'a [&'a Exception],
    pub(super) bases: &'a [ApprovedBase],
}

impl Question<'_> {
    fn objection(
        &self,
        check: &str,
        level: Level,
        message: String,
        next_step: impl Into<String>,
    ) -> Objection {
        Objection::new(level, Reason::new(check, &self.rule.name, message, next_step))
    }
}

/// One runnable image among those in question: the image itself, or one platform of an index.
pub(super) struct ImageQuestion<'a> {
    rule: &'a Rule,
    as_of: i64,
    facts: &'a ImageFacts,
    bases: &'a [ApprovedBase],
    platform: Option<&'a str>,
    refused_since: &'a BTreeMap<String, i64>,
    previous: Option<&'a Previous>,
}

impl ImageQuestion<'_> {
    fn objection(
        &self,
        check: &str,
        level: Level,
        message: String,
        next_step: impl Into<String>,
    ) -> Objection {
        let mut reason = Reason::new(check, &self.rule.name, message, next_step);
        reason.platform = self.platform.map(|platform| printable(platform, 100));
        Objection::new(level, reason)
    }

    fn layer(&self, index: usize) -> LayerReference {
        let layer = self.facts.scan.layers.get(index);
        LayerReference {
            index,
            digest: layer.map(|layer| layer.digest.clone()).unwrap_or_default(),
            instruction: layer
                .and_then(|layer| layer.instruction.as_deref())
                .map(|text| printable(text, 200)),
        }
    }
}

/// What a check holds against an image.
pub(super) struct Objection {
    pub(super) level: Level,
    pub(super) reason: Reason,
    /// What an exception may call it, besides the name of the check.
    pub(super) names: Vec<String>,
    /// Name of the package to blame, without its version.
    pub(super) package_name: Option<String>,
    /// That package as statements name it.
    pub(super) package: Option<NamedPackage>,
    /// By what the state remembers it ([`super::evidence::finding_key`]): only of what a rule may give a grace.
    pub(super) remembered_by: Option<String>,
    /// Neither an exception nor `enforce` softens it: state and kind are facts of the store, not matters of policy.
    pub(super) unconditional: bool,
}

/// What is said of a file behind its name.
fn but_ships(deleted_later: bool) -> &'static str {
    if deleted_later { ", which a later layer deletes, but it still ships" } else { "" }
}

impl Objection {
    fn new(level: Level, reason: Reason) -> Self {
        Self {
            level,
            reason,
            names: Vec::new(),
            package_name: None,
            package: None,
            remembered_by: None,
            unconditional: false,
        }
    }

    fn unconditional(self) -> Self {
        Self { unconditional: true, ..self }
    }
}

/// One entry of the table: a check of the whole question, or of one of its images.
pub(super) enum Check<'a> {
    Image(ImageCheck, ImageQuestion<'a>),
    Whole(fn(&Question<'_>, &mut Vec<Objection>)),
}

type ImageCheck = fn(&ImageQuestion<'_>, &mut Vec<Objection>);

impl Check<'_> {
    pub(super) fn ask(&self, question: &Question<'_>, objections: &mut Vec<Objection>) {
        match self {
            Self::Image(check, image) => check(image, objections),
            Self::Whole(check) => check(question, objections),
        }
    }
}

/// Asked of every runnable image at every checkpoint.
const IMAGE_CHECKS: [ImageCheck; 22] = [
    integrity::contradictions,
    integrity::unreadable_layers,
    known_bad::programs,
    malware::matches,
    malware::unfinished,
    malware::oversize,
    attack::engine,
    secret::secrets,
    vulnerability::findings,
    vulnerability::unknown_marks,
    unknown::unjudged,
    unexplained::programs,
    unknown::advisory_age,
    unknown::end_of_life,
    base::base_image,
    base::registered,
    image::size,
    image::growth,
    image::layers,
    image::waste,
    image::user,
    permission::permissions,
];

/// Asked where a document lists the packages. All else is told as not looked at.
const DOCUMENT_CHECKS: [ImageCheck; 5] = [
    integrity::document,
    vulnerability::findings,
    unknown::unjudged,
    unknown::advisory_age,
    unknown::end_of_life,
];

/// The checks that must be satisfied; never empty.
pub(super) fn required<'a>(question: &Question<'a>) -> Vec<Check<'a>> {
    let mut checks = vec![Check::Whole(state::content), Check::Whole(revocation::revocation)];
    let judged = matches!(question.evidence.content, Content::Judged);
    let images = images(&question.evidence.content);
    if matches!(question.checkpoint, Checkpoint::Pull | Checkpoint::Admit) {
        checks.push(Check::Whole(state::state));
        checks.push(Check::Whole(pin::pinned));
    }
    if question.checkpoint == Checkpoint::Admit {
        checks.push(Check::Whole(runtime::privileged));
        checks.push(Check::Whole(runtime::apparmor));
        checks.push(Check::Whole(runtime::host_bind_mounts));
    }
    if question.evidence.collection.is_some() && question.checkpoint != Checkpoint::Push {
        checks.push(Check::Whole(signature::collection));
    }
    if judged || images.is_empty() {
        return checks;
    }
    if question.checkpoint != Checkpoint::Push || question.rule.signatures.when == When::BeforePush {
        checks.push(Check::Whole(signature::signatures));
        checks.push(Check::Whole(attestation::attestations));
    }
    checks.push(Check::Whole(vex::statements));
    for (platform, facts) in images {
        let asked: &[ImageCheck] =
            if facts.from_document.is_some() { &DOCUMENT_CHECKS } else { &IMAGE_CHECKS };
        let image = |check: &ImageCheck| Check::Image(*check, image_question(question, platform, facts));
        checks.extend(asked.iter().map(image));
    }
    checks
}

fn image_question<'a>(
    question: &Question<'a>,
    platform: Option<&'a str>,
    facts: &'a ImageFacts,
) -> ImageQuestion<'a> {
    let Evidence { as_of, refused_since, previous, .. } = question.evidence;
    ImageQuestion {
        rule: question.rule,
        as_of: *as_of,
        facts,
        bases: question.bases,
        platform,
        refused_since,
        previous: previous.as_ref(),
    }
}

/// A span of time as the clock counts it.
pub(super) fn seconds(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// What is held against the vulnerabilities of the images in question.
pub(super) fn vulnerabilities(question: &Question<'_>) -> Vec<Objection> {
    let mut objections = Vec::new();
    for (platform, facts) in images(&question.evidence.content) {
        vulnerability::findings(&image_question(question, platform, facts), &mut objections);
    }
    objections
}

/// The runnable images in question, each with its platform where an index names one. Attestations inside an index
/// cannot run and are not among them.
pub(super) fn images(content: &Content) -> Vec<(Option<&str>, &ImageFacts)> {
    match content {
        Content::Artifact { .. } | Content::Judged => Vec::new(),
        Content::Image(facts) => vec![(None, facts)],
        Content::Index(children) => children
            .iter()
            .filter_map(|child| match &child.content {
                Content::Image(facts) => Some((Some(child.platform.as_str()), facts)),
                Content::Artifact { .. } | Content::Index(_) | Content::Judged => None,
            })
            .collect(),
    }
}
