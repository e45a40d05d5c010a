//! What a container asks for at run time.

use super::{Objection, Question, printable};

pub(super) fn privileged(question: &Question<'_>, objections: &mut Vec<Objection>) {
    if question.evidence.runtime.privileged {
        let message = "the container asks to be privileged, which lifts every other protection".to_owned();
        let next_step = "drop `privileged`; add the one capability or device that is needed";
        objections.push(question.objection(
            "privileged",
            question.rule.runtime.privileged,
            message,
            next_step,
        ));
    }
}

pub(super) fn apparmor(question: &Question<'_>, objections: &mut Vec<Objection>) {
    if question.evidence.runtime.apparmor_unconfined {
        let message = "the container asks to run without AppArmor".to_owned();
        let next_step = "drop `unconfined`; the engine's default profile suits most containers";
        objections.push(question.objection("apparmor", question.rule.runtime.apparmor, message, next_step));
    }
}

/// Paths told in one reason; a request can name thousands.
const PATHS_TOLD_MAX: usize = 5;

pub(super) fn host_bind_mounts(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let binds = &question.evidence.runtime.host_binds;
    if binds.is_empty() {
        return;
    }
    let mut paths: Vec<String> = binds.iter().map(|path| format!("`{}`", printable(path, 200))).collect();
    paths.sort();
    paths.dedup();
    let more = paths.len().saturating_sub(PATHS_TOLD_MAX);
    paths.truncate(PATHS_TOLD_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let message = format!("the container binds paths of the host: {}{more}", paths.join(", "));
    let level = question.rule.runtime.host_bind_mounts;
    objections.push(question.objection(
        "host-bind-mount",
        level,
        message,
        "use a named volume or a config object",
    ));
}
