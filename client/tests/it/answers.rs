//! Answers to the upgrade, in all the ways that HTTP allows.

use std::time::Duration;

use rejoin_client::{ConnectError, Connection, HandshakeError, Refusal};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{Request, TOKEN, client, next_number, secs};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// The client's result for this answer to its first dial.
async fn answered(answer: impl AsyncFnOnce(Request)) -> Result<Connection, ConnectError> {
    let (builder, mut listener) = client();
    let (result, ()) = tokio::join!(builder.connect(), async { answer(listener.request().await).await });
    result
}

/// The refusal that the client makes of this text, sent in pieces of `size` bytes.
async fn refused_in_pieces(text: &str, size: usize) -> Refusal {
    let result = answered(async |mut request| {
        for piece in text.as_bytes().chunks(size) {
            request.answer(std::str::from_utf8(piece).unwrap()).await;
            tokio::task::yield_now().await;
        }
    });
    match result.await {
        Err(ConnectError::Refused(refusal)) => refusal,
        other => panic!("{text:?}: {other:?}"),
    }
}

async fn handshake_error(answer: &str) -> HandshakeError {
    match answered(async |mut request| request.answer(answer).await).await {
        Err(ConnectError::Handshake(error)) => error,
        other => panic!("{answer:?}: {other:?}"),
    }
}

/// Opens the session behind an answer that has these bytes before the upgrade and these headers in it.
async fn opens(before: &str, headers: &str) {
    let (builder, mut listener) = client();
    let (connection, _socket) = tokio::join!(builder.connect(), async {
        let mut request = listener.request().await;
        let answer = before.to_owned() + &request.upgrade(Some("rejoin.v1.json"), headers);
        for byte in answer.chars() {
            request.answer(byte.encode_utf8(&mut [0; 4])).await;
            tokio::task::yield_now().await;
        }
        let mut socket = request.socket().await;
        socket.open(TOKEN, false, 0).await;
        socket.say("n", json!(1)).await;
        socket
    });
    let mut connection = connection.unwrap_or_else(|error| panic!("{before:?} {headers:?}: {error}"));
    assert_eq!(next_number(&mut connection).await, 1);
}

#[tokio::test(start_paused = true)]
async fn skips_interim_answers_before_the_upgrade() {
    for before in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 199 x\r\n\r\n",
        &"HTTP/1.1 100 Continue\r\n\r\n".repeat(100),
    ] {
        opens(before, UPGRADE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn skips_interim_answers_before_a_refusal() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nnobeyond";
    for size in [1, 7, text.len()] {
        let refusal = refused_in_pieces(text, size).await;
        assert_eq!((refusal.status, refusal.body.as_str()), (403, "no"));
    }
}

#[tokio::test(start_paused = true)]
async fn interim_answers_have_a_size_limit() {
    let interim = format!("HTTP/1.1 103 Early Hints\r\nX: {}\r\n\r\n", "x".repeat(960));
    assert!(interim.len() < 1024);
    let refusal = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(refused_in_pieces(&(interim.repeat(60) + refusal), 1000).await.status, 403);
    assert!(matches!(handshake_error(&(interim.repeat(70) + refusal)).await, HandshakeError::TooLong));
}

#[tokio::test(start_paused = true)]
async fn list_headers_may_span_lines() {
    for headers in [
        "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "connection: keep-alive, uPGRADE\r\nUPGRADE: WebSocket\r\n",
        "Connection: ,\r\nConnection: ,upgrade,\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: \r\n",
        "Connection : keep-alive,\r\n\tUpgrade\r\nUpgrade: websocket\r\n",
    ] {
        opens("", headers).await;
    }
}

#[tokio::test(start_paused = true)]
async fn error_names_the_wrong_upgrade_header() {
    let wrong = async |headers: &str| {
        let result = answered(async |mut request| {
            let answer = request.upgrade(Some("rejoin.v1.json"), headers);
            request.answer(&answer).await;
        });
        match result.await {
            Err(ConnectError::Handshake(HandshakeError::Header { name, .. })) => name,
            other => panic!("{headers:?}: {other:?}"),
        }
    };
    assert_eq!(wrong("Connection: Upgrade\r\nUpgrade: websockets\r\n").await, "upgrade");
    assert_eq!(wrong("Connection: upgraded\r\nUpgrade: websocket\r\n").await, "connection");
    assert_eq!(wrong(&format!("{UPGRADE}Sec-WebSocket-Accept: x\r\n")).await, "sec-websocket-accept");
    assert_eq!(wrong(&format!("{UPGRADE}Sec-WebSocket-Protocol: x\r\n")).await, "sec-websocket-protocol");
    let deflate = format!("{UPGRADE}Sec-WebSocket-Extensions: permessage-deflate\r\n");
    assert_eq!(wrong(&deflate).await, "sec-websocket-extensions");
}

#[tokio::test(start_paused = true)]
async fn decodes_split_chunked_bodies() {
    let text = "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\nRetry-After: 3\r\n\r\n\
                5\r\nhello\r\nB;name=value\r\n, chunked! \r\n1\r\nx\r\n0\r\nTrailer: y\r\n\r\n";
    for size in [1, 2, 3, 5, text.len()] {
        let refusal = refused_in_pieces(text, size).await;
        assert_eq!((refusal.status, refusal.body.as_str()), (503, "hello, chunked! x"), "{size}");
        assert_eq!(refusal.retry_after, Some(secs(3)));
    }
}

#[tokio::test(start_paused = true)]
async fn chunked_bodies_have_a_size_limit() {
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let head = "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n";
    let refusal = refused_in_pieces(&(head.to_owned() + &chunk.repeat(10)), 4000).await;
    assert_eq!(refusal.body.len(), 4096);
    // A chunk that claims more than there is memory, and one whose line does not end.
    let refusal = refused_in_pieces(&format!("{head}fffffffffffffff\r\nhello"), 10).await;
    assert_eq!(refusal.body, "hello");
    let refusal = refused_in_pieces(&format!("{head}5\r\nhello\r\n5;{}", "x".repeat(20_000)), 1000).await;
    assert_eq!(refusal.body, "hello");
    for broken in ["zz\r\nhello\r\n", "5 5\r\nhello\r\n", "11111111111111111\r\nhello\r\n"] {
        assert_eq!(refused_in_pieces(&format!("{head}{broken}"), 10).await.body, "", "{broken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn body_without_length_ends_with_the_stream() {
    for size in [1, 1000] {
        let refusal = refused_in_pieces("HTTP/1.0 502 Bad Gateway\n\nno backend\n", size).await;
        assert_eq!((refusal.status, refusal.body.as_str()), (502, "no backend"));
    }
}

#[tokio::test(start_paused = true)]
async fn missing_body_costs_a_second() {
    for framing in ["", "Content-Length: 9\r\n", "Transfer-Encoding: chunked\r\n"] {
        let start = Instant::now();
        let (builder, mut listener) = client();
        let (result, _silent) = tokio::join!(builder.connect(), async {
            let mut request = listener.request().await;
            request.answer(&format!("HTTP/1.1 403 No\r\n{framing}\r\n")).await;
            request.answer(if framing.starts_with('T') { "4\r\npart" } else { "part" }).await;
            request
        });
        let Err(ConnectError::Refused(refusal)) = result else { panic!("{result:?}") };
        assert_eq!((refusal.status, refusal.body.as_str()), (403, "part"), "{framing}");
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_without_body_return_at_once() {
    for (status, framing) in [(204, ""), (304, "Content-Length: 5\r\n"), (403, "Content-Length: 0\r\n")] {
        let start = Instant::now();
        let (builder, mut listener) = client();
        let (result, _silent) = tokio::join!(builder.connect(), async {
            let mut request = listener.request().await;
            request.answer(&format!("HTTP/1.1 {status} No\r\n{framing}\r\n")).await;
            request
        });
        let Err(ConnectError::Refused(refusal)) = result else { panic!("{result:?}") };
        assert_eq!((refusal.status, refusal.body.as_str()), (status, ""));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_are_reported_and_not_followed() {
    let (builder, mut listener) = client();
    let (result, ()) = tokio::join!(builder.connect(), async {
        let request = listener.request().await;
        request.refuse(307, "Location: wss://other.test/ws?token=secret\r\n", "").await;
    });
    let Err(error @ ConnectError::Refused(_)) = result else { panic!("{result:?}") };
    assert_eq!(error.to_string(), "server answered with http status 307, location wss://other.test/ws");
    let ConnectError::Refused(refusal) = error else { unreachable!() };
    assert_eq!(refusal.location.as_deref(), Some("wss://other.test/ws?token=secret"));
    assert!(listener.is_idle());
}

#[tokio::test(start_paused = true)]
async fn heads_have_a_size_limit() {
    let refusal = |header: usize| {
        format!("HTTP/1.1 403 No\r\nX: {}\r\nContent-Length: 2\r\n\r\nno", "x".repeat(header))
    };
    let overhead = refusal(0).len() - 2;
    let most = 64 * 1024 - overhead;
    for size in [1000, 1 << 20] {
        assert_eq!(refused_in_pieces(&refusal(most), size).await.body, "no");
    }
    assert!(matches!(handshake_error(&refusal(most + 1)).await, HandshakeError::TooLong));
    let many = |count: usize| format!("HTTP/1.1 403 No\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(refused_in_pieces(&many(256), 1000).await.status, 403);
    assert!(matches!(handshake_error(&many(257)).await, HandshakeError::Malformed));
}

#[tokio::test(start_paused = true)]
async fn first_bytes_reveal_other_protocols() {
    for (answer, tls) in [("SSH-2.0-OpenSSH\r\n", false), ("\x15\x03\x01\0\x02\x02\x50", true)] {
        let start = Instant::now();
        let (builder, mut listener) = client();
        let (result, _silent) = tokio::join!(builder.connect(), async {
            let mut request = listener.request().await;
            request.answer(answer).await;
            request
        });
        let Err(ConnectError::Handshake(error)) = result else { panic!("{result:?}") };
        assert_eq!(matches!(error, HandshakeError::Tls), tls, "{error}");
        assert_eq!(matches!(error, HandshakeError::NotHttp), !tls, "{error}");
        assert_eq!(start.elapsed(), Duration::ZERO, "nobody waits for more");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_show_no_bytes_behind_the_head() {
    const OPEN: &str = "\u{1}{\"event\":\"$open\",\"payload\":{\"session\":\"live-token-of-a-session\"}}";
    for head in [
        "HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 403 No\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 999999 No\r\n\r\n",
    ] {
        let result = answered(async |mut request| request.answer(&format!("{head}{OPEN}")).await).await;
        let error = result.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("live-token"), "{head:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn incomplete_answer_ends_at_the_handshake_timeout() {
    let (builder, mut listener) = client();
    let start = Instant::now();
    let connecting = async { (builder.connect().await, start.elapsed().as_secs()) };
    let ((result, elapsed), ()) = tokio::join!(connecting, async {
        let mut request = listener.request().await;
        for _ in 0..20 {
            request.answer("HTTP/1.1 100 Continue\r\n\r\n").await;
            sleep(secs(1)).await;
        }
    });
    assert!(matches!(result, Err(ConnectError::Timeout)), "{result:?}");
    assert_eq!(elapsed, 10);
}
