//! `/v2/<name>/blobs/uploads/`: begin, send in one or many pieces, ask how far, finish, cancel, mount.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::blobs::{BlobAccess, access};
use super::error::{ApiError, Code};
use super::{Asked, CONTENT_DIGEST, parameter, path};
use crate::access::Action;
use crate::digest::Digest;
use crate::ingest::{IngestError, Session, SessionError};
use crate::records::{RecordError, blobs};
use crate::telemetry::Counted;

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// POST: begins an upload; with `?digest=` and a body it is the whole upload, with `?mount=` no upload at all.
pub(super) async fn post(asked: &Asked<'_>, name: &str, body: Body) -> Result<Response, ApiError> {
    asked.authorize(Action::Sign, name)?;
    let query = asked.query()?;
    if let Some(mount) = parameter(&query, "mount") {
        let digest = path::digest(mount)?;
        if let Some(from) = parameter(&query, "from")
            && try_mount(asked, name, from, &digest).await?
        {
            return Ok(created(name, &digest));
        }
        return begin(asked, name);
    }
    let Some(digest) = parameter(&query, "digest") else { return begin(asked, name) };
    let digest = path::digest(digest)?;
    check_length(asked)?;
    let registry = asked.registry;
    let session = registry.sessions.begin(name, asked.caller.name(), registry.clock.now())?;
    receive_and_finish(asked, name, &session, digest.clone(), body).await?;
    Ok(created(name, &digest))
}

fn begin(asked: &Asked<'_>, name: &str) -> Result<Response, ApiError> {
    let registry = asked.registry;
    let session = registry.sessions.begin(name, asked.caller.name(), registry.clock.now())?;
    Ok(accepted(name, &session, 0, StatusCode::ACCEPTED))
}

/// Mounts a blob that this caller could pull from the other repository; `false` tells nothing about why not, and the
/// client uploads instead.
async fn try_mount(asked: &Asked<'_>, name: &str, from: &str, digest: &Digest) -> Result<bool, ApiError> {
    let Ok(from) = path::repository(from) else { return Ok(false) };
    if !asked.caller.may(Action::Pull, from) {
        return Ok(false);
    }
    if !matches!(access(asked.registry, asked.caller, from, digest).await?, BlobAccess::Granted { .. }) {
        return Ok(false);
    }
    let (repository, digest, now) = (name.to_owned(), digest.to_string(), asked.registry.clock.now());
    let records = &asked.registry.records;
    let linked =
        records.write(name, move |connection| blobs::link(connection, &repository, &digest, now)).await?;
    Ok(linked)
}

/// GET: how far an upload has come.
pub(super) fn status(asked: &Asked<'_>, name: &str, id: &str) -> Result<Response, ApiError> {
    asked.authorize(Action::Sign, name)?;
    let session = find(asked, name, id)?;
    let offset = asked.registry.sessions.stored_bytes(&session);
    Ok(accepted(name, &session, offset, StatusCode::NO_CONTENT))
}

/// PATCH: the next piece.
pub(super) async fn patch(asked: &Asked<'_>, name: &str, id: &str, body: Body) -> Result<Response, ApiError> {
    asked.authorize(Action::Sign, name)?;
    let session = find(asked, name, id)?;
    let offset = receive(asked, name, &session, body).await?;
    Ok(accepted(name, &session, offset, StatusCode::ACCEPTED))
}

/// PUT: the last piece, or none, and the digest.
pub(super) async fn put(asked: &Asked<'_>, name: &str, id: &str, body: Body) -> Result<Response, ApiError> {
    asked.authorize(Action::Sign, name)?;
    let session = find(asked, name, id)?;
    let query = asked.query()?;
    let digest = parameter(&query, "digest")
        .ok_or_else(|| ApiError::new(Code::DigestInvalid, "`digest` is missing from the query"))?;
    let digest = path::digest(digest)?;
    receive_and_finish(asked, name, &session, digest.clone(), body).await?;
    Ok(created(name, &digest))
}

/// DELETE: cancels an upload.
pub(super) async fn cancel(asked: &Asked<'_>, name: &str, id: &str) -> Result<Response, ApiError> {
    asked.authorize(Action::Sign, name)?;
    let session = find(asked, name, id)?;
    asked.registry.sessions.forget(session.id());
    asked.registry.ingest.discard(session.id()).await;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn find(asked: &Asked<'_>, name: &str, id: &str) -> Result<std::sync::Arc<Session>, ApiError> {
    let registry = asked.registry;
    Ok(registry.sessions.find(id, name, asked.caller.name(), registry.clock.now())?)
}

/// Takes one body in, on a task of its own: when the client goes away, what has arrived is still written, so that it can
/// resume from there.
async fn receive(
    asked: &Asked<'_>,
    name: &str,
    session: &std::sync::Arc<Session>,
    body: Body,
) -> Result<u64, ApiError> {
    let mut guard = session.take(&asked.registry.ingest).await?;
    let offset = guard.as_ref().map_or(0, crate::ingest::Progress::offset);
    check_range(asked, name, session, offset)?;
    check_length(asked)?;
    let (registry, session) = (std::sync::Arc::clone(asked.registry), std::sync::Arc::clone(session));
    let task = tokio::spawn(async move {
        let _counted = Counted::begin(&registry.metrics.uploads_in_flight);
        let Some(progress) = guard.as_mut() else { return Err(SessionError::Unknown.into()) };
        match registry.ingest.receive(progress, body, false).await {
            Ok(()) => Ok(progress.offset()),
            Err(error @ IngestError::Body(_)) => Err(ApiError::from(error)),
            Err(error) => {
                *guard = None;
                registry.sessions.forget(session.id());
                registry.ingest.discard(session.id()).await;
                Err(error.into())
            }
        }
    });
    task.await.map_err(|error| ApiError::internal(&error))?
}

/// The last body and the end of an upload; see [`receive`] about the task.
async fn receive_and_finish(
    asked: &Asked<'_>,
    name: &str,
    session: &std::sync::Arc<Session>,
    digest: Digest,
    body: Body,
) -> Result<(), ApiError> {
    let mut guard = session.take(&asked.registry.ingest).await?;
    let offset = guard.as_ref().map_or(0, crate::ingest::Progress::offset);
    check_range(asked, name, session, offset)?;
    check_length(asked)?;
    let analyzer = asked.registry.rules.analyzer();
    let known = asked.registry.records.read(|connection| {
        let stored = blobs::size(connection, digest.as_str())?.is_some();
        Ok::<_, RecordError>(stored && blobs::has_report(connection, digest.as_str(), &analyzer)?)
    })?;
    let (registry, session) = (std::sync::Arc::clone(asked.registry), std::sync::Arc::clone(session));
    let repository = name.to_owned();
    let task = tokio::spawn(async move {
        let _counted = Counted::begin(&registry.metrics.uploads_in_flight);
        let Some(mut progress) = guard.take() else { return Err(SessionError::Unknown.into()) };
        match registry.ingest.receive(&mut progress, body, known).await {
            Err(error @ IngestError::Body(_)) if !known => {
                *guard = Some(progress);
                return Err(ApiError::from(error));
            }
            // The walk was dropped, so the upload must be opened anew, from its bytes.
            Err(error @ IngestError::Body(_)) => return Err(error.into()),
            Err(error) => {
                registry.sessions.forget(session.id());
                registry.ingest.discard(session.id()).await;
                return Err(error.into());
            }
            Ok(()) => {}
        }
        let finished = registry.ingest.finish(session.id(), progress, &digest, &repository).await;
        registry.sessions.forget(session.id());
        Ok(finished?)
    });
    task.await.map_err(|error| ApiError::internal(&error))?
}

/// A piece must begin where the upload ends (distribution-spec "Pushing a blob in chunks").
fn check_range(asked: &Asked<'_>, name: &str, session: &Session, offset: u64) -> Result<(), ApiError> {
    let Some(text) = asked.header(&header::CONTENT_RANGE) else { return Ok(()) };
    let wrong = |message: String| {
        let error = ApiError::new(Code::RangeInvalid, message);
        error
            .with_header(header::RANGE, range(offset))
            .with_header(header::LOCATION, location(name, session))
            .with_header(UPLOAD_ID, session.id())
    };
    let trimmed = text.trim().trim_start_matches("bytes").trim_start_matches(['=', ' ']);
    let trimmed = trimmed.split('/').next().unwrap_or_default();
    let parsed = trimmed.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
        let length = last.checked_sub(first)?.checked_add(1)?;
        Some((first, length))
    });
    let Some((first, length)) = parsed else { return Err(wrong("`Content-Range` is malformed".to_owned())) };
    if first != offset {
        return Err(wrong(format!("the piece begins at {first}, the upload ends at {offset}")));
    }
    match announced(asked) {
        Some(announced) if announced != length => {
            let message = format!("`Content-Range` spans {length} bytes, `Content-Length` is {announced}");
            Err(ApiError::new(Code::SizeInvalid, message).with_status(StatusCode::BAD_REQUEST))
        }
        _ => Ok(()),
    }
}

fn announced(asked: &Asked<'_>) -> Option<u64> {
    asked.header(&header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
}

/// Refuses what is announced as too large before it is sent.
fn check_length(asked: &Asked<'_>) -> Result<(), ApiError> {
    let max = asked.registry.ingest.blob_bytes_max();
    match announced(asked) {
        Some(announced) if announced > max => Err(IngestError::TooLarge { max }.into()),
        _ => Ok(()),
    }
}

fn location(name: &str, session: &Session) -> String {
    format!("/v2/{name}/blobs/uploads/{}", session.id())
}

/// `0-<last byte>`; for nothing received `0-0`, which is how every registry spells it.
fn range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn accepted(name: &str, session: &Session, offset: u64, status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (key, text) in [
        (header::LOCATION, location(name, session)),
        (header::RANGE, range(offset)),
        (UPLOAD_ID, session.id().to_owned()),
    ] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(key, value);
        }
    }
    response
}

fn created(name: &str, digest: &Digest) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    for (key, text) in
        [(header::LOCATION, format!("/v2/{name}/blobs/{digest}")), (CONTENT_DIGEST, digest.to_string())]
    {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(key, value);
        }
    }
    response
}
