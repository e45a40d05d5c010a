//! `[[exception]]`: a waiver with a scope, an owner, a reason and an end.

use std::sync::Arc;

use serde::Serialize;

use super::pattern::Pattern;
use super::reader::{Entry, Mistakes, Section};
use super::values::last_second;
use crate::gate::vex::Statement;

/// One waiver. It turns a refusal into a warning that names owner, end and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// What it waives.
    pub waives: Waives,
    /// Only for this package, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Only in these images.
    pub images: Vec<Pattern>,
    /// Why it is acceptable.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it holds, UTC.
    pub expires: jiff::civil::Date,
    #[serde(skip)]
    pub(super) last_second: i64,
}

/// What an exception waives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waives {
    /// Everything one check says.
    Check(String),
    /// A vulnerability by any of its names.
    Finding(String),
    /// What one YARA rule matches, by its name.
    Malware(String),
    /// One secret by the SHA-256 of its value, hex.
    Secret(String),
    /// A vulnerability in a product, as a document states it.
    Statement {
        /// Which document.
        document: String,
        /// What it states.
        statement: Arc<Statement>,
    },
}

/// The checks that an exception may name. Signatures, state and integrity are absent on purpose: whoever may write
/// exceptions must not thereby be able to vouch.
pub(crate) const WAIVABLE_CHECKS: [&str; 17] = [
    "advisory-age",
    "attack",
    "base",
    "end-of-life",
    "growth",
    "layers",
    "malware-oversize",
    "permission-setgid",
    "permission-setuid",
    "permission-world-writable",
    "pin",
    "size",
    "unexplained",
    "unknown",
    "user",
    "vulnerability",
    "waste",
];

impl Exception {
    /// The first second after its last day, seconds since 1970-01-01 UTC.
    pub(super) fn ends_at(&self) -> i64 {
        self.last_second.saturating_add(1)
    }

    /// A statement holds from its own time on.
    pub(super) fn begins_at(&self) -> Option<i64> {
        match &self.waives {
            Waives::Statement { statement, .. } => Some(statement.at),
            Waives::Check(_) | Waives::Finding(_) | Waives::Malware(_) | Waives::Secret(_) => None,
        }
    }

    /// Whether it still holds at `as_of`, seconds since 1970-01-01 UTC. The day it names still counts.
    pub fn holds_at(&self, as_of: i64) -> bool {
        as_of <= self.last_second
    }
}

pub(super) fn parse(mut section: Section<'_>, mistakes: &mut Mistakes<'_>) -> Option<Exception> {
    let finding = section.take("finding");
    let secret = section.take("secret");
    let malware = section.take("malware");
    let check = section.take("check");
    let waives = match (finding, secret, malware, check) {
        (Some(entry), None, None, None) => entry.line(mistakes).map(Waives::Finding),
        (None, Some(entry), None, None) => parse_secret(&entry, mistakes),
        (None, None, Some(entry), None) => entry.line(mistakes).map(Waives::Malware),
        (None, None, None, Some(entry)) => parse_check(&entry, mistakes),
        _ => {
            let hint = "write `finding = \"CVE-2026-0001\"`, `secret = \"<sha256 of its value>\"`, `malware = \"<name of a YARA rule>\"` or `check = \"size\"`";
            mistakes.note(
                &section.place,
                "needs exactly one of `finding`, `secret`, `malware` and `check`",
                hint,
            );
            None
        }
    };
    let package = section.take("package").map(|entry| entry.line(mistakes));
    let images = super::patterns(&mut section, mistakes);
    let reason =
        section.require("reason", "say why it is acceptable: `reason = \"not reachable\"`", mistakes);
    let reason = reason.and_then(|entry| entry.line(mistakes));
    let owner = section.require("owner", "say who answers for it: `owner = \"a@example\"`", mistakes);
    let owner = owner.and_then(|entry| entry.line(mistakes));
    let expires = section.require("expires", "every exception ends: `expires = 2027-01-31`", mistakes);
    let expires = expires.and_then(|entry| entry.day(mistakes));
    section.finish(mistakes);
    let package = match package {
        Some(package) => Some(package?),
        None => None,
    };
    let expires = expires?;
    let last_second = last_second(expires);
    Some(Exception {
        waives: waives?,
        package,
        images: images?,
        reason: reason?,
        owner: owner?,
        expires,
        last_second,
    })
}

fn parse_secret(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Waives> {
    let text = entry.line(mistakes)?;
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        let hint = "copy it from the refusal; never write the secret itself here";
        // The text is not repeated: it may be the secret.
        mistakes.note(&entry.place, "is no SHA-256 in lower-case hexadecimal digits", hint);
        return None;
    }
    Some(Waives::Secret(text))
}

fn parse_check(entry: &Entry<'_>, mistakes: &mut Mistakes<'_>) -> Option<Waives> {
    let words = WAIVABLE_CHECKS.map(|check| (check, check));
    entry.word(&words, mistakes).map(|check| Waives::Check(check.to_owned()))
}
