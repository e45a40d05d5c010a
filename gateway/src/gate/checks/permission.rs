//! Files whose permissions widen an attacker's reach.

use scanner::report::PermissionKind;

use super::super::policy::Level;
use super::{ImageQuestion, Objection, printable};

pub(super) fn permissions(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let rule = &image.rule.image;
    for finding in &image.facts.scan.permissions {
        let (check, level, what) = match finding.kind {
            PermissionKind::Setgid => {
                ("permission-setgid", rule.setgid, "runs with its group's rights (setgid)")
            }
            PermissionKind::Setuid => {
                ("permission-setuid", rule.setuid, "runs with its owner's rights (setuid)")
            }
            PermissionKind::WorldWritable => {
                ("permission-world-writable", rule.world_writable, "may be written by everyone")
            }
        };
        if level == Level::Off {
            continue;
        }
        let message = format!("`{}` (mode {:o}) {what}", printable(&finding.path, 200), finding.mode);
        let next_step = match finding.kind {
            PermissionKind::WorldWritable => "`chmod o-w` it in the instruction that makes it",
            PermissionKind::Setgid | PermissionKind::Setuid => {
                "`chmod a-s` it, or remove the package that brings it"
            }
        };
        let mut objection = image.objection(check, level, message, next_step);
        objection.reason.layer = Some(image.layer(finding.layer));
        objections.push(objection);
    }
}
