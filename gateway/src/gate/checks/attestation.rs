//! Has somebody we know stated what the rule asks for?
//!
//! Predicate type, signer and condition are asked of one attestation at a time: taken from two, the type of one and the
//! word of another would pass for a statement that nobody made.

use keys::attestation::VerifiedAttestation;
use keys::attestation::predicate::{claimed_time, is_of_type};

use super::super::condition::{Condition, Statement};
use super::super::evidence::{ConditionAnswers, Evidence};
use super::super::policy::{AttestationRule, Level, Rule};
use super::{Objection, Question, printable, seconds};

/// Near misses told in a refusal: the first ones explain nearly every case.
const MISSES_TOLD_MAX: usize = 3;
/// How far a clock may be ahead of ours, in seconds, before a statement counts as dated in the future.
const SKEW_SECONDS: i64 = 300;

pub(super) fn attestations(question: &Question<'_>, objections: &mut Vec<Objection>) {
    for asked in &question.rule.attestations {
        let Err(misses) = satisfied(question, asked) else { continue };
        let from: Vec<String> = asked.from.iter().map(|name| format!("`{name}`")).collect();
        let condition = asked
            .condition
            .as_ref()
            .map_or_else(String::new, |condition| format!(" where `{}`", printable(condition.source(), 200)));
        let predicate = printable(&asked.predicate, 200);
        let message =
            format!("no attestation `{predicate}` by {}{condition}{}", from.join(" or "), told(&misses));
        let next_step = format!(
            "attest it: `portcullis attest {}@{} --type {predicate} --predicate FILE --key …`, or cosign",
            question.evidence.repository, question.evidence.digest
        );
        objections.push(question.objection("attestation", Level::Deny, message, next_step));
    }
}

/// Until when an answer about this evidence holds for the sake of what was stated: a key or certificate ends, or a
/// statement grows too old. Seconds since 1970-01-01 UTC, only moments after the one asked about.
pub(in crate::gate) fn ends(evidence: &Evidence, rule: &Rule) -> Option<i64> {
    let moments = rule.attestations.iter().flat_map(|asked| {
        let of_type = candidates(evidence).filter(|one| is_of_type(one.predicate_type(), &asked.predicate));
        of_type.flat_map(|one| {
            let aged = asked.max_age.and_then(|age| {
                oldest_time(one).map(|time| time.saturating_add(seconds(age)).saturating_add(1))
            });
            [one.valid_until().map(|last| last.saturating_add(1)), aged]
        })
    });
    moments.flatten().filter(|moment| *moment > evidence.as_of).min()
}

/// Verification has compared the digests already; a caller that mixes up two images must not get past here either.
fn candidates(evidence: &Evidence) -> impl Iterator<Item = &VerifiedAttestation> {
    evidence.attestations.verified.iter().filter(|one| {
        let subject = one.subject_digest();
        subject == evidence.digest || evidence.parents.iter().any(|parent| parent == subject)
    })
}

/// Those that may satisfy the rule's entry, and those of its type that are by others.
fn counted<'a>(
    evidence: &'a Evidence,
    asked: &AttestationRule,
) -> (Vec<&'a VerifiedAttestation>, Vec<&'a VerifiedAttestation>) {
    let (by_signer, by_others): (Vec<_>, Vec<_>) = candidates(evidence)
        .filter(|one| is_of_type(one.predicate_type(), &asked.predicate))
        .partition(|one| asked.from.iter().any(|name| name == one.identity()));
    (if asked.newest_only { newest(by_signer) } else { by_signer }, by_others)
}

/// Asks every condition of the rule that a verdict may ask for, so that none of several verdicts has to.
pub(in crate::gate) fn ask(evidence: &mut Evidence, rule: &Rule) {
    let mut answers = ConditionAnswers::default();
    for asked in &rule.attestations {
        let Some(condition) = &asked.condition else { continue };
        for one in counted(evidence, asked).0 {
            if answers.find(condition.source(), one).is_none() {
                answers.keep(condition.source(), one, check(condition, evidence, one));
            }
        }
    }
    evidence.conditions = answers;
}

fn check(condition: &Condition, evidence: &Evidence, one: &VerifiedAttestation) -> Result<(), String> {
    let (repository, digest) = (evidence.repository.as_str(), one.subject_digest());
    let about = Statement { statement: one.statement(), repository, digest };
    condition.check(about).map_err(|unsatisfied| unsatisfied.to_string())
}

/// Whether one attestation is all that the rule asks for; else why each that came near is not.
fn satisfied(question: &Question<'_>, asked: &AttestationRule) -> Result<(), Vec<String>> {
    let (counted, by_others) = counted(question.evidence, asked);
    let answers: Vec<Result<(), String>> = counted.iter().map(|one| holds(question, asked, one)).collect();
    // Several newest: which of them is the last word cannot be told, so each must hold. One that nobody read may be newer.
    let is_incomplete = question.evidence.attestations.incomplete;
    let is_satisfied = match asked.newest_only {
        true => !is_incomplete && !answers.is_empty() && answers.iter().all(Result::is_ok),
        false => answers.iter().any(Result::is_ok),
    };
    if is_satisfied {
        return Ok(());
    }
    let mut misses: Vec<String> = counted
        .iter()
        .zip(answers)
        .filter_map(|(one, answer)| Some(format!("{}: {}", one.digest(), answer.err()?)))
        .collect();
    misses.extend(
        by_others
            .iter()
            .map(|one| format!("{}: it is by `{}`", one.digest(), printable(one.identity(), 100))),
    );
    let rejected = &question.evidence.attestations.rejected;
    misses.extend(rejected.iter().map(|one| printable(&one.reason, 200)));
    Err(misses)
}

/// The newest, and those whose time nobody knows: one of them might be the newest.
fn newest(all: Vec<&VerifiedAttestation>) -> Vec<&VerifiedAttestation> {
    let last = all.iter().filter_map(|one| newest_time(one)).max();
    all.into_iter().filter(|one| newest_time(one).is_none_or(|time| Some(time) == last)).collect()
}

/// When it was made, to put several in order: the time that is proven, else the one it claims for itself.
fn newest_time(one: &VerifiedAttestation) -> Option<i64> {
    one.proven_time().or_else(|| claimed_time(one.predicate_type(), one.predicate()))
}

/// When it was made, to tell its age: the older of both times, for an old report may be signed again today.
fn oldest_time(one: &VerifiedAttestation) -> Option<i64> {
    let claimed = claimed_time(one.predicate_type(), one.predicate());
    [one.proven_time(), claimed].into_iter().flatten().min()
}

fn holds(question: &Question<'_>, asked: &AttestationRule, one: &VerifiedAttestation) -> Result<(), String> {
    let as_of = question.evidence.as_of;
    if newest_time(one).is_some_and(|time| time > as_of.saturating_add(SKEW_SECONDS)) {
        return Err("it is dated in the future".to_owned());
    }
    if let Some(age) = asked.max_age {
        let time = oldest_time(one).ok_or("it does not say when it was made, and may not be old")?;
        if as_of.saturating_sub(time) > seconds(age) {
            return Err(format!("it is older than {}", humantime::format_duration(age)));
        }
    }
    let Some(condition) = &asked.condition else { return Ok(()) };
    let asked_before = question.evidence.conditions.find(condition.source(), one).cloned();
    asked_before.unwrap_or_else(|| check(condition, question.evidence, one))
}

fn told(misses: &[String]) -> String {
    if misses.is_empty() {
        return String::new();
    }
    let more = misses.len().saturating_sub(MISSES_TOLD_MAX);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let told = misses.iter().take(MISSES_TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
    format!(" ({} found that do not count: {told}{more})", misses.len())
}
