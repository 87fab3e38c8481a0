//! [`WsTransport`]: our RFC 6455 framing over any byte stream.

use std::any::TypeId;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ws::{self, Decoder, FrameError, Incoming, Role};
use crate::{Batch, CloseFrame, Message};

use super::linger;
use super::optimistic_tcp::OptimisticTcp;
use super::transport::{Flow, ReceiveError, Received, Transport, Written};
use super::turn::yield_now;

mod masking;
pub use masking::{Masked, Masking, Unmasked};

mod pending;
use pending::{Pending, PendingKind};

#[cfg(test)]
mod tests;

/// One end of a WebSocket connection.
///
/// Data messages are pushed as whole frames ([`ws::encode_message`]), framed once for all their receivers. All pending messages
/// leave in one vectored write. Reading uses a buffer that belongs to the thread, so that an idle connection holds none.
#[repr(C)]
pub struct WsTransport<S, M = Unmasked> {
    // The fields that each delivery reads come first, in as few cache lines as possible.
    queue: VecDeque<Pending>,
    /// The bytes of the first entry in `queue` that are written.
    offset: usize,
    /// The messages of the first entry in `queue` that are written, if it is a batch.
    begun: usize,
    /// The messages in `queue`, including the written ones of the first entry.
    messages: usize,
    /// The bytes in `queue`, including the written ones of the first entry.
    queued: usize,
    /// Answers to pings that are not in `queue` yet. Only the latest are kept (RFC 6455 §5.5.3).
    #[allow(clippy::box_collection, reason = "usually there are none, and each connection has this field")]
    pongs: Option<Box<VecDeque<Bytes>>>,
    /// Whether something was written since the stream was flushed.
    unflushed: bool,
    close_pushed: bool,
    close_received: bool,
    io: S,
    masking: M,
    /// Bytes that were read but not passed on, because the session paused.
    leftover: Option<Box<BytesMut>>,
    decoder: Decoder,
}

/// The number of queued messages at which nothing more is taken from the session. One write costs as much as copying some dozens
/// of small messages, so under load it pays to write many at once. This is the number of broadcasts that are pending by default
/// before a session is flushed: half a buffer.
const MAX_BATCH: usize = 128;

/// The most slices in one write. The kernel takes up to 1,024.
const MAX_SLICES: usize = 64;

/// The number of queued bytes at which nothing more is taken from the session: a frame that was taken can no longer be evicted.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// The most pings that wait for their answer.
const MAX_PONGS: usize = 16;

/// The number of bytes after which a call lets other tasks run. That is 40,000 of the smallest pings, which never pause a
/// session, or 2 to 3 ms of work. For a peer that sends large messages, rescheduling the task once per 256 KiB costs next to
/// nothing.
const READ_PER_POLL: usize = 4 * linger::READ_BUFFER;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, M: Masking> WsTransport<S, M> {
    /// Creates a transport after the upgrade. `read_already` are the bytes that were read beyond the head of the HTTP message.
    pub fn new(io: S, masking: M, read_already: &[u8], max_message_size: usize) -> Self {
        Self {
            io,
            masking,
            decoder: Decoder::new(M::ROLE, max_message_size),
            leftover: keep(read_already),
            queue: VecDeque::new(),
            offset: 0,
            begun: 0,
            messages: 0,
            queued: 0,
            pongs: None,
            unflushed: false,
            close_pushed: false,
            close_received: false,
        }
    }

    /// Decodes `input` and passes its messages to `sink`. Returns the number of bytes that are left if `sink` paused.
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
                    let pongs = self.pongs.get_or_insert_default();
                    if pongs.len() == MAX_PONGS {
                        pongs.pop_front();
                    }
                    pongs.push_back(payload);
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

    fn push(&mut self, frame: Bytes, kind: PendingKind) {
        let bytes = self.masking.mask(frame);
        self.push_framed(bytes, kind);
    }

    fn push_framed(&mut self, bytes: Bytes, kind: PendingKind) {
        debug_assert!(!self.close_pushed, "nothing is pushed after a close frame");
        self.queued += bytes.len();
        self.messages += kind.messages();
        self.queue.push_back(Pending { bytes, kind });
    }

    /// Queues the answers to pings behind the pending messages. A peer that pings and does not read gets no more answers than the
    /// queue has capacity for.
    fn take_pongs(&mut self) {
        while self.has_capacity()
            && let Some(payload) = self.pongs.as_mut().and_then(|pongs| pongs.pop_front())
        {
            if !self.close_pushed {
                self.push(ws::encode_pong(&payload), PendingKind::Control);
            }
        }
    }

    /// Records that another `count` bytes are written.
    fn advance(&mut self, mut count: usize, written: &mut Written) {
        self.unflushed = true;
        written.bytes += count;
        while let Some(first) = self.queue.front() {
            let left = first.bytes.len() - self.offset;
            let whole = count >= left;
            let (messages, data) = match &first.kind {
                PendingKind::Control => (usize::from(whole), 0),
                PendingKind::Data => (usize::from(whole), usize::from(whole)),
                PendingKind::Batch(ends) => {
                    let end = self.offset + count;
                    let messages = ends[self.begun..].iter().take_while(|to| **to as usize <= end).count();
                    (messages, messages)
                }
            };
            written.messages += messages;
            written.data += data;
            if !whole {
                self.offset += count;
                self.begun += messages;
                return;
            }
            count -= left;
            (self.offset, self.begun) = (0, 0);
            self.queued -= first.bytes.len();
            self.messages -= first.kind.messages();
            self.queue.pop_front();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, M: Masking> Transport for WsTransport<S, M> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError> {
        if self.close_received {
            return Poll::Pending;
        }
        if let Some(error) = self.decoder.failed() {
            return Poll::Ready(protocol_error(&error));
        }
        if let Some(mut leftover) = self.leftover.take() {
            match self.deliver(&mut leftover, sink) {
                Err(error) => return Poll::Ready(protocol_error(&error)),
                Ok(Some(rest)) => {
                    leftover.advance(leftover.len() - rest);
                    self.leftover = Some(leftover).filter(|leftover| !leftover.is_empty());
                    return Poll::Pending;
                }
                Ok(None) => {}
            }
        }
        let result = linger::with_buffer(|buffer| self.poll_read(cx, buffer, sink));
        // Queue the answers before any frame with which the application reacts to the input.
        self.take_pongs();
        result
    }

    fn has_capacity(&self) -> bool {
        self.messages < MAX_BATCH && self.queued < MAX_BATCH_BYTES
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.pongs.is_none() && !self.unflushed
    }

    fn pending(&self) -> usize {
        self.queued - self.offset
    }

    fn push_data(&mut self, message: Bytes) {
        self.push(message, PendingKind::Data);
    }

    fn push_batch(&mut self, batch: Batch) {
        if M::ROLE == Role::Client {
            // Each message needs its own mask.
            batch.frames().for_each(|message| self.push_data(message));
        } else {
            self.push_framed(batch.bytes, PendingKind::Batch(batch.ends));
        }
    }

    fn push_volatile(&mut self, message: Bytes) {
        self.push(message, PendingKind::Control);
    }

    fn push_control(&mut self, message: Message) {
        self.push(ws::encode_message(message.kind, &message.data), PendingKind::Control);
    }

    fn push_ping(&mut self) {
        self.push(ws::encode_ping(b""), PendingKind::Control);
    }

    fn push_close(&mut self, frame: Option<&CloseFrame>) {
        if !self.close_pushed {
            self.push(ws::encode_close(frame), PendingKind::Control);
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
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
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
        // Drop the buffers instead of clearing them, so that an idle connection holds none.
        self.queue = VecDeque::new();
        self.pongs = None;
        self.poll_flush_io(cx)
    }

    /// `true` only for our own stream: any other may be the application's code.
    fn sends_without_foreign_code(&self) -> bool {
        TypeId::of::<S>() == TypeId::of::<OptimisticTcp>()
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        message: &Bytes,
        written: &mut Written,
    ) -> Poll<io::Result<()>> {
        let mut count = 0;
        self.take_pongs();
        if M::ROLE == Role::Server && self.queue.is_empty() {
            count = match Pin::new(&mut self.io).poll_write(cx, message) {
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => 0,
            };
        }
        if count == message.len() {
            *written = Written { messages: 1, data: 1, bytes: count };
            self.unflushed = true;
            return self.poll_flush_io(cx);
        }
        self.push_data(message.clone());
        if count > 0 {
            self.advance(count, written);
        }
        self.poll_flush(cx, written)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        self.leftover = None;
        linger::poll_discard(&mut self.io, cx, budget)
    }

    fn closes_first(&self) -> bool {
        M::ROLE == Role::Server
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, &mut Written::default()))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, M: Masking> WsTransport<S, M> {
    fn poll_flush_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(Received) -> Flow,
    ) -> Poll<ReceiveError> {
        let mut total = 0;
        while total < READ_PER_POLL {
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut read)) {
                Err(error) => return Poll::Ready(ReceiveError::Io(error)),
                Ok(()) if read.filled().is_empty() => {
                    return Poll::Ready(ReceiveError::Io(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(()) => {}
            }
            total += read.filled().len();
            if sink(Received::Bytes(read.filled().len())) == Flow::Pause {
                self.leftover = keep(read.filled());
                return Poll::Pending;
            }
            match self.deliver(read.filled_mut(), sink) {
                Err(error) => return Poll::Ready(protocol_error(&error)),
                Ok(None) => {}
                Ok(Some(rest)) => {
                    let filled = read.filled();
                    self.leftover = keep(&filled[filled.len() - rest..]);
                    return Poll::Pending;
                }
            }
        }
        yield_now(cx)
    }
}

impl<S, M> fmt::Debug for WsTransport<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsTransport").field("queued", &self.queued).finish_non_exhaustive()
    }
}

/// Copies bytes that were read for the next call; `None` if there are none.
fn keep(bytes: &[u8]) -> Option<Box<BytesMut>> {
    if bytes.is_empty() { None } else { Some(Box::new(BytesMut::from(bytes))) }
}

fn protocol_error(error: &FrameError) -> ReceiveError {
    ReceiveError::Protocol(CloseFrame::truncated(error.close_code(), error.to_string()))
}
