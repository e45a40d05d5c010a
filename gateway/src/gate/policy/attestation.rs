//! `attestation = [{ … }]` of a rule: what somebody must have stated about an image.

use std::collections::BTreeSet;
use std::time::Duration;

use keys::attestation::predicate;
use serde::Serialize;

use super::reader::{Entry, Mistakes, Section};
use super::signatures::identity_name;
use crate::gate::condition::{Condition, VARIABLES};

/// Conditions in one rule; each may be asked about every attestation of an image.
const CONDITIONS_MAX: usize = 32;

/// One attestation that must be there. Type, signer and condition hold for one and the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AttestationRule {
    /// The predicate type, a URI.
    pub predicate: String,
    /// Identities of which any one must have signed it.
    pub from: Vec<String>,
    /// What the statement must satisfy; nothing: that it is there.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Only the newest counts, so that an old clean report does not hide a new bad one.
    pub newest_only: bool,
    /// How old it may be.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::rule::humantime_option")]
    pub max_age: Option<Duration>,
}

pub(super) fn parse(
    entry: &Entry<'_>,
    identities: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<AttestationRule>> {
    let entries = entry.list(mistakes)?;
    if entries.is_empty() || entries.len() > CONDITIONS_MAX {
        let problem = format!("has {} entries; 1 to {CONDITIONS_MAX} make sense", entries.len());
        mistakes.note(&entry.place, problem, "leave `attestation` out to ask for none");
        return None;
    }
    let rules: Vec<_> = entries
        .iter()
        .map(|entry| entry.section(mistakes).and_then(|section| parse_one(section, identities, mistakes)))
        .collect();
    rules.into_iter().collect()
}

fn parse_one(
    mut section: Section<'_>,
    identities: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<AttestationRule> {
    let hint = "the type of statement: `predicate = \"https://slsa.dev/provenance/v1\"`";
    let predicate = section.require("predicate", hint, mistakes);
    let predicate = predicate.and_then(|entry| parse_predicate(&entry, mistakes));
    let hint = "who must state it: `from = \"jenkins\"`, an identity of this policy";
    let from = section.require("from", hint, mistakes);
    let from = from.and_then(|entry| parse_from(&entry, identities, mistakes));
    let condition = section.take("where").map(|entry| parse_condition(&entry, mistakes));
    let newest_only = section.take("newest-only").map(|entry| entry.truth(mistakes));
    let max_age = section.take("max-age").map(|entry| entry.duration(mistakes));
    section.finish(mistakes);
    let predicate = predicate?;
    let newest_only = newest_only.unwrap_or_else(|| Some(predicate::newest_wins(&predicate)))?;
    Some(AttestationRule {
        predicate,
        from: from?,
        condition: condition.map_or(Some(None), |condition| condition.map(Some))?,
        newest_only,
        max_age: max_age.map_or(Some(None), |age| age.map(Some))?,
    })
}

fn parse_predicate(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<String> {
    let name = entry.line(mistakes)?;
    let resolved = predicate::resolve(&name).map(str::to_owned);
    if resolved.is_none() {
        let known: Vec<String> = predicate::aliases().map(|alias| format!("`{alias}`")).collect();
        let hint = format!("write a URI, or one of {}", known.join(", "));
        mistakes.note(&entry.place, format!("`{name}` is no predicate type"), hint);
    }
    resolved
}

fn parse_from(
    entry: &Entry<'_>,
    identities: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<String>> {
    let entries = match entry.value.as_str() {
        Some(_) => return identity_name(entry, identities, mistakes).map(|name| vec![name]),
        None => entry.list(mistakes)?,
    };
    if entries.is_empty() {
        mistakes.note(&entry.place, "an empty list can never be satisfied", "name an identity");
        return None;
    }
    let names = entries.iter().map(|entry| identity_name(entry, identities, mistakes));
    names.collect::<Vec<_>>().into_iter().collect()
}

fn parse_condition(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Condition> {
    let text = entry.text(mistakes)?;
    let compiled = Condition::compile(text);
    let hint = || {
        let known: Vec<String> = VARIABLES.iter().map(|name| format!("`{name}`")).collect();
        format!(
            "CEL over {}: `predicate.runDetails.builder.id == 'https://jenkins.example'`",
            known.join(", ")
        )
    };
    compiled.map_err(|error| mistakes.note(&entry.place, format!("the condition {error}"), hint())).ok()
}
