//! Do manifest, configuration and layers agree, and could every layer be read?

use scanner::report::Unknown;

use super::super::policy::Level;
use super::{ImageQuestion, Objection, printable};

/// An image whose parts contradict each other means different things to different engines.
pub(super) fn contradictions(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let next_step = "build the image again with an unmodified tool and push all of it";
    for problem in &image.facts.problems {
        objections.push(image.objection("integrity", Level::Deny, printable(problem, 500), next_step));
    }
    let (walked, named) = (image.facts.scan.layers.len(), image.facts.diff_ids.len());
    if walked != named && image.facts.problems.is_empty() {
        let message = format!("the configuration names {named} layers, the manifest has {walked}");
        objections.push(image.objection("integrity", Level::Deny, message, next_step));
    }
}

/// A layer that was not read to its end may hold anything. Not a matter of `scan.unknown`: nothing in it was seen.
pub(super) fn unreadable_layers(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    for unknown in &image.facts.scan.unknown {
        if let Unknown::UnreadableLayer { layer, problem } = unknown {
            let message = format!("layer {layer} cannot be read: {}", printable(problem, 300));
            let next_step = "build the layer again; it must be a plain, gzip or zstd tar archive";
            let mut objection = image.objection("integrity", Level::Deny, message, next_step);
            objection.reason.layer = Some(image.layer(*layer));
            objections.push(objection);
        }
    }
}

/// A document says nothing about most of what a rule asks for; that must not read as "clean".
pub(super) fn document(image: &ImageQuestion<'_>, objections: &mut Vec<Objection>) {
    let Some(format) = &image.facts.from_document else { return };
    let format = printable(format, 60);
    let message = format!(
        "only the packages that a document ({format}) lists were judged: secrets, permissions, user, size, layers and \
         base image were not looked at"
    );
    objections.push(image.objection(
        "content",
        Level::Warn,
        message,
        "check the image itself before it is released",
    ));
}
