//! The first dial: it waits for `$open`, and whatever fails is loud.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rejoin_client::http::{HeaderMap, header};
use rejoin_client::{
    Client, CloseReason, Codec, ConfigError, ConnectError, ConnectionState, DecodeError, EncodeError, Event,
    Frame, JsonCodec, Message,
};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    MAX, Request, TOKEN, client, connected, expect_disconnected, expect_reconnected, next_number, secs,
};

#[tokio::test(start_paused = true)]
async fn connect_returns_when_the_session_is_open() {
    let (builder, mut listener) = client();
    let start = Instant::now();
    let (connection, _socket) = tokio::join!(builder.connect(), async {
        let request = listener.request().await;
        assert!(request.head.starts_with("GET /ws HTTP/1.1\r\n"));
        assert_eq!(request.header("Host"), Some("server.test"));
        assert_eq!(request.offers(), ["rejoin.v1.json", MAX]);
        let mut socket = request.accept().await;
        tokio::time::sleep(secs(3)).await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    let connection = connection.unwrap();
    assert!(start.elapsed() >= secs(3));
    assert_eq!(connection.state(), ConnectionState::Connected);
    assert_eq!(connection.id().as_deref(), Some("me"));
    assert_eq!(connection.room().as_deref(), Some("here"));
}

#[tokio::test(start_paused = true)]
async fn announces_a_limit_below_64_mib() {
    for (accepts, offer) in [(None, None), (Some(1), Some("rejoin.max.1")), (Some(64 << 20), None)] {
        let (builder, mut listener) = client();
        let dialling = tokio::spawn(builder.max_message_size(accepts).connect());
        let request = listener.request().await;
        assert_eq!(request.offers().get(1).copied(), offer);
        dialling.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_follow_the_upgrade_are_kept() {
    let (builder, mut listener) = client();
    let (connection, _socket) = tokio::join!(builder.connect(), async {
        let mut socket = listener.request().await.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket.say("n", json!(1)).await;
        socket.close(1000, "kicked").await;
        socket
    });
    let mut connection = connection.unwrap();
    assert_eq!(next_number(&mut connection).await, 1);
    let end = connection.recv().await;
    assert!(format!("{end:?}").contains("kicked"), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn headers_of_the_application_are_sent() {
    let (builder, mut listener) = client();
    let builder = builder.header("authorization", "Bearer x").header("host", "other.test");
    let _ = tokio::join!(builder.connect(), async {
        let request = listener.request().await;
        assert_eq!(request.header("Authorization"), Some("Bearer x"));
        assert_eq!(request.header("Host"), Some("other.test"));
        request.refuse(403, "", "").await;
    });
}

#[tokio::test(start_paused = true)]
async fn each_dial_asks_for_headers() {
    let (builder, mut listener) = client();
    let dials = Arc::new(AtomicUsize::new(0));
    let builder = builder.header("authorization", "old").header("x-app", "1").dial_headers(move || {
        let dial = dials.fetch_add(1, Ordering::Relaxed);
        async move {
            match dial {
                1 => Err(io::Error::other("no token today")),
                _ => Ok(HeaderMap::from_iter([(
                    header::AUTHORIZATION,
                    format!("new {dial}").parse().unwrap(),
                )])),
            }
        }
    });
    let (connection, socket) = tokio::join!(builder.connect(), async {
        let request = listener.request().await;
        assert_eq!((request.header("authorization"), request.header("x-app")), (Some("new 0"), Some("1")));
        let mut socket = request.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    let mut connection = connection.unwrap();
    drop(socket);
    expect_disconnected(&mut connection).await;
    // The first attempt failed before it dialled; the next one has headers again.
    let request = listener.request().await;
    assert_eq!(request.header("authorization"), Some("new 2"));
}

#[tokio::test(start_paused = true)]
async fn failed_source_of_headers_fails_the_connect() {
    let (builder, mut listener) = client();
    let result = builder.dial_headers(|| async { Err(io::Error::other("no token today")) }).connect().await;
    let Err(error @ ConnectError::Headers(_)) = result else { panic!("{result:?}") };
    assert_eq!(error.to_string(), "no headers for the dial: no token today");
    let (builder, _listener) = client();
    let result = builder
        .dial_headers(|| async { Ok(HeaderMap::from_iter([(header::UPGRADE, "h2c".parse().unwrap())])) })
        .connect()
        .await;
    assert!(matches!(result, Err(ConnectError::Config(ConfigError::Header { .. }))), "{result:?}");
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn refused_dial_fails_at_once() {
    let (builder, listener) = client();
    drop(listener);
    let start = Instant::now();
    assert!(matches!(builder.connect().await, Err(ConnectError::Dial(_))));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn supplied_stream_is_followed_by_dials() {
    let (builder, mut listener) = client();
    let client = builder.build().unwrap();
    let (stream, request) = Request::over_a_pair();
    let (connection, mut socket) = tokio::join!(client.connect_over(stream), async {
        let request = request.await;
        assert!(request.head.starts_with("GET /ws HTTP/1.1\r\n"));
        assert_eq!(request.header("Host"), Some("server.test"));
        let mut socket = request.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    let mut connection = connection.unwrap();
    assert!(listener.is_idle(), "nothing was dialled");
    socket.say("n", json!(1)).await;
    assert_eq!(next_number(&mut connection).await, 1);
    drop(socket);
    expect_disconnected(&mut connection).await;
    let request = listener.request().await;
    assert_eq!(request.offers()[1], format!("rejoin.resume.{TOKEN}.1"), "the same session");
    request.accept().await.open(TOKEN, true, 0).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn supplied_stream_may_be_the_only_one() {
    let (builder, mut listener) = client();
    let client = builder.no_reconnect().build().unwrap();
    let (stream, request) = Request::over_a_pair();
    let (connection, socket) = tokio::join!(client.connect_over(stream), async {
        let mut socket = request.await.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    let mut connection = connection.unwrap();
    drop(socket);
    expect_disconnected(&mut connection).await;
    let event = connection.recv().await;
    let Some(Event::Closed(closed)) = event else { panic!("{event:?}") };
    assert!(matches!(closed.reason, CloseReason::ReconnectDisabled(_)), "{closed:?}");
    connection.closed().await;
    assert!(listener.is_idle(), "nothing was ever dialled");
}

#[tokio::test(start_paused = true)]
async fn refused_stream_is_not_followed_by_a_dial() {
    let (builder, mut listener) = client();
    let client = builder.build().unwrap();
    let (stream, request) = Request::over_a_pair();
    let (result, ()) =
        tokio::join!(client.connect_over(stream), async { request.await.refuse(403, "", "no").await });
    assert!(matches!(result, Err(ConnectError::Refused(_))), "{result:?}");
    let (stream, request) = Request::over_a_pair();
    drop(request);
    assert!(matches!(client.connect_over(stream).await, Err(ConnectError::Handshake(_))));
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn refusal_has_status_body_and_retry_after() {
    let (builder, mut listener) = client();
    let (result, ()) = tokio::join!(builder.connect(), async {
        listener.request().await.refuse(503, "Retry-After: 7\r\n", "come back later\n").await;
    });
    let Err(ConnectError::Refused(refusal)) = result else { panic!("{result:?}") };
    assert_eq!((refusal.status, refusal.body.as_str()), (503, "come back later"));
    assert_eq!(refusal.retry_after, Some(secs(7)));
    assert!(listener.is_idle(), "there is no second dial");
}

#[tokio::test(start_paused = true)]
async fn body_of_a_refusal_has_4_kib_at_most() {
    let (builder, mut listener) = client();
    let (result, ()) = tokio::join!(builder.connect(), async {
        let mut request = listener.request().await;
        request.answer("HTTP/1.1 401 No\r\nContent-Length: 100000\r\n\r\n").await;
        for _ in 0..41 {
            request.answer(&"x".repeat(100)).await;
            tokio::task::yield_now().await;
        }
    });
    let Err(ConnectError::Refused(refusal)) = result else { panic!("{result:?}") };
    assert_eq!(refusal.body.len(), 4096);
}

#[tokio::test(start_paused = true)]
async fn foreign_server_is_a_subprotocol_error() {
    for selected in [None, Some("chat")] {
        let (builder, mut listener) = client();
        let (result, _socket) = tokio::join!(builder.connect(), async {
            listener.request().await.accept_selecting(selected).await
        });
        let Err(error @ ConnectError::Subprotocol { .. }) = result else { panic!("{result:?}") };
        assert!(error.to_string().contains("rejoin.v1.json"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_other_than_upgrades_are_errors() {
    let upgrade =
        "HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    for answer in [upgrade, "HTTP/1.1 101 Ok\r\n\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 101"] {
        let (builder, mut listener) = client();
        let (result, ()) = tokio::join!(builder.connect(), async {
            listener.request().await.answer(answer).await;
        });
        assert!(matches!(result, Err(ConnectError::Handshake(_))), "{answer:?}: {result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn handshake_timeout_covers_upgrade_and_opening() {
    let (builder, mut listener) = client();
    let start = Instant::now();
    let (result, _io) = tokio::join!(builder.connect(), listener.swallow());
    assert!(matches!(result, Err(ConnectError::Timeout)), "{result:?}");
    assert_eq!(start.elapsed().as_secs(), 10);

    let (builder, mut listener) = client();
    let start = Instant::now();
    let (result, _socket) = tokio::join!(builder.handshake_timeout(secs(2)).connect(), async {
        listener.request().await.accept().await
    });
    assert!(matches!(result, Err(ConnectError::Timeout)), "{result:?}");
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn close_before_the_opening_fails_the_connect() {
    let (builder, mut listener) = client();
    let (result, _socket) = tokio::join!(builder.connect(), async {
        let mut socket = listener.request().await.accept().await;
        socket.close(1013, "overloaded").await;
        socket
    });
    let Err(error @ ConnectError::Closed(_)) = result else { panic!("{result:?}") };
    assert!(error.to_string().contains("1013 overloaded"), "{error}");

    let (builder, mut listener) = client();
    let (result, _socket) = tokio::join!(builder.connect(), async {
        let mut socket = listener.request().await.accept().await;
        socket.say("n", json!(1)).await;
        socket
    });
    assert!(matches!(result, Err(ConnectError::Protocol(_))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn state_follows_the_connection() {
    let (builder, mut listener) = client();
    let (connection, socket) = connected(builder, &mut listener).await;
    let mut changes = connection.state_changes();
    assert_eq!(*changes.borrow_and_update(), ConnectionState::Connected);
    drop(socket);
    changes.wait_for(|state| *state == ConnectionState::Reconnecting).await.unwrap();
    connection.close().await;
    assert_eq!(connection.state(), ConnectionState::Closed);
}

#[test]
fn error_names_option_value_and_range() {
    let build = || Client::builder("ws://server.test");
    let minute = secs(60);
    for (builder, option) in [
        (build().reconnect(Duration::ZERO, minute), "reconnect"),
        (build().reconnect(minute, secs(1)), "reconnect"),
        (build().reconnect(secs(61), secs(100)), "reconnect"),
        (build().reconnect(secs(1), secs(301)), "reconnect"),
        (build().max_retries(0), "max_retries"),
        (build().max_retries(33), "max_retries"),
        (build().heartbeat(Duration::ZERO, minute), "heartbeat"),
        (build().heartbeat(minute, minute), "heartbeat"),
        (build().heartbeat(minute, secs(601)), "heartbeat"),
        (build().write_timeout(Duration::ZERO), "write_timeout"),
        (build().write_timeout(secs(31)), "write_timeout"),
        (build().handshake_timeout(Duration::ZERO), "handshake_timeout"),
        (build().handshake_timeout(secs(61)), "handshake_timeout"),
        (build().close_timeout(Duration::ZERO), "close_timeout"),
        (build().close_timeout(secs(121)), "close_timeout"),
        (build().max_message_size(0), "max_message_size"),
        (build().max_message_size((64 << 20) + 1), "max_message_size"),
        (build().send_buffer(0), "send_buffer"),
        (build().send_buffer(65_537), "send_buffer"),
        (build().send_buffer_bytes(0), "send_buffer_bytes"),
        (build().codec(Named("Upper")), "codec"),
    ] {
        let Err(error) = builder.build() else { panic!("{option}") };
        let text = error.to_string();
        let ConfigError::Option { option: named, value, range } = error else { panic!("{error:?}") };
        assert_eq!(named, option);
        assert!(!value.is_empty() && !range.is_empty());
        assert_eq!(text, format!("invalid `{option}`: {value} (expected {range})"));
    }
}

#[test]
fn accepts_the_bounds_of_each_range() {
    let build = || Client::builder("ws://server.test");
    let tick = Duration::from_nanos(1);
    for (index, builder) in [
        build().reconnect(tick, tick).max_retries(1),
        build().reconnect(secs(60), secs(300)).max_retries(32),
        build().max_retries(None).max_message_size(None),
        build().heartbeat(tick, secs(600)),
        build().write_timeout(secs(30)).handshake_timeout(secs(60)).close_timeout(secs(120)),
        build().write_timeout(tick).handshake_timeout(tick).close_timeout(tick),
        build().max_message_size(1).send_buffer(1).send_buffer_bytes(1),
        build().max_message_size(64 << 20).send_buffer(65_536).send_buffer_bytes(usize::MAX),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(builder.build().is_ok(), "case {index}");
    }
}

/// JSON under another name.
struct Named(&'static str);

impl Codec for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        JsonCodec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        JsonCodec.decode(message)
    }
}

#[test]
fn invalid_urls_and_headers_are_errors() {
    assert!(matches!(Client::builder("ftp://server.test").build(), Err(ConfigError::Url { .. })));
    for (name, value) in
        [("a b", "c"), ("a", "b\r\nc: d"), ("upgrade", "h2c"), ("sec-websocket-protocol", "x")]
    {
        let result = Client::builder("ws://server.test").header(name, value).build();
        assert!(matches!(result, Err(ConfigError::Header { .. })), "{name}");
    }
    assert!(
        Client::builder("ws://server.test").plain().header("sec-websocket-protocol", "x").build().is_ok()
    );
}
