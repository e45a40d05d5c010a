//! Was it asked for by digest?

use super::super::Checkpoint;
use super::super::policy::{Level, Pin};
use super::{Objection, Question, printable};

/// A tag can move between the verdict and the run; a digest cannot.
pub(super) fn pinned(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let evidence = question.evidence;
    let pinned = match question.checkpoint {
        Checkpoint::Admit => evidence.runtime.pinned,
        _ => evidence.tag.is_none(),
    };
    let wanted = match question.rule.pin.pull {
        Pin::Tag => return,
        Pin::SignedTag if evidence.tag_is_signed => return,
        Pin::SignedTag => "a tag that its signers bound to this image, or the digest",
        Pin::Digest => "the digest",
    };
    if pinned {
        return;
    }
    let asked = evidence.tag.as_deref();
    let asked = asked
        .map_or_else(|| "a name without digest".to_owned(), |tag| format!("tag `{}`", printable(tag, 128)));
    let message = format!("asked for by {asked}; this rule wants {wanted}");
    let next_step = format!("use `{}@{}`", evidence.repository, evidence.digest);
    objections.push(question.objection("pin", Level::Deny, message, next_step));
}
