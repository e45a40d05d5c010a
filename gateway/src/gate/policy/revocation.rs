//! `[[revocation]]`: keys, identities, builds and images that no longer count, each with its reason.

use std::collections::BTreeSet;

use keys::revocation::{Revocation, Revoked};

use super::reader::{Entry, Mistakes, Section};
use super::values::WholeDay;
use crate::digest::Digest;

pub(super) fn parse(
    mut section: Section<'_>,
    names: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Revocation> {
    let of = parse_revoked(&mut section, names, mistakes);
    let since = section.take("since");
    let until = section.take("until");
    let first = since.as_ref().or(until.as_ref()).map(|entry| entry.place.clone());
    let since = since.map(|entry| entry.moment(WholeDay::FromStart, mistakes));
    let until = until.map(|entry| entry.moment(WholeDay::ToEnd, mistakes));
    let reason =
        section.require("reason", "whoever is refused reads it: `reason = \"key leaked\"`", mistakes);
    let reason = reason.and_then(|entry| entry.line(mistakes));
    if let (Some(place), Some(Revoked::Digest(_))) = (&first, &of) {
        let hint = "a digest is always the same bytes; leave them out";
        mistakes.note(place, "`since` and `until` are for what signs, not for a digest", hint);
    }
    if let (Some(place), Some(Some(since)), Some(Some(until))) = (&first, since, until)
        && since > until
    {
        mistakes.note(place, "`since` lies after `until`", "such a window revokes nothing; swap them");
    }
    section.finish(mistakes);
    Some(Revocation { of: of?, since: since.flatten(), until: until.flatten(), reason: reason? })
}

fn parse_revoked(
    section: &mut Section<'_>,
    names: &BTreeSet<String>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Revoked> {
    type Parse = fn(&Entry<'_>, &BTreeSet<String>, &mut Mistakes<'_>) -> Option<Revoked>;
    let kinds: [(&'static str, Parse); 4] =
        [("key", key), ("identity", identity), ("digest", digest), ("build-run", build_run)];
    let given: Vec<(Entry<'_>, Parse)> =
        kinds.into_iter().filter_map(|(name, parse)| Some((section.take(name)?, parse))).collect();
    match given.as_slice() {
        [(entry, parse)] => parse(entry, names, mistakes),
        _ => {
            let hint =
                "`key = \"<id, as `portcullis keys show` prints it>\"`, or `identity`, `digest`, `build-run`";
            let problem = "needs exactly one of `key`, `identity`, `digest` and `build-run`";
            mistakes.note(&section.place, problem, hint);
            None
        }
    }
}

fn key(entry: &Entry<'_>, _: &BTreeSet<String>, mistakes: &mut Mistakes<'_>) -> Option<Revoked> {
    let text = entry.line(mistakes)?;
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        let hint = "write the 64 hex digits that `portcullis keys show FILE` prints as key id";
        mistakes.note(&entry.place, format!("`{text}` is no key id"), hint);
        return None;
    }
    Some(Revoked::Key(text))
}

fn identity(entry: &Entry<'_>, names: &BTreeSet<String>, mistakes: &mut Mistakes<'_>) -> Option<Revoked> {
    let name = entry.line(mistakes)?;
    if !names.contains(&name) {
        // A typing mistake here would leave the revoked one in force.
        let hint = "write the `name` of an [[identity]] of this file";
        mistakes.note(&entry.place, format!("there is no identity `{name}`"), hint);
        return None;
    }
    Some(Revoked::Identity(name))
}

fn digest(entry: &Entry<'_>, _: &BTreeSet<String>, mistakes: &mut Mistakes<'_>) -> Option<Revoked> {
    let text = entry.line(mistakes)?;
    match Digest::parse(&text) {
        Ok(digest) => Some(Revoked::Digest(digest.to_string())),
        Err(error) => {
            mistakes.note(&entry.place, format!("`{text}`: {error}"), "write `sha256:` and 64 hex digits");
            None
        }
    }
}

fn build_run(entry: &Entry<'_>, _: &BTreeSet<String>, mistakes: &mut Mistakes<'_>) -> Option<Revoked> {
    entry.line(mistakes).map(Revoked::BuildRun)
}
