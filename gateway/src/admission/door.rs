//! The admission endpoints: `POST /admission/kubernetes` for API servers, `POST /admission/image` for engines' plug-ins.
//!
//! Both ask the judge about images of our own store. Who asks must be allowed to pull the image, so that this door tells
//! nobody about repositories that the registry would hide.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as FromState};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;

use super::kubernetes::{self, Review};
use super::{Answer, Asked, ImageQuestion, denied, refuse_foreign};
use crate::access::{Action, Caller};
use crate::gate::evidence::State;
use crate::gate::verdict::{Denial, Reason};
use crate::judge::Asker;
use crate::manifest::json;
use crate::records::RecordError;
use crate::records::manifests::{self, ManifestRow};
use crate::registry::Registry;

/// Largest question of a plug-in, in bytes: a reference and a list of host paths.
const QUESTION_BYTES_MAX: usize = 256 * 1024;
/// How long one request may take. The API server's own limit is ten seconds unless configured; an answer that comes too
/// late says nothing about why.
const DEADLINE: Duration = Duration::from_secs(8);

struct Door {
    registry: Arc<Registry>,
    names: Vec<String>,
}

/// The routes. `names` are the registry names, host and port, under which engines reach this gateway. A [`Caller`] must
/// be in the request's extensions.
pub fn router(registry: Arc<Registry>, names: &[String]) -> Router {
    let door = Door { registry, names: names.iter().map(|name| name.to_ascii_lowercase()).collect() };
    Router::new()
        .route("/admission/kubernetes", post(review))
        .route("/admission/image", post(image))
        .with_state(Arc::new(door))
}

async fn review(FromState(door): FromState<Arc<Door>>, caller: Caller, request: Request) -> Response {
    match read_review(request).await {
        Ok(review) => {
            let answers = door.answers("kubernetes", &caller, review.asked()).await;
            Json::<Value>(review.reply(&answers)).into_response()
        }
        Err(refusal) => *refusal,
    }
}

async fn image(FromState(door): FromState<Arc<Door>>, caller: Caller, request: Request) -> Response {
    let asked = match read_question(request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let answer = door.answers("docker", &caller, std::slice::from_ref(&asked)).await.pop();
    Json(answer.unwrap_or_else(|| Answer::undecided("no answer"))).into_response()
}

/// The review of an API server; else the response that denies it.
pub(super) async fn read_review(request: Request) -> Result<Review, Box<Response>> {
    let body = body(request.into_body(), kubernetes::BODY_BYTES_MAX).await?;
    Review::read(&body).map_err(|error| {
        tracing::warn!("admission review denied unread: {error}");
        Box::new((StatusCode::BAD_REQUEST, Json(kubernetes::reply_to_broken(&error))).into_response())
    })
}

/// The question of a plug-in; else the response that answers it with no.
pub(super) async fn read_question(request: Request) -> Result<Asked, Box<Response>> {
    let body = body(request.into_body(), QUESTION_BYTES_MAX).await?;
    let question = match json::parse_object(&body) {
        Ok(object) => serde_json::from_value::<ImageQuestion>(Value::Object(object)),
        Err(error) => return Err(problem(error.to_string())),
    };
    let asked = question
        .map_err(|error| error.to_string())
        .and_then(|question| question.asked().map_err(|error| error.to_string()));
    asked.map_err(problem)
}

fn problem(problem: String) -> Box<Response> {
    Box::new((StatusCode::BAD_REQUEST, Json(Answer::undecided(problem))).into_response())
}

async fn body(body: Body, bytes_max: usize) -> Result<Bytes, Box<Response>> {
    to_bytes(body, bytes_max).await.map_err(|_| {
        let problem = format!("the request's body broke off, or is over the limit of {bytes_max} bytes");
        Box::new((StatusCode::PAYLOAD_TOO_LARGE, Json(Answer::undecided(problem))).into_response())
    })
}

impl Door {
    /// One answer for each image, in their order. What is not answered in time is undecided.
    async fn answers(&self, door: &str, caller: &Caller, asked: &[Asked]) -> Vec<Answer> {
        let mut answers: Vec<Answer> = Vec::with_capacity(asked.len());
        let all = async {
            for asked in asked {
                let answer = self.answer(Asker { caller: caller.name(), door }, caller, asked).await;
                tracing::info!(image.reference = %asked.image, caller = caller.name(), verdict = answer.word(), "admission");
                answers.push(answer);
            }
        };
        if tokio::time::timeout(DEADLINE, all).await.is_err() {
            tracing::warn!("admission took longer than {DEADLINE:?}");
        }
        answers.resize_with(asked.len(), || Answer::undecided(format!("no answer within {DEADLINE:?}")));
        answers
    }

    async fn answer(&self, asker: Asker<'_>, caller: &Caller, asked: &Asked) -> Answer {
        let image = &asked.image;
        if let Some(denial) = refuse_foreign(image, &self.names) {
            return Answer::Denied(denial);
        }
        let repository = image.repository();
        if !caller.may(Action::Pull, repository) {
            let message =
                format!("`{}` may not pull from `{repository}`, so nothing is told about it", caller.name());
            let next_step = "give the webhook or plug-in the credentials of an account that may pull there";
            return denied(asked, vec![Reason::new("registry", "admission", message, next_step)]);
        }
        let found = match self.find(asked) {
            Ok(found) => found,
            Err(error) => return self.undecided(&error),
        };
        let row = match found {
            Found::Row(row) => row,
            Found::Refused(denial) => return Answer::Denied(*denial),
            Found::Nothing => {
                let message = format!("`{image}` is not in this registry");
                let next_step = "push and sign it, or check the name and digest";
                return denied(asked, vec![Reason::new("state", "admission", message, next_step)]);
            }
        };
        // A digest beside a tag wins, and then the tag says nothing.
        let tag = if image.digest().is_some() { None } else { Some(image.target()) };
        match self.registry.judge().admit(asker, repository, tag, &row, asked.runtime.clone()).await {
            Ok(verdict) => Answer::from(verdict),
            Err(error) => self.undecided(&error),
        }
    }

    fn find(&self, asked: &Asked) -> Result<Found, RecordError> {
        let (repository, target) = (asked.image.repository(), asked.image.target());
        self.registry.records().read(|connection| {
            let digest = match asked.image.digest() {
                Some(digest) => Some(digest.to_string()),
                // A tag means what consumers get by it, never what is staged under it.
                None => manifests::tag(connection, repository, target)?
                    .and_then(|tag| tag.released.or(tag.staged)),
            };
            if let Some(digest) = digest
                && let Some(row) = manifests::find(connection, repository, &digest)?
            {
                // What keeps it from being released says more than that it is not.
                let waiting = row.waiting.as_deref().filter(|_| row.state == State::Staged);
                let denial = waiting.and_then(|text| serde_json::from_str(text).ok());
                return Ok(denial.map_or_else(|| Found::Row(Box::new(row)), Found::Refused));
            }
            let refusal = manifests::refusal(connection, repository, target)?;
            let denial = refusal.and_then(|(_, denial)| serde_json::from_str(&denial).ok());
            Ok(denial.map_or(Found::Nothing, Found::Refused))
        })
    }

    /// The caller learns that nobody could decide; why is in the log.
    fn undecided(&self, error: &(dyn std::error::Error + 'static)) -> Answer {
        let chain: Vec<String> =
            std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
        tracing::error!("admission could not be decided: {}", chain.join(": "));
        self.registry.metrics().error("admission");
        Answer::undecided("the gateway has an internal error; its log says which")
    }
}

enum Found {
    Nothing,
    Refused(Box<Denial>),
    Row(Box<ManifestRow>),
}
