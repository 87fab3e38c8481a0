//! What is logged, and what never is: events carry the span of their session, and neither tokens nor payloads are told.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_client::{Client, Event, Frame};
use rejoin_server::codecs::{JsonCodec, MsgpackCodec};
use rejoin_server::{ConnectRequest, Connection, Identity, OrReject as _, Reject, Server, StatusCode};
use rejoin_tests::harness::{self, Dials, Line, Recorder, describe, next, next_event, within};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf,
};
use tracing_subscriber::util::SubscriberInitExt as _;

/// In every payload, and in the client's query.
const SECRET: &str = "the-payload-is-nobodys-business";

/// Bytes that others write.
#[derive(Debug, Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Tape {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that rejoin logs on this thread, from now until the guard is dropped.
fn capture(level: &str) -> (Tape, tracing::subscriber::DefaultGuard) {
    let tape = Tape::default();
    let writer = tape.clone();
    let filter =
        format!("rejoin_core={level},rejoin_codecs={level},rejoin_server={level},rejoin_client={level}");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    (tape, subscriber.set_default())
}

/// A stream whose incoming bytes are taped.
struct Tapped<S> {
    io: S,
    tape: Tape,
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        self.tape.write_all(&buf.filled()[before..])?;
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A client under this ID on this line; what it is sent is taped.
async fn client(line: &Line, id: &str, wire: &Tape) -> rejoin_client::Connection {
    let (line, tape) = (line.clone(), wire.clone());
    let builder = Client::builder(format!("ws://server.test/?id={id}&auth={SECRET}")).seed(1);
    let builder = builder.heartbeat(Duration::from_secs(2), Duration::from_secs(5)).max_retries(3);
    let builder = builder.connector(move || {
        let stream = line.dial();
        let tape = tape.clone();
        async move { Ok(Tapped { io: stream?, tape }) }
    });
    builder.connect().await.unwrap()
}

fn secret(n: u64) -> Frame {
    Frame::new("secret", &(n, SECRET)).unwrap()
}

async fn gets(client: &mut rejoin_client::Connection, count: usize) {
    for _ in 0..count {
        let event = next_event(client).await;
        assert!(matches!(&event, Event::Message(_)), "{}", describe(&event));
    }
}

/// The tokens in what was sent to clients.
fn tokens(wire: &Tape) -> Vec<String> {
    let text = wire.text();
    let found = text.split(r#""session":""#).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    found.collect()
}

/// The lines of one session's span, without the span.
fn of_session(lines: &[String], id: &str) -> Vec<String> {
    let span = format!(r#"session{{id="{id}" room="room"}}: rejoin_server::"#);
    let rest = lines.iter().filter_map(|line| line.split_once(&span)).map(|(_, rest)| rest);
    rest.map(|rest| rest.split_once(": ").unwrap().1.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_is_told_in_its_span_from_its_beginning_to_its_end_and_no_secret_with_it() {
    let (tape, _guard) = capture("trace");
    let wire = Tape::default();
    let (builder, mut log) = harness::builder();
    let server = builder.send_buffer(4).build().unwrap();
    let line = Line::to(&server);
    let mut ada = client(&line, "ada", &wire).await;
    log.connected().await;
    let mut ben = client(&Line::to(&server), "ben", &wire).await;
    log.connected().await;

    // There and back, a takeover, a gap, a kick.
    ada.send(&secret(1)).unwrap();
    log.next().await;
    server.send("ada", &secret(1)).unwrap();
    gets(&mut ada, 1).await;
    line.half_open();
    assert_eq!(next(&mut ada).await, "dropped: nothing arrived for the pong timeout");
    assert_eq!(next(&mut ada).await, "restored");
    line.set_dials(Dials::Refused);
    line.cut();
    assert_eq!(next(&mut ada).await, "dropped: connection reset");
    for n in 2..=8 {
        server.broadcast("room", &secret(n)).unwrap();
        gets(&mut ben, 1).await;
    }
    line.set_dials(Dials::Served);
    assert_eq!(next(&mut ada).await, "restored");
    assert_eq!(next(&mut ada).await, "gap 2-4");
    gets(&mut ada, 4).await;
    server.kick("ada").await.unwrap();
    assert_eq!(next(&mut ada).await, "closed: closed by the server with 1000 kicked");
    ben.send(&secret(9)).unwrap();
    assert_eq!(ben.close().await.unacknowledged, 0);
    server.shutdown(Duration::from_secs(5)).await;

    let lines = tape.lines();
    let remote = r#"mode=Session codec="json" remote_addr=None"#;
    let told = of_session(&lines, "ada");
    let (closed, told) = told.split_last().unwrap();
    assert_eq!(
        told,
        [
            &format!("session opened {remote}"),
            "socket dropped why=taken over by another socket",
            "socket attached, session continues",
            "socket dropped why=connection reset",
            "frames dropped frames=1",
            "frames dropped frames=1",
            "frames dropped frames=1",
            "socket attached, session continues",
            "gap reported to peer frames=3",
        ]
    );
    assert!(closed.starts_with(r#"session closed id="ada" room="room" reason=kicked lived="#), "{closed}");
    assert!(closed.ends_with(" unacknowledged=0 lost_sockets=2 resumed=2"), "{closed}");
    assert!(closed.contains(" received=1 sent=5 replayed=0 dropped=3 "), "{closed}");
    let told = of_session(&lines, "ben");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], format!("session opened {remote}"));
    let closed = r#"session closed id="ben" room="room" reason=closed by the peer lived="#;
    assert!(told[1].starts_with(closed), "{}", told[1]);
    // Whatever the task of a session says is in its span.
    for line in lines.iter().filter(|line| line.contains("rejoin_server::observe::reporter")) {
        assert!(line.contains("session{id="), "{line}");
    }
    let client_says =
        |text: &str| lines.iter().any(|line| line.contains("connection{host=") && line.contains(text));
    for text in ["connected", "socket dropped why=", "session resumed", "connection closed reason="] {
        assert!(client_says(text), "{text}");
    }
    assert_no_secret(&tape, &wire, 4);
}

/// Neither a token nor a payload nor a query is logged.
fn assert_no_secret(tape: &Tape, wire: &Tape, openings: usize) {
    let (tokens, text) = (tokens(wire), tape.text());
    assert!(tokens.len() >= openings, "{tokens:?}");
    for secret in tokens.iter().map(String::as_str).chain([SECRET, "auth="]) {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_without_the_token_even_where_the_application_quotes_it() {
    let (tape, _guard) = capture("trace");
    let wire = Tape::default();
    let (sender, refuses) = tokio::sync::watch::channel(None);
    let (builder, mut log) = Recorder::of(Server::builder(move |request: ConnectRequest| {
        let status: Option<StatusCode> = *refuses.borrow();
        async move {
            let offers = request.header("sec-websocket-protocol").unwrap_or_default().to_owned();
            match status {
                None => Ok(Identity::new().with_room("room").with_id("ada")),
                Some(status) => Err(Reject::new(status, format!("not with {offers}"))),
            }
        }
    }));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let mut ada = client(&line, "ada", &wire).await;
    log.connected().await;
    sender.send_replace(Some(StatusCode::SERVICE_UNAVAILABLE));
    line.cut();
    assert_eq!(next(&mut ada).await, "dropped: connection reset");
    assert_eq!(next(&mut ada).await, "refused: 503");
    sender.send_replace(Some(StatusCode::FORBIDDEN));
    assert_eq!(next(&mut ada).await, "refused: 403");
    let closed = next(&mut ada).await;
    assert!(
        closed.starts_with("closed: reconnect refused: server answered with http status 403"),
        "{closed}"
    );
    let offers = "rejoin.v1.json, rejoin.resume.[token].0";
    let text = tape.text();
    for status in [503, 403] {
        let line = format!(
            r#"INFO rejoin_server::accept::decide: upgrade refused status={status} path="/" why=not with {offers}"#
        );
        assert!(text.contains(&line), "{line} in\n{text}");
    }
    assert!(text.contains("giving up: the refusal is final status=403"), "{text}");
    assert_no_secret(&tape, &wire, 1);
}

#[tokio::test]
async fn operator_sees_addresses_refusals_and_shutdown_at_info() {
    let (tape, _guard) = capture("info");
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
    // Another one within the same second.
    ask("origin: https://b.test\r\n").await;
    let wrong = ask("content-length: 3\r\n").await;
    server.shutdown(Duration::from_secs(5)).await;
    let refused = r#"rejoin_server::accept::decide: upgrade refused status="#;
    assert_eq!(
        tape.lines().iter().map(|line| line.trim_start()).collect::<Vec<_>>(),
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
    let (tape, _guard) = capture("info");
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
    let text = tape.text();
    let told: Vec<_> = text.lines().filter(|line| line.contains("resume refused")).map(str::trim).collect();
    assert_eq!(told, expected);
    for secret in [&*token, &unknown, SECRET, "auth="] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_path_is_logged_up_to_200_characters() {
    let (tape, _guard) = capture("info");
    let server = Server::builder(harness::connect).build().unwrap();
    for length in [199, 200, 201, 1000] {
        let path = format!("/{}", "p".repeat(length - 1));
        let mut io = Line::to(&server).dial().unwrap();
        io.write_all(format!("POST {path} HTTP/1.1\r\nhost: a.test\r\n\r\n").as_bytes()).await.unwrap();
        io.read_to_string(&mut String::new()).await.unwrap();
        let line = tape.lines().pop().unwrap();
        let expected = format!(r#"refused status=405 path="{}" why="#, &path[..length.min(200)]);
        assert!(line.contains(&expected), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_told_by_both_sides() {
    let (tape, _guard) = capture("debug");
    let wire = Tape::default();
    let (old, _old_log) = harness::builder();
    let (new, mut log) = harness::builder();
    let (old, new) = (old.build().unwrap(), new.build().unwrap());
    let line = Line::to(&old);
    let mut ada = client(&line, "ada", &wire).await;
    line.lead_to(&new);
    line.cut();
    assert_eq!(next(&mut ada).await, "dropped: connection reset");
    assert_eq!(next(&mut ada).await, "lost unknown []");
    log.connected().await;
    let text = tape.text();
    assert!(text.contains(r#"resume refused path="/" why=unknown"#), "{text}");
    assert!(text.contains(r#"session lost, a fresh one is open id="ada" lost=Some(Unknown)"#), "{text}");
    assert_no_secret(&tape, &wire, 2);
}

#[tokio::test(start_paused = true)]
async fn at_info_an_operator_sees_the_end_of_each_session_and_of_the_server() {
    let (tape, _guard) = capture("info");
    let (builder, mut log) = harness::builder();
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let wire = Tape::default();
    let _ada = client(&line, "ada", &wire).await;
    log.connected().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.shutdown(Duration::from_secs(5)).await, 0);
    let lines = tape.lines();
    let expected = [
        "INFO rejoin_server::server: shutting down sessions=1 deadline=5s",
        r#"INFO rejoin_server::observe::reporter: session closed id="ada" room="room" reason=server shut down lived=3s received=0 sent=0 replayed=0 dropped=0 unacknowledged=0 lost_sockets=0 resumed=0"#,
        "INFO rejoin_server::server: shut down dropped=0",
    ];
    let told: Vec<_> =
        lines.iter().map(|line| line.trim()).filter(|line| line.contains("rejoin_server")).collect();
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn evictions_of_a_burst_are_told_in_one_line() {
    let (tape, _guard) = capture("warn");
    let (builder, mut log) = harness::builder();
    let server = builder.max_retained_bytes(40_000).build().unwrap();
    let wire = Tape::default();
    let mut away = Vec::new();
    for id in ["a", "b", "c"] {
        let line = Line::to(&server);
        let client = client(&line, id, &wire).await;
        log.connected().await;
        line.set_dials(Dials::Refused);
        line.cut();
        assert_eq!(log.next().await, format!("{id} dropped: connection reset"));
        away.push((client, line));
    }
    let big = |size: usize| Frame::new("big", &"x".repeat(size)).unwrap();
    for id in ["a", "b", "c"] {
        server.send(id, &big(10_000)).unwrap();
    }
    // The two oldest give way for one frame.
    server.send("c", &big(25_000)).unwrap();
    assert_eq!(tape.lines(), Vec::<String>::new(), "the burst goes on");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let expected = "evicted=2 limit=40000";
    let lines = tape.lines();
    assert!(lines.len() == 1 && lines[0].ends_with(expected), "{lines:?}");
    // A burst of one, and a server that does not wait for its end.
    server.broadcast("room", &big(30_000)).unwrap();
    tokio::task::yield_now().await;
    server.shutdown(Duration::from_secs(5)).await;
    let lines = tape.lines();
    assert!(lines.len() == 2 && lines[1].ends_with("evicted=1 limit=40000"), "{lines:?}");
    drop(away);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_with_the_id_where_only_errors_are_wanted() {
    let (tape, _guard) = capture("error");
    let server = Server::builder(harness::connect)
        .on_message(|_: Connection, _| async { panic!("cannot read {SECRET}") })
        .build()
        .unwrap();
    let line = Line::to(&server);
    let wire = Tape::default();
    let ada = client(&line, "ada", &wire).await;
    let connection = server.connection("ada").unwrap();
    line.set_dials(Dials::Refused);
    ada.send(&secret(1)).unwrap();
    connection.closed().await;
    let expected = r#"ERROR rejoin_server::session::task: handler panicked id="ada" which="message""#;
    assert_eq!(tape.lines(), [expected]);
    assert_no_secret(&tape, &wire, 1);
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_the_clients_own_is_told_at_debug() {
    let (tape, _guard) = capture("debug");
    let (builder, mut log) = harness::builder();
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let builder = line.client("/?id=ada").send_buffer(2).overflow(rejoin_client::Overflow::DropOldest);
    let mut ada = builder.connect().await.unwrap();
    log.connected().await;
    line.set_dials(Dials::Refused);
    line.cut();
    assert_eq!(next(&mut ada).await, "dropped: connection reset");
    for n in 1..=5 {
        ada.send(&secret(n)).unwrap();
    }
    line.set_dials(Dials::Served);
    while !log.next().await.starts_with("ada gap 1-3") {}
    let lines = of_session(&tape.lines(), "ada");
    assert!(lines.contains(&"peer reports a gap from=1 to=3".to_owned()), "{lines:?}");
}

/// Counts nothing, and panics where it is told to.
struct Hooks {
    panics: bool,
}

impl rejoin_server::Metrics for Hooks {
    fn connection_opened(&self) {
        assert!(!self.panics, "on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_logged_where_it_panics_and_a_gap_where_there_is_one() {
    for panics in [false, true] {
        let (tape, _guard) = capture("debug");
        let (builder, mut log) = harness::builder();
        let server = builder.metrics(Hooks { panics }).send_buffer(2).build().unwrap();
        let line = Line::to(&server);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        assert_eq!(log.next().await, "ada connected");
        server.broadcast("room", &secret(1)).unwrap();
        assert!(next(&mut ada).await.starts_with("message secret"));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let text = tape.text();
        assert_eq!(text.contains("metrics hook panicked"), panics, "{text}");
        assert!(!text.contains("gap reported"), "{text}");

        line.set_dials(Dials::Refused);
        line.cut();
        assert_eq!(log.next().await, "ada dropped: connection reset");
        for n in 2..=4 {
            server.broadcast("room", &secret(n)).unwrap();
        }
        line.set_dials(Dials::Served);
        while !next(&mut ada).await.starts_with("gap") {}
        let text = tape.text();
        assert!(
            text.lines().any(|line| line.contains("gap reported") && line.contains("frames=1")),
            "{text}"
        );
    }
}
