//! Three members of a room that speak three codecs: a browser's page JSON, a Rust client MessagePack, and a Python client,
//! made by protoc from `frame.proto` alone, Protobuf. Each sends every value of `images.json` that it can say, and checks
//! what comes from the others, and from itself, against that table.
//!
//! Needs Chromium and its driver, protoc, and Python 3 with Protobuf:
//! `apt-get install chromium chromium-driver protobuf-compiler python3-protobuf`.

#![cfg(unix)] // ends browsers by their process group

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use rejoin_client::{Client, Connection, Event, Frame, Payload, PayloadFormat};
use rejoin_server::{Identity, JsonCodec, MsgpackCodec, ProtobufCodec, Server};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

mod browser;
use browser::{Driver, PATIENCE};

const INSTALL: &str = "this test needs protoc, and Python 3.11 or later with its Protobuf: \
     apt-get install protobuf-compiler python3-protobuf";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_codecs_exchange_every_value_in_one_room() {
    let table: Table = serde_json::from_str(TABLE).expect("the table is JSON of this shape");
    let driver = Driver::start().await;
    let port = start_server().await;

    let mut python = Python::start(port).await;
    let page = driver.open("page").await;
    page.goto(&format!("http://127.0.0.1:{port}/")).await.expect("the page loads");
    sees(&page, "state", json!("open")).await;
    let mut rust = Client::builder(format!("ws://127.0.0.1:{port}/ws")).codec(MsgpackCodec).connect().await;
    let rust = rust.as_mut().expect("the Rust client connects");

    // All three at once, each in its own order.
    python.go().await;
    page.execute("member.send()", vec![]).await.expect("the page sends");
    for (id, payload) in table.said_by_rust() {
        rust.send(&Frame::event_only("value").with_id(id).with_payload(payload)).expect("room for all of it");
    }
    receives_all(rust, &table).await;
    assert_eq!(python.report().await, json!({"received": table.total(), "wrong": []}));
    sees(&page, "state", json!("done")).await;
    sees(&page, "wrong", json!([])).await;
    sees(&page, "received", json!(table.total())).await;
}

/// The page's `member[name]` becomes this.
async fn sees(page: &fantoccini::Client, name: &str, expected: Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let member = page.execute("return window.member ?? {}", vec![]).await.expect("the page answers");
        if member[name] == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{name} of the page does not become {expected}: {member}");
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
}

/// A room that repeats to all what anybody says, and the page.
async fn start_server() -> u16 {
    let server = Server::builder(|_| async { Ok(Identity::new().with_room("room")) })
        .codec(JsonCodec)
        .codec(MsgpackCodec)
        .codec(ProtobufCodec)
        .send_buffer(1024)
        .on_message(|connection, frame| async move {
            connection.broadcast(&frame).expect("there is an image for somebody");
        });
    let server = server.build().expect("the options are in their ranges");
    let file = |kind, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
    let router = Router::new()
        .route("/", file("text/html", include_str!("codecs_in_one_room/page.html")))
        .route("/page.js", file("text/javascript", include_str!("codecs_in_one_room/page.js")))
        .route("/images.json", file("application/json", TABLE))
        .route_service("/ws", server.service());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

// ---- the table

const TABLE: &str = include_str!("codecs_in_one_room/images.json");

/// Values and their images: what is said as `json` arrives as `msgpack`, and so on. Protobuf has an image of everything, the
/// same bytes. MessagePack and bytes are written in hexadecimal digits; `null` is no image.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    json: Vec<JsonRow>,
    msgpack: Vec<MsgpackRow>,
    bytes: Vec<BytesRow>,
}

/// What the page and the Python client can say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    #[serde(rename = "json")]
    _json: String,
    msgpack: Option<String>,
}

/// What the Rust and the Python client can say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MsgpackRow {
    msgpack: String,
    #[serde(rename = "json")]
    _json: Option<String>,
}

/// The same; it arrives as bytes at both.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BytesRow {
    bytes: String,
    #[serde(rename = "json")]
    _json: String,
}

impl Table {
    /// Everybody says two formats of the three or all: so each value crosses the room twice.
    fn total(&self) -> usize {
        2 * (self.json.len() + self.msgpack.len() + self.bytes.len())
    }

    fn said_by_rust(&self) -> Vec<(String, Payload)> {
        [self.msgpack_of("rust"), self.bytes_of("rust")].concat()
    }

    /// What a member of the codec `msgpack` gets from each of the three: ids and payloads.
    fn images_in_msgpack(&self) -> [(&'static str, VecDeque<(String, Payload)>); 3] {
        [
            ("page", self.json_of("page").into()),
            ("rust", self.said_by_rust().into()),
            (
                "python",
                [self.json_of("python"), self.msgpack_of("python"), self.bytes_of("python")].concat().into(),
            ),
        ]
    }

    fn json_of(&self, sender: &str) -> Vec<(String, Payload)> {
        let rows = self.json.iter().enumerate();
        rows.filter_map(|(n, row)| Some((format!("{sender}-json-{n}"), msgpack(row.msgpack.as_deref()?))))
            .collect()
    }

    fn msgpack_of(&self, sender: &str) -> Vec<(String, Payload)> {
        let rows = self.msgpack.iter().enumerate();
        rows.map(|(n, row)| (format!("{sender}-msgpack-{n}"), msgpack(&row.msgpack))).collect()
    }

    fn bytes_of(&self, sender: &str) -> Vec<(String, Payload)> {
        let rows = self.bytes.iter().enumerate();
        rows.map(|(n, row)| (format!("{sender}-bytes-{n}"), Payload::bytes(hex(&row.bytes)))).collect()
    }
}

fn msgpack(digits: &str) -> Payload {
    Payload::from_parts(PayloadFormat::Msgpack, hex(digits))
}

fn hex(digits: &str) -> Bytes {
    let digits: Vec<char> = digits.chars().filter(|digit| *digit != ' ').collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("hexadecimal digits")).collect()
}

// ---- the Rust client

async fn receives_all(rust: &mut Connection, table: &Table) {
    let mut expected = table.images_in_msgpack();
    let present: usize = expected.iter().map(|(_, images)| images.len()).sum();
    let (mut received, mut missed) = (0, 0);
    while received + missed < table.total() {
        match timeout(PATIENCE, rust.recv()).await.expect("more is to come") {
            Some(Event::Message(frame)) => {
                received += 1;
                let from = expected.iter_mut().find(|(sender, _)| frame.id().starts_with(sender));
                let next = from.and_then(|(_, images)| images.pop_front());
                let (id, payload) = next.unwrap_or_else(|| panic!("unexpected: {frame:?}"));
                assert_eq!((frame.id(), frame.event()), (&*id, "value"));
                let got = frame.payload().expect("a payload");
                let (shown, wanted) = (got.data().escape_ascii(), payload.data().escape_ascii());
                assert!(got == &payload, "{id}: {} {shown}, not {} {wanted}", got.format(), payload.format());
            }
            Some(Event::Gap(gap)) => missed += (gap.to - gap.from + 1) as usize,
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert_eq!((received, missed), (present, table.total() - present));
}

// ---- the Python client

struct Python {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Python {
    async fn start(port: u16) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let generated = generate_python(&tests.join("../codecs/proto")).await;
        let path = std::env::join_paths([&generated, &tests.join("interop")]).expect("paths without colons");
        let mut process = Command::new(find_python().await)
            .arg("-B")
            .arg(tests.join("tests/codecs_in_one_room/client.py"))
            .arg(port.to_string())
            .arg(tests.join("tests/codecs_in_one_room/images.json"))
            .env("PYTHONPATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut python = Self { _process: process, input, output };
        assert_eq!(python.line().await, "open");
        python
    }

    async fn go(&mut self) {
        self.input.write_all(b"go\n").await.expect("Python reads");
    }

    async fn report(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("the report is JSON")
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("Python says something in time");
        line.expect("text").expect("the Python client has failed; its stderr says why")
    }
}

/// Returns the folder with `rejoin/v1/frame_pb2.py`.
async fn generate_python(schemas: &Path) -> PathBuf {
    let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join("frame_pb2");
    std::fs::create_dir_all(&generated).expect("a folder");
    let mut protoc = Command::new("protoc");
    protoc.arg("-I").arg(schemas).arg("--python_out").arg(&generated).arg("rejoin/v1/frame.proto");
    let status = protoc.status().await.unwrap_or_else(|error| panic!("{INSTALL}\nprotoc: {error}"));
    assert!(status.success(), "protoc: {status}");
    generated
}

/// The first Python that has Protobuf: Debian's own need not be the first in the PATH.
async fn find_python() -> &'static str {
    for python in ["python3", "/usr/bin/python3"] {
        let mut asks = Command::new(python);
        asks.args(["-c", "import google.protobuf"]).stderr(Stdio::null());
        if asks.status().await.is_ok_and(|status| status.success()) {
            return python;
        }
    }
    panic!("{INSTALL}");
}
