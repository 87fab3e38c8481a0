//! The log lines of refused upgrades and refused resumes.

use rejoin_server::codecs::{JsonCodec, MsgpackCodec};
use rejoin_server::{ConnectRequest, Identity, OrReject as _, Reject, Server, StatusCode};
use rejoin_tests::harness::{self, Ended, Heard, RESET, Recorder, next, secs, within};
use rejoin_tests::network::Line;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

use crate::capture::{Captured, capture};
use crate::{SECRET, assert_no_secret, client};

#[tokio::test(start_paused = true)]
async fn refusals_are_logged_without_the_token() {
    let (captured, _guard) = capture("trace");
    let wire = Captured::default();
    let (sender, refuses) = tokio::sync::watch::channel(None);
    let (builder, mut log) = Recorder::of(Server::builder(move |request: ConnectRequest| {
        let status: Option<StatusCode> = *refuses.borrow();
        async move {
            let offers = request.header("sec-websocket-protocol").unwrap_or_default().to_owned();
            match status {
                None => Ok(Identity::new().with_room("room").with_id("ada")),
                Some(status) => Err(Reject::new(status, format!("not with {offers}"))?),
            }
        }
    }));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let mut ada = client(&line, "ada", &wire).await;
    log.connected().await;
    sender.send_replace(Some(StatusCode::SERVICE_UNAVAILABLE));
    line.cut();
    assert_eq!(next(&mut ada).await, Heard::Disconnected(RESET));
    assert_eq!(next(&mut ada).await, Heard::Refused(503));
    sender.send_replace(Some(StatusCode::FORBIDDEN));
    assert_eq!(next(&mut ada).await, Heard::Refused(403));
    assert_eq!(next(&mut ada).await, Heard::Closed(Ended::Refused(403)));
    let offers = "rejoin.v1.json, rejoin.resume.[token].0";
    let text = captured.text();
    for status in [503, 403] {
        let line = format!(
            r#"INFO rejoin_server::accept::decide: upgrade refused status={status} path="/" why=not with {offers}"#
        );
        assert!(text.contains(&line), "{line} in\n{text}");
    }
    assert!(text.contains("giving up: the refusal is final status=403"), "{text}");
    assert_no_secret(&captured, &wire, 1);
}

#[tokio::test]
async fn operator_sees_addresses_refusals_and_shutdown_at_info() {
    let (captured, _guard) = capture("info");
    let server = Server::builder(async |request: ConnectRequest| {
        let id: u32 = request.query("id").unwrap_or_default().parse().or_unavailable()?;
        Ok(Identity::new().with_room("room").with_id(id.to_string()))
    });
    let server = server.build().unwrap();
    let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
    let ask = async |lines: &str| {
        let mut tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
        let peer = tcp.local_addr().unwrap();
        let request = format!(
            "GET /ws?id={SECRET} HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.contains("digit"), "the error is not sent: {answer}");
        peer
    };
    let failed = ask("").await;
    let foreign = ask("origin: https://b.test\r\n").await;
    // A second refusal within the same second.
    ask("origin: https://b.test\r\n").await;
    let wrong = ask("content-length: 3\r\n").await;
    server.shutdown(secs(5)).await;
    let refused = r#"rejoin_server::accept::decide: upgrade refused status="#;
    assert_eq!(
        captured.lines().iter().map(|line| line.trim_start()).collect::<Vec<_>>(),
        [
            format!("INFO rejoin_server::accept::listen: listening local_addr={addr}"),
            format!(
                r#"WARN {refused}503 path="/ws" peer={failed} why=try again later error=invalid digit found in string"#
            ),
            format!(
                r#"WARN {refused}403 path="/ws" peer={foreign} why=pages of https://b.test may not connect to a.test: see `Builder::allow_origin` suppressed=0"#
            ),
            format!(
                r#"INFO {refused}400 path="/ws" peer={wrong} why=unexpected Content-Length (expected a request without content)"#
            ),
            "INFO rejoin_server::server: shutting down sessions=0 deadline=5s".into(),
            "INFO rejoin_server::server: shut down dropped=0".into(),
        ]
    );
}

#[tokio::test]
async fn failed_resume_is_logged_with_path_and_peer() {
    let (captured, _guard) = capture("info");
    let server = Server::builder(harness::connect).codec(JsonCodec).codec(MsgpackCodec).build().unwrap();
    let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
    let ask = async |id: &str, offers: &str| {
        let mut tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET /ws?id={id}&auth={SECRET} HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: {offers}\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp
    };
    let ada = ask("ada", "rejoin.v1.json").await;
    let mut lines = tokio::io::BufReader::new(ada).split(b'"');
    let mut members = async || within("$open", lines.next_segment()).await.unwrap().unwrap();
    while members().await != b"session" {}
    members().await;
    let token = String::from_utf8(members().await).unwrap();
    let unknown = "x".repeat(token.len());

    let mut expected = Vec::new();
    for (id, codec, token, count, why) in [
        ("ben", "json", &unknown, 0, "unknown"),
        ("ben", "json", &token, 0, "identity"),
        ("ada", "json", &token, 7, "bad_count"),
        ("ada", "msgpack", &token, 0, "codec"),
    ] {
        let mut tcp = ask(id, &format!("rejoin.v1.{codec}, rejoin.resume.{token}.{count}")).await;
        let peer = tcp.local_addr().unwrap();
        within("an answer", tcp.read_u8()).await.unwrap();
        expected.push(format!(
            r#"INFO rejoin_server::accept::admission: resume refused path="/ws" peer={peer} why={why}"#
        ));
    }
    let text = captured.text();
    let told: Vec<_> = text.lines().filter(|line| line.contains("resume refused")).map(str::trim).collect();
    assert_eq!(told, expected);
    for secret in [&*token, &unknown, SECRET, "auth="] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_paths_are_logged_truncated() {
    let (captured, _guard) = capture("info");
    let server = Server::builder(harness::connect).build().unwrap();
    for length in [199, 200, 201, 1000] {
        let path = format!("/{}", "p".repeat(length - 1));
        let mut io = Line::to(&server).dial().unwrap();
        io.write_all(format!("POST {path} HTTP/1.1\r\nhost: a.test\r\n\r\n").as_bytes()).await.unwrap();
        io.read_to_string(&mut String::new()).await.unwrap();
        let line = captured.lines().pop().unwrap();
        let expected = format!(r#"refused status=405 path="{}" why="#, &path[..length.min(200)]);
        assert!(line.contains(&expected), "{line}");
    }
}
