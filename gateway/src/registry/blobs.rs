//! `/v2/<name>/blobs/<digest>`: read whole or in part, delete.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::error::{ApiError, Code};
use super::warm::WarmBlob;
use super::{Asked, CONTENT_DIGEST, is_unchanged};
use crate::access::{Action, Caller};
use crate::blobs::body::{FileBody, read_small};
use crate::digest::Digest;
use crate::gate::verdict::{Denial, Verdict};
use crate::records::manifests as rows;
use crate::records::{RecordError, blobs};
use crate::registry::Registry;

/// Up to this many bytes are read in one call on the spot; more are streamed.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// GET and HEAD.
pub(super) async fn read(asked: &Asked<'_>, name: &str, digest: &Digest) -> Result<Response, ApiError> {
    asked.authorize(Action::Pull, name)?;
    let registry = asked.registry;
    let view = asked.view(name);
    if let Some(blob) = registry.warm.blob(name, digest.as_str(), view)
        && registry.judge.holds(&blob.policy, blob.until)
    {
        return send(asked, &blob, digest);
    }
    let changes = registry.warm.changes();
    let policy = registry.judge.epoch();
    let until = match access(registry, asked.caller, name, digest).await? {
        BlobAccess::Granted { until } => until,
        BlobAccess::Denied(denial) => return Err(ApiError::denied(&denial)),
        BlobAccess::Unreleased => {
            let message = format!("no released image of `{name}` names blob `{digest}`");
            return Err(ApiError::new(Code::Denied, message));
        }
        BlobAccess::Unknown => return Err(unknown(name, digest)),
    };
    let opened = registry.blobs.open_blob(digest).map_err(|error| ApiError::internal(&error))?;
    let (file, size) = opened.ok_or(RecordError::Malformed { what: "blob without file" })?;
    let blob = Arc::new(WarmBlob { headers: headers(digest)?, file: Arc::new(file), size, policy, until });
    registry.warm.keep_blob(name, digest.as_str(), view, changes, &blob);
    send(asked, &blob, digest)
}

/// Whether a caller may have a blob of a repository.
pub(super) enum BlobAccess {
    /// Every released manifest that names it is refused now.
    Denied(Denial),
    /// Yes.
    Granted {
        /// See [`crate::judge::Answer::until`].
        until: Option<i64>,
    },
    /// It is not in the repository.
    Unknown,
    /// It is there, but no released manifest names it.
    Unreleased,
}

/// The one rule about blobs, for GET, HEAD, ranges and mounts: producers get what the repository holds; consumers what a
/// released manifest of that repository names.
pub(super) async fn access(
    registry: &Registry,
    caller: &Caller,
    name: &str,
    digest: &Digest,
) -> Result<BlobAccess, ApiError> {
    let producer = caller.is_producer(name);
    let (held, naming) = registry.records.read(|connection| {
        let held = blobs::linked_size(connection, name, digest.as_str())?.is_some();
        let mut naming = Vec::new();
        if held && !producer {
            for manifest in blobs::released_by(connection, name, digest.as_str())? {
                naming.extend(rows::find(connection, name, &manifest)?);
            }
        }
        Ok::<_, RecordError>((held, naming))
    })?;
    if !held {
        return Ok(BlobAccess::Unknown);
    }
    if producer {
        return Ok(BlobAccess::Granted { until: None });
    }
    let mut refused = None;
    for row in &naming {
        let answer = registry.judge.pull(name, None, row).await?;
        match answer.verdict {
            Verdict::Allow(_) => return Ok(BlobAccess::Granted { until: answer.until }),
            Verdict::Deny(denial) => refused = Some(denial),
        }
    }
    Ok(refused.map_or(BlobAccess::Unreleased, BlobAccess::Denied))
}

pub(super) fn unknown(name: &str, digest: &Digest) -> ApiError {
    ApiError::new(Code::BlobUnknown, format!("blob `{digest}` is unknown in `{name}`"))
}

fn headers(digest: &Digest) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::with_capacity(8);
    let value = |text: String| {
        HeaderValue::try_from(text)
            .map_err(|_| ApiError::from(RecordError::Malformed { what: "header value" }))
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DIGEST, value(digest.to_string())?);
    headers.insert(header::ETAG, value(format!("\"{digest}\""))?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, private"));
    Ok(headers)
}

fn send(asked: &Asked<'_>, blob: &WarmBlob, digest: &Digest) -> Result<Response, ApiError> {
    let mut response = Response::new(Body::empty());
    if is_unchanged(asked.parts, digest.as_str()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    *response.headers_mut() = blob.headers.clone();
    // RFC 9110 section 14.2: only GET has ranges, and `If-Range` with another validator means the whole.
    let same = asked.header(&header::IF_RANGE).is_none_or(|tag| tag.trim_matches('"') == digest.as_str());
    let wanted = asked.header(&header::RANGE).filter(|_| same && asked.parts.method == Method::GET);
    let (start, len) = match wanted.map_or(Range::Whole, |text| Range::parse(text, blob.size)) {
        Range::Whole => (0, blob.size),
        Range::Part { start, len } => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {start}-{}/{}", start + len - 1, blob.size);
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            (start, len)
        }
        Range::Unsatisfiable => {
            let message = format!("the range does not lie in the {} bytes of `{digest}`", blob.size);
            let total = format!("bytes */{}", blob.size);
            return Err(ApiError::new(Code::RangeInvalid, message).with_header(header::CONTENT_RANGE, total));
        }
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    if asked.parts.method == Method::GET {
        asked.registry.metrics.bytes_sent.inc_by(len);
        *response.body_mut() = body(blob, start, len)?;
    }
    Ok(response)
}

fn body(blob: &WarmBlob, start: u64, len: u64) -> Result<Body, ApiError> {
    match usize::try_from(len) {
        Ok(small) if len <= SMALL_BYTES_MAX => {
            let bytes = read_small(&blob.file, start, small).map_err(|error| ApiError::internal(&error))?;
            Ok(Body::from(bytes))
        }
        _ => Ok(Body::new(FileBody::new(Arc::clone(&blob.file), start, len))),
    }
}

/// A `Range` header against a size.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// `len` is at least 1.
    Part {
        start: u64,
        len: u64,
    },
    Unsatisfiable,
    /// No range, or one that RFC 9110 lets us ignore: another unit, several ranges, malformed.
    Whole,
}

impl Range {
    fn parse(text: &str, size: u64) -> Self {
        let Some(spec) = text.trim().strip_prefix("bytes=") else { return Self::Whole };
        let Some((first, last)) = spec.split_once('-') else { return Self::Whole };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        match (first.trim().is_empty(), number(first), last.trim().is_empty(), number(last)) {
            // `-n`: the last n bytes.
            (true, _, false, Some(count)) if count > 0 && size > 0 => {
                let len = count.min(size);
                Self::Part { start: size - len, len }
            }
            (true, _, false, Some(_)) => Self::Unsatisfiable,
            (false, Some(start), true, _) if start < size => Self::Part { start, len: size - start },
            (false, Some(start), false, Some(end)) if start <= end && start < size => {
                Self::Part { start, len: end.min(size - 1) - start + 1 }
            }
            (false, Some(start), false, Some(end)) if start > end => Self::Whole,
            (false, Some(_), true, _) | (false, Some(_), false, Some(_)) => Self::Unsatisfiable,
            _ => Self::Whole,
        }
    }
}

/// DELETE. A blob that a manifest names stays: the image would be broken for everybody who may pull it.
pub(super) async fn delete(asked: &Asked<'_>, name: &str, digest: &Digest) -> Result<Response, ApiError> {
    asked.authorize(Action::Admin, name)?;
    let (repository, digest) = (name.to_owned(), digest.clone());
    asked
        .registry
        .records
        .write(name, move |connection| -> Result<(), ApiError> {
            if blobs::is_named(connection, &repository, digest.as_str())? {
                let message = format!("a manifest of `{repository}` names `{digest}`; delete that first");
                return Err(ApiError::new(Code::Unsupported, message));
            }
            if blobs::unlink(connection, &repository, digest.as_str())? {
                Ok(())
            } else {
                Err(unknown(&repository, &digest))
            }
        })
        .await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        let part = |start, len| Range::Part { start, len };
        for (text, size, expected) in [
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=0-9", 10, part(0, 10)),
            ("bytes=0-99", 10, part(0, 10)),
            ("bytes=5-", 10, part(5, 5)),
            ("bytes=-3", 10, part(7, 3)),
            ("bytes=-99", 10, part(0, 10)),
            ("bytes=10-", 10, Range::Unsatisfiable),
            ("bytes=10-20", 10, Range::Unsatisfiable),
            ("bytes=-0", 10, Range::Unsatisfiable),
            ("bytes=0-", 0, Range::Unsatisfiable),
            ("bytes=-1", 0, Range::Unsatisfiable),
            ("bytes=5-4", 10, Range::Whole),
            ("bytes=0-1,3-4", 10, Range::Whole),
            ("bytes=-", 10, Range::Whole),
            ("bytes=a-b", 10, Range::Whole),
            ("lines=0-1", 10, Range::Whole),
            ("bytes=0-18446744073709551615", 10, part(0, 10)),
            ("bytes=99999999999999999999-", 10, Range::Whole),
        ] {
            assert_eq!(Range::parse(text, size), expected, "{text}");
        }
    }
}
