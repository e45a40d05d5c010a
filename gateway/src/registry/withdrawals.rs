//! `/v2/<name>/_portcullis/withdrawals/<digest>`: takes an image away from its consumers, and gives it back.
//!
//! The path is that of an extension (distribution-spec "Extensions"), so that it never meets a client's own.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use super::Asked;
use super::error::{ApiError, Code};
use crate::access::Action;
use crate::digest::Digest;
use crate::records::withdrawals;

/// Bytes of a request's body: one reason.
const BODY_BYTES_MAX: usize = 8 * 1024;
/// Longest reason, in characters: it will stand in other people's terminals.
const REASON_CHARACTERS_MAX: usize = 500;

/// The body of a PUT.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    reason: String,
}

/// GET: why it is withdrawn.
pub(super) fn show(asked: &Asked<'_>, name: &str, digest: &Digest) -> Result<Response, ApiError> {
    asked.authorize(Action::Push, name)?;
    let found =
        asked.registry.records.read(|connection| withdrawals::find(connection, name, digest.as_str()));
    let row = found?.ok_or_else(|| not_withdrawn(name, digest))?;
    let body = serde_json::to_string(&row).map_err(|error| ApiError::internal(&error))?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// PUT: withdraw it, with a reason.
pub(super) async fn put(
    asked: &Asked<'_>,
    name: &str,
    digest: &Digest,
    body: Body,
) -> Result<Response, ApiError> {
    asked.authorize(Action::Admin, name)?;
    let invalid =
        |message: String| ApiError::new(Code::Unsupported, message).with_status(StatusCode::BAD_REQUEST);
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| invalid("the body is too large or was cut off".to_owned()))?.to_bytes();
    let request: Request = serde_json::from_slice(&body)
        .map_err(|error| invalid(format!("the body must be {{\"reason\": \"…\"}}: {error}")))?;
    let reason = request.reason.trim().to_owned();
    let fits = (1..=REASON_CHARACTERS_MAX).contains(&reason.chars().count());
    if !fits || reason.chars().any(char::is_control) {
        return Err(invalid(format!(
            "the reason must be one line of 1 to {REASON_CHARACTERS_MAX} characters"
        )));
    }
    let (judge, caller) = (Arc::clone(&asked.registry.judge), asked.caller.name());
    judge.withdraw(name, digest.as_str(), caller, reason).await?;
    Ok(no_content())
}

/// DELETE: stage it again, and release it if the policy allows.
pub(super) async fn delete(asked: &Asked<'_>, name: &str, digest: &Digest) -> Result<Response, ApiError> {
    asked.authorize(Action::Admin, name)?;
    let (judge, caller) = (Arc::clone(&asked.registry.judge), asked.caller.name());
    if judge.restore(name, digest.as_str(), caller).await? {
        Ok(no_content())
    } else {
        Err(not_withdrawn(name, digest))
    }
}

fn not_withdrawn(name: &str, digest: &Digest) -> ApiError {
    ApiError::new(Code::ManifestUnknown, format!("`{digest}` is not withdrawn in `{name}` by that name"))
}

fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
