//! [`SocketDriver`]: drives one attached socket for a session.

use std::fmt;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::{AttachmentState, CloseFrame, Codec, Control, DropReason, Epoch, Session, Transmit};

use super::deadline::now;
use super::linger;
use super::shared_session::SharedSession;
use super::transport::{Flow, ReceiveError, Received, Transport, Written};
use super::turn::yield_now;

/// The driver of one socket that is attached to a session under an epoch. Used as `Box<SocketDriver>`, which erases the
/// transport's type.
///
/// The session task reads and writes with it. A fan-out writes with it, too ([`Self::flush`]), so the owner puts it behind a
/// lock; `&mut self` keeps the bytes of two writers from mixing. Between two accesses to the session its state may change: every
/// access names the epoch, and the session ignores one that is no longer attached.
#[repr(C)]
pub struct SocketDriver<T: ?Sized = dyn Transport> {
    epoch: Epoch,
    /// The waker of the session task. Another task that flushes polls the socket with this waker: otherwise a full socket would
    /// wake that task, which has gone on to other sessions, and no task would write the rest.
    driver: Option<Waker>,
    /// The session wanted no more frames when the socket was read last. The socket's readiness then wakes nothing, so writing
    /// has to check whether reading can continue.
    paused: bool,
    transport: T,
}

/// How to end a socket that is no longer attached to its session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the transport has to be closed"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum Detach {
    /// Close it with this frame: [`SocketDriver::close`].
    Leave(CloseFrame),
    /// The peer has closed, and the answer is queued: flush it, and drop the socket.
    Answered,
    /// Drop it.
    Gone,
}

/// The result of writing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a socket that is no longer attached has to be closed"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum WriteProgress {
    /// Everything is written, or the socket is full.
    Enough {
        /// The driver must be polled again at once: it can continue to read, or its socket is no longer attached.
        again: bool,
        /// The socket has just become full: the write timeout begins, and the session's timer must be set anew.
        blocked: bool,
    },
    /// The socket is no longer attached.
    End(Detach),
}

/// The number of times that [`SocketDriver::poll`] reads and writes before other tasks run. Up to 2 MiB are written by then.
const ROUNDS_PER_POLL: usize = 4;

/// The number of times that one call fills the transport, with up to 64 KiB, and flushes it: a large buffer is not replayed in
/// one go.
const WRITES_PER_POLL: usize = 8;

/// The result of filling the transport from the session.
enum Filled {
    /// There is nothing left to flush.
    Done(WriteProgress),
    /// A control frame is due. It is encoded after the session is unlocked, since a codec is foreign code.
    Control(Control),
    /// The transport has to be flushed. With `more` it had no capacity for everything that is due.
    Flush { more: bool },
}

impl<T: Transport> SocketDriver<T> {
    /// A driver for a socket that is, or will be, attached under `epoch`.
    pub fn new(epoch: Epoch, transport: T) -> Self {
        Self { epoch, driver: None, paused: false, transport }
    }
}

impl SocketDriver {
    /// The number of bytes, from the beginning of the struct, that [`Self::flush`] reads when the transport is a
    /// [`WsTransport`](super::WsTransport) over TCP: for a prefetch.
    pub const HOT: usize = 160;
}

impl<T: Transport + ?Sized> SocketDriver<T> {
    /// Reads the frames that have arrived, and writes those that are due. Ready when the socket is no longer attached.
    ///
    /// The caller must have called [`SharedSession::register_driver`] before. A caller that has something to do in between uses
    /// [`Self::poll_read`] and [`Self::poll_write`] instead.
    pub fn poll(&mut self, cx: &mut Context<'_>, session: &SharedSession, codec: &dyn Codec) -> Poll<Detach> {
        for _ in 0..ROUNDS_PER_POLL {
            if let Poll::Ready(end) = self.poll_read(cx, session, codec) {
                return Poll::Ready(end);
            }
            match self.poll_write(cx, session, codec) {
                WriteProgress::Enough { again: true, .. } => {}
                WriteProgress::Enough { again: false, .. } => return Poll::Pending,
                WriteProgress::End(end) => return Poll::Ready(end),
            }
        }
        // There is more to do. The task registers no interest here that would wake it later, so it wakes itself.
        yield_now(cx)
    }

    /// Reads the frames that have arrived, until the session wants no more. Ready when the socket is no longer attached.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
    ) -> Poll<Detach> {
        let end = self.read(cx, session, codec);
        if end.is_ready() {
            // Until now the session had to assume that this socket may still report written frames.
            session.drive(|session| session.handle_detached(self.epoch));
        }
        end
    }

    /// Writes the frames that are due. The caller must have called [`SharedSession::register_driver`] before: a frame that is
    /// sent after the last look at the session would otherwise wake nothing.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
    ) -> WriteProgress {
        // Also tells `flush` that the session task has written once, and that others may write from now on.
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            None => self.driver = Some(cx.waker().clone()),
        }
        let wrote = self.write(cx, session, codec, now());
        if let WriteProgress::End(_) = wrote {
            session.drive(|session| session.handle_detached(self.epoch));
        }
        wrote
    }

    /// Writes the frames that are due in the task of a caller that has queued them, so that the session task need not be woken.
    /// Returns whether the caller must wake it anyway, with [`SharedSession::wake_driver`]: the socket has become full, is lost,
    /// or can be read again.
    ///
    /// Writes nothing before the first [`Self::poll_write`].
    pub fn flush(&mut self, session: &SharedSession, codec: &dyn Codec, now: Instant) -> bool {
        let Some(driver) = self.driver.take() else {
            // Without a waker a full socket would wake nothing. The session task has just attached the socket and is about to
            // write, so only the broadcasts are drained, which the caller relies on to trim their log.
            session.drain();
            return false;
        };
        let wrote = self.write(&mut Context::from_waker(&driver), session, codec, now);
        self.driver = Some(driver);
        match wrote {
            // A socket that was full before is the session task's already: its waker is registered, and its timer set.
            WriteProgress::Enough { again, blocked } => again || blocked,
            // Nothing is detached here. The session task finds the same end, and detaches the socket.
            WriteProgress::End(_) => true,
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, session: &SharedSession, codec: &dyn Codec) -> Poll<Detach> {
        self.paused = !session.drive(|session| session.wants_read());
        if self.paused {
            return Poll::Pending;
        }
        let epoch = self.epoch;
        let paused = &mut self.paused;
        // The clock is read once for everything that arrives in one call, and only if something does.
        let mut now = None;
        // When bytes arrived that the session does not know of yet: reported with the next message, which saves an access.
        let mut heard = None;
        let mut closed = None;
        let mut sink = |received| match received {
            Received::Heard(_) => {
                heard = Some(*now.get_or_insert_with(super::now));
                Flow::Continue
            }
            Received::Message(message) => {
                let size = message.data.len();
                // Outside the lock: a codec is foreign code, and may use the session.
                let frame = codec.decode(message);
                let now = *now.get_or_insert_with(super::now);
                session.drive(|session| {
                    if let Some(at) = heard.take() {
                        session.handle_heard(epoch, at);
                    }
                    let result = match frame {
                        Ok(frame) => session
                            .handle_frame(epoch, frame, size, now)
                            .map_err(|violation| CloseFrame::truncated(1002, violation.to_string())),
                        Err(error) => Err(CloseFrame::truncated(error.close_code(), error.to_string())),
                    };
                    if let Err(frame) = result {
                        session.handle_violation(epoch, frame);
                    }
                    // Another socket may have taken over since the last access. Its epoch is newer, so the session has ignored
                    // this frame; reading further ones would be in vain.
                    let goes_on =
                        session.wants_read() && session.attachment_state(epoch) == AttachmentState::Attached;
                    *paused = !goes_on;
                    if goes_on { Flow::Continue } else { Flow::Pause }
                })
            }
            Received::Close(frame) => {
                let now = *now.get_or_insert_with(super::now);
                closed = Some(session.drive(|session| session.handle_close(epoch, frame, now)));
                Flow::Pause
            }
        };
        let received = self.transport.poll_receive(cx, &mut sink);
        if let Some((ack, answer)) = closed {
            // First acknowledge what arrived, then answer the close frame (RFC 6455 §5.5.1).
            if let Some(message) = ack.and_then(|ack| encode(codec, &Control::Ack(ack))) {
                self.transport.push_control(message);
            }
            self.transport.push_close(answer.as_ref());
            return Poll::Ready(Detach::Answered);
        }
        if let Some(at) = heard {
            session.drive(|session| session.handle_heard(epoch, at));
        }
        match received {
            Poll::Pending if !self.paused => return Poll::Pending,
            Poll::Pending => {}
            Poll::Ready(ReceiveError::Io(error)) => {
                let now = super::now();
                session.drive(|session| session.handle_lost(epoch, DropReason::Io(error.kind()), now));
            }
            Poll::Ready(ReceiveError::Protocol(frame)) => {
                session.drive(|session| session.handle_violation(epoch, frame));
            }
        }
        match session.drive(|session| session.attachment_state(epoch)) {
            AttachmentState::Attached => Poll::Pending,
            AttachmentState::Leave(frame) => Poll::Ready(Detach::Leave(frame)),
            AttachmentState::Gone => Poll::Ready(Detach::Gone),
        }
    }

    /// Writes until nothing is due, the socket is full, or other tasks should run. The codec and the stream are foreign code:
    /// they run while the session is unlocked.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
        now: Instant,
    ) -> WriteProgress {
        let mut turns = 0;
        loop {
            let more = match session.drive(|session| self.write_or_fill(cx, session, now)) {
                Filled::Done(wrote) => return wrote,
                Filled::Control(control) => {
                    self.push_control(&control, session, codec);
                    continue;
                }
                Filled::Flush { more } => more,
            };
            let mut written = Written::default();
            let flushed = self.transport.poll_flush(cx, &mut written);
            let goes_on = more && matches!(flushed, Poll::Ready(Ok(())));
            // The session may have changed during the flush. A frame that was sent meanwhile is no loss: it wakes the session
            // task, or its sender flushes next.
            let wrote = session.drive(|session| self.note_written(session, flushed, written, now));
            if !goes_on {
                return wrote;
            }
            turns += 1;
            if turns == WRITES_PER_POLL {
                // `flush` passes this on, and the session task writes the rest: a fan-out does not stay with one session.
                return WriteProgress::Enough { again: true, blocked: false };
            }
        }
    }

    /// Queues a control frame behind the frames that were taken from the session before it.
    fn push_control(&mut self, control: &Control, session: &SharedSession, codec: &dyn Codec) {
        if let Some(message) = encode(codec, control) {
            self.transport.push_control(message);
        } else {
            // The session counts the control frame as sent. Leaving it out would break the protocol silently.
            let frame = CloseFrame::from_static(1011, "codec cannot carry control frames");
            session.drive(|session| session.handle_violation(self.epoch, frame));
        }
    }

    /// Writes a lone message at once, if that is all that is due. Otherwise fills the transport from the session.
    fn write_or_fill(&mut self, cx: &mut Context<'_>, session: &mut Session, now: Instant) -> Filled {
        if let Some(wrote) = self.write_lone(cx, session, now) {
            return Filled::Done(wrote);
        }
        match self.fill(session, now) {
            // Nothing to write: the same access notes it, and the session is not locked a second time.
            Filled::Flush { more: false } if self.transport.is_idle() => {
                Filled::Done(self.note_written(session, Poll::Ready(Ok(())), Written::default(), now))
            }
            filled => filled,
        }
    }

    /// Fast path: if exactly one data message is due and nothing else, writes it under the session's lock, without queueing it.
    /// Most deliveries of a broadcast take this path.
    ///
    /// One access in the place of two, and no clone of the message: a fan-out spends its time on just these. The price is a
    /// system call under the lock, so a transport that may run foreign code is excluded.
    fn write_lone(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        now: Instant,
    ) -> Option<WriteProgress> {
        if !self.transport.sends_without_foreign_code() || !self.transport.has_capacity() {
            return None;
        }
        let message = session.poll_lone(self.epoch, now)?;
        let mut written = Written::default();
        let flushed = self.transport.poll_send(cx, message, &mut written);
        Some(self.note_written(session, flushed, written, now))
    }

    /// Reports to the session what the socket has taken.
    fn note_written(
        &self,
        session: &mut Session,
        flushed: Poll<io::Result<()>>,
        written: Written,
        now: Instant,
    ) -> WriteProgress {
        let epoch = self.epoch;
        let was_blocked = session.is_blocked();
        let pending = flushed.is_pending().then(|| self.transport.pending());
        session.handle_written(epoch, written.data, written.bytes, pending, now);
        if let Poll::Ready(Err(error)) = flushed {
            session.handle_lost(epoch, DropReason::Io(error.kind()), now);
            return match session.attachment_state(epoch) {
                // Not even a close frame can be written any more, whatever the session wanted to send.
                AttachmentState::Attached => WriteProgress::Enough { again: false, blocked: false },
                AttachmentState::Leave(_) | AttachmentState::Gone => WriteProgress::End(Detach::Gone),
            };
        }
        // Reading may have stopped for answers that are written now, or for events that the application has taken: nothing else
        // wakes the driver to read again. Nor does anything when the socket was detached meanwhile: by a takeover, or because
        // the codec could not represent a control frame.
        let again = session.attachment_state(epoch) != AttachmentState::Attached
            || (self.paused && session.wants_read());
        WriteProgress::Enough { again, blocked: session.is_blocked() && !was_blocked }
    }

    /// Takes frames from the session while the transport has capacity, up to the first control frame.
    fn fill(&mut self, session: &mut Session, now: Instant) -> Filled {
        let transport = &mut self.transport;
        match session.attachment_state(self.epoch) {
            AttachmentState::Attached => {}
            AttachmentState::Leave(frame) => return Filled::Done(WriteProgress::End(Detach::Leave(frame))),
            AttachmentState::Gone => return Filled::Done(WriteProgress::End(Detach::Gone)),
        }
        while transport.has_capacity() {
            match session.poll_transmit(self.epoch, now) {
                Some(Transmit::Data(message)) => transport.push_data(message),
                Some(Transmit::Batch(batch)) => transport.push_batch(batch),
                Some(Transmit::Control(control)) => return Filled::Control(control),
                Some(Transmit::Ping) => transport.push_ping(),
                Some(Transmit::Close(frame)) => transport.push_close(Some(&frame)),
                None => return Filled::Flush { more: false },
            }
        }
        Filled::Flush { more: true }
    }

    /// The epoch of the socket.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Closes a socket that is no longer attached: writes the close frame behind the pending frames, and discards what the peer
    /// sends until it has answered. The caller bounds the time.
    pub async fn close(mut self: Box<Self>, end: Detach) {
        match end {
            Detach::Gone => {}
            Detach::Answered => linger::leave(&mut self.transport).await,
            Detach::Leave(frame) => {
                self.transport.push_close(Some(&frame));
                linger::close(&mut self.transport).await;
            }
        }
    }
}

fn encode(codec: &dyn Codec, control: &Control) -> Option<crate::Message> {
    match codec.encode_control(control.event(), control.json()) {
        Ok(message) => Some(message),
        Err(error) => {
            tracing::error!(codec = codec.name(), event = control.event(), %error, "codec cannot carry control frames");
            None
        }
    }
}

impl<T: ?Sized> fmt::Debug for SocketDriver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketDriver").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, DuplexStream};

    use super::*;
    use crate::drive::{Unmasked, WsTransport};
    use crate::{
        DecodeError, EncodeError, Event, Frame, Message, Mode, Overflow, SegmentWriter, SessionConfig,
        SessionIdentity, Side, Token,
    };

    /// A codec whose messages are the event of a frame as text.
    #[derive(Debug)]
    struct Text;

    impl Codec for Text {
        fn name(&self) -> &'static str {
            "text"
        }

        fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
            Ok(Message::text(frame.event().to_owned()))
        }

        fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
            Ok(Frame::event_only(String::from_utf8_lossy(&message.data).into_owned()))
        }

        fn encode_control(&self, _: &str, _: Option<bytes::Bytes>) -> Result<Message, EncodeError> {
            Err(EncodeError::new("control frames"))
        }
    }

    /// A plain session with a socket that holds `capacity` bytes, and the peer's end.
    fn linked(
        capacity: usize,
        adjust: impl FnOnce(&mut SessionConfig),
    ) -> (SharedSession, Box<SocketDriver>, DuplexStream) {
        let mut config = SessionConfig::new(Side::Server, Mode::Plain);
        adjust(&mut config);
        let mut session = Session::new(Arc::new(config), now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        let (ours, theirs) = tokio::io::duplex(capacity);
        let transport = WsTransport::new(ours, Unmasked, &[], 1024);
        (SharedSession::new(session), Box::new(SocketDriver::new(epoch, transport)), theirs)
    }

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn flush(driver: &mut SocketDriver, session: &SharedSession, now: Instant) -> bool {
        driver.flush(session, &Text, now)
    }

    /// Queues a frame as a broadcast does.
    fn queue(session: &SharedSession, text: &'static str) {
        let frame = SegmentWriter::default()
            .push(crate::ws::encode_message(crate::MessageKind::Text, text.as_bytes()));
        let (queued, effects) = session.queue(&frame, Overflow::Reject, true);
        queued.unwrap();
        session.apply(effects);
    }

    #[tokio::test]
    async fn a_flush_writes_queued_frames_without_the_driver() {
        let (session, mut driver, mut peer) = linked(64, |_| ());
        queue(&session, "early");
        assert!(!flush(&mut driver, &session, now()), "its task has not polled it yet, and is about to");
        assert_eq!(session.drive(|session| session.counts().unacknowledged), 1);
        assert_eq!(
            driver.poll_write(&mut cx(), &session, &Text),
            WriteProgress::Enough { again: false, blocked: false }
        );
        queue(&session, "later");
        assert!(!flush(&mut driver, &session, now()));
        let mut read = [0; 14];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\x81\x05early\x81\x05later");
        assert_eq!(session.drive(|session| session.counts().unacknowledged), 0);
    }

    #[tokio::test]
    async fn codec_without_control_frames_ends_with_1011() {
        let identity = SessionIdentity::new(Token::parse("abcdefghijklmnopqrstuv").unwrap(), "id", "room");
        let config = Arc::new(SessionConfig::new(Side::Server, Mode::Session));
        let mut session = Session::new_server(config, identity, None, now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        let (ours, _theirs) = tokio::io::duplex(1024);
        let mut driver = SocketDriver::new(epoch, WsTransport::new(ours, Unmasked, &[], 1024));
        let session = SharedSession::new(session);
        let end = Detach::Leave(CloseFrame::from_static(1011, "codec cannot carry control frames"));
        assert_eq!(driver.poll(&mut cx(), &session, &Text), Poll::Ready(end));
    }

    #[tokio::test]
    async fn a_large_buffer_is_written_over_several_polls() {
        let (session, mut driver, mut peer) = linked(1 << 24, |config| {
            config.buffer_frames = 100_000;
            config.buffer_bytes = 1 << 24;
        });
        let message = crate::ws::encode_message(crate::MessageKind::Text, &[b'x'; 1024]);
        for _ in 0..6_000 {
            session.send(message.clone(), Overflow::Reject).unwrap();
        }
        let left = || session.drive(|session| session.counts().unacknowledged);
        let before = left();
        assert_eq!(
            driver.poll_write(&mut cx(), &session, &Text),
            WriteProgress::Enough { again: true, blocked: false }
        );
        assert!((1..=640).contains(&(before - left())), "{} of {before}", before - left());
        // Each poll takes several rounds, and then wakes its own task.
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut polls = 0;
        while left() > 0 {
            assert!(driver.poll(&mut Context::from_waker(&waker), &session, &Text).is_pending());
            tokio::task::yield_now().await;
            assert!(wakes.0.swap(0, Ordering::Relaxed) > 0 || left() == 0, "nothing else wakes it");
            polls += 1;
        }
        assert_eq!(polls, 3);
        let mut read = vec![0; 6_000 * message.len()];
        peer.read_exact(&mut read).await.unwrap();
    }

    /// An application's own stream, which reads the session's counts on another thread whenever it is written.
    struct Nosy {
        io: DuplexStream,
        session: Arc<std::sync::OnceLock<Arc<SharedSession>>>,
        asked: Arc<AtomicUsize>,
    }

    impl tokio::io::AsyncRead for Nosy {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl tokio::io::AsyncWrite for Nosy {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let session = self.session.get().unwrap().clone();
            let (answers, answer) = std::sync::mpsc::channel();
            std::thread::spawn(move || answers.send(session.drive(|session| session.counts())));
            // It times out only if the session is locked.
            answer.recv_timeout(std::time::Duration::from_secs(10)).expect("the session is locked");
            self.asked.fetch_add(1, Ordering::Relaxed);
            std::pin::Pin::new(&mut self.io).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            std::pin::Pin::new(&mut self.io).poll_flush(cx)
        }

        fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            std::pin::Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn foreign_streams_are_written_outside_the_session_lock() {
        let (io, _theirs) = tokio::io::duplex(64);
        let (session_of, asked) = (Arc::default(), Arc::default());
        let stream = Nosy { io, session: Arc::clone(&session_of), asked: Arc::clone(&asked) };
        let mut session = Session::new(Arc::new(SessionConfig::new(Side::Server, Mode::Plain)), now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        let session = Arc::new(SharedSession::new(session));
        assert!(session_of.set(session.clone()).is_ok());
        let mut driver: Box<SocketDriver> =
            Box::new(SocketDriver::new(epoch, WsTransport::new(stream, Unmasked, &[], 1024)));
        assert!(driver.poll(&mut cx(), &session, &Text).is_pending());
        queue(&session, "lone");
        assert!(!flush(&mut driver, &session, now()));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_flush_reports_a_full_or_lost_socket() {
        let (session, mut driver, peer) = linked(9, |_| ());
        let write_timeout = SessionConfig::new(Side::Server, Mode::Plain).write_timeout;
        assert!(driver.poll(&mut cx(), &session, &Text).is_pending());
        queue(&session, "123456");
        assert!(!flush(&mut driver, &session, now()));
        queue(&session, "7");
        let at = now();
        assert!(flush(&mut driver, &session, at), "its timer has to be set");
        assert!(session.drive(|session| session.poll_timeout()).is_some_and(|due| due <= at + write_timeout));
        queue(&session, "8");
        assert!(!flush(&mut driver, &session, now()), "its task knows already");
        drop(peer);
        assert!(flush(&mut driver, &session, now()));
        assert_eq!(driver.poll(&mut cx(), &session, &Text), Poll::Ready(Detach::Gone));
    }

    #[tokio::test]
    async fn paused_reading_continues_once_events_are_taken() {
        let (session, mut driver, mut peer) = linked(64, |config| config.inbox_frames = 1);
        for text in [b"a", b"b"] {
            let frame = [0x81, 0x81, 0, 0, 0, 0, text[0]];
            tokio::io::AsyncWriteExt::write_all(&mut peer, &frame).await.unwrap();
        }
        let enough = |again| WriteProgress::Enough { again, blocked: false };
        for text in ["a", "b"] {
            assert!(driver.poll_read(&mut cx(), &session, &Text).is_pending());
            assert_eq!(driver.poll_write(&mut cx(), &session, &Text), enough(false), "the queue is full");
            while let Some(event) = session.next_event() {
                assert!([Event::Connected, Event::Message(Frame::event_only(text))].contains(&event));
            }
            assert!(flush(&mut driver, &session, now()), "its task has to read again");
            assert_eq!(driver.poll_write(&mut cx(), &session, &Text), enough(true));
        }
    }
}
