//! Credentials that ship in a layer.

use super::super::policy::Level;
use super::{ImageQuestion, Objection, but_ships, printable};

pub(super) fn secrets(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let level = image.rule.scan.secrets;
    if level == Level::Off {
        return;
    }
    for secret in &image.facts.scan.secrets {
        let place = printable(&secret.path, 200);
        let deleted = but_ships(secret.deleted_later);
        let message = format!("{} `{}` in `{place}`{deleted}", secret.rule, printable(&secret.preview, 12));
        let next_step = "revoke it, for it counts as stolen; pass it as a build secret instead";
        let mut objection = image.objection("secret", level, message, next_step);
        objection.reason.layer = secret.layer.map(|layer| image.layer(layer));
        objection.reason.finding = Some(secret.value_sha256.clone());
        objection.names = vec![secret.value_sha256.clone()];
        objections.push(objection);
    }
}
