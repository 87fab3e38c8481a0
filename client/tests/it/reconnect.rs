//! When the client dials again, how long it waits, and when it gives up.

use std::time::Duration;

use rejoin_client::{CloseReason, Event};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    MAX, OTHER_TOKEN, Socket, TOKEN, client, connected, disconnected, expect_closed, expect_disconnected,
    expect_fresh, expect_quiet, expect_reconnected, expect_refused, number, secs,
};

#[tokio::test(start_paused = true)]
async fn codes_that_end_the_session_end_the_connection() {
    for (code, reason) in [(1000, ""), (1000, "kicked"), (1000, "duplicate connection id"), (1008, "policy")]
    {
        let (builder, mut listener) = client();
        let (mut connection, mut socket) = connected(builder, &mut listener).await;
        socket.close(code, reason).await;
        let CloseReason::Remote(frame) = expect_closed(&mut connection).await else { panic!("{code}") };
        assert_eq!((frame.code, &*frame.reason), (code, reason));
        assert_eq!(socket.close_code().await, Some(code), "it is answered");
        expect_quiet(&connection, &mut listener).await;
    }
}

#[tokio::test(start_paused = true)]
async fn takeover_ends_the_connection() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    socket.close(4000, "taken over").await;
    assert!(matches!(expect_closed(&mut connection).await, CloseReason::TakenOver));
    expect_quiet(&connection, &mut listener).await;
}

#[tokio::test(start_paused = true)]
async fn late_request_may_take_over_once() {
    let (builder, mut listener) = client();
    let mut connection = disconnected(builder, &mut listener).await;
    // The request is read, but not answered within the handshake timeout.
    let _late = listener.request().await;
    let mut socket = listener.resume(0).await;
    expect_reconnected(&mut connection).await;
    // Only now does the server get to the first one, and it leaves the socket open.
    let start = Instant::now();
    socket.close(4000, "taken over").await;
    expect_disconnected(&mut connection).await;
    assert!(start.elapsed().is_zero(), "{:?}", start.elapsed());
    let mut socket = listener.resume(0).await;
    expect_reconnected(&mut connection).await;
    socket.close(4000, "taken over").await;
    assert!(matches!(expect_closed(&mut connection).await, CloseReason::TakenOver));
}

#[tokio::test(start_paused = true)]
async fn late_request_may_take_over_after_further_dials() {
    let (builder, mut listener) = client();
    let mut connection = disconnected(builder, &mut listener).await;
    let _late = listener.request().await;
    listener.request().await.refuse(503, "", "").await;
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Refused(_))), "{event:?}");
    for takeover in [true, false] {
        let mut socket = listener.resume(0).await;
        expect_reconnected(&mut connection).await;
        if takeover {
            socket.close(4000, "taken over").await;
            expect_disconnected(&mut connection).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn draining_server_sets_the_delay() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    let start = Instant::now();
    socket.close(1012, "retry in 4000 ms").await;
    expect_disconnected(&mut connection).await;
    let request = listener.request().await;
    let waited = start.elapsed();
    assert!(waited >= secs(4) && waited <= secs(5) + Duration::from_millis(10), "{waited:?}");
    assert_eq!(request.offers()[1], format!("rejoin.resume.{TOKEN}.0"), "draining keeps the session");
}

#[tokio::test(start_paused = true)]
async fn server_that_drains_before_opening_sets_the_delay() {
    let (builder, mut listener) = client();
    let _connection = disconnected(builder, &mut listener).await;
    let mut socket = listener.request().await.accept().await;
    socket.close(1012, "retry in 40000 ms").await;
    let start = Instant::now();
    listener.request().await;
    let waited = start.elapsed();
    assert!(waited >= secs(40) && waited <= secs(51), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn going_away_leads_to_a_fresh_session() {
    for (code, reason) in [(1001, "server shutting down"), (1011, "")] {
        let (builder, mut listener) = client();
        let (mut connection, mut socket) = connected(builder, &mut listener).await;
        connection.send(&number(1)).unwrap();
        socket.hear_numbers(1).await;
        socket.close(code, reason).await;
        let request = listener.request().await;
        assert_eq!(request.offers(), ["rejoin.v1.json", MAX], "there is nothing to resume");
        let mut socket = request.accept().await;
        socket.open(OTHER_TOKEN, false, 0).await;
        expect_disconnected(&mut connection).await;
        let event = connection.recv().await;
        let Some(Event::SessionLost { reason: None, unacknowledged, .. }) = event else {
            panic!("{event:?}")
        };
        assert_eq!(unacknowledged, [number(1)]);
        expect_fresh(&mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lasting_socket_restarts_growing_delays() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    let mut full = Duration::from_millis(500);
    for round in 0..10 {
        // Opened, and lost at once: no reason to hurry.
        drop(socket);
        let start = Instant::now();
        expect_disconnected(&mut connection).await;
        socket = listener.request().await.accept().await;
        let waited = start.elapsed();
        assert!(full / 2 <= waited && waited <= full + Duration::from_millis(10), "{round}: {waited:?}");
        full = (full * 2).min(secs(30));
        socket.open(TOKEN, true, 0).await;
        expect_reconnected(&mut connection).await;
    }
    tokio::time::sleep(secs(11)).await;
    drop(socket);
    let start = Instant::now();
    expect_disconnected(&mut connection).await;
    listener.request().await;
    assert!(start.elapsed() <= Duration::from_millis(510));
}

#[tokio::test(start_paused = true)]
async fn exhausted_retries_end_the_connection() {
    let (builder, mut listener) = client();
    let (mut connection, socket) = connected(builder.max_retries(3), &mut listener).await;
    drop((socket, listener));
    expect_disconnected(&mut connection).await;
    let reason = expect_closed(&mut connection).await;
    let CloseReason::RetriesExhausted { attempts, last, .. } = reason else { panic!("{reason:?}") };
    assert_eq!(attempts, 3);
    assert!(last.to_string().contains("dial failed"), "{last}");
    assert!(connection.send(&number(1)).is_err());
}

/// What `on_connect` does that panics every time, and a server that is overloaded, restarted or killed again and again.
#[tokio::test(start_paused = true)]
async fn server_that_opens_and_drops_exhausts_the_retries() {
    for (code, opens_fresh) in [(Some(1011), true), (Some(1001), true), (Some(1013), false), (None, true)] {
        let (builder, mut listener) = client();
        let (mut connection, mut socket) = connected(builder.max_retries(6), &mut listener).await;
        let mut full = Duration::from_millis(500);
        for round in 1..=6 {
            drop_socket(socket, code).await;
            let start = Instant::now();
            expect_disconnected(&mut connection).await;
            socket = listener.request().await.accept().await;
            let waited = start.elapsed();
            assert!(full / 2 <= waited && waited <= full + Duration::from_millis(10), "{round}: {waited:?}");
            full *= 2;
            let token = if opens_fresh { format!("{OTHER_TOKEN}{round}") } else { TOKEN.to_owned() };
            socket.open(&token, !opens_fresh, 0).await;
            if opens_fresh {
                let event = connection.recv().await;
                assert!(matches!(event, Some(Event::SessionLost { .. })), "{code:?}, {round}: {event:?}");
                expect_fresh(&mut connection).await;
            } else {
                expect_reconnected(&mut connection).await;
            }
        }
        drop_socket(socket, code).await;
        expect_disconnected(&mut connection).await;
        let reason = expect_closed(&mut connection).await;
        let CloseReason::RetriesExhausted { attempts: 6, last, .. } = reason else {
            panic!("{code:?}: {reason:?}")
        };
        let last = last.to_string();
        assert!(last.starts_with("socket gone soon after the session was opened: "), "{last}");
        assert_eq!(last.contains(&code.unwrap_or_default().to_string()), code.is_some(), "{last}");
        expect_quiet(&connection, &mut listener).await;
    }
}

async fn drop_socket(mut socket: Socket, code: Option<u16>) {
    match code {
        Some(1001) => socket.close(1001, "server shutting down").await,
        Some(code) => socket.close(code, "").await,
        None => {}
    }
}

/// A phone on a train: each resume brings what was missed.
#[tokio::test(start_paused = true)]
async fn network_that_drops_resumed_sockets_exhausts_no_retries() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder.max_retries(2), &mut listener).await;
    for _ in 0..10 {
        drop(socket);
        expect_disconnected(&mut connection).await;
        listener.request().await.refuse(503, "", "").await;
        socket = listener.resume(0).await;
        expect_refused(&mut connection).await;
        expect_reconnected(&mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connection_that_lasted_resets_the_retries() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder.max_retries(1), &mut listener).await;
    for _ in 0..10 {
        tokio::time::sleep(secs(11)).await;
        socket.close(1011, "").await;
        expect_disconnected(&mut connection).await;
        socket = listener.request().await.accept().await;
        socket.open(OTHER_TOKEN, false, 0).await;
        let event = connection.recv().await;
        assert!(matches!(event, Some(Event::SessionLost { .. })), "{event:?}");
        expect_fresh(&mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_reconnect_the_first_drop_ends() {
    let (builder, mut listener) = client();
    let mut connection = disconnected(builder.no_reconnect(), &mut listener).await;
    let reason = expect_closed(&mut connection).await;
    assert!(matches!(reason, CloseReason::ReconnectDisabled(_)), "{reason:?}");
    expect_quiet(&connection, &mut listener).await;
}

#[tokio::test(start_paused = true)]
async fn failed_opening_is_not_a_drop() {
    let (builder, mut listener) = client();
    let mut connection = disconnected(builder, &mut listener).await;
    // Upgraded and lost; upgraded and silent; upgraded and closed.
    drop(listener.request().await.accept().await);
    let silent = listener.request().await.accept().await;
    let mut closed = listener.request().await.accept().await;
    closed.close(1013, "overloaded").await;
    let mut socket = listener.request().await.accept().await;
    drop(silent);
    socket.open(TOKEN, true, 0).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn oversized_message_ends_the_connection() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder.max_message_size(1000), &mut listener).await;
    socket.say("n", json!("x".repeat(2000))).await;
    assert!(matches!(expect_closed(&mut connection).await, CloseReason::TooBig));
    assert_eq!(socket.close_code().await, Some(1009));
    expect_quiet(&connection, &mut listener).await;
}

#[tokio::test(start_paused = true)]
async fn close_names_the_rule_that_was_broken() {
    for (text, code) in [("{", 1007), ("[]", 1008), (r#"{"event":"$ack","payload":9}"#, 1002)] {
        let (builder, mut listener) = client();
        let (mut connection, mut socket) = connected(builder, &mut listener).await;
        socket.text(text).await;
        let reason = expect_closed(&mut connection).await;
        let CloseReason::Protocol(frame) = reason else { panic!("{reason:?}") };
        assert_eq!(frame.code, code);
        assert_eq!(socket.close_code().await, Some(code));
    }
}
