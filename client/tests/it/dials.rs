//! The parts of a dial: a fresh URL, cookies; and its failure if the other end does not speak the protocol.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin_client::{Client, ClientBuilder, CloseReason, ConfigError, ConnectError, HandshakeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{
    MAX, TOKEN, client, connected, expect_closed, expect_disconnected, expect_reconnected, expect_refused,
};

/// URLs with a ticket that differs from dial to dial.
fn with_tickets(builder: ClientBuilder) -> ClientBuilder {
    let dials = Arc::new(AtomicUsize::new(0));
    builder.dial_url(move || {
        let dial = dials.fetch_add(1, Ordering::Relaxed);
        async move {
            match dial {
                1 => Err(io::Error::other("no ticket today")),
                _ => Ok(format!("ws://server{dial}.test/ws?ticket={dial}")),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn each_dial_asks_for_a_url() {
    let (builder, mut listener) = client();
    let (mut connection, socket) = {
        let (connection, socket) = tokio::join!(with_tickets(builder).connect(), async {
            let request = listener.request().await;
            assert!(request.head.starts_with("GET /ws?ticket=0 HTTP/1.1\r\n"), "{}", request.head);
            assert_eq!(request.header("host"), Some("server0.test"));
            let mut socket = request.accept().await;
            socket.open(TOKEN, false, 0).await;
            socket
        });
        (connection.unwrap(), socket)
    };
    drop(socket);
    expect_disconnected(&mut connection).await;
    // The second dial has no URL, and counts as one that failed.
    let request = listener.request().await;
    assert!(request.head.starts_with("GET /ws?ticket=2 HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("host"), Some("server2.test"));
    // A ticket that is refused is replaced by another one.
    request.refuse(401, "", "used").await;
    assert_eq!(expect_refused(&mut connection).await.body, "used");
    let request = listener.request().await;
    assert!(request.head.starts_with("GET /ws?ticket=3 HTTP/1.1\r\n"), "{}", request.head);
    let mut socket = request.accept().await;
    socket.open(TOKEN, true, 0).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn failed_source_of_urls_fails_the_connect() {
    let (builder, mut listener) = client();
    let result = builder.dial_url(|| async { Err(io::Error::other("no ticket today")) }).connect().await;
    let Err(error @ ConnectError::Url(_)) = result else { panic!("{result:?}") };
    assert_eq!(error.to_string(), "no url for the dial: no ticket today");
    let (builder, _listener) = client();
    let result = builder.dial_url(|| async { Ok("ftp://server.test/?secret".into()) }).connect().await;
    let Err(error @ ConnectError::Config(ConfigError::Url { .. })) = result else { panic!("{result:?}") };
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(listener.is_idle());
}

/// Tokens that differ from dial to dial; the second call fails.
fn with_tokens(builder: ClientBuilder) -> ClientBuilder {
    let dials = Arc::new(AtomicUsize::new(0));
    builder.token(move || {
        let dial = dials.fetch_add(1, Ordering::Relaxed);
        async move {
            match dial {
                1 => Err(io::Error::other("no token today")),
                _ => Ok(format!("secret-token-{dial}")),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_replaced_and_the_session_resumed() {
    let (builder, mut listener) = client();
    let (connection, mut socket) = tokio::join!(with_tokens(builder).connect(), async {
        let request = listener.request().await;
        assert_eq!(request.offers(), ["rejoin.v1.json", MAX, "rejoin.auth.c2VjcmV0LXRva2VuLTA"]);
        let mut socket = request.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    let mut connection = connection.unwrap();
    socket.close(3000, "credentials expired").await;
    expect_disconnected(&mut connection).await;
    // The second call of the source has failed, and counted as a failed dial.
    let request = listener.request().await;
    let resume = format!("rejoin.resume.{TOKEN}.0");
    assert_eq!(request.offers(), ["rejoin.v1.json", &resume, MAX, "rejoin.auth.c2VjcmV0LXRva2VuLTI"]);
    // A token that is refused is replaced by another one. The server's text does not leak it.
    request.refuse(401, "", "secret-token-2 or c2VjcmV0LXRva2VuLTI").await;
    assert_eq!(expect_refused(&mut connection).await.body, "[token] or [token]");
    let request = listener.request().await;
    assert_eq!(request.offers()[3], "rejoin.auth.c2VjcmV0LXRva2VuLTM");
    let mut socket = request.accept().await;
    socket.open(TOKEN, true, 0).await;
    expect_reconnected(&mut connection).await;
}

#[tokio::test(start_paused = true)]
async fn forbidden_clients_do_not_reconnect() {
    let (builder, mut listener) = client();
    let (mut connection, mut socket) = connected(builder, &mut listener).await;
    socket.close(3003, "forbidden").await;
    let reason = expect_closed(&mut connection).await;
    assert!(matches!(&reason, CloseReason::Remote(frame) if frame.code == 3003), "{reason:?}");
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn token_that_cannot_be_offered_fails_the_dial() {
    for (token, offered) in [("a".repeat(3072), true), ("a".repeat(3073), false), (String::new(), false)] {
        let (builder, mut listener) = client();
        let connecting = builder.token(move || std::future::ready(Ok(token.clone()))).connect();
        if offered {
            let (result, ()) = tokio::join!(connecting, async {
                let request = listener.request().await;
                assert_eq!(request.offers()[2].len(), "rejoin.auth.".len() + 4096);
                request.refuse(403, "", "").await;
            });
            assert!(matches!(result, Err(ConnectError::Refused(_))), "{result:?}");
        } else {
            let result = connecting.await;
            let Err(error @ ConnectError::Token(_)) = result else { panic!("{result:?}") };
            assert!(error.to_string().starts_with("no token for the dial: "), "{error}");
            assert!(listener.is_idle());
        }
    }
}

#[test]
fn plain_mode_has_no_tokens() {
    let builder = client().0.plain().token(|| std::future::ready(Ok("secret".into())));
    let error = builder.build().unwrap_err();
    assert!(matches!(error, ConfigError::Option { option: "token", .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn cookies_of_any_answer_are_sent_back() {
    for keeps in [true, false] {
        let (builder, mut listener) = client();
        let builder = builder.header("cookie", "login=ada");
        let builder = if keeps { builder } else { builder.no_cookies() };
        let (connection, mut socket) = tokio::join!(builder.connect(), async {
            let mut request = listener.request().await;
            assert_eq!(request.header("cookie"), Some("login=ada"));
            let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: route=a; Path=/\r\n";
            let answer = request.upgrade(Some("rejoin.v1.json"), headers);
            request.answer(&answer).await;
            let mut socket = request.socket().await;
            socket.open(TOKEN, false, 0).await;
            socket
        });
        let mut connection = connection.unwrap();
        for sent in ["login=ada; route=a", "login=ada; route=b; extra=1"] {
            drop(socket);
            expect_disconnected(&mut connection).await;
            let request = listener.request().await;
            assert_eq!(request.header("cookie"), Some(if keeps { sent } else { "login=ada" }));
            let headers = "Set-Cookie: route=b; Path=/\r\nSet-Cookie: extra=1\r\n";
            request.refuse(503, headers, "").await;
            expect_refused(&mut connection).await;
            socket = listener.resume(0).await;
            expect_reconnected(&mut connection).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_client_do_not_share_cookies() {
    let (builder, mut listener) = client();
    let client = builder.build().unwrap();
    for _ in 0..2 {
        let (result, ()) = tokio::join!(client.connect(), async {
            let request = listener.request().await;
            assert_eq!(request.header("cookie"), None);
            request.refuse(503, "Set-Cookie: route=a\r\n", "").await;
        });
        result.unwrap_err();
    }
}

/// A server that waits for the client's first bytes, answers with these, and waits for the client to go.
async fn server_that_says(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(tcp.read(&mut buffer).await.unwrap() > 0);
        tcp.write_all(answer).await.unwrap();
        while tcp.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    port
}

#[cfg(any(feature = "rustls-tls-webpki-roots", feature = "rustls-tls-native-roots"))]
#[tokio::test]
async fn tls_to_a_plain_port_says_so() {
    let port = server_that_says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let result = Client::builder(format!("wss://localhost:{port}/")).connect().await;
    let Err(error @ ConnectError::NoTls) = result else { panic!("{result:?}") };
    assert!(error.to_string().contains("server does not speak tls on this port"), "{error}");
}

#[tokio::test]
async fn plain_http_to_a_tls_port_says_so() {
    // A fatal alert, as TLS servers answer bytes that are no TLS.
    let port = server_that_says(&[0x15, 3, 1, 0, 2, 2, 22]).await;
    let result = Client::builder(format!("ws://localhost:{port}/")).connect().await;
    let Err(error @ ConnectError::Handshake(HandshakeError::Tls)) = result else { panic!("{result:?}") };
    assert!(error.to_string().contains("server speaks tls on this port"), "{error}");
}

#[tokio::test]
async fn dials_all_addresses_of_a_host() {
    // `localhost` is ::1 and 127.0.0.1 on most machines, and only one of them listens.
    let port = server_that_says(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").await;
    let result = Client::builder(format!("ws://localhost:{port}/")).connect().await;
    assert!(matches!(result, Err(ConnectError::Refused(_))), "{result:?}");
}
