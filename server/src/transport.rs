//! [`WsTransport`]: our RFC 6455 framing over any byte stream.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use rejoin_core::drive::{Flow, ReceiveError, Received, Transport, Written};
use rejoin_core::ws::{self, Decoder, FrameError, Incoming, Role};
use rejoin_core::{CloseFrame, Message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A server's end of a WebSocket connection.
///
/// Data messages are pushed as whole frames, framed once for all their receivers. All that is pending leaves in one
/// vectored write. Reading uses a buffer of the thread's, so that an idle connection has none.
pub(crate) struct WsTransport<S> {
    io: S,
    decoder: Decoder,
    /// Read, and not taken yet: the session had to pause.
    leftover: BytesMut,
    queue: VecDeque<Pending>,
    /// Bytes of the first in `queue` that are written.
    offset: usize,
    /// Bytes in `queue`, the written ones of the first included.
    queued: usize,
    /// Answers to pings that are not in `queue` yet. Of many only the latest are kept (RFC 6455 §5.5.3).
    pongs: VecDeque<Bytes>,
    /// Whether something was written since the stream was flushed.
    unflushed: bool,
    close_pushed: bool,
    close_received: bool,
}

#[derive(Debug)]
struct Pending {
    bytes: Bytes,
    is_data: bool,
}

/// A write takes no more messages than this: the kernel takes up to 1,024 slices, beyond some dozens nothing is gained.
const MAX_BATCH: usize = 64;

/// No more than this is taken from the session before it is written: what is taken cannot be given up any more.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// Pings that wait for their answer.
const MAX_PONGS: usize = 16;

/// One read takes no more than this.
const READ_BUFFER: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> WsTransport<S> {
    /// A transport after the upgrade; `read_already` is what the HTTP server has read beyond the request.
    pub(crate) fn new(io: S, read_already: &[u8], max_message_size: usize) -> Self {
        Self {
            io,
            decoder: Decoder::new(Role::Server, max_message_size),
            leftover: BytesMut::from(read_already),
            queue: VecDeque::new(),
            offset: 0,
            queued: 0,
            pongs: VecDeque::new(),
            unflushed: false,
            close_pushed: false,
            close_received: false,
        }
    }

    /// Decodes `input` and gives what is in it to `sink`. Returns how many bytes are left when `sink` paused.
    fn deliver(
        &mut self,
        mut input: &mut [u8],
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Result<Option<usize>, FrameError> {
        while let Some(incoming) = self.decoder.decode(&mut input)? {
            let flow = match incoming {
                Incoming::Message(message) => sink(Received::Message(message)),
                Incoming::Close(frame) => {
                    self.close_received = true;
                    sink(Received::Close(frame));
                    return Ok(Some(0));
                }
                Incoming::Ping(payload) => {
                    if self.pongs.len() == MAX_PONGS {
                        self.pongs.pop_front();
                    }
                    self.pongs.push_back(payload);
                    Flow::Continue
                }
                _ => Flow::Continue,
            };
            if flow == Flow::Pause {
                return Ok(Some(input.len()));
            }
        }
        Ok(None)
    }

    fn push(&mut self, bytes: Bytes, is_data: bool) {
        debug_assert!(!self.close_pushed, "nothing is pushed after a close frame");
        self.queued += bytes.len();
        self.queue.push_back(Pending { bytes, is_data });
    }

    /// Queues the answers to pings behind what is under way. A peer that pings and does not read gets no more of them than
    /// there is room for.
    fn take_pongs(&mut self) {
        while self.has_room()
            && let Some(payload) = self.pongs.pop_front()
        {
            if !self.close_pushed {
                self.push(ws::encode_pong(&payload), false);
            }
        }
    }

    /// `count` bytes more are written.
    fn advance(&mut self, mut count: usize, written: &mut Written) {
        self.unflushed = true;
        while let Some(first) = self.queue.front() {
            let left = first.bytes.len() - self.offset;
            if count < left {
                self.offset += count;
                return;
            }
            count -= left;
            self.offset = 0;
            self.queued -= first.bytes.len();
            written.messages += 1;
            written.data += usize::from(first.is_data);
            self.queue.pop_front();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WsTransport<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError> {
        if self.close_received {
            return Poll::Pending;
        }
        if !self.leftover.is_empty() {
            let mut leftover = std::mem::take(&mut self.leftover);
            match self.deliver(&mut leftover, sink) {
                Err(error) => return Poll::Ready(protocol_error(&error)),
                Ok(Some(rest)) => {
                    leftover.advance(leftover.len() - rest);
                    self.leftover = leftover;
                    return Poll::Pending;
                }
                Ok(None) => {}
            }
        }
        let mut buffer = BUFFER.take();
        buffer.resize(READ_BUFFER, 0);
        let result = self.poll_read(cx, &mut buffer, sink);
        BUFFER.set(buffer);
        result
    }

    fn has_room(&self) -> bool {
        self.queue.len() < MAX_BATCH && self.queued < MAX_BATCH_BYTES
    }

    fn push_data(&mut self, message: Bytes) {
        self.push(message, true);
    }

    fn push_control(&mut self, message: Message) {
        self.push(ws::encode_message(message.kind, &message.data), false);
    }

    fn push_ping(&mut self) {
        self.push(ws::encode_ping(b""), false);
    }

    fn push_close(&mut self, frame: Option<&CloseFrame>) {
        if !self.close_pushed {
            self.push(ws::encode_close(frame), false);
            self.close_pushed = true;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, written: &mut Written) -> Poll<io::Result<()>> {
        loop {
            self.take_pongs();
            if self.queue.is_empty() {
                break;
            }
            let io = Pin::new(&mut self.io);
            let count = if self.queue.len() == 1 || !io.is_write_vectored() {
                ready!(io.poll_write(cx, &self.queue[0].bytes[self.offset..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_BATCH];
                let mut used = 0;
                for (slice, pending) in slices.iter_mut().zip(&self.queue) {
                    let from = if used == 0 { self.offset } else { 0 };
                    *slice = IoSlice::new(&pending.bytes[from..]);
                    used += 1;
                }
                ready!(io.poll_write_vectored(cx, &slices[..used]))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count, written);
        }
        if self.queue.capacity() > 8 || self.pongs.capacity() > 0 {
            // An idle connection costs no buffers.
            self.queue = VecDeque::new();
            self.pongs = VecDeque::new();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, &mut Written::default()))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> WsTransport<S> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError> {
        loop {
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut read)) {
                Err(error) => return Poll::Ready(ReceiveError::Io(error)),
                Ok(()) if read.filled().is_empty() => {
                    return Poll::Ready(ReceiveError::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(()) => {}
            }
            sink(Received::Heard);
            match self.deliver(read.filled_mut(), sink) {
                Err(error) => return Poll::Ready(protocol_error(&error)),
                Ok(None) => {}
                Ok(Some(rest)) => {
                    let filled = read.filled();
                    self.leftover = BytesMut::from(&filled[filled.len() - rest..]);
                    return Poll::Pending;
                }
            }
        }
    }
}

fn protocol_error(error: &FrameError) -> ReceiveError {
    ReceiveError::Protocol(CloseFrame::new(error.close_code(), error.to_string()))
}
