//! Access at the door: the middleware that finds out who calls, and the token endpoint.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;

use super::challenge::parse_scopes;
use super::token::SCOPES_MAX;
use super::{Access, AuthenticateError, Caller, TokenScope, Wanted, authenticate};

/// Longest form of a token request, in bytes: a password, and the scopes of a push that mounts.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Middleware: puts the [`Caller`] into the request's extensions, or answers 401 (503 when logins queue up). Handlers
/// take `Caller` as an argument.
pub async fn identify(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match authenticate(request.headers(), &access).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let mut response = next.run(request).await;
            // For the request's log line.
            response.extensions_mut().insert(caller);
            response
        }
        Err(error) => unauthorized(error, request.headers(), &access),
    }
}

/// `/token` for GET (the Docker token flow) and POST (its OAuth2 form, grant `password`).
pub fn router(access: Arc<Access>) -> Router {
    Router::new().route("/token", get(by_query).post(by_form)).with_state(access)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = StatusCode;

    /// A route without [`identify`] has no caller; that is our mistake, and it fails closed.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The token endpoint's answer.
#[derive(Serialize)]
struct Issued<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: i64,
    issued_at: String,
}

/// One error in the distribution spec's shape.
#[derive(Serialize)]
struct SpecErrors<'a> {
    errors: [SpecError<'a>; 1],
}

#[derive(Serialize)]
struct SpecError<'a> {
    code: &'a str,
    message: &'a str,
}

type Parameters = Vec<(String, String)>;

async fn by_query(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
    Query(parameters): Query<Parameters>,
) -> Response {
    match authenticate(&headers, &access).await {
        // A token that could be traded for a wider or a later one would not be short-lived or scoped.
        Ok(caller) if caller.used_token() => unauthorized(AuthenticateError::Password, &headers, &access),
        Ok(caller) => issue(&access, &caller, &parameters),
        Err(error) => unauthorized(error, &headers, &access),
    }
}

async fn by_form(State(access): State<Arc<Access>>, headers: HeaderMap, body: Body) -> Response {
    let Ok(body) = to_bytes(body, FORM_BYTES_MAX).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "UNSUPPORTED", "the form is too large or was cut off");
    };
    let Some(parameters) = form(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "UNSUPPORTED", "the body is no form");
    };
    if value(&parameters, "grant_type") != Some("password") {
        return refuse(StatusCode::BAD_REQUEST, "UNSUPPORTED", "only the grant type `password` is supported");
    }
    let (name, password) = (value(&parameters, "username"), value(&parameters, "password"));
    let (Some(name), Some(password)) = (name, password) else {
        return refuse(StatusCode::BAD_REQUEST, "UNSUPPORTED", "`username` and `password` are needed");
    };
    match access.log_in(name, password).await {
        Ok(caller) => issue(&access, &caller, &parameters),
        Err(error) => unauthorized(error, &headers, &access),
    }
}

/// A form is written like a query, and is read by the same parser.
fn form(body: &[u8]) -> Option<Parameters> {
    let body = std::str::from_utf8(body).ok()?;
    let uri: Uri = format!("/?{body}").parse().ok()?;
    Query::<Parameters>::try_from_uri(&uri).ok().map(|Query(parameters)| parameters)
}

fn value<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn issue(access: &Access, caller: &Caller, parameters: &Parameters) -> Response {
    let scopes = parameters.iter().filter(|(key, _)| key == "scope").map(|(_, value)| value.as_str());
    let now = access.clock.now();
    let token = access.issue(caller, &with_own_names(parse_scopes(scopes), &access.service), now);
    let issued_at = jiff::Timestamp::from_second(now).map(|time| time.to_string()).unwrap_or_default();
    let answer =
        Issued { token: &token, access_token: &token, expires_in: access.token_lifetime_seconds, issued_at };
    json(StatusCode::OK, &answer)
}

/// Clients of Notary v1 ask for `registry.example/app` where those of the registry ask for `app`.
fn with_own_names(mut scope: TokenScope, service: &str) -> TokenScope {
    let own = scope.repositories.iter().filter_map(|(name, action)| {
        let name = name.strip_prefix(service)?.strip_prefix('/')?;
        Some((name.to_owned(), *action))
    });
    let own: Vec<_> = own.collect();
    scope.repositories.extend(own);
    scope.repositories.truncate(SCOPES_MAX);
    scope
}

fn unauthorized(error: AuthenticateError, headers: &HeaderMap, access: &Access) -> Response {
    let message = error.to_string();
    if error == AuthenticateError::Busy {
        let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "TOOMANYREQUESTS", &message);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        return response;
    }
    let mut response = refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", &message);
    let challenge = access.challenge(headers, Wanted::Anything);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, &SpecErrors { errors: [SpecError { code, message }] })
}

/// Tokens and refusals are for one client at one moment: never to be stored on the way.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
