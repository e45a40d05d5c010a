//! In-toto statements: what a signed envelope says, and about what (in-toto attestation framework, statement.md).

use serde_json::{Map, Value};

use super::{Artifact, SigstoreError};
use crate::{digest, json, limits};

/// `_type` of the statements we read: v1, and v0.1 that old producers still write.
pub(crate) const STATEMENT_TYPES: [&str; 2] =
    ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/// Reads a statement strictly. What it says about subjects is checked by [`check_subject`].
pub(crate) fn parse(payload: &[u8]) -> Result<Value, SigstoreError> {
    let value = json::parse(payload, payload.len()).map_err(|error| refuse(error.to_string()))?;
    let statement = value.as_object().ok_or_else(|| refuse("it is not an object"))?;
    let statement_type = text(statement, "_type");
    if !STATEMENT_TYPES.contains(&statement_type) {
        return Err(refuse(format!("type `{}` is not known", json::quote(statement_type))));
    }
    // Absent or empty is no type: it must never count as the one that was asked (CVE-2022-35929).
    if text(statement, "predicateType").is_empty() {
        return Err(refuse("it has no predicate type"));
    }
    Ok(value)
}

/// That the artifact is among the subjects, under its own algorithm's name and with the whole digest.
pub(crate) fn check_subject(payload: &[u8], artifact: Artifact<'_>) -> Result<(), SigstoreError> {
    let statement = parse(payload)?;
    let computed;
    let expected = match artifact {
        Artifact::Digest(expected) => expected,
        Artifact::Bytes(bytes) => {
            computed = digest::sha256(bytes);
            &computed
        }
    };
    let (algorithm, hex) = digest::split(expected)
        .ok_or_else(|| SigstoreError::Artifact(format!("`{}` is not a digest", json::quote(expected))))?;
    let subjects = statement.get("subject").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if subjects.len() > limits::SUBJECTS_MAX {
        let (seen, max) = (subjects.len(), limits::SUBJECTS_MAX);
        return Err(refuse(format!("{seen} subjects, at most {max} are looked at")));
    }
    for subject in subjects {
        let digests = subject.get("digest").and_then(Value::as_object);
        let digests = digests.filter(|digests| (1..=limits::SUBJECT_DIGESTS_MAX).contains(&digests.len()));
        let digests = digests.ok_or_else(|| refuse("a subject has no digests, or too many"))?;
        if text(digests, algorithm) == hex {
            return Ok(());
        }
    }
    let count = subjects.len();
    Err(SigstoreError::Artifact(format!("`{expected}` is not among the statement's `{count}` subjects")))
}

fn refuse(reason: impl Into<String>) -> SigstoreError {
    SigstoreError::Statement(reason.into())
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
