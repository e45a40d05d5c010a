//! Programs whose digests the operator has put on a list.

use super::super::policy::Level;
use super::{ImageQuestion, Objection, but_ships, printable};

pub(super) fn programs(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let Some(list) = &image.rule.scan.known_bad else { return };
    for program in image.facts.scan.programs.iter().filter(|program| list.holds(&program.sha256)) {
        let deleted = but_ships(program.deleted_later);
        let message = format!(
            "`{}` is on the list `{}` of known-bad programs (SHA-256 {}){deleted}",
            printable(&program.path, 200),
            printable(&list.file, 100),
            program.sha256
        );
        let next_step = "find out how it came into the image, and build it again without it";
        let mut objection = image.objection("known-bad", Level::Deny, message, next_step);
        objection.reason.layer = Some(image.layer(program.layer));
        objections.push(objection);
    }
}
