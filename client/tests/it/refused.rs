//! Refused reconnects: which are retried, when, and what the application sees of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rejoin_client::http::{HeaderMap, header};
use rejoin_client::{ClientBuilder, CloseReason, Connection, Event};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{
    Listener, TOKEN, client, connected, expect_closed, expect_disconnected, expect_quiet, expect_reconnected,
    expect_refused, next_number, number, secs,
};

/// A connection whose first socket was just lost.
async fn dropped(builder: ClientBuilder, listener: &mut Listener) -> Connection {
    let (mut connection, socket) = connected(builder, listener).await;
    drop(socket);
    expect_disconnected(&mut connection).await;
    connection
}

/// Headers that differ from dial to dial.
fn with_fresh_headers(builder: ClientBuilder) -> ClientBuilder {
    let dials = Arc::new(AtomicUsize::new(0));
    builder.dial_headers(move || {
        let token = format!("token {}", dials.fetch_add(1, Ordering::Relaxed));
        async move { Ok(HeaderMap::from_iter([(header::AUTHORIZATION, token.parse().unwrap())])) }
    })
}

#[tokio::test(start_paused = true)]
async fn final_statuses_end_the_connection() {
    for status in [200, 204, 301, 307, 400, 401, 403, 405, 409, 410, 411, 426, 431, 451] {
        let (builder, mut listener) = client();
        let (mut connection, socket) = connected(builder, &mut listener).await;
        connection.send(&number(1)).unwrap();
        drop(socket);
        let body = if status == 204 { "" } else { "not you" };
        listener.request().await.refuse(status, "Location: /login\r\n", body).await;
        expect_disconnected(&mut connection).await;
        let refusal = expect_refused(&mut connection).await;
        assert_eq!((refusal.status, refusal.body.as_str()), (status, body));
        assert_eq!(refusal.location.as_deref(), Some("/login"));
        let reason = expect_closed(&mut connection).await;
        let CloseReason::Refused(last) = &reason else { panic!("{reason:?}") };
        assert_eq!(*last, refusal);
        assert!(reason.to_string().contains(&status.to_string()), "{reason}");
        assert_eq!(connection.closed().await.unacknowledged, 1);
        assert_eq!(connection.take_unacknowledged(), [number(1)]);
        assert_eq!(connection.closed().await.unacknowledged, 1, "it stays as it was reported");
        expect_quiet(&connection, &mut listener).await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_statuses_are_reported_and_retried() {
    let (builder, mut listener) = client();
    let mut connection = dropped(builder, &mut listener).await;
    for status in [404, 408, 421, 425, 429, 500, 502, 503, 504, 599] {
        listener.request().await.refuse(status, "", "later").await;
        let refusal = expect_refused(&mut connection).await;
        assert_eq!((refusal.status, refusal.body.as_str()), (status, "later"));
    }
    let mut socket = listener.resume(0).await;
    socket.say("n", json!(1)).await;
    expect_reconnected(&mut connection).await;
    assert_eq!(next_number(&mut connection).await, 1);
}

#[tokio::test(start_paused = true)]
async fn retry_after_delays_one_dial() {
    let (builder, mut listener) = client();
    let mut connection = dropped(builder.reconnect(secs(1), secs(2)), &mut listener).await;
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:17 GMT\r\n";
    for (status, headers) in [
        (503, "Retry-After: 40\r\n"),
        (429, "Retry-After: 40\r\n"),
        (404, "Retry-After: 40\r\n"),
        (503, date),
    ] {
        listener.request().await.refuse(status, headers, "").await;
        let start = Instant::now();
        assert_eq!(expect_refused(&mut connection).await.retry_after, Some(secs(40)));
        let request = listener.request().await;
        let waited = start.elapsed();
        assert!(waited >= secs(40) && waited <= secs(51), "{status}: {waited:?}");
        // The next one does not name a time.
        request.refuse(status, "", "").await;
        let start = Instant::now();
        assert_eq!(expect_refused(&mut connection).await.retry_after, None);
        let request = listener.request().await;
        assert!(start.elapsed() <= secs(3), "{:?}", start.elapsed());
        request.refuse(503, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "").await;
        let start = Instant::now();
        assert_eq!(expect_refused(&mut connection).await.retry_after, Some(Duration::ZERO));
        let request = listener.request().await;
        assert!(start.elapsed() >= secs(1) / 2, "a date that has passed is no reason to hurry");
        request.refuse(500, "", "").await;
        expect_refused(&mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_has_a_limit() {
    let (builder, mut listener) = client();
    let _connection = dropped(builder, &mut listener).await;
    listener.request().await.refuse(503, "Retry-After: 99999999999999999999\r\n", "").await;
    let start = Instant::now();
    listener.request().await;
    assert!(start.elapsed() <= secs(30 * 60 * 60), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn refused_dial_replaces_an_old_hint() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    socket.close(1012, "retry in 40000 ms").await;
    expect_disconnected(&mut connection).await;
    let start = Instant::now();
    listener.request().await.refuse(503, "", "").await;
    assert!(start.elapsed() >= secs(40));
    expect_refused(&mut connection).await;
    let start = Instant::now();
    listener.request().await;
    assert!(start.elapsed() <= secs(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_replaced_once() {
    let (builder, mut listener) = client();
    let mut connection = dropped(with_fresh_headers(builder), &mut listener).await;
    for accepted in [true, false] {
        let request = listener.request().await;
        let first = request.header("authorization").unwrap().to_owned();
        request.refuse(401, "", "expired").await;
        assert_eq!(expect_refused(&mut connection).await.status, 401);
        let request = listener.request().await;
        assert_ne!(request.header("authorization"), Some(first.as_str()), "they are fresh");
        if accepted {
            let mut socket = request.accept().await;
            socket.open(TOKEN, true, 0).await;
            expect_reconnected(&mut connection).await;
            drop(socket);
            expect_disconnected(&mut connection).await;
        } else {
            request.refuse(401, "", "still not").await;
            assert_eq!(expect_refused(&mut connection).await.body, "still not");
        }
    }
    let reason = expect_closed(&mut connection).await;
    assert!(matches!(&reason, CloseReason::Refused(refusal) if refusal.body == "still not"), "{reason}");
    expect_quiet(&connection, &mut listener).await;
}

#[tokio::test(start_paused = true)]
async fn other_failures_do_not_renew_refused_credentials() {
    let (builder, mut listener) = client();
    let mut connection = dropped(with_fresh_headers(builder), &mut listener).await;
    listener.request().await.refuse(401, "", "").await;
    drop(listener.swallow().await);
    listener.request().await.refuse(503, "", "").await;
    listener.request().await.refuse(401, "", "").await;
    for status in [401, 503, 401] {
        assert_eq!(expect_refused(&mut connection).await.status, status);
    }
    assert!(matches!(expect_closed(&mut connection).await, CloseReason::Refused(_)));
    expect_quiet(&connection, &mut listener).await;
}

#[tokio::test(start_paused = true)]
async fn first_dial_is_never_repeated() {
    for status in [200, 302, 401, 404, 429, 503] {
        let (builder, mut listener) = client();
        let (result, ()) = tokio::join!(with_fresh_headers(builder).connect(), async {
            listener.request().await.refuse(status, "Retry-After: 1\r\n", "").await;
        });
        result.unwrap_err();
        sleep(secs(3600)).await;
        assert!(listener.is_idle(), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn late_reader_sees_refusals_before_the_reconnect() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    for round in 1..=3 {
        socket.say("n", json!(round)).await;
        drop(socket);
        listener.request().await.refuse(503, "", &round.to_string()).await;
        listener.request().await.refuse(404, "", &round.to_string()).await;
        socket = listener.resume(0).await;
    }
    for round in 1..=3 {
        assert_eq!(next_number(&mut connection).await, round);
        expect_disconnected(&mut connection).await;
        for status in [503, 404] {
            let refusal = expect_refused(&mut connection).await;
            assert_eq!((refusal.status, refusal.body), (status, round.to_string()));
        }
        expect_reconnected(&mut connection).await;
    }
}

#[tokio::test(start_paused = true)]
async fn unread_refusals_have_a_limit() {
    let (builder, mut listener) = client();
    let mut connection = dropped(builder.reconnect(secs(1), secs(1)), &mut listener).await;
    for n in 1..=100 {
        listener.request().await.refuse(503, "", &n.to_string()).await;
    }
    listener.request().await.refuse(403, "", "101").await;
    connection.closed().await;
    for n in 70..=101 {
        assert_eq!(expect_refused(&mut connection).await.body, n.to_string());
    }
    assert!(matches!(expect_closed(&mut connection).await, CloseReason::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn refusals_precede_the_end_after_merged_drops() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder.reconnect(secs(1), secs(1)), &mut listener).await;
    // More drops than the session keeps apart.
    for _ in 0..200 {
        drop(socket);
        socket = listener.resume(0).await;
    }
    drop(socket);
    listener.request().await.refuse(503, "", "").await;
    listener.request().await.refuse(403, "", "").await;
    let mut statuses = Vec::new();
    let end = loop {
        match connection.recv().await.unwrap() {
            Event::Refused(refusal) => statuses.push(refusal.status),
            Event::Closed(closed) => break closed,
            _ => assert!(statuses.is_empty(), "the drop comes before"),
        }
    };
    assert_eq!(statuses, [503, 403]);
    assert!(matches!(end.reason, CloseReason::Refused(_)));
    assert!(connection.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn refusal_wakes_the_reader() {
    let (builder, mut listener) = client();
    let mut connection = dropped(builder, &mut listener).await;
    let reading = tokio::spawn(async move {
        let refusal = expect_refused(&mut connection).await;
        (refusal.status, Instant::now())
    });
    let request = listener.request().await;
    sleep(secs(2)).await;
    let start = Instant::now();
    request.refuse(503, "", "").await;
    let (status, read) = reading.await.unwrap();
    assert_eq!((status, read), (503, start));
}

#[tokio::test(start_paused = true)]
async fn close_works_while_dials_are_refused() {
    // Once between two dials, once while a refusal is under way; there is something to deliver.
    for under_way in [false, true] {
        let (builder, mut listener) = client();
        let mut connection = dropped(builder.close_timeout(secs(4)), &mut listener).await;
        connection.send(&number(1)).unwrap();
        let mut request = Some(listener.request().await);
        if !under_way {
            request.take().unwrap().refuse(503, "Retry-After: 60\r\n", "").await;
            expect_refused(&mut connection).await;
        }
        let start = Instant::now();
        let (closed, ()) = tokio::join!(connection.close(), async {
            if let Some(request) = request {
                sleep(secs(1)).await;
                request.refuse(503, "Retry-After: 60\r\n", "").await;
            }
        });
        assert!(matches!(closed.reason, CloseReason::Local), "{closed:?}");
        assert_eq!((closed.unacknowledged, start.elapsed().as_secs()), (1, 4));
        assert!(connection.recv().await.is_none(), "no event follows");
        assert_eq!(connection.take_unacknowledged(), [number(1)]);
        expect_quiet(&connection, &mut listener).await;
    }
}

#[tokio::test(start_paused = true)]
async fn final_refusal_ends_a_close_at_once() {
    let (builder, mut listener) = client();
    let mut connection = dropped(builder.close_timeout(secs(60)), &mut listener).await;
    connection.send(&number(1)).unwrap();
    let start = Instant::now();
    let (closed, ()) = tokio::join!(connection.close(), async {
        listener.request().await.refuse(410, "", "gone").await;
    });
    assert!(matches!(closed.reason, CloseReason::Local), "it was our own application that closed");
    assert_eq!(closed.unacknowledged, 1);
    assert!(start.elapsed() <= secs(1));
    assert!(connection.recv().await.is_none(), "no event follows");
}

#[tokio::test(start_paused = true)]
async fn failed_source_of_headers_is_retried() {
    let (builder, mut listener) = client();
    let dials = Arc::new(AtomicUsize::new(0));
    let builder = builder.dial_headers(move || {
        let fails = dials.fetch_add(1, Ordering::Relaxed) == 1;
        async move { if fails { Err(io::Error::other("no token")) } else { Ok(HeaderMap::new()) } }
    });
    let mut connection = dropped(builder, &mut listener).await;
    let _socket = listener.resume(0).await;
    expect_reconnected(&mut connection).await;
}
