//! Refusals are the same with every HTTP server.

use rejoin_server::{ConnectRequest, Identity, Reject, Server};

use super::{FRONTS, Front, body, exchange, serve, start, status, upgrade};

#[tokio::test]
async fn every_front_is_equally_strict() {
    let cases = [
        ("no host", 400, upgrade("connection: close\r\n").replace("host: server.test\r\n", "")),
        ("two hosts", 400, upgrade("connection: close\r\nhost: other.test\r\n")),
        ("an empty host", 400, upgrade("connection: close\r\n").replace("server.test", "")),
        ("an invalid host", 400, upgrade("connection: close\r\n").replace("server.test", "a@b")),
        (
            "user information",
            400,
            upgrade("connection: close\r\n").replace("GET /", "GET http://u@server.test/"),
        ),
        ("two keys", 400, upgrade("connection: close\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
        ("two versions", 400, upgrade("connection: close\r\nsec-websocket-version: 13\r\n")),
        ("no token", 400, upgrade("connection: close\r\nsec-websocket-protocol: rejoin.v1.json, é\r\n")),
        ("version 12", 426, upgrade("connection: close\r\n").replace("version: 13", "version: 12")),
        ("HTTP/1.0", 426, "GET / HTTP/1.0\r\n\r\n".into()),
        ("OPTIONS", 405, "OPTIONS / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".into()),
        ("another origin", 403, upgrade("connection: close\r\norigin: https://evil.test\r\n")),
        (
            "the origin of Host in absolute form",
            403,
            upgrade("connection: close\r\norigin: https://server.test\r\n")
                .replace("GET /", "GET http://other.test/"),
        ),
    ];
    for front in FRONTS {
        let (server, addr, _log) = start(front, |builder| builder).await;
        for (what, expected, request) in &cases {
            let answer = exchange(addr, request.as_bytes()).await;
            assert_eq!(status(&answer), *expected, "{front:?}: {what}: {answer}");
            assert!(!body(&answer).is_empty());
            if *expected == 426 && *what == "version 12" {
                assert!(answer.contains("\r\nsec-websocket-version: 13\r\n"), "{answer}");
            }
        }
        assert_eq!((server.stats().refused, server.stats().connections), (cases.len() as u64, 0));
    }
}

#[tokio::test]
async fn answer_to_head_has_no_body() {
    for front in FRONTS {
        let (_server, addr, _log) = start(front, |builder| builder).await;
        let answer = exchange(addr, b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert_eq!((status(&answer), body(&answer)), (405, ""), "{front:?}");
    }
}

#[tokio::test]
async fn repeated_refusal_headers_are_all_sent() {
    let connect = async |_: ConnectRequest| {
        let reject = Reject::unauthorized("who are you?");
        let challenge = |scheme: &str| ("www-authenticate".parse().unwrap(), scheme.parse().unwrap());
        let (basic, bearer) = (challenge("Basic"), challenge("Bearer"));
        Err::<Identity, _>(reject.with_header(basic.0, basic.1)?.with_header(bearer.0, bearer.1)?)
    };
    for front in FRONTS {
        let server = Server::builder(connect).build().unwrap();
        let addr = serve(front, &server).await;
        let answer = exchange(addr, upgrade("connection: close\r\n").as_bytes()).await;
        assert_eq!((status(&answer), body(&answer)), (401, "who are you?"), "{front:?}");
        assert!(
            answer.contains("www-authenticate: Basic\r\nwww-authenticate: Bearer\r\n"),
            "{front:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn allowed_origin_connects_on_every_front() {
    for (front, origin) in
        [(Front::Listener, "null"), (Front::Axum, "file://"), (Front::Hyper, "https://a.b.example.test")]
    {
        let (_server, addr, mut log) = start(front, |builder| {
            builder.allow_origin("null").allow_origin("file://").allow_origin("https://*.example.test")
        })
        .await;
        let mut tcp = super::dial(addr).await;
        let request = upgrade(&format!("origin: {origin}\r\n"));
        tokio::io::AsyncWriteExt::write_all(&mut tcp, request.as_bytes()).await.unwrap();
        assert_eq!(status(&super::read_head(&mut tcp).await), 101, "{origin}");
        log.connected().await;
    }
}
