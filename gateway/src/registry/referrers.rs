//! `/v2/<name>/referrers/<digest>`: the manifests about another one (distribution-spec "Listing Referrers").

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Asked, parameter};
use crate::access::Action;
use crate::digest::Digest;
use crate::gate::evidence::State;
use crate::gate::verdict::Verdict;
use crate::manifest::OCI_INDEX;
use crate::records::manifests::{self as rows, ManifestRow, View};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Entries of one answer; more come by its `Link`.
const ENTRIES_MAX: usize = 256;
/// Rows looked at for one answer: of ten thousand that the caller may not see, or does not ask for, the rest comes by
/// `Link`.
const ROWS_MAX: u32 = 1024;
/// Bytes of one answer; clients stop reading an index at 4 MiB.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// GET: an index of the referrers that this caller may see.
pub(super) async fn list(asked: &Asked<'_>, name: &str, subject: &Digest) -> Result<Response, ApiError> {
    asked.authorize(Action::Pull, name)?;
    let query = asked.query()?;
    let wanted = parameter(&query, "artifactType").filter(|wanted| !wanted.is_empty());
    let last = parameter(&query, "last").unwrap_or_default();
    let count_max = parameter(&query, "n")
        .and_then(|text| text.parse::<usize>().ok())
        .filter(|count| *count > 0)
        .map_or(ENTRIES_MAX, |count| count.min(ENTRIES_MAX));
    let found = asked
        .registry
        .records
        .read(|connection| rows::referrers(connection, name, subject.as_str(), last, ROWS_MAX))?;
    let mut listed: Vec<Value> = Vec::new();
    let (mut bytes, mut shown) = (0, String::new());
    let mut more = u32::try_from(found.len()).is_ok_and(|count| count >= ROWS_MAX);
    for row in found {
        if wanted.is_some_and(|wanted| row.artifact_type.as_deref() != Some(wanted))
            || !may_see(asked, name, &row).await?
        {
            shown = row.digest;
            continue;
        }
        let entry = descriptor(&row);
        bytes += entry.to_string().len();
        if listed.len() >= count_max || (bytes > ANSWER_BYTES_MAX && !listed.is_empty()) {
            more = true;
            break;
        }
        shown = row.digest;
        listed.push(entry);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed });
    let mut response = Response::new(Body::from(index.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if wanted.is_some() {
        headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if more {
        let filter = wanted.map(|wanted| format!("&artifactType={}", escaped(wanted))).unwrap_or_default();
        let next =
            format!("</v2/{name}/referrers/{subject}?n={count_max}&last={shown}{filter}>; rel=\"next\"");
        if let Ok(next) = HeaderValue::try_from(next) {
            headers.insert(header::LINK, next);
        }
    }
    Ok(response)
}

/// The same answer as for the manifest itself.
async fn may_see(asked: &Asked<'_>, name: &str, row: &ManifestRow) -> Result<bool, ApiError> {
    if asked.view(name) == View::Producer {
        return Ok(true);
    }
    if row.state != State::Released {
        return Ok(false);
    }
    Ok(matches!(asked.registry.judge.pull(name, None, row).await?.verdict, Verdict::Allow(_)))
}

fn descriptor(row: &ManifestRow) -> Value {
    let mut entry = json!({ "mediaType": row.media_type, "digest": row.digest, "size": row.size });
    if let Some(artifact_type) = &row.artifact_type {
        entry["artifactType"] = Value::from(artifact_type.clone());
    }
    match serde_json::from_str::<Value>(&row.annotations) {
        Ok(Value::Object(annotations)) if !annotations.is_empty() => {
            entry["annotations"] = annotations.into()
        }
        _ => {}
    }
    entry
}

/// Percent-encodes what may not stand in a query (RFC 3986 section 3.4), `+` and `&` included.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
