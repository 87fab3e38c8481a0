//! [`ScriptedServer`]: the other end of each dial, as bytes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use crate::stream::BoxIo;

use super::log::EventLog;

/// More than any vector writes at once: writes never wait.
const CAPACITY: usize = 4 << 20;

/// Sockets in the order of their dials.
#[derive(Clone)]
pub(super) struct ScriptedServer {
    log: EventLog,
    sockets: Arc<Mutex<Vec<Arc<ScriptedSocket>>>>,
}

/// The server's end of one dial.
pub(super) struct ScriptedSocket {
    writer: tokio::sync::Mutex<Option<WriteHalf<DuplexStream>>>,
    state: Mutex<ScriptState>,
}

#[derive(Default)]
struct ScriptState {
    key: String,
    accepted: bool,
    /// A close frame has arrived, or the vector has ended the socket: its end is no news.
    over: bool,
    /// The code that the vector has closed with. A page hears of it with the end; this client answers it first.
    closing: Option<u16>,
}

impl ScriptedServer {
    pub(super) fn new(log: EventLog) -> Self {
        Self { log, sockets: Arc::default() }
    }

    /// A dial of the client.
    pub(super) fn dial(&self) -> Pin<Box<dyn Future<Output = io::Result<BoxIo>> + Send>> {
        let (ours, theirs) = tokio::io::duplex(CAPACITY);
        let (reader, writer) = tokio::io::split(ours);
        let socket = Arc::new(ScriptedSocket {
            writer: tokio::sync::Mutex::new(Some(writer)),
            state: Mutex::default(),
        });
        self.sockets.lock().unwrap().push(socket.clone());
        tokio::spawn(socket.read(reader, self.log.clone()));
        Box::pin(async move { Ok(Box::new(theirs) as BoxIo) })
    }

    /// The socket of this dial, counted from 0; without a number the newest.
    pub(super) fn socket(&self, index: Option<u64>) -> Arc<ScriptedSocket> {
        let sockets = self.sockets.lock().unwrap();
        let index = index.map_or(sockets.len() - 1, |index| usize::try_from(index).unwrap());
        sockets[index].clone()
    }
}

impl ScriptedSocket {
    /// Records the client's messages.
    async fn read(self: Arc<Self>, mut reader: ReadHalf<DuplexStream>, log: EventLog) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match reader.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return self.ended(&log),
            }
        }
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        self.state.lock().unwrap().key = header("Sec-WebSocket-Key").unwrap().to_owned();
        let offers = header("Sec-WebSocket-Protocol").unwrap().split(", ");
        // A page accepts any message. This client announces its limit.
        let offers: Vec<_> = offers.filter(|offer| !offer.starts_with("rejoin.max.")).collect();
        log.add(json!({ "see": "dial", "offers": offers }));
        while let Ok((opcode, payload)) = message(&mut reader).await {
            let closing = self.state.lock().unwrap().closing;
            match opcode {
                // R7.6: acknowledges the received frames before it answers.
                1 if closing.is_some() && payload.starts_with(br#"{"event":"$ack""#) => {}
                1 => {
                    let frame: Value = serde_json::from_slice(&payload).expect("compact JSON");
                    log.add(json!({ "see": "write", "frame": frame }));
                }
                8 => {
                    self.state.lock().unwrap().over = true;
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    // R7.8: an answer has the same code.
                    if closing.is_some_and(|closing| closing == code.unwrap_or(1005)) {
                        continue;
                    }
                    log.add(json!({ "see": "close", "code": code }));
                    // R7.8 and R7.14: it is answered, and the connection ends.
                    self.write(&frame(8, &payload)).await;
                    self.end().await;
                }
                // PROTOCOL.md §8: where a page sends a `$ping`, this client pings.
                9 => log.add(json!({ "see": "write", "frame": { "event": "$ping" } })),
                10 => {}
                _ => panic!("opcode {opcode}"),
            }
        }
        self.ended(&log);
    }

    /// An end without a close frame.
    fn ended(&self, log: &EventLog) {
        if !std::mem::replace(&mut self.state.lock().unwrap().over, true) {
            log.add(json!({ "see": "close" }));
        }
    }

    pub(super) async fn accept(&self, protocol: &str) {
        let accept = {
            let mut state = self.state.lock().unwrap();
            state.accepted = true;
            crate::upgrade::accept_of(&state.key)
        };
        let selected = if protocol.is_empty() {
            String::new()
        } else {
            format!("Sec-WebSocket-Protocol: {protocol}\r\n")
        };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n{selected}\r\n"
        );
        self.write(answer.as_bytes()).await;
    }

    pub(super) async fn text(&self, text: &str) {
        self.write(&frame(1, text.as_bytes())).await;
    }

    pub(super) async fn binary(&self, base64: &str) {
        self.write(&frame(2, &BASE64_STANDARD.decode(base64).unwrap())).await;
    }

    /// Writes a close frame. 1006 and 1015 stand for none.
    pub(super) async fn close(&self, code: u16, reason: &str) {
        let begins = {
            let mut state = self.state.lock().unwrap();
            let begins = state.accepted && !state.over && !matches!(code, 1006 | 1015);
            state.over = true;
            if begins {
                state.closing = Some(code);
            }
            begins
        };
        if begins {
            let payload =
                if code == 1005 { Vec::new() } else { [&code.to_be_bytes()[..], reason.as_bytes()].concat() };
            self.write(&frame(8, &payload)).await;
        }
    }

    /// Ends the stream.
    pub(super) async fn end(&self) {
        if let Some(mut writer) = self.writer.lock().await.take() {
            writer.shutdown().await.ok();
        }
    }

    async fn write(&self, bytes: &[u8]) {
        if let Some(writer) = &mut *self.writer.lock().await {
            // The client may have dropped its end.
            writer.write_all(bytes).await.ok();
        }
    }
}

/// An unmasked frame.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// Reads a masked frame that is a whole message.
async fn message(reader: &mut ReadHalf<DuplexStream>) -> io::Result<(u8, Vec<u8>)> {
    let [first, second] = [reader.read_u8().await?, reader.read_u8().await?];
    assert_eq!((first & 0xf0, second & 0x80), (0x80, 0x80), "a whole message, masked");
    let length = match second & 0x7f {
        126 => u64::from(reader.read_u16().await?),
        127 => reader.read_u64().await?,
        length => u64::from(length),
    };
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut payload).await?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Ok((first & 0x0f, payload))
}
