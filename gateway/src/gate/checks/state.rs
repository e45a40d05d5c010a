//! Is it something that may be asked about here, and does it stand where it must?

use super::super::Checkpoint;
use super::super::evidence::{Content, IndexChild, State};
use super::super::policy::Level;
use super::{Objection, Question, images, printable};

/// Refuses to run what cannot run, and to weigh what has no facts.
pub(super) fn content(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let content = &question.evidence.content;
    let mut object = |message: String, next_step: &str| {
        objections.push(question.objection("content", Level::Deny, message, next_step).unconditional());
    };
    if let Content::Index(children) = content {
        // Classification refuses nested indexes; a child without facts must not slip through as "not an image".
        let unweighed = |child: &&IndexChild| matches!(child.content, Content::Index(_) | Content::Judged);
        for child in children.iter().filter(unweighed) {
            object(
                format!("nothing is known about `{}` in this index", child.digest),
                "push the index again",
            );
        }
    }
    if matches!(content, Content::Judged) {
        if matches!(question.checkpoint, Checkpoint::Push | Checkpoint::Release) {
            object("there are no facts to weigh".to_owned(), "push the image again");
        }
    } else if question.checkpoint == Checkpoint::Admit && images(content).is_empty() {
        let message = match content {
            Content::Artifact { artifact_type, .. } => {
                format!("`{}` is not an image and cannot run", super::printable(artifact_type, 100))
            }
            _ => "this index lists no image, so nothing in it can run".to_owned(),
        };
        object(message, "check the reference: it should name an image");
    }
}

/// Consumers and engines get what is released, nothing else.
pub(super) fn state(question: &Question<'_>, objections: &mut Vec<Objection>) {
    let judged = matches!(question.evidence.content, Content::Judged);
    let why = question.evidence.withdrawn_because.as_deref();
    let withdrawn = match why {
        Some(why) => format!("it was withdrawn after its release: {}", printable(why, 500)),
        None => "it was withdrawn after its release".to_owned(),
    };
    let (message, next_step) = match (question.evidence.state, question.checkpoint) {
        (State::Released, _) => return,
        // A door without a store weighs the facts themselves.
        (State::Unknown, Checkpoint::Admit) if !judged => return,
        (State::Staged, _) => (
            "it was stored but not released yet, so only its producers can see it",
            "sign it as the rule asks; it is released by itself once its signatures suffice",
        ),
        (State::Withdrawn, _) => (
            withdrawn.as_str(),
            "use another image; `portcullis withdraw --undo` gives it back to be judged anew",
        ),
        (State::Unknown, _) => ("it was never released here", "push and sign it, or check the reference"),
    };
    objections.push(question.objection("state", Level::Deny, message.to_owned(), next_step).unconditional());
}
