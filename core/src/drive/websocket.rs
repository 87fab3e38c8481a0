//! [`WsTransport`]: our RFC 6455 framing over any byte stream.

use std::any::TypeId;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ws::{self, Decoder, FrameError, Incoming, Role};
use crate::{Batch, CloseFrame, Message};

use super::linger;
use super::optimistic_tcp::OptimisticTcp;
use super::transport::{Flow, ReceiveError, Received, Transport, Written};
use super::turn::yield_now;

/// One end of a WebSocket connection.
///
/// Data messages are pushed as whole frames ([`ws::encode_message`]), framed once for all their receivers. All pending messages
/// leave in one vectored write. Reading uses a buffer that belongs to the thread, so that an idle connection has none.
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
    /// Answers to pings that are not in `queue` yet. Of many only the latest are kept (RFC 6455 §5.5.3).
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

#[derive(Debug)]
struct Pending {
    bytes: Bytes,
    what: What,
}

/// The kind of a queued entry.
#[derive(Debug)]
enum What {
    Control,
    Data,
    /// Data messages that end at these offsets.
    Batch(Arc<[u32]>),
}

impl What {
    fn messages(&self) -> usize {
        match self {
            Self::Control | Self::Data => 1,
            Self::Batch(ends) => ends.len(),
        }
    }
}

/// The number of queued messages at which nothing more is taken from the session. One write costs as much as copying some dozens
/// of small messages, so under load it pays to write many in one: as many as broadcasts leave pending by default, half a buffer.
const MAX_BATCH: usize = 128;

/// The most slices in one write. The kernel takes up to 1,024.
const MAX_SLICES: usize = 64;

/// The number of queued bytes at which nothing more is taken from the session: a frame that was taken can no longer be evicted.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// The most pings that wait for their answer.
const MAX_PONGS: usize = 16;

/// The number of bytes after which a call lets other tasks run: 40,000 of the smallest pings, for which no session pauses, or 2
/// to 3 ms of work. A task with more to read is queued once for each of these calls, which is negligible beside large messages.
const READ_PER_POLL: usize = 4 * linger::READ_BUFFER;

/// Which end of the connection this is: a client masks its frames (RFC 6455 §5.3).
pub trait Masking: Send + Unpin {
    /// The end of the connection.
    const ROLE: Role;

    /// Returns the frame in the form in which this end sends it.
    fn mask(&mut self, frame: Bytes) -> Bytes;
}

/// A server's frames.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no fields to add to")]
pub struct Unmasked;

impl Masking for Unmasked {
    const ROLE: Role = Role::Server;

    fn mask(&mut self, frame: Bytes) -> Bytes {
        frame
    }
}

/// A client's frames: each gets a fresh key from an unpredictable source.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "the source of keys is all it has")]
pub struct Masked<K>(pub K);

impl<K: FnMut() -> [u8; 4] + Send + Unpin> Masking for Masked<K> {
    const ROLE: Role = Role::Client;

    fn mask(&mut self, frame: Bytes) -> Bytes {
        ws::mask_frame(&frame, (self.0)())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, M: Masking> WsTransport<S, M> {
    /// A transport after the upgrade. `read_already` are the bytes that were read beyond the head of the HTTP message.
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

    fn push(&mut self, frame: Bytes, what: What) {
        let bytes = self.masking.mask(frame);
        self.push_as_is(bytes, what);
    }

    fn push_as_is(&mut self, bytes: Bytes, what: What) {
        debug_assert!(!self.close_pushed, "nothing is pushed after a close frame");
        self.queued += bytes.len();
        self.messages += what.messages();
        self.queue.push_back(Pending { bytes, what });
    }

    /// Queues the answers to pings behind the pending messages. A peer that pings and does not read gets no more answers than the
    /// queue has capacity for.
    fn take_pongs(&mut self) {
        while self.has_capacity()
            && let Some(payload) = self.pongs.as_mut().and_then(|pongs| pongs.pop_front())
        {
            if !self.close_pushed {
                self.push(ws::encode_pong(&payload), What::Control);
            }
        }
    }

    /// Notes that another `count` bytes are written.
    fn advance(&mut self, mut count: usize, written: &mut Written) {
        self.unflushed = true;
        written.bytes += count;
        while let Some(first) = self.queue.front() {
            let left = first.bytes.len() - self.offset;
            let whole = count >= left;
            let (messages, data) = match &first.what {
                What::Control => (usize::from(whole), 0),
                What::Data => (usize::from(whole), usize::from(whole)),
                What::Batch(ends) => {
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
            self.messages -= first.what.messages();
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
        // The answers come before any frame with which the application reacts to what was read.
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
        self.push(message, What::Data);
    }

    fn push_batch(&mut self, batch: Batch) {
        if M::ROLE == Role::Client {
            // Each message needs its own mask.
            batch.frames().for_each(|message| self.push_data(message));
        } else {
            self.push_as_is(batch.bytes, What::Batch(batch.ends));
        }
    }

    fn push_control(&mut self, message: Message) {
        self.push(ws::encode_message(message.kind, &message.data), What::Control);
    }

    fn push_ping(&mut self) {
        self.push(ws::encode_ping(b""), What::Control);
    }

    fn push_close(&mut self, frame: Option<&CloseFrame>) {
        if !self.close_pushed {
            self.push(ws::encode_close(frame), What::Control);
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
        // Dropped, not cleared: an idle connection holds no buffers.
        self.queue = VecDeque::new();
        self.pongs = None;
        self.poll_flush_io(cx)
    }

    /// Only for our own stream: any other may be the application's.
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
        if M::ROLE == Role::Server && self.queue.is_empty() && self.pongs.is_none() {
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
            if sink(Received::Heard(read.filled().len())) == Flow::Pause {
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
    ReceiveError::Protocol(CloseFrame::new(error.close_code(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    fn pair(capacity: usize) -> (WsTransport<DuplexStream>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        (WsTransport::new(ours, Unmasked, &[], 1024), theirs)
    }

    /// A frame as a client sends it, with the mask 0.
    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut wire = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        wire.extend(payload);
        wire
    }

    fn receive(transport: &mut WsTransport<DuplexStream>, most: usize) -> (Vec<String>, Poll<ReceiveError>) {
        let mut texts = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        let result = transport.poll_receive(&mut cx, &mut |received| {
            if let Received::Message(message) = received {
                texts.push(String::from_utf8(message.data.to_vec()).unwrap());
            }
            if texts.len() < most { Flow::Continue } else { Flow::Pause }
        });
        (texts, result)
    }

    fn flush(transport: &mut WsTransport<DuplexStream>) -> (Poll<io::Result<()>>, Written) {
        let mut written = Written::default();
        let result = transport.poll_flush(&mut Context::from_waker(Waker::noop()), &mut written);
        (result, written)
    }

    #[tokio::test]
    async fn keeps_what_the_session_did_not_want_yet() {
        let (mut transport, mut peer) = pair(1024);
        for text in ["a", "b", "c"] {
            peer.write_all(&masked(1, text.as_bytes())).await.unwrap();
        }
        assert_eq!(receive(&mut transport, 1).0, ["a"]);
        assert_eq!(receive(&mut transport, 1).0, ["b"]);
        assert_eq!(receive(&mut transport, 9).0, ["c"]);
        assert!(transport.leftover.is_none());
    }

    /// A peer whose pings never end.
    struct Flood {
        taken: usize,
    }

    impl AsyncRead for Flood {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let pings = buffer.remaining() / 6;
            assert!(self.taken < 100 * READ_PER_POLL, "no other task runs");
            self.taken += 6 * pings;
            buffer.put_slice(&masked(9, b"").repeat(pings));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(data.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_peer_that_never_pauses_lets_other_tasks_have_their_turn() {
        let mut transport = WsTransport::new(Flood { taken: 0 }, Unmasked, &[], 1024);
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        for turn in 1..=3 {
            let received = transport.poll_receive(&mut Context::from_waker(&waker), &mut |_| Flow::Continue);
            assert!(received.is_pending());
            assert!(transport.io.taken <= turn * (READ_PER_POLL + linger::READ_BUFFER));
            assert_eq!(wakes.0.load(Ordering::Relaxed), turn, "it wakes itself");
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn delivers_what_the_http_server_had_read_already() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut transport = WsTransport::new(ours, Unmasked, &masked(1, b"early"), 1024);
        assert_eq!(receive(&mut transport, 9).0, ["early"]);
    }

    #[tokio::test]
    async fn counts_a_data_message_when_its_last_byte_is_written() {
        let (mut transport, mut peer) = pair(10);
        transport.push_data(Bytes::from_static(b"123456"));
        transport.push_control(Message::text("x"));
        transport.push_data(Bytes::from_static(b"abcdef"));
        let (result, written) = flush(&mut transport);
        assert!(result.is_pending());
        assert_eq!(written, Written { messages: 2, data: 1, bytes: 10 });
        let mut read = [0; 10];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"123456\x81\x01xa");
        let (result, written) = flush(&mut transport);
        assert!(matches!(result, Poll::Ready(Ok(()))));
        assert_eq!(written, Written { messages: 1, data: 1, bytes: 5 });
    }

    /// However little the stream takes at a time, and however many messages wait.
    #[tokio::test]
    async fn each_byte_is_written_once_and_in_order() {
        for capacity in [10, 100, 1000] {
            let (mut transport, mut peer) = pair(capacity);
            assert!(transport.io.is_write_vectored());
            let mut expected = Vec::new();
            for n in 0..3 * MAX_SLICES / 2 {
                let message = format!("<{n}>");
                expected.extend_from_slice(message.as_bytes());
                transport.push_data(message.into());
            }
            let (mut read, mut data) = (Vec::new(), 0);
            while read.len() < expected.len() {
                assert_eq!(transport.pending() + read.len(), expected.len());
                data += flush(&mut transport).1.data;
                let mut buffer = [0; 1000];
                let count = peer.read(&mut buffer).await.unwrap();
                read.extend_from_slice(&buffer[..count]);
            }
            assert_eq!((read, data), (expected, 3 * MAX_SLICES / 2), "{capacity} bytes at a time");
            assert!(transport.is_idle() || capacity < 1000);
        }
    }

    #[tokio::test]
    async fn a_message_that_is_sent_at_once_is_queued_only_as_far_as_it_does_not_fit() {
        let (mut transport, mut peer) = pair(10);
        let send = |transport: &mut WsTransport<DuplexStream>, message: &'static [u8]| {
            let mut written = Written::default();
            let mut cx = Context::from_waker(Waker::noop());
            let result = transport.poll_send(&mut cx, &Bytes::from_static(message), &mut written);
            (result.is_ready(), written.data, written.bytes, transport.pending())
        };
        assert_eq!(send(&mut transport, b"123456"), (true, 1, 6, 0));
        assert_eq!(send(&mut transport, b"abcdef"), (false, 0, 4, 2));
        assert_eq!(send(&mut transport, b"next"), (false, 0, 0, 6), "behind the pending message");
        let mut read = [0; 10];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"123456abcd");
        assert_eq!(send(&mut transport, b"last"), (true, 3, 10, 0), "although the stream takes more");
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"efnextlast");
        // The answer to a pending ping comes first.
        peer.write_all(&masked(9, b"p")).await.unwrap();
        assert!(receive(&mut transport, 9).0.is_empty());
        assert_eq!(send(&mut transport, b"x"), (true, 1, 4, 0), "the pong is written, too");
        peer.read_exact(&mut read[..4]).await.unwrap();
        assert_eq!(&read[..4], b"\x8a\x01px");
    }

    /// The frames of a tape except the first, as a session returns them.
    fn batch(frames: &[&'static [u8]]) -> Batch {
        let mut tape = crate::Tape::default();
        let shared: Vec<_> = frames.iter().map(|frame| tape.push(Bytes::from_static(frame))).collect();
        let config = crate::SessionConfig::new(crate::Side::Server, crate::Mode::Plain);
        let now = super::super::now();
        let mut session = crate::Session::new(Arc::new(config), now);
        let epoch = session.reserve();
        session.attach(epoch, None, now).unwrap();
        for frame in &shared[1..] {
            session.send_shared(frame, crate::Overflow::Reject).unwrap();
        }
        match session.poll_transmit(epoch, now) {
            Some(crate::Transmit::Batch(batch)) => batch,
            other => panic!("no batch: {other:?}"),
        }
    }

    #[tokio::test]
    async fn counts_each_message_of_a_batch_when_its_last_byte_is_written() {
        let (mut transport, mut peer) = pair(10);
        transport.push_batch(batch(&[b"0", b"123456", b"abcdef"]));
        transport.push_control(Message::text("x"));
        let (result, written) = flush(&mut transport);
        assert!(result.is_pending());
        assert_eq!(written, Written { messages: 1, data: 1, bytes: 10 });
        let mut read = [0; 10];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"123456abcd");
        let (result, written) = flush(&mut transport);
        assert!(matches!(result, Poll::Ready(Ok(()))));
        assert_eq!(written, Written { messages: 2, data: 1, bytes: 5 });
    }

    #[tokio::test]
    async fn counts_all_messages_of_a_batch_that_is_written_at_once() {
        let (mut transport, _peer) = pair(1024);
        transport.push_batch(batch(&[b"0", b"123456", b"abcdef"]));
        assert_eq!(flush(&mut transport).1, Written { messages: 2, data: 2, bytes: 12 });
        let mut taken = 0;
        while transport.has_capacity() {
            transport.push_batch(batch(&[b"0", b"123456", b"abcdef"]));
            taken += 2;
        }
        assert_eq!(taken, MAX_BATCH);
    }

    #[tokio::test]
    async fn a_client_masks_each_message_of_a_batch() {
        let (ours, mut peer) = tokio::io::duplex(64);
        let mut transport = WsTransport::new(ours, Masked(|| [1; 4]), &[], 1024);
        transport.push_batch(batch(&[b"0", b"\x81\x01a", b"\x81\x01b"]));
        let mut written = Written::default();
        let flushed = transport.poll_flush(&mut Context::from_waker(Waker::noop()), &mut written);
        assert!(matches!(flushed, Poll::Ready(Ok(()))));
        assert_eq!(written.data, 2);
        let mut read = [0; 14];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\x81\x81\x01\x01\x01\x01\x60\x81\x81\x01\x01\x01\x01\x63");
    }

    #[tokio::test]
    async fn answers_pings_in_order_and_of_too_many_the_latest() {
        let (mut transport, mut peer) = pair(1024);
        for payload in 0..20 {
            peer.write_all(&masked(9, &[payload])).await.unwrap();
        }
        let _ = receive(&mut transport, 9);
        assert!(matches!(flush(&mut transport).0, Poll::Ready(Ok(()))));
        let mut pongs = vec![0; 3 * MAX_PONGS];
        peer.read_exact(&mut pongs).await.unwrap();
        let expected: Vec<u8> = (4..20).flat_map(|payload| [0x8a, 1, payload]).collect();
        assert_eq!(pongs, expected);
    }

    #[tokio::test]
    async fn takes_no_more_than_a_batch_from_the_session() {
        let (mut transport, _peer) = pair(16);
        let mut taken = 0;
        while transport.has_capacity() {
            transport.push_data(Bytes::from_static(b"x"));
            taken += 1;
        }
        assert_eq!(taken, MAX_BATCH);
        let (mut transport, _peer) = pair(16);
        transport.push_data(vec![0; MAX_BATCH_BYTES].into());
        assert!(!transport.has_capacity());
    }

    #[tokio::test]
    async fn is_idle_with_nothing_to_write_or_flush() {
        let (mut transport, mut peer) = pair(8);
        assert!(transport.is_idle());
        peer.write_all(&masked(9, b"p")).await.unwrap();
        assert!(receive(&mut transport, 9).0.is_empty());
        assert!(!transport.is_idle(), "a pong waits");
        assert!(flush(&mut transport).0.is_ready() && transport.is_idle());
        transport.push_data(Bytes::from_static(b"12345678"));
        assert!(!transport.is_idle(), "a message waits");
        assert!(flush(&mut transport).0.is_pending() && !transport.is_idle());
        peer.read_exact(&mut [0; 8]).await.unwrap();
        assert!(flush(&mut transport).0.is_ready() && transport.is_idle());
    }

    /// A stream that buffers what it is given until it is flushed, as TLS does.
    #[derive(Default)]
    struct Buffering {
        is_ready: bool,
        flushes: usize,
    }

    impl AsyncRead for Buffering {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Buffering {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(data.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_stream_is_flushed_once_for_what_is_written() {
        let mut transport = WsTransport::new(Buffering::default(), Unmasked, &[], 1024);
        let mut cx = Context::from_waker(Waker::noop());
        let mut written = Written::default();
        assert!(transport.poll_flush(&mut cx, &mut written).is_ready(), "nothing is to be flushed");
        for sends_at_once in [false, true] {
            transport.io = Buffering::default();
            let message = Bytes::from_static(b"message");
            if sends_at_once {
                assert!(transport.poll_send(&mut cx, &message, &mut written).is_pending());
            } else {
                transport.push_data(message);
                assert!(transport.poll_flush(&mut cx, &mut written).is_pending());
            }
            assert!(!transport.is_idle(), "the stream holds it");
            transport.io.is_ready = true;
            for _ in 0..2 {
                assert!(transport.poll_flush(&mut cx, &mut written).is_ready() && transport.is_idle());
            }
            assert_eq!(transport.io.flushes, 2);
        }
    }

    #[tokio::test]
    async fn an_idle_connection_holds_no_buffers() {
        let (mut transport, mut peer) = pair(4096);
        for _ in 0..40 {
            transport.push_data(Bytes::from_static(b"hello"));
            peer.write_all(&masked(9, b"p")).await.unwrap();
        }
        let _ = receive(&mut transport, 9);
        assert!(matches!(flush(&mut transport).0, Poll::Ready(Ok(()))));
        assert!(transport.pongs.is_none() && transport.leftover.is_none());
        assert_eq!(transport.queue.capacity() + transport.decoder.buffered(), 0);
    }

    #[tokio::test]
    async fn a_violation_and_the_end_of_the_stream_are_different_errors() {
        let (mut transport, mut peer) = pair(64);
        peer.write_all(b"\x81\x01x").await.unwrap();
        let (_, result) = receive(&mut transport, 9);
        assert!(matches!(result, Poll::Ready(ReceiveError::Protocol(frame)) if frame.code == 1002));
        let (mut transport, peer) = pair(64);
        drop(peer);
        let (_, result) = receive(&mut transport, 9);
        assert!(
            matches!(result, Poll::Ready(ReceiveError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof)
        );
    }

    #[tokio::test]
    async fn a_client_masks_everything_with_keys_of_its_own() {
        let (ours, mut peer) = tokio::io::duplex(64);
        let mut keys = 0;
        let key = move || {
            keys += 1;
            [keys, 0, 0, 0]
        };
        let mut transport = WsTransport::new(ours, Masked(key), &[], 1024);
        transport.push_data(ws::encode_message(crate::MessageKind::Text, b"ab"));
        transport.push_ping();
        transport.push_close(Some(&CloseFrame::new(1000, "")));
        let mut written = Written::default();
        let flushed = transport.poll_flush(&mut Context::from_waker(Waker::noop()), &mut written);
        assert!(matches!(flushed, Poll::Ready(Ok(()))));
        let mut read = [0; 22];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\x81\x82\x01\0\0\0\x60b\x89\x80\x02\0\0\0\x88\x82\x03\0\0\0\x00\xe8");
    }

    #[tokio::test]
    async fn nothing_is_received_behind_a_close_frame() {
        let (mut transport, mut peer) = pair(64);
        peer.write_all(&masked(8, &[3, 232])).await.unwrap();
        peer.write_all(&masked(1, b"late")).await.unwrap();
        for _ in 0..2 {
            let (texts, result) = receive(&mut transport, 9);
            assert!(texts.is_empty() && result.is_pending());
        }
    }
}
