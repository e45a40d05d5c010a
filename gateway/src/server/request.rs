//! What happens around every request: an id, limits on its body, a net under panics, a count and a log line.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderName, Method, Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::Service;

use super::body::{HeldBody, TimedBody};
use super::{HEADER_BYTES_MAX, ServerLimits, Serving};
use crate::access::Caller;
use crate::clock;
use crate::telemetry::{RequestId, Route};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bodies up to this size leave in one write.
const SHORT_BODY_BYTES: u64 = 64 * 1024;
/// How often a connection is looked at for being quiet.
const QUIET_CHECK: Duration = Duration::from_secs(1);

/// Where a request came from, as the socket says. In the request's extensions, for logs only: never for rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Wraps the router for one connection.
#[derive(Clone)]
pub(super) struct RequestLife {
    router: Router,
    serving: Serving,
    peer: SocketAddr,
    activity: Arc<Activity>,
}

/// What is noted about a request before it is consumed.
struct Noted {
    id: RequestId,
    method: Method,
    path: String,
    route: Route,
    start: Instant,
}

impl RequestLife {
    pub(super) fn new(router: Router, serving: Serving, peer: SocketAddr, activity: Arc<Activity>) -> Self {
        Self { router, serving, peer, activity }
    }

    /// Answers one request; never fails, because a connection that carries other requests must go on.
    pub(super) async fn answer(mut self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let busy = Activity::busy(&self.activity);
        let noted = Noted {
            id: self.serving.request_ids.issue(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            route: Route::of(request.uri().path()),
            start: clock::instant(),
        };
        let response = if header_bytes(&request) > HEADER_BYTES_MAX {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()
        } else {
            self.route(request, &noted).await
        };
        let response = self.finish(response, &noted);
        // A long body outlives this function; its connection is busy until the last byte is handed over.
        let short = response.body().size_hint().exact().is_some_and(|bytes| bytes <= SHORT_BODY_BYTES);
        Ok(if short { response } else { response.map(|body| Body::new(HeldBody::new(body, busy))) })
    }

    async fn route(&mut self, request: Request<Incoming>, noted: &Noted) -> Response {
        let metrics = &self.serving.metrics;
        let mut request = request
            .map(|body| Body::new(TimedBody::new(body, self.serving.limits.body_idle, metrics.clone())));
        request.extensions_mut().insert(noted.id.clone());
        request.extensions_mut().insert(Peer(self.peer));
        // A panic is a bug of ours; it must cost its own request only, and be seen. Nothing of the router's state is
        // half-changed by it: what handlers share is behind locks that are taken for single steps.
        match AssertUnwindSafe(self.router.call(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                metrics.panics.inc();
                tracing::error!(request.id = %noted.id, path = %noted.path, "a handler panicked");
                let body = format!(
                    r#"{{"errors":[{{"code":"UNKNOWN","message":"internal error, request {}"}}]}}"#,
                    noted.id
                );
                let json = [(http::header::CONTENT_TYPE, "application/json")];
                (StatusCode::INTERNAL_SERVER_ERROR, json, body).into_response()
            }
        }
    }

    fn finish(&self, mut response: Response, noted: &Noted) -> Response {
        let duration = clock::elapsed(noted.start);
        let status = response.status().as_u16();
        let metrics = &self.serving.metrics;
        metrics.request(noted.route, &noted.method, status, duration);
        let sent = response.body().size_hint().exact().filter(|_| noted.method != Method::HEAD);
        metrics.bytes_sent.inc_by(sent.unwrap_or(0));
        if self.serving.log_requests {
            let caller = response.extensions().get::<Caller>().map_or("", Caller::name);
            let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            tracing::info!(
                target: "portcullis::requests",
                {
                    request.id = noted.id.as_str(),
                    http.method = noted.method.as_str(),
                    http.path = noted.path.as_str(),
                    http.status = status,
                    duration_us,
                    caller,
                    peer = %self.peer,
                },
                "answered"
            );
        }
        response.headers_mut().insert(REQUEST_ID, noted.id.header_value());
        response
    }
}

/// Size of the header section as HTTP/1 would write it: HTTP/2 limits its own, HTTP/1 only its buffer.
fn header_bytes(request: &Request<Incoming>) -> usize {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    fields.fold(line, usize::saturating_add)
}

/// Whether a connection does anything. HTTP/1's own timer starts with the first header byte and HTTP/2 has none, so a
/// client that connects and says nothing would hold its place for ever.
pub(super) struct Activity {
    requests: AtomicUsize,
    /// Set by each request, cleared by each look.
    touched: AtomicBool,
    ever: AtomicBool,
}

/// A request is being answered as long as this lives.
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Self {
        Self { requests: AtomicUsize::new(0), touched: AtomicBool::new(true), ever: AtomicBool::new(false) }
    }

    fn busy(activity: &Arc<Self>) -> Busy {
        activity.requests.fetch_add(1, Ordering::AcqRel);
        activity.ever.store(true, Ordering::Release);
        Busy(activity.clone())
    }

    /// Resolves when there was no request for too long: [`ServerLimits::header`] before the first one,
    /// [`ServerLimits::idle`] after it.
    pub(super) async fn too_quiet(&self, limits: &ServerLimits) {
        let mut quiet_since = clock::instant();
        let check = QUIET_CHECK.min(limits.header / 2).min(limits.idle / 2);
        loop {
            tokio::time::sleep(check).await;
            let busy = self.requests.load(Ordering::Acquire) > 0;
            if self.touched.swap(false, Ordering::AcqRel) || busy {
                quiet_since = clock::instant();
            }
            let allowed = if self.ever.load(Ordering::Acquire) { limits.idle } else { limits.header };
            if clock::elapsed(quiet_since) > allowed {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.touched.store(true, Ordering::Release);
    }
}
