//! Which base image does it claim? The claim is the producer's own annotation: it keeps honest teams on the right base,
//! it does not stop a liar.

use super::super::evidence::BaseImage;
use super::super::policy::{BaseRule, Level, Pin};
use super::{ImageQuestion, Objection, printable};

pub(super) fn base_image(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    const ANNOTATE: &str = "annotate the build with `org.opencontainers.image.base.name` and `….base.digest`";
    let base = image.facts.base.as_ref();
    if image.rule.pin.base_image == Pin::Digest && base.is_none_or(|base| base.digest.is_none()) {
        let message = "the image does not name its base image by digest".to_owned();
        let next_step = format!("write `FROM name@sha256:…` and {ANNOTATE}");
        objections.push(image.objection("pin", Level::Deny, message, next_step));
    }
    let allowed = &image.rule.base;
    if allowed.is_empty() {
        return;
    }
    let Some(name) = base.and_then(|base| base.name.as_deref()) else {
        let message = "the image does not name its base image".to_owned();
        objections.push(image.objection("base", Level::Deny, message, ANNOTATE));
        return;
    };
    if !allowed.iter().any(|rule| accepts(rule, name, base)) {
        let allowed: Vec<String> = allowed.iter().map(|rule| format!("`{}`", text(rule))).collect();
        let message = format!("base image `{}` is not allowed", printable(name, 200));
        let next_step = format!("build on one of {}", allowed.join(", "));
        objections.push(image.objection("base", Level::Deny, message, next_step));
    }
}

/// What the layers say, whatever the annotations claim: nobody can put an approved base's layers under his own without
/// building on it.
pub(super) fn registered(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let level = image.rule.base_register;
    if level == Level::Off || image.bases.iter().any(|base| base.begins(&image.facts.diff_ids)) {
        return;
    }
    let names: Vec<String> = image.bases.iter().map(|base| format!("`{}`", base.name)).collect();
    let next_step = match names.as_slice() {
        [] => "the policy's register is empty; ask its owner to add a `[[base]]`".to_owned(),
        _ => format!("build on one of {}, and keep all of its layers", names.join(", ")),
    };
    let message = "the image's layers begin with those of no approved base".to_owned();
    objections.push(image.objection("base", level, message, next_step));
}

fn accepts(rule: &BaseRule, name: &str, base: Option<&BaseImage>) -> bool {
    let digest = base.and_then(|base| base.digest.as_deref());
    let digest_fits = rule.digest.is_none() || rule.digest.as_deref() == digest;
    digest_fits && rule.image.matches(without_tag(name))
}

/// `host:5000/name:tag@digest` → `host:5000/name`.
fn without_tag(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((before, after)) if !after.contains('/') => before,
        _ => name,
    }
}

fn text(rule: &BaseRule) -> String {
    match &rule.digest {
        Some(digest) => format!("{}@{digest}", rule.image),
        None => rule.image.to_string(),
    }
}
