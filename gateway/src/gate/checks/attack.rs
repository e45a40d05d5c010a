//! Content that is aimed at the engine which unpacks or starts the image.

use scanner::report::AttackKind;

use super::super::policy::Level;
use super::{ImageQuestion, Objection, printable};

pub(super) fn engine(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let level = image.rule.image.attacks;
    if level == Level::Off {
        return;
    }
    for attack in &image.facts.scan.attacks {
        let used = match attack.kind.advisories() {
            [] => String::new(),
            advisories => format!(" (as in {})", advisories.join(", ")),
        };
        let message =
            format!("`{}`: {}{used}", printable(&attack.place, 200), printable(&attack.problem, 200));
        let next_step = match attack.kind {
            AttackKind::AccountFile => "keep `/etc/passwd` and `/etc/group` as small regular files",
            AttackKind::DeviceNode => "remove the device node; engines make those that a container needs",
            AttackKind::EscapingLink
            | AttackKind::LinkToLink
            | AttackKind::ProcessLink
            | AttackKind::RootLink => "make a link that stays inside the image",
            AttackKind::ReservedLabel => "remove the label, or give it a name of your own",
            AttackKind::SetuidGrowth => "leave out the `chmod`, or install a package that brings the file so",
            AttackKind::UserOutOfRange => "name a user below 2147483648",
            AttackKind::VolumePath | AttackKind::WorkingDirectory => "name a path inside the image",
        };
        let mut objection = image.objection("attack", level, message, next_step);
        objection.reason.layer = attack.layer.map(|layer| image.layer(layer));
        objections.push(objection);
    }
}
