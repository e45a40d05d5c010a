//! `/v2/<name>/manifests/<reference>`: read by tag or digest, push, delete.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use keys::notary::{COLLECTION_TAG, COLLECTION_TYPE};

use super::error::{ApiError, Code};
use super::path::{self, Reference};
use super::warm::{self, WarmManifest};
use super::{Asked, CONTENT_DIGEST, is_unchanged};
use crate::access::Action;
use crate::digest::Digest;
use crate::gate::evidence::State;
use crate::gate::verdict::{Admitted, Denial, Verdict};
use crate::judge::{self, PushAnswer};
use crate::manifest::{self, MANIFEST_BYTES_MAX, Manifest, ManifestError};
use crate::records::RecordError;
use crate::records::manifests::{self as rows, ManifestRow, View};
use crate::staging::{self, Push};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// Tags of one push by digest.
const TAGS_MAX: usize = 64;
/// Bytes of one `Warning` header; the spec lets clients cut at 4096 for all.
const WARNING_BYTES_MAX: usize = 1024;
/// `Warning` headers of one answer.
const WARNINGS_MAX: usize = 3;

/// GET and HEAD.
pub(super) async fn read(asked: &Asked<'_>, name: &str, reference: &Reference) -> Result<Response, ApiError> {
    asked.authorize(Action::Pull, name)?;
    let view = asked.view(name);
    let registry = asked.registry;
    if let Some(manifest) = registry.warm.manifest(name, reference.as_str(), view)
        && registry.judge.holds(&manifest.policy, manifest.until)
    {
        return Ok(send(asked, &manifest));
    }
    let changes = registry.warm.changes();
    let policy = registry.judge.epoch();
    let row = match view {
        View::Consumer => find_for_consumer(asked, name, reference)?,
        View::Producer => find_for_producer(asked, name, reference)?,
    };
    let manifest = match view {
        View::Consumer => {
            let tag = match reference {
                Reference::Digest(_) => None,
                Reference::Tag(tag) => Some(tag.as_str()),
            };
            let answer = registry.judge.pull(name, tag, &row).await?;
            match answer.verdict {
                Verdict::Allow(proof) => {
                    WarmManifest { until: answer.until, ..for_consumer(asked, &proof, &row, policy)? }
                }
                Verdict::Deny(denial) => return Err(ApiError::denied(&denial)),
            }
        }
        View::Producer => for_producer(asked, &row, policy)?,
    };
    let manifest = Arc::new(manifest);
    if manifest.bytes.len() <= warm::MANIFEST_BYTES_MAX {
        registry.warm.keep_manifest(name, reference.as_str(), view, changes, &manifest);
    }
    Ok(send(asked, &manifest))
}

fn unknown(name: &str, reference: &Reference) -> ApiError {
    ApiError::new(Code::ManifestUnknown, format!("manifest `{}` is unknown in `{name}`", reference.as_str()))
}

/// What producers see: whatever is stored. What was refused is not, and a tag that may be replaced does not exist for
/// them: pushing the fix begins with such a probe.
fn find_for_producer(asked: &Asked<'_>, name: &str, reference: &Reference) -> Result<ManifestRow, ApiError> {
    asked.registry.records.read(|connection| {
        let digest = match reference {
            Reference::Digest(digest) => Some(digest.to_string()),
            Reference::Tag(tag) => {
                rows::tag(connection, name, tag)?.and_then(|row| row.staged.or(row.released))
            }
        };
        let row = match digest {
            Some(digest) => rows::find(connection, name, &digest)?,
            None => None,
        };
        row.ok_or_else(|| unknown(name, reference))
    })
}

/// What consumers see: what was released. Where something else stands, they are told why they cannot have it.
pub(super) fn find_for_consumer(
    asked: &Asked<'_>,
    name: &str,
    reference: &Reference,
) -> Result<ManifestRow, ApiError> {
    asked.registry.records.read(|connection| {
        let (released, staged) = match reference {
            Reference::Digest(digest) => (Some(digest.to_string()), None),
            Reference::Tag(tag) => match rows::tag(connection, name, tag)? {
                Some(row) => (row.released, row.staged),
                None => (None, None),
            },
        };
        let row = match released.or(staged) {
            Some(digest) => rows::find(connection, name, &digest)?,
            None => None,
        };
        match row {
            Some(row) if row.state == State::Staged => Err(match row.waiting.as_deref().and_then(denial) {
                Some(denial) => ApiError::denied(&denial),
                None => ApiError::new(Code::Denied, format!("`{name}@{}` is not released", row.digest)),
            }),
            Some(row) => Ok(row),
            None => Err(match rows::refusal(connection, name, reference.as_str())? {
                Some((_, text)) => match denial(&text) {
                    Some(denial) => ApiError::denied(&denial),
                    None => ApiError::new(Code::Denied, format!("`{}` was refused", reference.as_str())),
                },
                None => unknown(name, reference),
            }),
        }
    })
}

fn denial(text: &str) -> Option<Denial> {
    serde_json::from_str(text).ok()
}

/// The only way by which a consumer gets a manifest.
fn for_consumer(
    asked: &Asked<'_>,
    proof: &Admitted,
    row: &ManifestRow,
    policy: Arc<str>,
) -> Result<WarmManifest, ApiError> {
    if proof.digest() != row.digest {
        return Err(ApiError::new(Code::Internal, "the proof is about another manifest"));
    }
    load(asked, row, policy)
}

/// Producers read back what they pushed; that is authorization, not admission.
fn for_producer(asked: &Asked<'_>, row: &ManifestRow, policy: Arc<str>) -> Result<WarmManifest, ApiError> {
    load(asked, row, policy)
}

fn load(asked: &Asked<'_>, row: &ManifestRow, policy: Arc<str>) -> Result<WarmManifest, ApiError> {
    let bytes = asked.registry.records.read(|connection| rows::bytes(connection, &row.digest))?;
    let bytes = bytes.ok_or(RecordError::Malformed { what: "manifest without bytes" })?;
    // One fetch, one buffer: what is sent is what was hashed.
    if !Digest::parse(&row.digest).is_ok_and(|digest| digest.matches(&bytes)) {
        return Err(RecordError::Malformed { what: "manifest whose digest differs" }.into());
    }
    let mut headers = HeaderMap::with_capacity(6);
    let value = |text: String| {
        HeaderValue::try_from(text)
            .map_err(|_| ApiError::from(RecordError::Malformed { what: "header value" }))
    };
    headers.insert(header::CONTENT_TYPE, value(row.media_type.clone())?);
    headers.insert(CONTENT_DIGEST, value(row.digest.clone())?);
    headers.insert(header::ETAG, value(format!("\"{}\"", row.digest))?);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Ok(WarmManifest { headers, bytes: Bytes::from(bytes), policy, until: None })
}

fn send(asked: &Asked<'_>, manifest: &WarmManifest) -> Response {
    let digest = manifest.headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    if digest.is_some_and(|digest| is_unchanged(asked.parts, digest)) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let head = asked.parts.method == Method::HEAD;
    let mut response = Response::new(if head { Body::empty() } else { Body::from(manifest.bytes.clone()) });
    *response.headers_mut() = manifest.headers.clone();
    response
}

/// PUT.
pub(super) async fn put(
    asked: &Asked<'_>,
    name: &str,
    reference: &Reference,
    body: Body,
) -> Result<Response, ApiError> {
    // Who may sign only is told apart once it is known what is pushed.
    asked.authorize(Action::Sign, name)?;
    let bytes = collect(asked, body).await?;
    let content_type = asked.header(&header::CONTENT_TYPE);
    let manifest = manifest::classify(bytes, content_type).map_err(|error| invalid(&error))?;
    let (digest, tags) = name_of(asked, &manifest, reference)?;
    if !asked.caller.may(Action::Push, name) && !is_signature(&manifest, &tags) {
        asked.authorize(Action::Push, name)?;
    }
    let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
    let pushed_by = asked.caller.name().to_owned();
    let push =
        Push { repository: name.to_owned(), digest: digest.clone(), manifest, tags: tags.clone(), pushed_by };
    let judge = Arc::clone(&asked.registry.judge);
    // On its own task: a client that goes away must not stop a release half-way.
    let answer = tokio::spawn(async move { judge.push(push).await }).await;
    let answer = answer.map_err(|error| ApiError::internal(&error))??;
    let (waiting, warnings) = match answer {
        PushAnswer::Refused(denial) => return Err(ApiError::denied(&denial)),
        PushAnswer::Stored { waiting, warnings } => (waiting, warnings),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(name, value);
        }
    };
    set(header::LOCATION, &format!("/v2/{name}/manifests/{digest}"));
    set(CONTENT_DIGEST, &digest);
    if let Some(subject) = subject {
        set(OCI_SUBJECT, &subject);
    }
    if matches!(reference, Reference::Digest(_)) {
        tags.iter().for_each(|tag| set(OCI_TAG, tag));
    }
    let reasons = waiting.iter().flat_map(|denial| &denial.reasons);
    let told = reasons.map(|reason| format!("staged, not released: {}", reason.message));
    for text in told.chain(warnings.into_iter().map(|reason| reason.message)).take(WARNINGS_MAX) {
        set(header::WARNING, &warning(&text));
    }
    Ok(response)
}

/// A `Warning` header as the distribution spec wants it: `299 - "text"`, printable ASCII.
fn warning(text: &str) -> String {
    let quoted: String = text
        .chars()
        .map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' })
        .map(|letter| if matches!(letter, '"' | '\\') { '\'' } else { letter })
        .take(WARNING_BYTES_MAX)
        .collect();
    format!("299 - \"{quoted}\"")
}

async fn collect(asked: &Asked<'_>, body: Body) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("manifest is over the limit of {MANIFEST_BYTES_MAX} bytes");
        ApiError::new(Code::ManifestInvalid, message).with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let announced = asked.header(&header::CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MANIFEST_BYTES_MAX) {
        return Err(too_large());
    }
    match Limited::new(body, MANIFEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(_) => Err(ApiError::new(Code::ManifestInvalid, "the request body ended early")),
    }
}

fn invalid(error: &ManifestError) -> ApiError {
    let mut message = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        message = format!("{message}: {cause}");
    }
    let error_answer = ApiError::new(Code::ManifestInvalid, message);
    match error {
        ManifestError::TooLarge(_) => error_answer.with_status(StatusCode::PAYLOAD_TOO_LARGE),
        _ => error_answer,
    }
}

/// The digest to store it under, and its tags: the one in the path, or those of `?tag=` beside a digest.
fn name_of(
    asked: &Asked<'_>,
    manifest: &Manifest,
    reference: &Reference,
) -> Result<(String, Vec<String>), ApiError> {
    let digest = match reference {
        Reference::Tag(tag) => return Ok((manifest.digest.clone(), vec![tag.clone()])),
        Reference::Digest(digest) => digest,
    };
    if !digest.matches(&manifest.bytes) {
        let computed = Digest::of(digest.algorithm(), &manifest.bytes);
        let message = format!("digest mismatch: expected `{digest}`, computed `{computed}`");
        return Err(ApiError::new(Code::DigestInvalid, message));
    }
    let mut tags = Vec::new();
    for (_, tag) in asked.query()?.into_iter().filter(|(key, _)| key == "tag") {
        path::tag(&tag)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > TAGS_MAX {
        return Err(ApiError::new(Code::TagInvalid, format!("more than {TAGS_MAX} tags in one push")));
    }
    Ok((digest.to_string(), tags))
}

/// What somebody who may only sign may push: a referrer, or what lies under the tag of another manifest's digest. That it
/// cannot run is the gate's question; an image under such a tag is judged as one.
fn is_signature(manifest: &Manifest, tags: &[String]) -> bool {
    let of_digest = |tag: &String| {
        let hex = tag.strip_prefix("sha256-").or_else(|| tag.strip_prefix("sha512-"));
        hex.is_some_and(|rest| rest.split('.').next().is_some_and(|hex| hex.len() >= 64))
    };
    let cannot_run = matches!(manifest.kind, manifest::Kind::Artifact { .. });
    let listed = matches!(manifest.kind, manifest::Kind::Index { .. });
    let tagged = !tags.is_empty() && tags.iter().all(of_digest);
    let untagged_referrer = tags.is_empty() && manifest.subject.is_some() && cannot_run;
    let simple = manifest.blobs().skip(1).all(|blob| !manifest::is_file_system_layer(&blob.media_type));
    // Who signs by Notary v1 brings the metadata.
    let collection = cannot_run
        && manifest.referrer_type() == Some(COLLECTION_TYPE)
        && tags.iter().all(|tag| tag == COLLECTION_TAG);
    collection || untagged_referrer || (tagged && (cannot_run || listed || simple))
}

/// DELETE: by digest the manifest and its tags, by tag the tag alone.
pub(super) async fn delete(
    asked: &Asked<'_>,
    name: &str,
    reference: &Reference,
) -> Result<Response, ApiError> {
    asked.authorize(Action::Admin, name)?;
    let (repository, wanted) = (name.to_owned(), reference.clone());
    asked
        .registry
        .records
        .write(name, move |connection| -> Result<(), ApiError> {
            match &wanted {
                Reference::Digest(digest) => {
                    // Before the image goes, or nobody knows any more what was said of it.
                    judge::take_away(connection, &repository, digest.as_str())?;
                    Ok(staging::erase(connection, &repository, digest.as_str())?)
                }
                Reference::Tag(tag) if rows::remove_tag(connection, &repository, tag)? => Ok(()),
                Reference::Tag(_) => Err(unknown(&repository, &wanted)),
            }
        })
        .await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
