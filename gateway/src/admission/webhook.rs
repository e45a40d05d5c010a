//! The admission endpoints of a process that has no store: every answer is from receipts.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use super::door::{read_question, read_review};
use super::receipts::ReceiptDoor;
use super::{Answer, Asked};

/// The routes. Whoever reaches them may ask: what they tell is in the registry for whoever may pull there.
pub fn router(door: Arc<ReceiptDoor>) -> Router {
    Router::new()
        .route("/admission/kubernetes", post(review))
        .route("/admission/image", post(image))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(door)
}

async fn review(State(door): State<Arc<ReceiptDoor>>, request: Request) -> Response {
    let review = match read_review(request).await {
        Ok(review) => review,
        Err(refusal) => return *refusal,
    };
    // All at once: a pod may have many containers, and the API server waits ten seconds for all of them.
    let answers =
        futures_util::future::join_all(review.asked().iter().map(|asked| answer(&door, asked))).await;
    Json::<Value>(review.reply(&answers)).into_response()
}

async fn image(State(door): State<Arc<ReceiptDoor>>, request: Request) -> Response {
    match read_question(request).await {
        Ok(asked) => Json(answer(&door, &asked).await).into_response(),
        Err(refusal) => *refusal,
    }
}

async fn answer(door: &ReceiptDoor, asked: &Asked) -> Answer {
    let answer = door.answer(asked).await;
    tracing::info!(image.reference = %asked.image, verdict = answer.word(), "admission by receipt");
    answer
}
