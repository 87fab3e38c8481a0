//! The examples behave as their headers show: the test plays each header's transcript, and compares the output line by line.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use rejoin_client::{Client, DropReason, Event};
use rejoin_examples::auth::token::Signer;
use rejoin_examples::{auth, axum_mount, client, drain};
use rejoin_server::Pace;
use rejoin_tests::harness::within;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

#[tokio::test]
async fn auth_accepts_tokens_and_explains_refusals() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let signer = Arc::new(Signer::random().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(auth::serve(listener, signer.clone(), async { drop(stopped.await) }));
    let mut seen = Vec::new();
    within("the tour", auth::tour::tour(addr, &signer, |line| seen.push(line))).await.unwrap();
    assert_eq!(seen, transcript(include_str!("../../examples/auth/main.rs")));
    drop(stop);
    within("the end of the server", server).await.unwrap().unwrap();
}

#[tokio::test]
async fn client_reconnects_after_a_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cable = Cable::to(listener.local_addr().unwrap()).await;
    tokio::spawn(rejoin_chat::serve(listener, None, std::future::pending()));
    let mut terminal = Terminal::start(format!("ws://{}/ws?room=lobby&name=Ada", cable.addr));
    for line in transcript(include_str!("../../examples/client/main.rs")) {
        match line {
            "(Ctrl-C ends socat)" => cable.cut(),
            "(socat is started again, within 30 s)" => cable.mend(),
            line => terminal.play(line).await,
        }
    }
    terminal.ends().await;
}

#[tokio::test]
async fn readme_client_prints_what_happens() {
    let mut server = Program::start(env!("CARGO_BIN_EXE_readme-server"), None);
    let cable = Cable::to(listening(&server.next().await)).await;
    let url = format!("ws://{}/?room=lobby", cable.addr);
    let mut client = Program::start(env!("CARGO_BIN_EXE_readme-client"), Some(url));
    assert_eq!(client.next().await, "chat.message: hello");
    cable.cut();
    let line = client.next().await;
    assert!(line.starts_with("offline: "), "{line}");
    cable.mend();
    assert_eq!(client.next().await, "online again");

    // Restarts the server. Whether the old one had received the message is known if it acknowledged it in time.
    server.process.kill().await.unwrap();
    let line = client.next().await;
    assert!(line.starts_with("offline: "), "{line}");
    let mut server = Program::start(env!("CARGO_BIN_EXE_readme-server"), None);
    cable.lead_to(listening(&server.next().await));
    let line = client.next().await;
    assert!(["0 frames may be lost", "1 frames may be lost"].contains(&&*line), "{line}");
    assert_eq!(client.next().await, "online again");

    // Then another program listens there, which refuses the client.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    cable.lead_to(other.local_addr().unwrap());
    server.process.kill().await.unwrap();
    let line = client.next().await;
    assert!(line.starts_with("offline: "), "{line}");
    let mut dial = within("a dial", other.accept()).await.unwrap().0;
    dial.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let line = client.next().await;
    assert!(line.starts_with("over: ") && line.contains("403"), "{line}");
    let status = within("the end of the client", client.process.wait()).await.unwrap();
    assert!(status.success(), "{status}");
}

/// The address in the line that the README's server prints.
fn listening(line: &str) -> SocketAddr {
    line.strip_prefix("listening on ").and_then(|addr| addr.parse().ok()).expect("an address")
}

#[tokio::test]
async fn axum_mount_announces_and_shuts_down_together() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut app = Some((stop, tokio::spawn(axum_mount::serve(listener, async { drop(stopped.await) }))));
    let mut terminal = Terminal::start(format!("ws://{addr}/rooms/lobby/ws"));
    let mut lines = transcript(include_str!("../../examples/axum_mount/main.rs")).into_iter();
    while let Some(line) = lines.next() {
        if let Some(command) = line.strip_prefix("$ curl ") {
            let answer = within(command, curl(addr, command)).await;
            let expected = lines.next().expect("an answer to each command");
            assert_eq!(terminal.mask(answer.trim_end()), expected, "{command}");
        } else if line.starts_with("(Ctrl-C ends the app") {
            let (stop, app) = app.take().expect("it ends once");
            drop(stop);
            assert_eq!(within("the end of the app", app).await.unwrap().unwrap(), 0, "{line}");
            assert!(TcpStream::connect(addr).await.is_err(), "the listener is closed");
        } else {
            terminal.play(line).await;
        }
    }
    terminal.ends().await;
}

#[tokio::test]
async fn drain_example_sends_clients_away_before_it_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = tokio::spawn(drain::serve(listener, Pace::default(), async { drop(stopped.await) }));
    let probe = async |path: &str| {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let ready = probe("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains(r#""state":"running""#), "{ready}");
    assert!(probe("/livez").await.starts_with("HTTP/1.1 200 "));
    let mut client = Client::builder(format!("ws://{addr}/ws")).no_reconnect().connect().await.unwrap();
    drop(stop);
    let event = within("the end of the socket", client.recv()).await;
    let Some(Event::Disconnected { reason: DropReason::Closed(Some(frame)), .. }) = event else {
        panic!("{event:?}")
    };
    assert_eq!((frame.code, &*frame.reason), (1012, "retry in 500 ms"));
    assert_eq!(within("the end of the app", app).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn axum_mount_finishes_pending_request_when_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = tokio::spawn(axum_mount::serve(listener, async { drop(stopped.await) }));
    let mut request = TcpStream::connect(addr).await.unwrap();
    let head =
        "POST /rooms/lobby/announce HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n";
    request.write_all(head.as_bytes()).await.unwrap();
    // The handler now waits for the body.
    let mut go_on = [0; 25];
    within("leave to go on", request.read_exact(&mut go_on)).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go_on));
    drop(stop);
    request.write_all(b"Lunch!").await.unwrap();
    let mut answer = String::new();
    within("the answer", request.read_to_string(&mut answer)).await.unwrap();
    // The sessions may have been closed before or after the body arrived.
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(within("the end of the app", app).await.unwrap().unwrap(), 0);
}

/// The README's first command compiles fewer crates than the other examples: 66 without the store in a directory, which has 31 of its
/// own. It is what the example shows, and they are small.
#[test]
fn chat_compiles_few_crates() {
    let crates = |package: &str| {
        let tree =
            ["tree", "--locked", "--offline", "--edges=normal,build", "--prefix=none", "--package", package];
        let output = std::process::Command::new(env!("CARGO")).args(tree).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let lines: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        lines.len()
    };
    let (chat, all) = (crates("rejoin-chat"), crates("rejoin-examples"));
    assert!(chat <= 97, "the chat needs {chat} crates");
    assert!(chat < all * 6 / 10, "the chat needs {chat} crates, the other examples {all}");
}

/// The lines in a header's ```` ```text ```` block.
fn transcript(source: &str) -> Vec<&str> {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let lines: Vec<_> =
        lines.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```").collect();
    assert!(lines.len() > 5, "no transcript");
    lines
}

/// The example `client` with its input and output.
struct Terminal {
    typed: Option<mpsc::Sender<String>>,
    printed: mpsc::UnboundedReceiver<String>,
    client: JoinHandle<Result<(), rejoin_client::ConnectError>>,
    /// The connection's ID, which differs in each run.
    id: Option<String>,
}

impl Terminal {
    fn start(url: String) -> Self {
        let (typed, lines) = mpsc::channel(1);
        let (print, printed) = mpsc::unbounded_channel();
        let client = tokio::spawn(async move {
            let print = move |line| drop(print.send(line));
            client::run(&url, None, lines, print).await
        });
        Self { typed: Some(typed), printed, client, id: None }
    }

    /// Types a line of the transcript, or waits for it.
    async fn play(&mut self, line: &str) {
        if line == "(Ctrl-D)" {
            self.typed = None;
        } else if let Some(typed) = line.strip_prefix('>') {
            let terminal = self.typed.as_ref().expect("it is open");
            terminal.send(typed.trim().into()).await.expect("the client takes lines");
        } else {
            let printed = within(line, self.printed.recv())
                .await
                .unwrap_or_else(|| panic!("the output ended before: {line}"));
            if self.id.is_none() {
                self.id = printed.split_whitespace().nth(2).map(Into::into);
            }
            let printed = match line.strip_suffix("{…}") {
                Some(event) if printed.starts_with(event) && printed.ends_with('}') => line.to_owned(),
                _ => self.mask(&printed),
            };
            assert_eq!(printed, line);
        }
    }

    /// Masks values that differ in each run.
    fn mask(&self, text: &str) -> String {
        let mut text = text.replace(self.id.as_deref().expect("it is known"), "ID");
        if let Some(at) = text.find("127.0.0.1:") {
            let port = at + "127.0.0.1:".len();
            let digits = text[port..].bytes().take_while(u8::is_ascii_digit).count();
            text.replace_range(port..port + digits, "PORT");
        }
        text
    }

    async fn ends(mut self) {
        within("the end of the client", self.client).await.unwrap().unwrap();
        assert_eq!(self.printed.recv().await, None, "nothing more is printed");
    }
}

/// Sends the request of a curl command line `[-d 'BODY'] URL`; only the URL's path is used.
async fn curl(addr: SocketAddr, command: &str) -> String {
    let (rest, url) = command.rsplit_once(' ').unwrap_or(("", command));
    let path = url.strip_prefix("http://127.0.0.1:8082").expect("a URL of the app");
    let request = match rest.strip_prefix("-d ") {
        None => format!("GET {path} HTTP/1.0\r\n\r\n"),
        Some(body) => {
            let body = body.trim_matches('\'');
            format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
    };
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    body.to_owned()
}

/// A program in its own process, which ends when this is dropped.
struct Program {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(program: &str, argument: Option<String>) -> Self {
        let mut command = Command::new(program);
        let command = command.args(argument).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, output }
    }

    /// Reads the next line of its output.
    async fn next(&mut self) -> String {
        within("a line", self.output.next_line()).await.unwrap().expect("the program has not ended")
    }
}

/// A connection to a server that can be cut and repaired.
struct Cable {
    addr: SocketAddr,
    whole: watch::Sender<bool>,
    server: watch::Sender<SocketAddr>,
}

impl Cable {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (whole, server) = (watch::Sender::new(true), watch::Sender::new(server));
        let (state, leads_to) = (whole.subscribe(), server.subscribe());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut state = state.clone();
                let server = *leads_to.borrow();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = state.wait_for(|whole| !whole) => {}
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    }
                });
            }
        });
        Self { addr, whole, server }
    }

    /// Connects later dials to another server.
    fn lead_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    fn cut(&self) {
        self.whole.send_replace(false);
    }

    fn mend(&self) {
        self.whole.send_replace(true);
    }
}
