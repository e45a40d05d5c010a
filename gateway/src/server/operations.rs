//! `/healthz`, `/readyz` and `/metrics`: for whoever runs the gateway.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use serde::Serialize;

use crate::telemetry::Metrics;

/// One thing that must work before traffic is sent here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `store`, `policy`, `advisories`.
    pub name: &'static str,
    /// What is wrong; `None`: ready.
    pub problem: Option<String>,
}

/// Answers how ready each part is. Called on a blocking thread: it may touch the disk.
pub type Probe = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

#[derive(Clone)]
struct Operations {
    metrics: Arc<Metrics>,
    probe: Probe,
}

/// The three routes. None of them needs a credential and none tells a repository's name.
pub fn router(metrics: Arc<Metrics>, probe: Probe) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Operations { metrics, probe })
}

/// The process is alive and its event loop turns. Nothing more: a restart does not mend a full disk.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(operations): State<Operations>) -> Response {
    let probe = operations.probe.clone();
    let Ok(checks) = tokio::task::spawn_blocking(move || probe()).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let ready = !checks.is_empty() && checks.iter().all(|check| check.problem.is_none());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(checks)).into_response()
}

async fn metrics_text(State(operations): State<Operations>) -> Response {
    match operations.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(error = %error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
