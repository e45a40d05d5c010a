//! The admission door over HTTP: `POST /admission/kubernetes` and `POST /admission/image`.
//!
//! No credentials are asked for: an API server seldom has any, and the answer is a verdict, never content. The address
//! belongs on a network that only API servers and engines reach.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;

use super::kubernetes::{self, Review};
use super::{Answer, Asked, ImageQuestion, refuse_foreign};
use crate::gate::Checkpoint;
use crate::gate::evidence::Runtime;
use crate::gate::verdict::{Denial, Reason};
use crate::records::RecordError;
use crate::records::manifests::{self, ManifestRow};
use crate::reference::ImageReference;
use crate::registry::Registry;

/// Longest question about one image, in bytes: a reference and a list of host paths.
const QUESTION_BYTES_MAX: usize = 256 * 1024;
/// Images of one review that are judged; a pod with more is refused.
const IMAGES_MAX: usize = 512;

#[derive(Clone)]
struct Door {
    registry: Arc<Registry>,
    /// Names under which engines reach this gateway, host and port.
    names: Arc<[String]>,
}

/// The routes. `names`: see [`refuse_foreign`].
pub fn router(registry: Arc<Registry>, names: Vec<String>) -> Router {
    Router::new()
        .route("/admission/kubernetes", post(review))
        .route("/admission/image", post(image))
        .with_state(Door { registry, names: names.into() })
}

async fn review(State(door): State<Door>, body: Body) -> Response {
    // One byte more than allowed is read, so that the reader itself says what is wrong with a body that is too long.
    let Ok(body) = to_bytes(body, kubernetes::BODY_BYTES_MAX + 1).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let review = match Review::read(&body) {
        Ok(review) => review,
        Err(error) => return axum::Json(kubernetes::reply_to_broken(&error)).into_response(),
    };
    // An image beyond the limit gets no answer, and a missing answer counts as no.
    let mut answers = Vec::new();
    for asked in review.asked().iter().take(IMAGES_MAX) {
        answers.push(door.judge(asked).await);
    }
    axum::Json(review.reply(&answers)).into_response()
}

async fn image(State(door): State<Door>, body: Body) -> Response {
    let Ok(body) = to_bytes(body, QUESTION_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let question: ImageQuestion = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => {
            let answer = Answer::undecided(format!("the question cannot be read: {error}"));
            return (StatusCode::BAD_REQUEST, axum::Json(answer)).into_response();
        }
    };
    let answer = match question.asked() {
        Ok(asked) => door.judge(&asked).await,
        Err(error) => Answer::undecided(error.to_string()),
    };
    axum::Json(answer).into_response()
}

impl Door {
    async fn judge(&self, asked: &Asked) -> Answer {
        let image = &asked.image;
        if let Some(denial) = refuse_foreign(image, &self.names) {
            return Answer::Denied(denial);
        }
        match self.registry.records().read(|connection| find(connection, image)) {
            Ok(Some(row)) => self.ask(image, &row, asked.runtime.clone()).await,
            Ok(None) => Answer::Denied(unknown(image)),
            Err(error) => self.undecided(image, &error),
        }
    }

    async fn ask(&self, image: &ImageReference, row: &ManifestRow, runtime: Runtime) -> Answer {
        let judge = self.registry.judge();
        let (repository, tag) = (image.repository(), image.tag());
        match judge.ask(Checkpoint::Admit, repository, tag, row, runtime).await {
            Ok(verdict) => Answer::from(verdict),
            Err(error) => self.undecided(image, &error),
        }
    }

    fn undecided(&self, image: &ImageReference, error: &(dyn std::error::Error + 'static)) -> Answer {
        tracing::error!(image = %image, error, "an admission could not be decided");
        self.registry.metrics().error("admission");
        Answer::undecided("the gateway failed; its log says why")
    }
}

/// By digest where one is given, whatever the tag says; else what consumers get by the tag, or what waits under it.
fn find(
    connection: &rusqlite::Connection,
    image: &ImageReference,
) -> Result<Option<ManifestRow>, RecordError> {
    let repository = image.repository();
    if let Some(digest) = image.digest() {
        return manifests::find(connection, repository, digest.as_str());
    }
    let tag = manifests::tag(connection, repository, image.tag().unwrap_or("latest"))?;
    match tag.and_then(|tag| tag.released.or(tag.staged)) {
        Some(digest) => manifests::find(connection, repository, &digest),
        None => Ok(None),
    }
}

fn unknown(image: &ImageReference) -> Denial {
    let message = format!("`{image}` is not in this gateway: it was refused, or never pushed");
    let reason = Reason::new(
        "state",
        "admission",
        message,
        "push it here, and run it by the digest that was released",
    );
    Denial::new(image.to_string(), Checkpoint::Admit, vec![reason])
}
