//! The test server's message handler.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rejoin_server::router::Router;
use rejoin_server::{CloseFrame, Connection, Frame, SendError};
use serde::{Deserialize, Serialize};

use super::{memberships, questions};

/// What the handler uses.
pub(super) struct App {
    pub(super) sinks: Arc<Sinks>,
    pub(super) router: Router,
}

/// Echoes, publishes, streams, counts, changes memberships, or answers a question.
///
/// The rare ones are boxed: each message allocates the future of its handler, and that of an echo should be as small as one that
/// only echoes.
pub(super) async fn handle(app: Arc<App>, connection: Connection, frame: Frame) {
    match frame.event() {
        event if memberships::handles(event) => Box::pin(memberships::handle(&connection, &frame)).await,
        event if questions::handles(event) => Box::pin(app.router.handle(&connection, frame)).await,
        "pub" => drop(connection.broadcast(&frame)),
        "stream" => match frame.decode::<StreamRequest>() {
            // In a separate task, so that a stream does not delay later messages.
            Ok(request) => drop(tokio::spawn(stream(connection, request))),
            Err(error) => refuse(&connection, format!("stream: {error}")),
        },
        "sink" => match frame.decode::<SinkItem>() {
            Ok(item) => app.sinks.count(&connection, item.i),
            Err(error) => refuse(&connection, format!("sink: {error}")),
        },
        // The echo waits for space. If none becomes free, the requesting peer has not read for the write timeout.
        _ => drop(connection.send_wait(&frame).await),
    }
}

/// Closes with 1008 and this text. The text quotes the peer, so it is truncated if it is too long.
fn refuse(connection: &Connection, why: String) {
    let CloseFrame { code, reason, .. } = CloseFrame::truncated(1008, why);
    connection.close_with(code, reason).expect("it was truncated");
}

#[derive(Debug, Deserialize)]
struct StreamRequest {
    n: u64,
    #[serde(default)]
    every_us: u64,
    #[serde(default)]
    size: usize,
}

#[derive(Debug, Serialize)]
struct Item<'a> {
    i: u64,
    pad: &'a str,
}

/// Sends `n` frames, and waits whenever the buffer is full, until the session ends.
async fn stream(connection: Connection, request: StreamRequest) {
    let pad = "x".repeat(request.size);
    for i in 1..=request.n {
        let Ok(frame) = Frame::new("item", &Item { i, pad: &pad }) else { return };
        while let Err(error) = connection.send_wait(&frame).await {
            if error != SendError::Timeout {
                return;
            }
        }
        if request.every_us > 0 {
            tokio::time::sleep(Duration::from_micros(request.every_us)).await;
        }
    }
}

#[derive(Debug, Deserialize)]
struct SinkItem {
    i: u64,
}

/// The counts of `sink` messages for each connection ID. They outlive sessions and servers.
#[derive(Debug, Default)]
pub(super) struct Sinks(Mutex<HashMap<Box<str>, Sink>>);

/// The `sink` messages of one connection ID.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Sink {
    received: u64,
    /// The number of payloads that were not the previous one plus 1.
    errors: u64,
    #[serde(skip)]
    last: u64,
}

/// The counts in a session's state.
pub(super) fn stored_sink(connection: &Connection) -> Option<Sink> {
    let state = connection.state()?;
    let number = |index: usize| {
        let bytes = state.get(8 * index..8 * index + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    };
    Some(Sink { received: number(0)?, errors: number(1)?, last: number(2)? })
}

impl Sinks {
    /// Counts in the session's state, which a store commits with the number of the frame, and here for when it has ended.
    fn count(&self, connection: &Connection, i: u64) {
        let mut sink = stored_sink(connection).or_else(|| self.of(connection.id())).unwrap_or_default();
        sink.received += 1;
        sink.errors += u64::from(i != sink.last.wrapping_add(1));
        sink.last = i;
        connection.set_state([sink.received, sink.errors, sink.last].map(u64::to_be_bytes).concat());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connection.id().into(), sink);
    }

    pub(super) fn of(&self, id: &str) -> Option<Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }
}
