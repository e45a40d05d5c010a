//! Applies exceptions: within scope and time they turn a refusal into a warning that names who answers for it.

use super::checks::Objection;
use super::evidence::{Content, Evidence};
use super::policy::{Exception, Level, Policy, Waives};
use super::vex::{ImageIdentity, Statement};
use super::words::printable;

/// The exceptions for one repository, expired ones included: a refusal tells that its exception ran out.
pub(super) fn applicable<'a>(policy: &'a Policy, repository: &str) -> Vec<&'a Exception> {
    let in_scope =
        |exception: &&Exception| exception.images.iter().any(|pattern| pattern.matches(repository));
    policy.exceptions().iter().chain(policy.statements()).filter(in_scope).collect()
}

/// One image in question, as statements name it: the digest of one platform is not another's.
pub(super) fn identity<'e>(evidence: &'e Evidence, platform: Option<&str>) -> ImageIdentity<'e> {
    let mut digests: Vec<&str> = evidence.parents.iter().map(String::as_str).collect();
    digests.push(&evidence.digest);
    if let (Content::Index(children), Some(platform)) = (&evidence.content, platform) {
        let mut same =
            children.iter().filter(|child| printable(&child.platform, 100) == printable(platform, 100));
        if let (Some(child), None) = (same.next(), same.next()) {
            digests.push(&child.digest);
        }
    }
    ImageIdentity { repository: &evidence.repository, tag: evidence.tag.as_deref(), digests }
}

pub(super) fn apply(objection: &mut Objection, exceptions: &[&Exception], evidence: &Evidence) {
    if objection.unconditional || objection.level != Level::Deny || exceptions.is_empty() {
        return;
    }
    let as_of = evidence.as_of;
    let image = identity(evidence, objection.reason.platform.as_deref());
    let covering = exceptions.iter().copied().filter(|exception| covers(exception, objection, &image));
    let matching = standing(covering.collect(), as_of);
    let mut last = None;
    for exception in matching {
        last = Some(exception);
        if exception.holds_at(as_of) {
            let Exception { owner, expires, reason, .. } = exception;
            let waived = format!("by {owner} until {expires}: {reason}");
            objection.reason.message = format!("{} (waived {waived})", objection.reason.message);
            objection.reason.waived = Some(waived);
            objection.level = Level::Warn;
            return;
        }
    }
    if let Some(Exception { owner, expires, .. }) = last {
        let told = format!("{} (the exception by {owner} ended on {expires})", objection.reason.message);
        objection.reason.message = told;
    }
}

/// Of statements only the newest counts, and of one document's equally old ones the last. Where documents contradict each
/// other in the same second, nothing is waived.
fn standing(matching: Vec<&Exception>, as_of: i64) -> Vec<&Exception> {
    let stated = |exception: &&Exception| match &exception.waives {
        Waives::Statement { document, statement } if statement.at <= as_of => {
            Some((document.clone(), statement.clone()))
        }
        _ => None,
    };
    let newest = matching.iter().filter_map(stated).map(|(_, statement)| statement.at).max();
    let (statements, mut standing): (Vec<&Exception>, Vec<&Exception>) =
        matching.into_iter().partition(|exception| matches!(exception.waives, Waives::Statement { .. }));
    let counts = |exception: &&Exception| {
        let Some((document, statement)) = stated(exception).filter(|(_, it)| Some(it.at) == newest) else {
            return false;
        };
        let later = |(other, its): (String, std::sync::Arc<Statement>)| {
            other == document && its.at == statement.at && its.order > statement.order
        };
        !statements.iter().filter_map(stated).any(later)
    };
    let last_words: Vec<&Exception> = statements.iter().copied().filter(counts).collect();
    let all_waive = last_words.iter().filter_map(stated).all(|(_, statement)| statement.status.waives());
    if all_waive {
        standing.extend(last_words);
    }
    standing
}

fn covers(exception: &Exception, objection: &Objection, image: &ImageIdentity<'_>) -> bool {
    let package_fits = match &exception.package {
        Some(package) => objection.package_name.as_deref() == Some(package),
        None => true,
    };
    let check = objection.reason.check.as_str();
    package_fits
        && match &exception.waives {
            Waives::Check(waived) => waived == check,
            Waives::Finding(id) => {
                check == "vulnerability" && objection.names.iter().any(|name| name.eq_ignore_ascii_case(id))
            }
            Waives::Malware(rule) => check == "malware" && objection.names.contains(rule),
            Waives::Secret(value_sha256) => check == "secret" && objection.names.contains(value_sha256),
            Waives::Statement { statement, .. } => {
                check == "vulnerability"
                    && statement.names_one_of(objection.names.iter())
                    && objection.package.as_ref().is_some_and(|package| statement.means(image, package))
            }
        }
}
