//! Closing: accepted frames are delivered, within the time; then every task has ended.

use rejoin_client::{
    CloseReason, Codec, DecodeError, EncodeError, Event, Frame, InvalidClose, JsonCodec, Message, SendError,
};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::{client, connected, disconnected, expect_disconnected, number, secs};

#[tokio::test(start_paused = true)]
async fn close_delivers_accepted_frames_then_sends_1000() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for n in 1..=200 {
        connection.send(&number(n)).unwrap();
    }
    let (closed, ()) = tokio::join!(connection.close(), async {
        assert_eq!(socket.hear_numbers(200).await, (1..=200).collect::<Vec<_>>());
        socket.say("$ack", json!(200)).await;
        assert_eq!(socket.close_code().await, Some(1000));
    });
    assert_eq!(closed.unacknowledged, 0);
    assert!(matches!(closed.reason, CloseReason::Local));
    assert!(connection.recv().await.is_none(), "no event follows");
    assert_eq!(connection.send(&number(1)), Err(SendError::Closed));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn close_with_sends_code_and_reason() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder, &mut listener).await;
    let longest = "x".repeat(123);
    let (closed, close) = tokio::join!(connection.close_with(4321, longest.clone()), socket.close_frame());
    assert_eq!(close, Some((4321, longest)));
    assert!(matches!(closed.unwrap().reason, CloseReason::Local));
}

#[tokio::test(start_paused = true)]
async fn invalid_close_leaves_the_connection_open() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder, &mut listener).await;
    for code in [0, 999, 1005, 1006, 1015, 2000, 5000] {
        assert_eq!(connection.close_with(code, "").await.unwrap_err(), InvalidClose::Code(code));
    }
    let error = connection.sender().close_with(1000, "é".repeat(62)).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid close reason: 124 bytes (expected at most 123)");
    connection.send(&number(1)).unwrap();
    assert_eq!(socket.hear_numbers(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn close_reconnects_to_deliver_accepted_frames() {
    let (builder, mut listener) = client();
    let mut connection = disconnected(builder, &mut listener).await;
    connection.send(&number(1)).unwrap();
    let (closed, ()) = tokio::join!(connection.close(), async {
        let mut socket = listener.resume(0).await;
        assert_eq!(socket.hear_numbers(1).await, [1]);
        socket.say("$ack", json!(1)).await;
        assert_eq!(socket.close_code().await, Some(1000));
    });
    assert_eq!(closed.unacknowledged, 0);
    assert!(connection.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn close_timeout_counts_unacknowledged_frames() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder.close_timeout(secs(3)), &mut listener).await;
    for n in 1..=3 {
        connection.send(&number(n)).unwrap();
    }
    socket.hear_numbers(3).await;
    socket.say("$ack", json!(1)).await;
    drop((socket, listener));
    expect_disconnected(&mut connection).await;
    let start = Instant::now();
    let closed = connection.close().await;
    assert_eq!(start.elapsed().as_secs(), 3);
    assert!(matches!(closed.reason, CloseReason::Local));
    assert!(closed.unacknowledged >= 2, "{closed:?}");
    assert_eq!(connection.take_unacknowledged().len() as u64, closed.unacknowledged);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_shortens_the_wait_to_reconnect() {
    let (builder, mut listener) = client();
    let connection = disconnected(builder.reconnect(secs(60), secs(60)), &mut listener).await;
    connection.send(&number(1)).unwrap();
    let (closed, ()) = tokio::join!(connection.close(), async {
        let mut socket = listener.resume(0).await;
        assert_eq!(socket.hear_numbers(1).await, [1]);
        socket.say("$ack", json!(1)).await;
        socket.close_code().await;
    });
    assert_eq!(closed.unacknowledged, 0);
}

#[tokio::test(start_paused = true)]
async fn close_respects_the_delay_of_the_server() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    socket.close(1012, "retry in 60000 ms").await;
    expect_disconnected(&mut connection).await;
    connection.send(&number(1)).unwrap();
    assert_eq!(connection.close().await.unacknowledged, 1);
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn close_without_frames_ends_a_reconnect_at_once() {
    let (builder, mut listener) = client();
    let connection = disconnected(builder, &mut listener).await;
    let start = Instant::now();
    let closed = connection.close().await;
    assert!(start.elapsed() < secs(1));
    assert_eq!(closed.unacknowledged, 0);
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn close_ends_a_dial_in_progress() {
    let (builder, mut listener) = client();
    let connection = disconnected(builder, &mut listener).await;
    let _unanswered = listener.request().await;
    let start = Instant::now();
    connection.close().await;
    assert!(start.elapsed() < secs(1));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_that_races_a_drop_reports_no_event() {
    for yields in 0..10 {
        let (builder, mut listener) = client();
        let (mut connection, mut socket) = connected(builder, &mut listener).await;
        socket.say("n", json!(1)).await;
        drop(socket);
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        let closed = connection.close().await;
        assert!(matches!(closed.reason, CloseReason::Local));
        assert!(connection.recv().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn close_suppresses_an_earlier_end() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    socket.say("n", json!(1)).await;
    socket.close(1000, "kicked").await;
    assert!(matches!(connection.closed().await.reason, CloseReason::Remote(_)));
    assert!(matches!(connection.close().await.reason, CloseReason::Remote(_)), "but what happened is told");
    assert!(connection.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn panicking_codec_ends_the_connection() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder.codec(Panics), &mut listener).await;
    socket.text("panic").await;
    let event = connection.recv().await;
    let Some(Event::Closed(closed)) = event else { panic!("{event:?}") };
    assert!(matches!(closed.reason, CloseReason::Panicked));
    assert_eq!(connection.send(&number(1)), Err(SendError::Closed));
    connection.closed().await;
}

/// JSON, but for one text.
struct Panics;

impl Codec for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        assert_ne!(message.data, "panic");
        JsonCodec.decode(message)
    }
}

#[tokio::test(start_paused = true)]
async fn unanswered_close_ends_at_the_close_timeout() {
    let (builder, mut listener) = client();
    let (connection, _silent) = connected(builder, &mut listener).await;
    let start = Instant::now();
    connection.close().await;
    let waited = start.elapsed().as_secs();
    assert!((5..=6).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn second_close_returns_the_same_result() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder, &mut listener).await;
    let (first, second, _) = tokio::join!(connection.close(), connection.close(), socket.close_code());
    assert_eq!(first.unacknowledged, second.unacknowledged);
    assert!(matches!(connection.close().await.reason, CloseReason::Local));
}

#[tokio::test(start_paused = true)]
async fn abort_sends_nothing_and_leaves_no_task() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    connection.send(&number(1)).unwrap();
    connection.abort();
    let start = Instant::now();
    let closed = connection.closed().await;
    assert_eq!(start.elapsed().as_secs(), 0);
    assert!(matches!(closed.reason, CloseReason::Local));
    assert!(connection.recv().await.is_none());
    assert_eq!(socket.close_code().await, None);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_connection_ends_it() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = connected(builder, &mut listener).await;
    let sender = connection.sender();
    drop(connection);
    assert_eq!(sender.send(&number(1)), Err(SendError::Closed));
    sender.closed().await;
    assert_eq!(socket.close_code().await, None);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}
