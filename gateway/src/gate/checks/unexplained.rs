//! Programs that no package answers for, and that do not tell what is in them.

use super::super::policy::{Level, Unexplained, format_bytes};
use super::{ImageQuestion, Objection, printable};

/// Files named in one reason; the report has more.
const NAMED_MAX: usize = 3;

pub(super) fn programs(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let coverage = &image.facts.scan.coverage;
    let (unanswered, total) = (coverage.unanswered(), coverage.total_bytes());
    let (level, allowed) = match image.rule.scan.unexplained {
        Unexplained::Each(level) => (level, String::new()),
        Unexplained::AtMost(share) if share.exceeded_by(unanswered.bytes, total) => {
            (Level::Deny, format!(", {share} are allowed"))
        }
        Unexplained::AtMost(_) => return,
    };
    if level == Level::Off || unanswered.files == 0 {
        return;
    }
    let largest = coverage.largest.iter().take(NAMED_MAX).map(|file| {
        let changed = if file.modified { ", changed since its package installed it" } else { "" };
        format!("`{}` ({}{changed})", printable(&file.path, 200), format_bytes(file.bytes))
    });
    let message = format!(
        "{} programs with {} of {} are explained by no package{allowed}; the largest: {}",
        unanswered.files,
        format_bytes(unanswered.bytes),
        format_bytes(total),
        largest.collect::<Vec<_>>().join(", ")
    );
    let next_step = "install them from packages, build them so that they tell what is in them, or ask for an exception for check `unexplained`";
    let mut objection = image.objection("unexplained", level, message, next_step);
    objection.reason.layer = coverage.largest.first().map(|file| image.layer(file.layer));
    objections.push(objection);
}
