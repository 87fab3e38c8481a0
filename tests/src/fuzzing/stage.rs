//! The environment of targets with sockets: a runtime with paused time, and one end of an in-memory stream.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rejoin_core::ws::{self, Decoder, Incoming, Role};
use rejoin_core::{Codec, EncodeError, Frame, Message, MessageKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, timeout};

use super::Input;
use crate::harness::codecs;

/// Longer than anything takes: the paused clock only advances while all tasks are idle.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a peer waits for something to happen before it reads.
const A_MOMENT: Duration = Duration::from_millis(1);

/// Runs a scene on its own runtime, with paused time.
///
/// # Panics
/// Panics if it hangs or leaves a task behind.
pub(super) fn play(scene: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("it needs nothing of the system").block_on(async {
        assert!(timeout(FOR_EVER, scene).await.is_ok(), "it hangs");
        // Finished tasks are removed when the runtime is next idle.
        sleep(A_MOMENT).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks are left behind");
    });
}

/// One of the wire formats, determined by the choice: 0 and half of all bytes are JSON.
pub(super) fn codec(choice: u8) -> Arc<dyn Codec> {
    codecs().swap_remove([0, 1, 2, 0][usize::from(choice >> 6)])
}

/// A handwritten end of a WebSocket: it may send anything, and checks that it receives valid data.
#[derive(Debug)]
pub(super) struct Peer {
    io: DuplexStream,
    role: Role,
    codec: Arc<dyn Codec>,
    decoder: Decoder,
    /// Not written yet, because the other end does not read.
    pending: Vec<u8>,
    /// Read, but not decoded yet: the upgrade is not complete.
    head: Vec<u8>,
    upgraded: bool,
    closed: bool,
}

impl Peer {
    /// Creates a peer with this role: [`Role::Client`] is the peer of a server.
    pub(super) fn new(io: DuplexStream, role: Role, codec: Arc<dyn Codec>) -> Self {
        let decoder = Decoder::new(role, usize::MAX);
        Self {
            io,
            role,
            codec,
            decoder,
            pending: Vec::new(),
            head: Vec::new(),
            upgraded: false,
            closed: false,
        }
    }

    /// Writes as much as the other end accepts; the rest is written before later bytes.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while !self.pending.is_empty() {
            match timeout(A_MOMENT, self.io.write(&self.pending)).await {
                Ok(Ok(count)) => drop(self.pending.drain(..count)),
                Ok(Err(_)) => return self.pending.clear(),
                Err(_) => return,
            }
        }
    }

    /// Writes a frame, masked if the role requires it.
    pub(super) async fn write_frame(&mut self, frame: &[u8]) {
        match self.role {
            Role::Server => self.write(frame).await,
            Role::Client => self.write(&ws::mask_frame(frame, [0x37, 0xfa, 0x21, 0x3d])).await,
        }
    }

    /// Finishes writing.
    pub(super) async fn finish(&mut self) {
        timeout(A_MOMENT, self.io.shutdown()).await.ok();
    }

    /// Reads the head of the HTTP message, and any bytes after it; `None` if none arrives.
    pub(super) async fn read_head(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let reading = async {
            loop {
                if let Some(end) = self.head.windows(4).position(|end| end == b"\r\n\r\n") {
                    let rest = self.head.split_off(end + 4);
                    return Some(std::mem::replace(&mut self.head, rest));
                }
                if self.io.read_buf(&mut self.head).await.ok()? == 0 {
                    return None;
                }
            }
        };
        timeout(patience, reading).await.ok().flatten()
    }

    /// Switches the stream to WebSocket.
    pub(super) fn upgrade(&mut self) {
        self.upgraded = true;
    }

    /// Reads available bytes, and returns their frames.
    ///
    /// # Panics
    /// Panics if the WebSocket data is invalid, a message is not a frame, or bytes follow a close.
    pub(super) async fn read(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut bytes = std::mem::take(&mut self.head);
        loop {
            if self.upgraded {
                self.decode(&mut bytes, &mut frames);
            }
            bytes.clear();
            match timeout(A_MOMENT, self.io.read_buf(&mut bytes)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) | Err(_) => return frames,
            }
        }
    }

    fn decode(&mut self, mut bytes: &mut [u8], frames: &mut Vec<Frame>) {
        assert!(!self.closed || bytes.is_empty(), "nothing follows a close");
        while let Some(incoming) = self.decoder.decode(&mut bytes).expect("our data is valid") {
            assert!(!self.closed, "nothing follows a close");
            match incoming {
                Incoming::Message(message) => {
                    frames.push(self.codec.decode(message).expect("our messages are frames"));
                }
                Incoming::Close(_) => {
                    self.closed = true;
                    assert!(bytes.is_empty(), "nothing follows a close");
                }
                Incoming::Ping(_) | Incoming::Pong(_) => {}
            }
        }
    }
}

/// Any WebSocket frame, usually a valid one, not masked yet.
pub(super) fn any_frame(input: &mut Input<'_>, codec: &dyn Codec) -> Bytes {
    match input.byte() % 6 {
        0 => ws::encode_message(MessageKind::Text, input.bytes()),
        1 => ws::encode_message(MessageKind::Binary, input.bytes()),
        2 => {
            let frame = Frame::new("n", &input.number()).expect("JSON can represent it");
            data(&frame, codec)
        }
        3 => {
            let payload = input.bytes();
            ws::encode_ping(&payload[..payload.len().min(125)])
        }
        4 => ws::encode_pong(b""),
        _ => {
            let code = input.one_of(&[1000, 1001, 1002, 1008, 1011, 1012, 1013, 4000, 4999]);
            let reason = input.one_of(&["", "retry in 5 ms", "retry in 18446744073709551615 ms"]);
            ws::encode_close(Some(&rejoin_core::CloseFrame::truncated(code, reason)))
        }
    }
}

/// A control frame, usually with a valid payload.
pub(super) fn any_control(input: &mut Input<'_>, codec: &dyn Codec) -> Bytes {
    let (event, json) = match input.byte() % 6 {
        5 => return encoded(codec.encode_control("$sync", None)),
        0 => ("$ack", input.number().to_string()),
        1 => {
            let from = input.number();
            let to = from.saturating_add(input.number());
            ("$gap", format!(r#"{{"from":{from},"to":{to}}}"#))
        }
        2 => ("$ping", "[1]".to_owned()),
        3 => return data(&Frame::event_only("$later"), codec),
        _ => {
            let (token, resumed) = (input.one_of(&["a", "b", "c"]).repeat(22), input.flag());
            let (received, window, buffer) = (input.number(), input.number(), input.number() as u32);
            let limits = input.one_of(&["", r#","buffer_bytes":0,"max_message":9"#]);
            let open = format!(
                r#"{{"session":"{token}","id":"ada","room":"room","resumed":{resumed},"received":{received},"window_ms":{window},"buffer":{buffer}{limits}}}"#
            );
            ("$open", open)
        }
    };
    encoded(codec.encode_control(event, Some(json.into())))
}

/// Sleeps for one of several durations.
pub(super) async fn pause(input: &mut Input<'_>) {
    sleep(Duration::from_millis(input.one_of(&[1, 20, 1_000, 5_000, 10_000, 31_000, 100_000]))).await;
}

/// Encodes a frame into a single WebSocket frame.
pub(super) fn data(frame: &Frame, codec: &dyn Codec) -> Bytes {
    encoded(codec.encode(frame))
}

fn encoded(message: Result<Message, EncodeError>) -> Bytes {
    let message = message.expect("each format can represent JSON");
    ws::encode_message(message.kind, &message.data)
}
