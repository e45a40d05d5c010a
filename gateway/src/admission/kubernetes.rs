//! Kubernetes' validating admission webhook (`admission.k8s.io/v1`): AdmissionReview in, AdmissionReview out.
//!
//! Nothing that a user can write into an object (annotations, labels, status) is ever taken as proof.

mod pods;

use serde_json::{Map, Value, json};

use super::{Answer, Asked, reasons_text, shortened};
use crate::manifest::json::{JsonError, parse_object};

/// Largest request body, in bytes. The API server's own limit for an object is 3 MiB, and an update carries two; objects
/// near it hold no pods.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Longest message of a denial, in bytes: `kubectl` prints it whole.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Longest warning, in bytes (`AdmissionResponse.warnings`: longer ones may be cut).
const WARNING_BYTES_MAX: usize = 256;
/// Most warnings in one answer; the API server drops all when they get too long together.
const WARNINGS_MAX: usize = 16;
/// Longest audit annotation, in bytes.
const AUDIT_BYTES_MAX: usize = 1024;

/// Why a request is no AdmissionReview. It is denied; where the request names itself, in the protocol's own form.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// No JSON, or JSON that two readers would read differently.
    #[error("AdmissionReview is not acceptable JSON")]
    Json(#[from] JsonError),
    /// Over [`BODY_BYTES_MAX`].
    #[error("AdmissionReview of {0} bytes is over the limit of {BODY_BYTES_MAX}")]
    TooLarge(usize),
    /// Another version of the protocol, or no AdmissionReview at all.
    #[error("expected `AdmissionReview` of `admission.k8s.io/v1`, found `{kind}` of `{version}`")]
    Kind {
        /// `kind`.
        kind: String,
        /// `apiVersion`.
        version: String,
    },
    /// The answer must repeat it.
    #[error("AdmissionReview has no `request.uid`")]
    NoUid,
}

/// A request that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    uid: String,
    question: Question,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    /// Nothing can run because of it.
    Harmless(&'static str),
    /// These images would run.
    Images(Vec<Asked>),
    /// These images run already, and the update starts nothing new: it may not be blocked, or finalizers and scale-downs
    /// of what a newer policy refuses would hang for ever.
    NothingNew(Vec<Asked>),
    /// What would run cannot be told.
    Unclear(String),
}

impl Review {
    /// Reads the body of the webhook's request.
    pub fn read(body: &[u8]) -> Result<Self, ReviewError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(ReviewError::TooLarge(body.len()));
        }
        let review = parse_object(body)?;
        let text = |key: &str| review.get(key).and_then(Value::as_str).unwrap_or_default();
        if (text("kind"), text("apiVersion")) != ("AdmissionReview", "admission.k8s.io/v1") {
            let shown = |key| shortened(text(key), 100);
            return Err(ReviewError::Kind { kind: shown("kind"), version: shown("apiVersion") });
        }
        let request = review.get("request").and_then(Value::as_object).ok_or(ReviewError::NoUid)?;
        let uid =
            request.get("uid").and_then(Value::as_str).filter(|uid| !uid.is_empty() && uid.len() <= 256);
        let uid = uid.ok_or(ReviewError::NoUid)?.to_owned();
        let question = question(request).unwrap_or_else(Question::Unclear);
        Ok(Self { uid, question })
    }

    /// The images to judge, in this order.
    pub fn asked(&self) -> &[Asked] {
        match &self.question {
            Question::Images(asked) | Question::NothingNew(asked) => asked,
            Question::Harmless(_) | Question::Unclear(_) => &[],
        }
    }

    /// The AdmissionReview to send back; `answers` belong to [`Review::asked`], and one that is missing counts as no.
    pub fn reply(&self, answers: &[Answer]) -> Value {
        match &self.question {
            Question::Harmless(why) => allowed(&self.uid, &[], why),
            Question::Unclear(problem) => {
                denied(&self.uid, &format!("portcullis denies it: {problem}"), problem)
            }
            Question::Images(asked) => {
                let refusals = refusals(asked, answers);
                if refusals.is_empty() {
                    return allowed(&self.uid, &warnings(asked, answers), &audit(asked, answers));
                }
                let message = format!(
                    "portcullis denies {} of {} images:\n{}",
                    refusals.len(),
                    asked.len(),
                    refusals.join("")
                );
                denied(&self.uid, &message, &audit(asked, answers))
            }
            Question::NothingNew(asked) => {
                let warnings: Vec<String> = refusals(asked, answers)
                    .iter()
                    .map(|refusal| format!("admitted only because this update starts nothing new: {refusal}"))
                    .collect();
                allowed(&self.uid, &warnings, &audit(asked, answers))
            }
        }
    }
}

/// The answer to what is no request: denied, and it says why. Without a uid the API server will take it for a failed
/// call, so the webhook must be registered with `failurePolicy: Fail`.
pub fn reply_to_broken(error: &ReviewError) -> Value {
    let cause = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
    denied("", &format!("portcullis denies it: {error}{cause}"), "broken request")
}

fn question(request: &Map<String, Value>) -> Result<Question, String> {
    let operation = request.get("operation").and_then(Value::as_str);
    match operation {
        Some("CREATE" | "UPDATE") => {}
        Some("DELETE") => return Ok(Question::Harmless("deletion")),
        // exec, attach, port-forward and proxy run nothing from another image.
        Some("CONNECT") => return Ok(Question::Harmless("connect")),
        other => return Err(format!("unknown operation `{}`", shortened(other.unwrap_or("(none)"), 40))),
    }
    let kind = pods::Kind::of(request)?;
    let object = match request.get("object") {
        Some(Value::Object(object)) if !object.is_empty() => object,
        Some(Value::Object(_)) => return Err("`request.object` is empty".into()),
        _ => return Err("`request.object` is missing".into()),
    };
    if let Some(inside) = object.get("kind").and_then(Value::as_str)
        && inside != kind.name()
    {
        return Err(format!(
            "`request.kind` is `{}`, the object's is `{}`",
            kind.name(),
            shortened(inside, 100)
        ));
    }
    let asked = pods::images(&kind, object)?;
    if asked.is_empty() {
        return Ok(Question::Harmless("no container"));
    }
    let old = request.get("oldObject").and_then(Value::as_object).filter(|_| operation == Some("UPDATE"));
    Ok(match old {
        Some(old) if starts_nothing_new(&kind, old, object, &asked) => Question::NothingNew(asked),
        _ => Question::Images(asked),
    })
}

/// Whether an update can make nothing run that does not run already: the object is going away with no other image than
/// before, or all that differs is metadata, status and a replica count that does not grow.
fn starts_nothing_new(
    kind: &pods::Kind,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    asked: &[Asked],
) -> bool {
    let is_going = new.get("metadata").is_some_and(|metadata| !metadata["deletionTimestamp"].is_null());
    let was = pods::images(kind, old).unwrap_or_default();
    let has_same_images =
        asked.iter().all(|new| was.iter().any(|old| old.image == new.image && old.runtime == new.runtime));
    if is_going && has_same_images {
        return true;
    }
    // A workload without the field has one replica (`apps/v1`).
    let replicas = |object: &Map<String, Value>| {
        object.get("spec").and_then(|spec| spec.get("replicas")).map_or(Some(1), Value::as_u64)
    };
    let grows = match (replicas(old), replicas(new)) {
        (Some(old), Some(new)) => new > old,
        _ => true,
    };
    has_same_images && !grows && what_runs(old) == what_runs(new)
}

/// The object without what no container sees.
fn what_runs(object: &Map<String, Value>) -> Map<String, Value> {
    let mut object = object.clone();
    object.remove("metadata");
    object.remove("status");
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("replicas");
    }
    object
}

fn refusals(asked: &[Asked], answers: &[Answer]) -> Vec<String> {
    let missing = Answer::undecided("no answer");
    asked
        .iter()
        .enumerate()
        .filter_map(|(index, asked)| match answers.get(index).unwrap_or(&missing) {
            Answer::Admitted { .. } => None,
            Answer::Denied(denial) => Some(format!(
                "{}: `{}`\n{}",
                asked.place,
                asked.image,
                reasons_text(&denial.reasons, MESSAGE_BYTES_MAX)
            )),
            Answer::Undecided { problem } => Some(format!(
                "{}: `{}`\n  - could not decide: {problem}; try again, and look at the gateway's log if it stays\n",
                asked.place, asked.image
            )),
        })
        .collect()
}

fn warnings(asked: &[Asked], answers: &[Answer]) -> Vec<String> {
    asked
        .iter()
        .zip(answers)
        .flat_map(|(asked, answer)| {
            match answer {
                Answer::Admitted { warnings, .. } => warnings.as_slice(),
                Answer::Denied(_) | Answer::Undecided { .. } => &[],
            }
            .iter()
            .map(move |reason| format!("{}: {}", asked.place, reason.message))
        })
        .collect()
}

fn audit(asked: &[Asked], answers: &[Answer]) -> String {
    let word = |answer: Option<&Answer>| match answer {
        Some(Answer::Admitted { digest, .. }) => format!("admitted {digest}"),
        Some(Answer::Denied(_)) => "denied".into(),
        Some(Answer::Undecided { .. }) | None => "undecided".into(),
    };
    let parts: Vec<String> = asked
        .iter()
        .enumerate()
        .map(|(index, asked)| format!("{} {}", asked.image, word(answers.get(index))))
        .collect();
    parts.join("; ")
}

fn allowed(uid: &str, warnings: &[String], audit: &str) -> Value {
    let mut response = json!({"uid": uid, "allowed": true, "auditAnnotations": {"images": shortened(audit, AUDIT_BYTES_MAX)}});
    if !warnings.is_empty() {
        let warnings: Vec<String> = warnings
            .iter()
            .take(WARNINGS_MAX)
            .map(|text| shortened(&text.replace('\n', " "), WARNING_BYTES_MAX))
            .collect();
        response["warnings"] = json!(warnings);
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn denied(uid: &str, message: &str, audit: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": uid,
            "allowed": false,
            "status": {"code": 403, "reason": "Forbidden", "message": shortened(message.trim_end(), MESSAGE_BYTES_MAX)},
            "auditAnnotations": {"images": shortened(audit, AUDIT_BYTES_MAX)},
        },
    })
}

#[cfg(test)]
mod tests;
