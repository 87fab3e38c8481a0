//! [`Peer`]: a minimal in-memory client: it requests an upgrade, counts the frames that it receives, and acknowledges them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::Mode;

/// The shared counters of all peers.
#[derive(Debug, Default)]
pub struct Tally {
    frames: AtomicU64,
    /// The number of frames that wakes the waiting task.
    target: AtomicU64,
    reached: Notify,
    /// The number of peers that have not been dropped.
    open: AtomicUsize,
}

impl Tally {
    /// The number of peers whose socket the server has not dropped.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// The number of data frames so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }

    /// Sets the number of further frames to wait for.
    pub fn expect(&self, more: u64) {
        self.target.store(self.frames() + more, Ordering::Release);
    }

    /// Whether the expected frames have arrived.
    pub fn is_reached(&self) -> bool {
        self.frames() >= self.target.load(Ordering::Acquire)
    }

    /// Waits for the expected frames.
    pub async fn reached(&self) {
        loop {
            let reached = self.reached.notified();
            if self.is_reached() {
                return;
            }
            reached.await;
        }
    }

    fn add(&self, frames: u64) {
        let before = self.frames.fetch_add(frames, Ordering::AcqRel);
        let target = self.target.load(Ordering::Acquire);
        if before < target && before + frames >= target {
            self.reached.notify_waiters();
            // Also wakes a task that is just about to wait.
            self.reached.notify_one();
        }
    }
}

/// A client's end and its connection in one, to be passed to `Server::serve_connection`.
#[derive(Debug)]
pub struct Peer {
    tally: Arc<Tally>,
    /// The bytes that the server has still to read: first the request, then acknowledgements.
    says: Vec<u8>,
    reader: Option<Waker>,
    hears: Hears,
    /// The number of received data frames.
    received: u64,
    /// The number of acknowledged ones; `None` in plain mode.
    acknowledged: Option<u64>,
}

/// A quarter of the server's buffer of 256 (PROTOCOL.md §4).
const ACKNOWLEDGES: u64 = 64;

impl Peer {
    /// Creates a client that requests this ID and this room.
    pub fn new(tally: &Arc<Tally>, mode: Mode, room: &str, id: usize) -> Self {
        let offer = match mode {
            Mode::Plain => "",
            Mode::Session => "Sec-WebSocket-Protocol: rejoin.v1.json\r\n",
        };
        let request = format!(
            "GET /?id={id}&room={room} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
        );
        tally.open.fetch_add(1, Ordering::AcqRel);
        Self {
            tally: tally.clone(),
            says: request.into_bytes(),
            reader: None,
            hears: Hears::Answer(0),
            received: 0,
            acknowledged: (mode == Mode::Session).then_some(0),
        }
    }

    fn hear(&mut self, data: &[u8]) {
        let frames = self.hears.data_frames(data);
        if frames == 0 {
            return;
        }
        self.received += frames;
        if let Some(acknowledged) = &mut self.acknowledged
            && self.received - *acknowledged >= ACKNOWLEDGES
        {
            *acknowledged = self.received;
            let ack = format!("{{\"event\":\"$ack\",\"payload\":{}}}", self.received);
            // The masking key is zero.
            self.says.extend([0x81, 0x80 | ack.len() as u8, 0, 0, 0, 0]);
            self.says.extend(ack.as_bytes());
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        self.tally.add(frames);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.tally.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.says.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let some = self.says.len().min(buffer.remaining());
        buffer.put_slice(&self.says[..some]);
        self.says.drain(..some);
        if self.says.is_empty() {
            // An idle connection should cost its own memory, not that of its request.
            self.says = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.hear(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        for part in parts {
            self.hear(part);
        }
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The position of a peer in the server's bytes.
#[derive(Debug)]
enum Hears {
    /// In the head of the answer: this many bytes of its end have arrived.
    Answer(usize),
    /// In the bytes that determine a frame's kind: its header, and the start of its payload.
    Head { bytes: [u8; HEAD], len: usize },
    /// In a payload, of which this many bytes are missing.
    Payload(u64),
}

const END: &[u8] = b"\r\n\r\n";

/// The start of control frames in the JSON codec.
const CONTROL: &[u8] = br#"{"event":"$"#;

/// The longest header of a server's frame, plus the bytes that distinguish control frames from data frames.
const HEAD: usize = 10 + CONTROL.len();

impl Hears {
    /// Reads received bytes, and counts the data frames that begin in them.
    fn data_frames(&mut self, mut data: &[u8]) -> u64 {
        let mut frames = 0;
        while let Some(&first) = data.first() {
            match self {
                Self::Answer(matched) => {
                    *matched =
                        if first == END[*matched] { *matched + 1 } else { usize::from(first == END[0]) };
                    data = &data[1..];
                    if *matched == END.len() {
                        *self = Self::Head { bytes: [0; HEAD], len: 0 };
                    }
                }
                Self::Head { bytes, len } => {
                    let head = if *len == 0 { data } else { &bytes[..*len] };
                    let Some(frame) = Frame::read(head) else {
                        bytes[*len] = first;
                        *len += 1;
                        data = &data[1..];
                        // The missing byte may be the last one in `data`.
                        if let Some(frame) = Frame::read(&bytes[..*len]) {
                            frames += u64::from(frame.is_data);
                            let left = frame.len - *len as u64;
                            *self = Self::after(left);
                        }
                        continue;
                    };
                    frames += u64::from(frame.is_data);
                    // No byte is buffered here: the frame is entirely in `data`.
                    let here = frame.len.min(data.len() as u64);
                    data = &data[here as usize..];
                    *self = Self::after(frame.len - here);
                }
                Self::Payload(left) => {
                    let here = (*left).min(data.len() as u64);
                    data = &data[here as usize..];
                    let left = *left - here;
                    *self = Self::after(left);
                }
            }
        }
        frames
    }

    fn after(left: u64) -> Self {
        if left == 0 { Self::Head { bytes: [0; HEAD], len: 0 } } else { Self::Payload(left) }
    }
}

struct Frame {
    /// The length with the header.
    len: u64,
    is_data: bool,
}

impl Frame {
    /// The frame with this start, if it has enough bytes.
    fn read(head: &[u8]) -> Option<Self> {
        let (&kind, &short) = (head.first()?, head.get(1)?);
        let (header, payload) = match short & 0x7f {
            126 => (4, u16::from_be_bytes(head.get(2..4)?.try_into().ok()?).into()),
            127 => (10, u64::from_be_bytes(head.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let telling = CONTROL.len().min(payload as usize);
        let begins = head.get(header..header + telling)?;
        // Text and binary messages, without the protocol's control frames.
        let is_data = matches!(kind & 0x0f, 1 | 2) && begins != CONTROL;
        Some(Self { len: header as u64 + payload, is_data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | kind];
        if payload.len() < 126 {
            frame.push(payload.len() as u8);
        } else {
            frame.push(126);
            frame.extend((payload.len() as u16).to_be_bytes());
        }
        frame.extend(payload);
        frame
    }

    #[test]
    fn counts_data_frames_in_any_pieces() {
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n".to_vec();
        bytes.extend(frame(1, br#"{"event":"$open","payload":{}}"#));
        bytes.extend(frame(1, br#"{"event":"x"}"#));
        bytes.extend(frame(1, b"{}"));
        bytes.extend(frame(9, b""));
        bytes.extend(frame(2, &[b'x'; 300]));
        bytes.extend(frame(1, br#"{"event":"$ack","payload":1}"#));
        bytes.extend(frame(1, br#"{"event":"y","payload":"zzzzzzzzzzzzzzzzzzz"}"#));
        for size in 1..=bytes.len() {
            let mut hears = Hears::Answer(0);
            let frames: u64 = bytes.chunks(size).map(|piece| hears.data_frames(piece)).sum();
            assert_eq!(frames, 4, "in pieces of {size}");
        }
    }
}
