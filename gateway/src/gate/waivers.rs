//! Applies exceptions: within scope and time they turn a refusal into a warning that names who answers for it.

use super::checks::Objection;
use super::policy::{Exception, Level, Policy, Waives};

/// The exceptions for one repository, expired ones included: a refusal tells that its exception ran out.
pub(super) fn applicable<'a>(policy: &'a Policy, repository: &str) -> Vec<&'a Exception> {
    let in_scope =
        |exception: &&Exception| exception.images.iter().any(|pattern| pattern.matches(repository));
    policy.exceptions().iter().filter(in_scope).collect()
}

pub(super) fn apply(objection: &mut Objection, exceptions: &[&Exception], as_of: i64) {
    if objection.unconditional || objection.level != Level::Deny {
        return;
    }
    let mut matching = exceptions.iter().filter(|exception| covers(exception, objection)).peekable();
    if matching.peek().is_none() {
        return;
    }
    let mut last = None;
    for exception in matching {
        last = Some(exception);
        if exception.holds_at(as_of) {
            let Exception { owner, expires, reason, .. } = exception;
            let waived =
                format!("{} (waived by {owner} until {expires}: {reason})", objection.reason.message);
            objection.reason.message = waived;
            objection.level = Level::Warn;
            return;
        }
    }
    if let Some(Exception { owner, expires, .. }) = last {
        let told = format!("{} (the exception by {owner} ended on {expires})", objection.reason.message);
        objection.reason.message = told;
    }
}

fn covers(exception: &Exception, objection: &Objection) -> bool {
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
            Waives::Secret(value_sha256) => check == "secret" && objection.names.contains(value_sha256),
        }
}
