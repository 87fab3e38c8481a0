//! A server that follows the script of a test: one upgrade, one message at a time.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rejoin_client::{Client, ClientBuilder, CloseReason, Connection, Event, Frame, Refusal};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

/// The offer of a client that accepts 1 MiB, the default.
pub(crate) const MAX: &str = "rejoin.max.1048576";

pub(crate) const TOKEN: &str = "token-of-the-first-session";
pub(crate) const OTHER_TOKEN: &str = "token-of-another-session-1";

/// Where the client's dials arrive.
pub(crate) struct Listener {
    dials: mpsc::UnboundedReceiver<DuplexStream>,
}

/// A client builder whose dials arrive at the listener; once that is dropped, they are refused.
pub(crate) fn client() -> (ClientBuilder, Listener) {
    let (sender, dials) = mpsc::unbounded_channel();
    let builder = Client::builder("ws://server.test/ws").seed(1).connector(move || {
        let sender = sender.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            sender.send(theirs).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(ours)
        }
    });
    (builder, Listener { dials })
}

/// A connection whose first session is open, and its first socket.
pub(crate) async fn connected(builder: ClientBuilder, listener: &mut Listener) -> (Connection, Socket) {
    let (connection, socket) = tokio::join!(builder.connect(), async {
        let mut socket = listener.request().await.accept().await;
        socket.open(TOKEN, false, 0).await;
        socket
    });
    (connection.unwrap(), socket)
}

/// A connection whose session is open, and whose first socket is lost.
pub(crate) async fn disconnected(builder: ClientBuilder, listener: &mut Listener) -> Connection {
    let (mut connection, socket) = connected(builder, listener).await;
    drop(socket);
    expect_disconnected(&mut connection).await;
    connection
}

impl Listener {
    /// Accepts the next dial and resumes the session. The server has received this many of its frames.
    pub(crate) async fn resume(&mut self, received: u64) -> Socket {
        let mut socket = self.request().await.accept().await;
        socket.open(TOKEN, true, received).await;
        socket
    }

    /// The next upgrade that the client asks for.
    pub(crate) async fn request(&mut self) -> Request {
        Request::read(self.dials.recv().await.expect("the client dials")).await
    }

    /// A dial that is never answered.
    pub(crate) async fn swallow(&mut self) -> DuplexStream {
        self.dials.recv().await.expect("the client dials")
    }

    /// Whether the client has dialled and was not served.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.dials.try_recv().is_err()
    }
}

/// An upgrade that was asked for.
pub(crate) struct Request {
    io: DuplexStream,
    pub(crate) head: String,
}

impl Request {
    /// A stream, and the request that was read from it.
    pub(crate) fn over_a_pair() -> (DuplexStream, impl Future<Output = Self>) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        (theirs, Self::read(ours))
    }

    async fn read(mut io: DuplexStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.unwrap());
        }
        Self { io, head: String::from_utf8(head).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn offers(&self) -> Vec<&str> {
        self.header("Sec-WebSocket-Protocol").map_or_else(Vec::new, |value| value.split(", ").collect())
    }

    /// Accepts, and selects the first subprotocol.
    pub(crate) async fn accept(self) -> Socket {
        let selected = self.offers().first().map(|first| (*first).to_owned());
        self.accept_selecting(selected.as_deref()).await
    }

    pub(crate) async fn accept_selecting(mut self, subprotocol: Option<&str>) -> Socket {
        let answer = self.upgrade(subprotocol, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
        self.answer(&answer).await;
        self.socket().await
    }

    /// An answer that accepts, with these headers beside those that it computes.
    pub(crate) fn upgrade(&self, subprotocol: Option<&str>, headers: &str) -> String {
        let accept = derive_accept_key(self.header("Sec-WebSocket-Key").unwrap().as_bytes());
        let mut answer =
            format!("HTTP/1.1 101 Switching Protocols\r\n{headers}Sec-WebSocket-Accept: {accept}\r\n");
        if let Some(subprotocol) = subprotocol {
            answer += &format!("Sec-WebSocket-Protocol: {subprotocol}\r\n");
        }
        answer + "\r\n"
    }

    /// The server's end of the WebSocket, once the answer was sent.
    pub(crate) async fn socket(self) -> Socket {
        Socket(WebSocketStream::from_raw_socket(self.io, Role::Server, None).await)
    }

    pub(crate) async fn refuse(mut self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        self.answer(&answer).await;
    }

    pub(crate) async fn answer(&mut self, answer: &str) {
        // A client that has read enough hangs up.
        self.io.write_all(answer.as_bytes()).await.ok();
    }
}

/// The server's end of a WebSocket. Dropped, it is cut without a close frame.
pub(crate) struct Socket(WebSocketStream<DuplexStream>);

impl Socket {
    pub(crate) async fn open(&mut self, token: &str, resumed: bool, received: u64) {
        self.open_with(json!({
            "session": token, "id": "me", "room": "here", "resumed": resumed, "received": received,
            "window_ms": 30_000, "buffer": 256,
        }))
        .await;
    }

    pub(crate) async fn open_with(&mut self, open: Value) {
        self.say("$open", open).await;
    }

    pub(crate) async fn say(&mut self, event: &str, payload: Value) {
        self.text(&json!({ "event": event, "payload": payload }).to_string()).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Bytes of the stream itself, between messages.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &str) {
        self.0.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await.unwrap();
    }

    /// The next message but pings; `None` when the socket has ended.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return Some(message),
            }
        }
    }

    /// The next frame, as its event and payload.
    pub(crate) async fn hear(&mut self) -> (String, Value) {
        let message = self.message().await.expect("the socket is open");
        let mut frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        (frame["event"].as_str().unwrap_or_default().to_owned(), frame["payload"].take())
    }

    /// The next data frames, as the numbers that they carry.
    pub(crate) async fn hear_numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (event, payload) = self.hear().await;
            if !event.starts_with('$') {
                numbers.push(payload.as_u64().unwrap());
            }
        }
        numbers
    }

    /// The close code that comes, after whatever comes before it; it is answered.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        self.close_frame().await.map(|(code, _)| code)
    }

    /// The close code and reason, likewise.
    pub(crate) async fn close_frame(&mut self) -> Option<(u16, String)> {
        loop {
            if let Message::Close(frame) = self.message().await? {
                // The answer is queued already.
                self.0.flush().await.ok();
                return frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
            }
        }
    }
}

pub(crate) fn number(n: u64) -> Frame {
    Frame::new("n", &n).unwrap()
}

pub(crate) async fn next_number(connection: &mut Connection) -> u64 {
    match connection.recv().await {
        Some(Event::Message(frame)) => frame.decode().unwrap(),
        other => panic!("no message: {other:?}"),
    }
}

pub(crate) async fn expect_disconnected(connection: &mut Connection) {
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Disconnected { .. })), "{event:?}");
}

pub(crate) async fn expect_refused(connection: &mut Connection) -> Refusal {
    match connection.recv().await {
        Some(Event::Refused(refusal)) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

pub(crate) async fn expect_reconnected(connection: &mut Connection) {
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Reconnected { resumed: true })), "{event:?}");
}

/// Connected again, and the session was not resumed.
pub(crate) async fn expect_fresh(connection: &mut Connection) {
    let event = connection.recv().await;
    assert!(matches!(event, Some(Event::Reconnected { resumed: false })), "{event:?}");
}

pub(crate) async fn expect_closed(connection: &mut Connection) -> CloseReason {
    let event = tokio::time::timeout(secs(3600), connection.recv()).await.expect("the connection ends");
    let Some(Event::Closed(closed)) = event else { panic!("{event:?}") };
    assert!(connection.recv().await.is_none(), "the end comes once and last");
    closed.reason
}

/// The connection has ended, and the client has stopped dialling.
pub(crate) async fn expect_quiet(connection: &Connection, listener: &mut Listener) {
    connection.closed().await;
    tokio::time::sleep(secs(3600)).await;
    assert!(listener.is_idle());
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
