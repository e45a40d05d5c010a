//! `/v2/<name>/tags/list` and `/v2/_catalog`: lists in byte order, in pages.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::json;

use super::error::{ApiError, Code};
use super::{Asked, parameter};
use crate::access::{Action, Wanted};
use crate::records::RecordError;
use crate::records::manifests::{self as rows, View};

/// Entries of one page, asked for or not.
const PAGE_MAX: u32 = 1000;

/// The tags that this caller may see.
pub(super) fn list(asked: &Asked<'_>, name: &str) -> Result<Response, ApiError> {
    asked.authorize(Action::Pull, name)?;
    let page = Page::read(asked)?;
    let view = asked.view(name);
    let (exists, mut tags) = asked.registry.records.read(|connection| {
        let exists = rows::repository_exists(connection, name, view)?;
        Ok::<_, RecordError>((exists, rows::tags(connection, name, view, &page.last, page.count + 1)?))
    })?;
    if !exists {
        return Err(ApiError::new(Code::NameUnknown, format!("repository `{name}` is unknown")));
    }
    let next = page.cut(&mut tags, &format!("/v2/{name}/tags/list"));
    Ok(answer(&json!({ "name": name, "tags": tags }), next))
}

/// The repositories that this caller may see.
pub(super) fn catalog(asked: &Asked<'_>) -> Result<Response, ApiError> {
    let page = Page::read(asked)?;
    let caller = asked.caller;
    let mut names = Vec::new();
    let mut last = page.last.clone();
    let wanted = usize::try_from(page.count).unwrap_or(usize::MAX).saturating_add(1);
    while names.len() < wanted {
        let batch =
            asked.registry.records.read(|connection| rows::repositories(connection, &last, PAGE_MAX))?;
        let Some((name, _)) = batch.last() else { break };
        last.clone_from(name);
        let seen = batch.into_iter().filter(|(name, released)| {
            caller.may_list(name) && (*released || asked.view(name) == View::Producer)
        });
        names.extend(seen.map(|(name, _)| name));
    }
    if names.is_empty() && !caller.gave_credentials() {
        let registry = asked.registry;
        return Err(registry.unauthorized("authentication required", &asked.parts.headers, Wanted::Catalog));
    }
    names.truncate(wanted);
    let next = page.cut(&mut names, "/v2/_catalog");
    Ok(answer(&json!({ "repositories": names }), next))
}

/// Which part of a list is wanted.
struct Page {
    count: u32,
    last: String,
}

impl Page {
    fn read(asked: &Asked<'_>) -> Result<Self, ApiError> {
        let query = asked.query()?;
        let count = match parameter(&query, "n") {
            None => PAGE_MAX,
            Some(text) => text.parse::<u32>().map(|count| count.min(PAGE_MAX)).map_err(|_| {
                ApiError::new(Code::PaginationNumberInvalid, "`n` must be a number of entries, 0 or more")
            })?,
        };
        Ok(Self { count, last: parameter(&query, "last").unwrap_or_default().to_owned() })
    }

    /// Cuts a list of one entry too many to the page, and says where the next one begins.
    fn cut(&self, list: &mut Vec<String>, path: &str) -> Option<HeaderValue> {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        if list.len() <= count {
            return None;
        }
        list.truncate(count);
        // Tags and repository names need no escapes in a query.
        let last = list.last()?;
        HeaderValue::try_from(format!("<{path}?n={count}&last={last}>; rel=\"next\"")).ok()
    }
}

fn answer(body: &serde_json::Value, next: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(next) = next {
        headers.insert(header::LINK, next);
    }
    response
}
