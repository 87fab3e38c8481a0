//! The test server's questions and answers: `ask`, `count`, `slow` and `fail`; `ask.…` is unknown.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use rejoin_server::router::{BoxError, Decoded, Router, Streamed};
use rejoin_server::{AskError, Cancelled, Connection, ErrorAnswer, Frame, Payload, PayloadError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whether [`router`] handles this event.
pub(super) fn handles(event: &str) -> bool {
    matches!(event, "ask" | "count" | "slow" | "fail") || event.starts_with("ask.")
}

/// Answers questions. Errors are the peer's affair, which gets them as answers.
pub(super) fn router() -> Router {
    Router::builder()
        .on("ask", ask)
        .on("count", count)
        .on("slow", slow)
        .on("fail", fail)
        .on_error(|_, _| async {})
        .build()
        .expect("each event has one handler")
}

#[derive(Debug, Deserialize)]
struct AskRequest {
    event: String,
    payload: Option<Value>,
    timeout_ms: Option<u64>,
}

/// Asks the client this question, and answers with the answer.
async fn ask(connection: Connection, Decoded(request): Decoded<AskRequest>) -> Result<Frame, BoxError> {
    let mut question = Frame::event_only(request.event);
    if let Some(payload) = request.payload {
        question = question.with_payload(Payload::json(&payload)?);
    }
    let mut answer = connection.ask(&question);
    if let Some(millis) = request.timeout_ms {
        answer = answer.timeout(Duration::from_millis(millis));
    }
    match answer.await {
        Ok(answer) => Ok(copy_of(&answer)),
        Err(AskError::Answer(error)) => Ok(error.frame().map_or_else(|| error.to_frame(), copy_of)),
        Err(AskError::Timeout) => {
            Err(ErrorAnswer::new("timeout", "the client did not answer in time").into())
        }
        Err(error) => Err(ErrorAnswer::new("not_asked", error.to_string()).into()),
    }
}

/// A frame with the event and the payload of an answer.
fn copy_of(answer: &Frame) -> Frame {
    let copy = Frame::event_only(answer.event());
    match answer.payload() {
        Some(payload) => copy.with_payload(payload.clone()),
        None => copy,
    }
}

#[derive(Debug, Deserialize)]
struct CountRequest {
    n: u64,
    #[serde(default)]
    every_us: u64,
}

#[derive(Debug, Serialize)]
struct Item {
    i: u64,
}

type Items = Streamed<std::pin::Pin<Box<dyn Stream<Item = Result<Frame, PayloadError>> + Send>>>;

/// Answers `n` times.
async fn count(Decoded(CountRequest { n, every_us }): Decoded<CountRequest>) -> Result<Items, ErrorAnswer> {
    if n == 0 {
        return Err(ErrorAnswer::new("bad_request", "n must be at least 1"));
    }
    let items = stream::iter(1..=n).then(move |i| async move {
        if i > 1 && every_us > 0 {
            tokio::time::sleep(Duration::from_micros(every_us)).await;
        }
        Frame::new("item", &Item { i })
    });
    Ok(Streamed(items.boxed()))
}

#[derive(Debug, Deserialize)]
struct SlowRequest {
    ms: u64,
}

/// Answers after this time, unless the question is cancelled.
async fn slow(cancelled: Cancelled, Decoded(SlowRequest { ms }): Decoded<SlowRequest>) -> Option<Frame> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(ms)) => Some(Frame::event_only("ok")),
        () = cancelled.wait() => None,
    }
}

#[derive(Debug, Deserialize)]
struct FailRequest {
    code: String,
    message: String,
}

/// Answers with this error.
async fn fail(Decoded(FailRequest { code, message }): Decoded<FailRequest>) -> Result<(), ErrorAnswer> {
    Err(ErrorAnswer::new(code, message))
}
