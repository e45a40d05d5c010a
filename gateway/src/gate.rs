//! `decide(checkpoint, evidence, policy)`: the heart. Pure and total; every door ends here.
//!
//! | Checkpoint | What is asked |
//! |---|---|
//! | `push` | rule, integrity, scan, image; signatures and attestations only where the rule says `when = "before-push"` |
//! | `release` | as `push`, and signatures and attestations always |
//! | `pull` | as `release`, and: is it released, was it asked for as the rule's `pin` wants |
//! | `admit` | as `pull`, and: may a container ask for this at run time |
//!
//! A revoked digest is refused at every one of them. What cannot run (a signature, an SBOM, an index of such) is asked
//! besides only for a rule, state and pin, and is never
//! admitted. What was judged before ([`evidence::Content::Judged`]) is not weighed again at `pull` and `admit`.

pub mod assemble;
mod checks;
pub mod condition;
pub mod evidence;
pub mod explain;
pub mod growth;
pub mod policy;
pub mod verdict;
pub mod vex;
mod waivers;
pub mod words;

use std::fmt;

use checks::{Objection, Question};
use evidence::Evidence;
use policy::{Enforcement, Level, Policy};
use verdict::{Admitted, Denial, REASONS_MAX, Reason, Verdict};

/// The moment at which a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpoint {
    /// May a container be created from this image?
    Admit,
    /// May a consumer have it?
    Pull,
    /// May it be stored, visible to producers only?
    Push,
    /// May it become visible to consumers?
    Release,
}

impl Checkpoint {
    /// `push`, `release`, `pull` or `admit`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Answers one question about one image. "Could not decide" is not an answer: whoever gathers evidence returns an
/// error for that, and fails closed.
pub fn decide(checkpoint: Checkpoint, evidence: &Evidence, policy: &Policy) -> Verdict {
    let Some(rule) = policy.rule_for(&evidence.repository) else {
        return Verdict::Deny(Denial::new(evidence.reference(), checkpoint, vec![no_rule(evidence)]));
    };
    let revocations = &policy.trust_store().revocations;
    let exceptions = waivers::applicable(policy, &evidence.repository);
    let question =
        Question { checkpoint, evidence, rule, revocations, exceptions: &exceptions, bases: policy.bases() };
    let required = checks::required(&question);
    let mut tally = Tally { required: required.len(), ..Tally::default() };
    for check in required {
        let mut objections = Vec::new();
        check.ask(&question, &mut objections);
        for objection in &mut objections {
            waivers::apply(objection, &exceptions, evidence);
        }
        tally.count(objections, rule.enforce);
    }
    tally.verdict(&question)
}

/// Asks what a rule's conditions say of the statements in the evidence, once for all verdicts about it. It may take a
/// second: for whoever gathers evidence on a thread of its own, last of all.
pub fn ask_conditions(evidence: &mut Evidence, policy: &Policy) {
    if let Some(rule) = policy.rule_for(&evidence.repository) {
        checks::ask_conditions(evidence, rule);
    }
}

/// Until when a verdict about this evidence holds for the sake of what was stated about it, seconds since 1970-01-01
/// UTC; `None`: nothing of it ends. A later moment than the evidence's own.
pub fn stated_until(evidence: &Evidence, policy: &Policy) -> Option<i64> {
    policy.rule_for(&evidence.repository).and_then(|rule| checks::attestations_end(evidence, rule))
}

/// The findings for which a released image is refused from now on, by [`evidence::finding_key`], where its rule gives such
/// images a grace: whoever keeps the state remembers since when, and asks again with [`Evidence::refused_since`].
pub fn newly_refused(evidence: &Evidence, policy: &Policy) -> Vec<String> {
    let Some(rule) = policy.rule_for(&evidence.repository) else { return Vec::new() };
    if rule.scan.grace.is_none() || rule.enforce != Enforcement::Deny {
        return Vec::new();
    }
    let revocations = &policy.trust_store().revocations;
    let exceptions = waivers::applicable(policy, &evidence.repository);
    let question = Question {
        checkpoint: Checkpoint::Release,
        evidence,
        rule,
        revocations,
        exceptions: &exceptions,
        bases: policy.bases(),
    };
    let mut objections = checks::vulnerabilities(&question);
    for objection in &mut objections {
        waivers::apply(objection, &exceptions, evidence);
    }
    let refused = objections.into_iter().filter(|objection| objection.level == Level::Deny);
    let new = refused.filter_map(|objection| objection.remembered_by);
    new.filter(|key| !evidence.refused_since.contains_key(key)).collect()
}

/// When the first of the graces ends that a verdict about this evidence may rest on, seconds since 1970-01-01 UTC; a later
/// moment than the evidence's own.
pub fn grace_until(evidence: &Evidence, policy: &Policy) -> Option<i64> {
    let grace = checks::seconds(policy.rule_for(&evidence.repository)?.scan.grace?);
    let ends = evidence.refused_since.values().map(|since| since.saturating_add(grace));
    ends.filter(|end| *end > evidence.as_of).min()
}

/// Satisfied checks against required ones: "allow" is a sum that comes out right, never an empty list of errors.
#[derive(Default)]
struct Tally {
    required: usize,
    satisfied: usize,
    denials: Vec<Reason>,
    warnings: Vec<Reason>,
    shadowed: Vec<Reason>,
}

impl Tally {
    fn count(&mut self, objections: Vec<Objection>, enforcement: Enforcement) {
        let denials_before = self.denials.len();
        for objection in objections {
            let softened = !objection.unconditional;
            match (objection.level, enforcement) {
                (Level::Off, _) => {}
                (Level::Warn, _) => self.warnings.push(objection.reason),
                (Level::Deny, Enforcement::Shadow) if softened => self.shadowed.push(objection.reason),
                (Level::Deny, Enforcement::Warn) if softened => self.warnings.push(objection.reason),
                (Level::Deny, _) => self.denials.push(objection.reason),
            }
        }
        if self.denials.len() == denials_before {
            self.satisfied += 1;
        }
    }

    fn verdict(mut self, question: &Question<'_>) -> Verdict {
        let Question { checkpoint, evidence, rule, .. } = question;
        Reason::sort(&mut self.warnings);
        self.warnings.truncate(REASONS_MAX);
        if self.required > 0 && self.satisfied == self.required && self.denials.is_empty() {
            Reason::sort(&mut self.shadowed);
            self.shadowed.truncate(REASONS_MAX);
            return Verdict::Allow(Admitted::new(evidence.digest.clone(), self.warnings, self.shadowed));
        }
        let denial = Denial::new(evidence.reference(), *checkpoint, self.denials);
        Verdict::Deny(Denial { warnings: self.warnings, help: rule.help.clone(), ..denial })
    }
}

fn no_rule(evidence: &Evidence) -> Reason {
    let message = format!("no policy rule matches `{}`", words::printable(&evidence.repository, 300));
    let next_step = "ask the policy's owner to add a [[rule]] whose `images` match, or check the name for a typing mistake";
    Reason::new("rule", "none", message, next_step)
}

#[cfg(test)]
mod tests;
