//! Options that the other tests leave at their defaults.

use std::time::Duration;

use rejoin_client::http::HeaderMap;
use rejoin_client::{Client, ConnectError, DropReason, Event, Frame, SendError};
use tokio::time::Instant;

use crate::support::{
    TOKEN, client, connected, disconnected, expect_disconnected, expect_reconnected, number, secs,
};

#[test]
fn debug_output_shows_no_secrets() {
    let builder = Client::builder("ws://server.test/ws?token=secret")
        .header("authorization", "Bearer secret")
        .header("cookie", "secret=1");
    let mut text = format!("{builder:?}");
    assert!(text.starts_with("ClientBuilder { options: Options {") && text.contains("cookie"), "{text}");
    text += &format!("{:?}", builder.build().unwrap());
    assert!(!text.contains("secret") && text.contains("Client { host: \"server.test\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn repeated_headers_are_all_sent() {
    let (builder, mut listener) = client();
    let builder = builder.header("x-app", "1").header("X-App", "2");
    let _ = tokio::join!(builder.connect(), async {
        let request = listener.request().await;
        let lines: Vec<_> = request.head.lines().filter(|line| line.starts_with("x-app: ")).collect();
        assert_eq!(lines, ["x-app: 1", "x-app: 2"]);
        request.refuse(403, "", "").await;
    });
}

#[tokio::test(start_paused = true)]
async fn hanging_sources_end_at_the_handshake_timeout() {
    let (builder, mut listener) = client();
    let start = Instant::now();
    let result = builder.dial_headers(std::future::pending).handshake_timeout(secs(3)).connect().await;
    assert!(matches!(result, Err(ConnectError::Timeout)), "{result:?}");
    assert_eq!(start.elapsed(), secs(3));
    let (builder, _listener) = client();
    let result = builder.dial_url(std::future::pending).handshake_timeout(secs(3)).connect().await;
    assert!(matches!(result, Err(ConnectError::Timeout)), "{result:?}");
    assert_eq!(start.elapsed(), secs(6));
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn reconnect_reverts_no_reconnect() {
    let (builder, mut listener) = client();
    let builder = builder.no_reconnect().reconnect(secs(2), secs(2));
    let (mut connection, socket) = connected(builder, &mut listener).await;
    drop(socket);
    let start = Instant::now();
    expect_disconnected(&mut connection).await;
    let mut socket = listener.request().await.accept().await;
    let waited = start.elapsed();
    assert!(waited >= secs(1) && waited <= secs(2) + Duration::from_millis(5), "{waited:?}");
    socket.open(TOKEN, true, 0).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_the_client_retries_further() {
    let (builder, mut listener) = client();
    let builder = builder.max_retries(3).max_retries(None).reconnect(secs(1), secs(1));
    let mut connection = disconnected(builder, &mut listener).await;
    for _ in 0..100 {
        drop(listener.swallow().await);
    }
    let _socket = listener.resume(0).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn same_seed_repeats_the_delays() {
    let mut waits = Vec::new();
    for seed in [7, 7, 8] {
        let (builder, mut listener) = client();
        let _connection = disconnected(builder.seed(seed), &mut listener).await;
        let start = Instant::now();
        for _ in 0..3 {
            drop(listener.swallow().await);
        }
        waits.push(start.elapsed());
    }
    assert_eq!(waits[0], waits[1]);
    assert_ne!(waits[0], waits[2]);
}

#[tokio::test(start_paused = true)]
async fn silent_socket_is_lost_after_the_pong_timeout() {
    let (builder, mut listener) = client();
    let builder = builder.heartbeat(secs(2), secs(5));
    let (mut connection, _silent) = connected(builder, &mut listener).await;
    let start = Instant::now();
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Disconnected { reason: DropReason::HeartbeatTimeout })), "{event:?}");
    assert_eq!(start.elapsed(), secs(5));
}

#[tokio::test(start_paused = true)]
async fn answered_ping_keeps_the_socket() {
    let (builder, mut listener) = client();
    let builder = builder.heartbeat(secs(2), secs(5));
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    // Reading answers pings.
    let answering = tokio::spawn(async move { socket.message().await });
    assert!(tokio::time::timeout(secs(60), connection.recv()).await.is_err());
    connection.abort();
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn send_wait_ends_at_the_write_timeout() {
    let (builder, mut listener) = client();
    let builder = builder.send_buffer(1).write_timeout(secs(3));
    let (connection, _socket) = connected(builder, &mut listener).await;
    connection.send(&number(1)).unwrap();
    let start = Instant::now();
    assert_eq!(connection.send_wait(&number(2)).await, Err(SendError::Timeout));
    assert_eq!(start.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn blocked_socket_is_lost_after_the_write_timeout() {
    let (builder, mut listener) = client();
    let (mut connection, _socket) = connected(builder.write_timeout(secs(3)), &mut listener).await;
    // More than the stream holds, and the server does not read.
    connection.send(&Frame::new("big", &"x".repeat(100_000)).unwrap()).unwrap();
    let start = Instant::now();
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Disconnected { reason: DropReason::WriteTimeout })), "{event:?}");
    assert_eq!(start.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn send_buffer_has_a_limit_in_bytes() {
    let (builder, mut listener) = client();
    let (connection, _socket) = connected(builder.send_buffer_bytes(1000), &mut listener).await;
    let frame = |size: usize| Frame::new("n", &"x".repeat(size)).unwrap();
    connection.send(&frame(5000)).unwrap();
    assert_eq!(connection.send(&frame(1)), Err(SendError::Full), "one frame is always taken, and no more");
}

#[tokio::test(start_paused = true)]
async fn largest_message_is_received() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder.max_message_size(1000), &mut listener).await;
    let text = |size: usize| format!("{{\"event\":\"{}\"}}", "x".repeat(size - 12));
    socket.text(&text(1000)).await;
    assert!(matches!(connection.recv().await, Some(Event::Message(_))));
    socket.text(&text(1001)).await;
    assert!(matches!(connection.recv().await, Some(Event::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn fresh_headers_replace_those_of_their_name() {
    let (builder, mut listener) = client();
    let builder = builder.header("a", "fixed").header("b", "fixed");
    let builder = builder.dial_headers(|| async {
        Ok(HeaderMap::from_iter([("a".parse().unwrap(), "fresh".parse().unwrap())]))
    });
    let _ = tokio::join!(builder.connect(), async {
        let request = listener.request().await;
        assert_eq!((request.header("a"), request.header("b")), (Some("fresh"), Some("fixed")));
        assert_eq!(request.head.matches("\r\na: ").count(), 1);
        request.refuse(403, "", "").await;
    });
}
