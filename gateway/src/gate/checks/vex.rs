//! Statements that do nothing are told: a package URL with one word too many must not pass for a waiver.

use std::collections::BTreeMap;

use scanner::finding::Finding;

use super::super::policy::{Exception, Level, Waives};
use super::super::vex::{NamedPackage, Statement, Status};
use super::super::waivers::identity;
use super::{Objection, Question, images, printable};

/// Statements told one by one for one document; the rest are counted.
const TOLD_MAX: usize = 20;

/// Where a vulnerability is found: platform, finding, and the package as statements name it.
type Found<'a> = (Option<&'a str>, &'a Finding, NamedPackage);

/// What became of the statements of one document.
#[derive(Default)]
struct Tally {
    /// Their vulnerability is found, and what they speak of is not where it is found.
    beside: Vec<String>,
    /// Their vulnerability is not found at all.
    elsewhere: usize,
    /// They match and cannot be taken at their word.
    void: Vec<String>,
    future: usize,
}

pub(super) fn statements(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let stated: Vec<(&str, &Statement)> = question.exceptions.iter().filter_map(|it| statement(it)).collect();
    if stated.is_empty() {
        return;
    }
    let mut found: BTreeMap<String, Vec<Found<'_>>> = BTreeMap::new();
    for (platform, facts) in images(&question.evidence.content) {
        for finding in &facts.scan.findings {
            let package = NamedPackage::new(&finding.package, facts.scan.distribution.as_ref());
            for name in std::iter::once(&finding.id).chain(&finding.aliases) {
                found.entry(name.to_uppercase()).or_default().push((platform, finding, package.clone()));
            }
        }
    }
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for (document, statement) in stated {
        let tally = tallies.entry(document).or_default();
        let findings: Vec<_> =
            statement.names.iter().filter_map(|name| found.get(&name.to_uppercase())).flatten().collect();
        let meant = findings
            .iter()
            .any(|(platform, _, package)| statement.means(&identity(question.evidence, *platform), package));
        let shown = || {
            let name = statement.names.first().map_or("", String::as_str);
            format!("{} in `{}`", printable(name, 60), printable(&statement.product, 200))
        };
        match (&statement.status, findings.first()) {
            _ if statement.at > question.evidence.as_of => tally.future += 1,
            (_, None) => tally.elsewhere += 1,
            (Status::Void { problem }, Some(_)) if meant => {
                tally.void.push(format!("{}: {problem}", shown()))
            }
            (_, Some(_)) if meant => {}
            (_, Some((_, finding, _))) => {
                let package = &finding.package;
                let (name, version) = (printable(&package.name, 100), printable(&package.version, 100));
                tally.beside.push(format!("{}, and it is found in {name} {version}", shown()));
            }
        }
    }
    for (document, tally) in tallies {
        tell(question, document, &tally, objections);
    }
}

fn statement(exception: &Exception) -> Option<(&str, &Statement)> {
    match &exception.waives {
        Waives::Statement { document, statement } => Some((document, statement)),
        Waives::Check(_) | Waives::Finding(_) | Waives::Malware(_) | Waives::Secret(_) => None,
    }
}

fn tell(question: &Question<'_>, document: &str, tally: &Tally, objections: &mut Vec<Objection>) {
    let document = printable(document, 100);
    let mut warn = |message: String, next_step: &str| {
        objections.push(question.objection("vex", Level::Warn, message, next_step));
    };
    for told in tally.beside.iter().take(TOLD_MAX) {
        let next =
            "compare the package URL with the one in `--output cyclonedx`; one word too many fits nothing";
        warn(format!("`{document}` states {told}: it fits no package"), next);
    }
    for told in tally.void.iter().take(TOLD_MAX) {
        warn(format!("`{document}` states {told}"), "ask its author; until then it counts as not stated");
    }
    let more = tally.beside.len().saturating_sub(TOLD_MAX) + tally.void.len().saturating_sub(TOLD_MAX);
    for (count, what) in [
        (more, "more of the same kind"),
        (tally.elsewhere, "about vulnerabilities that are not found in this image"),
        (tally.future, "dated in the future, without effect until then"),
    ] {
        if count > 0 {
            let statements = if count == 1 { "statement" } else { "statements" };
            warn(format!("`{document}` has {count} {statements} {what}"), "none, if that is what you expect");
        }
    }
}
