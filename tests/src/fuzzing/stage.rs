//! Where targets with sockets play: a runtime with paused time, and one end of a stream in memory.

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

/// Nothing takes so long, of a time that passes only while nobody has anything to do.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a peer waits for something to happen, when it looks.
const A_MOMENT: Duration = Duration::from_millis(1);

/// Plays a scene on a runtime of its own, with paused time.
///
/// # Panics
/// Panics when it hangs, or leaves a task behind.
pub(super) fn play(scene: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("it needs nothing of the system").block_on(async {
        assert!(timeout(FOR_EVER, scene).await.is_ok(), "it hangs");
        // Tasks that are over are taken down when the runtime has time for it.
        sleep(A_MOMENT).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks are left behind");
    });
}

/// One of the wire formats, the same for the same choice: 0 is JSON, and so are half of all bytes.
pub(super) fn codec(choice: u8) -> Arc<dyn Codec> {
    codecs().swap_remove([0, 1, 2, 0][usize::from(choice >> 6)])
}

/// One end of a WebSocket, spoken by hand: what it writes may be anything, what it reads has to be sound.
#[derive(Debug)]
pub(super) struct Peer {
    io: DuplexStream,
    role: Role,
    codec: Arc<dyn Codec>,
    decoder: Decoder,
    /// Not written yet: the other end does not read.
    pending: Vec<u8>,
    /// Read, and not decoded yet: the upgrade is not over.
    head: Vec<u8>,
    upgraded: bool,
    closed: bool,
}

impl Peer {
    /// A peer that reads what `role` reads: [`Role::Client`] is a server's peer.
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

    /// Writes what the other end takes; the rest goes before what comes next.
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

    /// Writes a frame, masked where it has to be.
    pub(super) async fn write_frame(&mut self, frame: &[u8]) {
        match self.role {
            Role::Server => self.write(frame).await,
            Role::Client => self.write(&ws::mask_frame(frame, [0x37, 0xfa, 0x21, 0x3d])).await,
        }
    }

    /// Nothing more will be written.
    pub(super) async fn finish(&mut self) {
        timeout(A_MOMENT, self.io.shutdown()).await.ok();
    }

    /// The head of the HTTP message, and what has come so far of what is behind it; `None` when it does not come.
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

    /// From here on the stream is a WebSocket.
    pub(super) fn upgrade(&mut self) {
        self.upgraded = true;
    }

    /// Reads what is there, and returns its frames.
    ///
    /// # Panics
    /// Panics where it is no sound WebSocket, a message is no frame, or something follows a close.
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
        while let Some(incoming) = self.decoder.decode(&mut bytes).expect("what we write is sound") {
            assert!(!self.closed, "nothing follows a close");
            match incoming {
                Incoming::Message(message) => {
                    frames.push(self.codec.decode(message).expect("what we write are frames"));
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

/// A WebSocket frame that may be anything, mostly a sound one: not masked yet.
pub(super) fn any_frame(input: &mut Input<'_>, codec: &dyn Codec) -> Bytes {
    match input.byte() % 6 {
        0 => ws::encode_message(MessageKind::Text, input.bytes()),
        1 => ws::encode_message(MessageKind::Binary, input.bytes()),
        2 => {
            let frame = Frame::new("n", &input.number()).expect("it has an image in JSON");
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

/// A control frame with a payload that fits, mostly.
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

/// Waits, for one of several times.
pub(super) async fn pause(input: &mut Input<'_>) {
    sleep(Duration::from_millis(input.one_of(&[1, 20, 1_000, 5_000, 10_000, 31_000, 100_000]))).await;
}

/// A frame as it is, in one WebSocket frame.
pub(super) fn data(frame: &Frame, codec: &dyn Codec) -> Bytes {
    encoded(codec.encode(frame))
}

fn encoded(message: Result<Message, EncodeError>) -> Bytes {
    let message = message.expect("JSON has an image in each format");
    ws::encode_message(message.kind, &message.data)
}
