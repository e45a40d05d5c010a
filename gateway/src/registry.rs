//! Door one: the routes clients see under `/v2/`, after the OCI distribution spec 1.1.
//!
//! A request passes: path → right of the caller → handler. What consumers get was admitted: [`manifests`] and [`blobs`]
//! make an answer for a consumer only out of an `Admitted`.

mod blobs;
mod error;
mod manifests;
mod path;
mod referrers;
mod tags;
mod trust;
mod uploads;
mod warm;
mod withdrawals;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::access::{Access, Action, Caller, Refusal, Wanted};
use crate::advisories::AdvisoryStore;
use crate::blobs::{BlobError, Blobs};
use crate::clock::Clock;
use crate::gc::GcConfig;
use crate::ingest::{Ingest, Sessions};
use crate::judge::{Issuer, Judge, PolicyHandle, ReceiptConfig};
use crate::malware::RuleStore;
use crate::records::manifests::View;
use crate::records::{RecordError, Records};
use crate::telemetry::{Metrics, RequestId};
use error::{ApiError, Code};
use path::{PathError, Target};
use warm::Warm;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Parameters read from one query; `?tag=` may stand many times.
const QUERY_PARAMETERS_MAX: usize = 128;

/// What the store and this door need to know.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Holds `records.sqlite`, `blobs/` and `uploads/`.
    pub data_dir: PathBuf,
    /// The name that policy patterns begin with: `registry.example`.
    pub name: String,
    /// Largest blob accepted, in bytes.
    pub blob_bytes_max: u64,
    /// Layers walked at the same moment.
    pub scan_threads: usize,
}

/// Largest blob accepted unless configured, in bytes: ten times the largest images in common use.
pub const BLOB_BYTES_MAX_DEFAULT: u64 = 20 * 1024 * 1024 * 1024;

/// What this door is handed by the rest of the process.
#[derive(Debug)]
pub struct Surroundings {
    /// Who may do what.
    pub access: Arc<Access>,
    /// The policy in force.
    pub policy: PolicyHandle,
    /// The advisories in force.
    pub advisories: Arc<AdvisoryStore>,
    /// The YARA rules in force.
    pub rules: Arc<RuleStore>,
    /// The time.
    pub clock: Clock,
    /// Where work is counted.
    pub metrics: Arc<Metrics>,
    /// What receipts are made with; `None`: no receipts are given.
    pub receipts: Option<ReceiptConfig>,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of blobs.
    #[error("cannot open the blob store")]
    Blobs(#[from] BlobError),
    /// The data folder.
    #[error("cannot create the data folder `{path}`")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database.
    #[error("cannot open the records")]
    Records(#[from] RecordError),
}

/// The store with its door: one for the process.
#[derive(Debug)]
pub struct Registry {
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) records: Arc<Records>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) sessions: Sessions,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rules: Arc<RuleStore>,
    judge: Arc<Judge>,
    warm: Arc<Warm>,
    access: Arc<Access>,
}

impl Registry {
    /// Opens the store, creating what is missing.
    ///
    /// # Errors
    /// When the disk or the database refuses.
    pub fn open(config: RegistryConfig, around: Surroundings) -> Result<Self, OpenError> {
        let Surroundings { access, policy, advisories, rules, clock, metrics, receipts } = around;
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|source| OpenError::Folder { path: config.data_dir.clone(), source })?;
        let blobs = Arc::new(Blobs::open(&config.data_dir)?);
        let warm = Arc::new(Warm::default());
        let forget = Arc::clone(&warm);
        let after_commit = Box::new(move |repository: &str| forget.forget(repository));
        let records = Arc::new(Records::open(&config.data_dir, after_commit)?);
        let ingest = Ingest::new(
            Arc::clone(&blobs),
            Arc::clone(&records),
            config.scan_threads,
            config.blob_bytes_max,
            clock.clone(),
            Arc::clone(&metrics),
        );
        let ingest = Arc::new(ingest.with_rules(Arc::clone(&rules)));
        let issuer = receipts.map(|config| Issuer { config, ingest: Arc::clone(&ingest) });
        let (for_judge, counted) = (clock.clone(), Arc::clone(&metrics));
        let judge = Judge::new(&ingest, policy, advisories, config.name, for_judge, counted);
        let judge = judge.with_rules(Arc::clone(&rules)).with_issuer(issuer);
        let sessions = Sessions::new(Arc::clone(&blobs));
        let judge = Arc::new(judge);
        Ok(Self { blobs, records, ingest, sessions, clock, metrics, rules, judge, warm, access })
    }

    /// Asks the gate about what is stored; the admission door uses it too.
    pub fn judge(&self) -> &Arc<Judge> {
        &self.judge
    }

    /// Where work is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The records, for the decision log and the counts that operators see.
    pub fn records(&self) -> &Arc<Records> {
        &self.records
    }

    /// Starts what this door does on its own: asks again about what is staged and what is released (at once, and when the
    /// advisories change), collects garbage, counts the store. Stops when the returned set is dropped.
    pub fn start_background(
        self: &Arc<Self>,
        advisories: &AdvisoryStore,
        gc: GcConfig,
    ) -> tokio::task::JoinSet<()> {
        let mut tasks = tokio::task::JoinSet::new();
        let (judge, mut changed) = (Arc::clone(&self.judge), advisories.subscribe());
        tasks.spawn(async move {
            loop {
                judge.sweep().await;
                if changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        });
        tasks.spawn(Arc::clone(&self.judge).rejudge_forever(advisories.subscribe()));
        tasks.spawn(crate::gc::run_forever(Arc::clone(self), gc));
        tasks.spawn(Arc::clone(&self.judge).renew_forever());
        self.count_store();
        tasks
    }

    /// Brings the store's gauges up to date.
    pub(crate) fn count_store(&self) {
        if let Ok((count, bytes)) = self.records.read(crate::records::blobs::totals) {
            self.metrics.store_blobs.set(i64::try_from(count).unwrap_or(i64::MAX));
            self.metrics.store_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Refuses a caller without the right, in the way that lets it get the right if it can.
    fn authorize(
        &self,
        caller: &Caller,
        action: Action,
        repository: &str,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        if caller.may(action, repository) {
            return Ok(());
        }
        let message = format!("`{}` may not {} in `{repository}`", caller.name(), action.name());
        Err(match caller.refusal(action, repository) {
            Refusal::Forbidden => ApiError::new(Code::Denied, message),
            Refusal::Unauthorized => {
                self.unauthorized(message, headers, Wanted::Repository(repository, action))
            }
        })
    }

    fn unauthorized(&self, message: impl Into<String>, headers: &HeaderMap, wanted: Wanted<'_>) -> ApiError {
        let challenge = self.access.challenge(headers, wanted);
        ApiError::new(Code::Unauthorized, message).with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// Clients send what they have only when they are asked: a producer's client would give up on a 403 that it got
    /// without credentials (oras does). After the challenge even an anonymous token gets the 403 with its reasons.
    fn ask_to_log_in(&self, caller: &Caller, parts: &Parts, error: ApiError) -> ApiError {
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if !reads || caller.gave_credentials() || !error.is_denied() {
            return error;
        }
        let target = parts.uri.path().strip_prefix("/v2/").and_then(|path| path::parse(path).ok());
        let wanted = match &target {
            Some(
                Target::Blob(name, _)
                | Target::Manifest(name, _)
                | Target::Referrers(name, _)
                | Target::Tags(name)
                | Target::Trust(name, _),
            ) => Wanted::Repository(name, Action::Pull),
            _ => Wanted::Anything,
        };
        error.into_challenge(self.access.challenge(&parts.headers, wanted))
    }

    async fn answer(
        self: &Arc<Self>,
        caller: &Caller,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, ApiError> {
        let path = parts.uri.path();
        let path = path.strip_prefix("/v2/").or_else(|| (path == "/v2").then_some("")).unwrap_or("/");
        let target = path::parse(path)?;
        let method = &parts.method;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let request = Asked { registry: self, caller, parts };
        match (&target, method) {
            (Target::Base, _) if reads => self.ping(caller, parts),
            (Target::Blob(name, digest), _) if reads => blobs::read(&request, name, digest).await,
            (Target::Blob(name, digest), &Method::DELETE) => blobs::delete(&request, name, digest).await,
            (Target::Catalog, _) if reads => tags::catalog(&request),
            (Target::Manifest(name, reference), _) if reads => {
                manifests::read(&request, name, reference).await
            }
            (Target::Manifest(name, reference), &Method::PUT) => {
                manifests::put(&request, name, reference, body).await
            }
            (Target::Manifest(name, reference), &Method::DELETE) => {
                manifests::delete(&request, name, reference).await
            }
            (Target::Referrers(name, digest), _) if reads => referrers::list(&request, name, digest).await,
            (Target::Tags(name), _) if reads => tags::list(&request, name),
            (Target::Trust(gun, file), _) if reads => trust::read(&request, gun, file).await,
            (Target::Upload(name, id), _) if reads => uploads::status(&request, name, id),
            (Target::Upload(name, id), &Method::PATCH) => uploads::patch(&request, name, id, body).await,
            (Target::Upload(name, id), &Method::PUT) => uploads::put(&request, name, id, body).await,
            (Target::Upload(name, id), &Method::DELETE) => uploads::cancel(&request, name, id).await,
            (Target::Withdrawal(name, digest), _) if reads => withdrawals::show(&request, name, digest),
            (Target::Withdrawal(name, digest), &Method::PUT) => {
                withdrawals::put(&request, name, digest, body).await
            }
            (Target::Withdrawal(name, digest), &Method::DELETE) => {
                withdrawals::delete(&request, name, digest).await
            }
            (Target::Uploads(name), &Method::POST) => uploads::post(&request, name, body).await,
            _ => Err(ApiError::new(Code::Unsupported, format!("{method} is not supported here"))),
        }
    }

    /// `GET /v2/`. Without credentials the answer is 401, because clients learn only here how to log in. Where anybody may
    /// push anything there is nobody to log in; `_` is no repository's name, so only the widest pattern matches it.
    fn ping(&self, caller: &Caller, parts: &Parts) -> Result<Response, ApiError> {
        if !caller.gave_credentials() && !caller.may(Action::Push, "_") {
            return Err(self.unauthorized("authentication required", &parts.headers, Wanted::Anything));
        }
        let mut response = Response::new(Body::from("{}"));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// One request, as the handlers see it.
struct Asked<'a> {
    registry: &'a Arc<Registry>,
    caller: &'a Caller,
    parts: &'a Parts,
}

impl Asked<'_> {
    fn authorize(&self, action: Action, repository: &str) -> Result<(), ApiError> {
        self.registry.authorize(self.caller, action, repository, &self.parts.headers)
    }

    fn view(&self, repository: &str) -> View {
        if self.caller.is_producer(repository) { View::Producer } else { View::Consumer }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The query's parameters in order.
    fn query(&self) -> Result<Vec<(String, String)>, ApiError> {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&self.parts.uri);
        let parameters = query.map_err(|_| ApiError::new(Code::Unsupported, "the query cannot be read"))?.0;
        if parameters.len() > QUERY_PARAMETERS_MAX {
            let message = format!("more than {QUERY_PARAMETERS_MAX} query parameters");
            return Err(ApiError::new(Code::Unsupported, message).with_status(StatusCode::BAD_REQUEST));
        }
        Ok(parameters)
    }
}

fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A client that holds the content already is told so.
fn is_unchanged(parts: &Parts, digest: &str) -> bool {
    let wanted = parts.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    wanted.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_matches('"') == digest))
}

impl From<PathError> for ApiError {
    fn from(error: PathError) -> Self {
        let code = match error {
            PathError::Digest(_) => Code::DigestInvalid,
            PathError::Name(_) => Code::NameInvalid,
            PathError::Tag(_) => Code::TagInvalid,
            PathError::Unknown => {
                return Self::new(Code::Unsupported, error.to_string()).with_status(StatusCode::NOT_FOUND);
            }
        };
        Self::new(code, error.to_string())
    }
}

/// The routes of this door. Callers are found out by [`crate::access::door::identify`], which must be layered around it;
/// without it nothing is answered.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/v2", any(serve))
        .route("/v2/", any(serve))
        .route("/v2/{*path}", any(serve))
        .with_state(registry)
}

async fn serve(State(registry): State<Arc<Registry>>, request_id: RequestId, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match parts.extensions.get::<Caller>() {
        Some(caller) => match registry.answer(caller, &parts, body).await {
            Ok(response) => response,
            Err(error) => registry.ask_to_log_in(caller, &parts, error).into_response(&request_id),
        },
        None => ApiError::new(Code::Internal, "no caller").into_response(&request_id),
    };
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

#[cfg(test)]
mod tests;
