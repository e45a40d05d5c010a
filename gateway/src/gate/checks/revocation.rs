//! Was the image itself revoked?

use super::super::evidence::Content;
use super::super::policy::Level;
use super::{Objection, Question};

/// A revoked digest is refused as itself, as a platform of an index, and as what a revoked index lists.
pub(super) fn revocation(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let evidence = question.evidence;
    let children = match &evidence.content {
        Content::Index(children) => children.as_slice(),
        Content::Artifact { .. } | Content::Image(_) | Content::Judged => &[],
    };
    let children = children.iter().map(|child| &child.digest);
    for digest in std::iter::once(&evidence.digest).chain(children).chain(&evidence.parents) {
        if let Some(revocation) = question.revocations.of_digest(digest) {
            let next_step = "use another image; the policy's owner can say which";
            let objection = question.objection("revocation", Level::Deny, revocation.to_string(), next_step);
            objections.push(objection.unconditional());
        }
    }
}
