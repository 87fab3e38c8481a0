//! [`SocketDriver`]: drives one socket for a session.

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

/// A socket that is attached to a session under an epoch: a `Box<SocketDriver>`, whatever its transport is.
#[repr(C)]
pub struct SocketDriver<T: ?Sized = dyn Transport> {
    epoch: Epoch,
    /// Of the task that polls this link: who else writes has the socket wake that one.
    driver: Option<Waker>,
    /// The session did not want to read on when the socket was read last, so that nothing wakes us for what is there.
    paused: bool,
    transport: T,
}

/// What becomes of a socket that is no longer the session's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the transport wants to be closed"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum Detach {
    /// Close it with this frame: [`SocketDriver::close`].
    Leave(CloseFrame),
    /// The peer has closed, and the answer is queued: flush it, and drop the socket.
    Answered,
    /// Drop it.
    Gone,
}

/// How far writing came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a socket that is no longer the session's must be let go"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum WriteProgress {
    /// Everything is written, or the socket is full.
    Enough {
        /// The link is to be polled at once: to be read on, or because it is the session's no more.
        again: bool,
        /// The socket has just become full: the session's timer has to be looked at.
        blocked: bool,
    },
    /// The socket is no longer the session's.
    End(Detach),
}

/// How often [`SocketDriver::poll`] reads and writes before other tasks have their turn: then up to 2 MiB are written.
const ROUNDS_PER_POLL: usize = 4;

/// How often the transport is filled, with up to 64 KiB, and written before something else is done: a large buffer is not replayed in one go.
const WRITES_PER_POLL: usize = 8;

/// How far taking from the session came.
enum Filled {
    /// There is nothing left to flush.
    Done(WriteProgress),
    /// A control frame is due, to be encoded once the session is released.
    Control(Control),
    /// The transport is to be flushed; `more` when it had no capacity for everything.
    Flush { more: bool },
}

impl<T: Transport> SocketDriver<T> {
    /// A link for the socket that was attached, or is to be, under `epoch`.
    pub fn new(epoch: Epoch, transport: T) -> Self {
        Self { epoch, driver: None, paused: false, transport }
    }
}

impl SocketDriver {
    /// So many bytes of it, from its beginning, are looked at by [`Self::flush`], where its transport is a [`WsTransport`](super::WsTransport)
    /// over TCP.
    pub const HOT: usize = 160;
}

impl<T: Transport + ?Sized> SocketDriver<T> {
    /// Reads what is there, writes what is due. Ready when the socket is no longer the session's.
    ///
    /// The caller has registered itself with [`SharedSession::register_driver`] before. One that has something to do in between calls
    /// [`Self::poll_read`] and [`Self::poll_write`].
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
        yield_now(cx)
    }

    /// Reads what is there, as far as the session wants it. Ready when the socket is no longer the session's.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
    ) -> Poll<Detach> {
        let end = self.read(cx, session, codec);
        if end.is_ready() {
            session.drive(|session| session.handle_left(self.epoch));
        }
        end
    }

    /// Writes what is due. The caller has registered itself with [`SharedSession::register_driver`] before.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        session: &SharedSession,
        codec: &dyn Codec,
    ) -> WriteProgress {
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            None => self.driver = Some(cx.waker().clone()),
        }
        let wrote = self.write(cx, session, codec, now());
        if let WriteProgress::End(_) = wrote {
            session.drive(|session| session.handle_left(self.epoch));
        }
        wrote
    }

    /// Writes what is due, for whoever has queued it, so that the task that polls this link need not be woken for it. Returns
    /// whether it has to be woken all the same, by [`SharedSession::wake_driver`]: the socket is full, or is lost, or is to be read on.
    ///
    /// Before the first [`Self::poll_write`] nothing is written.
    pub fn flush(&mut self, session: &SharedSession, codec: &dyn Codec, now: Instant) -> bool {
        let Some(driver) = self.driver.take() else {
            session.drain();
            return false;
        };
        let wrote = self.write(&mut Context::from_waker(&driver), session, codec, now);
        self.driver = Some(driver);
        match wrote {
            WriteProgress::Enough { again, blocked } => again || blocked,
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
        let mut now = None;
        // Something was heard of which the session does not know yet.
        let mut heard = None;
        let mut closed = None;
        let mut sink = |received| match received {
            Received::Heard(_) => {
                heard = Some(*now.get_or_insert_with(super::now));
                Flow::Continue
            }
            Received::Message(message) => {
                let size = message.data.len();
                let frame = codec.decode(message);
                let now = *now.get_or_insert_with(super::now);
                session.drive(|session| {
                    if let Some(at) = heard.take() {
                        session.handle_heard(epoch, at);
                    }
                    let result = match frame {
                        Ok(frame) => session
                            .handle_frame(epoch, frame, size, now)
                            .map_err(|violation| CloseFrame::new(1002, violation.to_string())),
                        Err(error) => Err(CloseFrame::new(error.close_code(), error.to_string())),
                    };
                    if let Err(frame) = result {
                        session.handle_violation(epoch, frame);
                    }
                    let goes_on =
                        session.wants_read() && session.standing(epoch) == AttachmentState::Attached;
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
            // A last word on what arrived, then the answer (RFC 6455 §5.5.1).
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
        match session.drive(|session| session.standing(epoch)) {
            AttachmentState::Attached => Poll::Pending,
            AttachmentState::Leave(frame) => Poll::Ready(Detach::Leave(frame)),
            AttachmentState::Gone => Poll::Ready(Detach::Gone),
        }
    }

    /// Writes until nothing is due or the socket is full, or until other tasks are to have their turn. The codec and the stream
    /// are foreign code: they run while the session is not locked.
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
            let wrote = session.drive(|session| self.note_written(session, flushed, written, now));
            if !goes_on {
                return wrote;
            }
            turns += 1;
            if turns == WRITES_PER_POLL {
                return WriteProgress::Enough { again: true, blocked: false };
            }
        }
    }

    /// Queues a control frame behind what was taken from the session before it.
    fn push_control(&mut self, control: &Control, session: &SharedSession, codec: &dyn Codec) {
        if let Some(message) = encode(codec, control) {
            self.transport.push_control(message);
        } else {
            let frame = CloseFrame::new(1011, "codec cannot carry control frames");
            session.drive(|session| session.handle_violation(self.epoch, frame));
        }
    }

    /// Writes what can be written in one go with the session, where that is all; else takes from the session what the transport has
    /// capacity for.
    fn write_or_fill(&mut self, cx: &mut Context<'_>, session: &mut Session, now: Instant) -> Filled {
        if let Some(wrote) = self.write_lone(cx, session, now) {
            return Filled::Done(wrote);
        }
        match self.fill(session, now) {
            Filled::Flush { more: false } if self.transport.is_idle() => {
                Filled::Done(self.note_written(session, Poll::Ready(Ok(())), Written::default(), now))
            }
            filled => filled,
        }
    }

    /// Writes the message that is due, if it is exactly one: without queueing it, and in one go with the session. A broadcast
    /// nearly always finds it so. The session is locked meanwhile, so only a transport without foreign code takes part.
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

    /// Tells the session how far writing came.
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
            return match session.standing(epoch) {
                AttachmentState::Attached => WriteProgress::Enough { again: false, blocked: false },
                AttachmentState::Leave(_) | AttachmentState::Gone => WriteProgress::End(Detach::Gone),
            };
        }
        // What had stopped the reading may be written or taken by now, and nobody else wakes us to read on.
        // Nor where writing has ended the session: the codec could not carry what was due.
        let again =
            session.standing(epoch) != AttachmentState::Attached || (self.paused && session.wants_read());
        WriteProgress::Enough { again, blocked: session.is_blocked() && !was_blocked }
    }

    /// Takes from the session what the transport has capacity for, up to the first control frame.
    fn fill(&mut self, session: &mut Session, now: Instant) -> Filled {
        let transport = &mut self.transport;
        match session.standing(self.epoch) {
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

    /// Which of the session's sockets this is.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Closes a socket that is no longer a session's: writes the close frame behind what is under way, and discards what the
    /// peer says until it has answered. The caller bounds the time.
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
    use crate::{DecodeError, EncodeError, Event, Frame, Message, Mode, Overflow, SessionConfig, Side, Tape};

    /// A message is its text: it stands as the event of a frame.
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

        fn encode_control(&self, event: &str, _: Option<bytes::Bytes>) -> Result<Message, EncodeError> {
            Ok(Message::text(event.to_owned()))
        }
    }

    /// A plain session with a socket that holds so many bytes, and the peer's end.
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

    /// Somebody broadcasts.
    fn queue(session: &SharedSession, text: &'static str) {
        let frame =
            Tape::default().push(crate::ws::encode_message(crate::MessageKind::Text, text.as_bytes()));
        let (queued, effects) = session.queue(&frame, Overflow::Reject, true);
        queued.unwrap();
        session.apply(effects);
    }

    #[tokio::test]
    async fn a_flush_writes_what_was_queued_and_needs_nobody() {
        let (session, mut driver, mut peer) = linked(64, |_| ());
        queue(&session, "early");
        assert!(!flush(&mut driver, &session, now()), "its driver has not looked at it yet, and is about to");
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
    async fn a_large_buffer_is_not_written_in_one_go() {
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
        // Its driver goes round some times, and then wakes itself.
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut polls = 0;
        while left() > 0 {
            assert!(driver.poll(&mut Context::from_waker(&waker), &session, &Text).is_pending());
            tokio::task::yield_now().await;
            assert!(wakes.0.swap(0, Ordering::Relaxed) > 0 || left() == 0, "nobody else wakes it");
            polls += 1;
        }
        assert_eq!(polls, 3);
        let mut read = vec![0; 6_000 * message.len()];
        peer.read_exact(&mut read).await.unwrap();
    }

    /// An application's own stream, which asks for the session's counts on another thread whenever it is written.
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
            // Only a session that is locked takes any time.
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
    async fn a_foreign_stream_is_written_while_the_session_is_unlocked() {
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
    async fn a_flush_has_the_driver_look_when_the_socket_becomes_full_or_is_lost() {
        let (session, mut driver, peer) = linked(9, |_| ());
        let write_timeout = SessionConfig::new(Side::Server, Mode::Plain).write_timeout;
        assert!(driver.poll(&mut cx(), &session, &Text).is_pending());
        queue(&session, "123456");
        assert!(!flush(&mut driver, &session, now()));
        queue(&session, "7");
        let at = now();
        assert!(flush(&mut driver, &session, at), "its timer is to be set");
        assert!(session.drive(|session| session.poll_timeout()).is_some_and(|due| due <= at + write_timeout));
        queue(&session, "8");
        assert!(!flush(&mut driver, &session, now()), "it knows already");
        drop(peer);
        assert!(flush(&mut driver, &session, now()));
        assert_eq!(driver.poll(&mut cx(), &session, &Text), Poll::Ready(Detach::Gone));
    }

    #[tokio::test]
    async fn a_socket_whose_reading_was_stopped_is_read_on_when_there_is_room_again() {
        let (session, mut driver, mut peer) = linked(64, |config| config.inbox_frames = 1);
        for text in [b"a", b"b"] {
            let frame = [0x81, 0x81, 0, 0, 0, 0, text[0]];
            tokio::io::AsyncWriteExt::write_all(&mut peer, &frame).await.unwrap();
        }
        let enough = |again| WriteProgress::Enough { again, blocked: false };
        for text in ["a", "b"] {
            assert!(driver.poll_read(&mut cx(), &session, &Text).is_pending());
            assert_eq!(driver.poll_write(&mut cx(), &session, &Text), enough(false), "nobody has made room");
            while let Some(event) = session.next_event() {
                assert!([Event::Connected, Event::Message(Frame::event_only(text))].contains(&event));
            }
            assert!(flush(&mut driver, &session, now()), "whoever sees it has the driver read on");
            assert_eq!(driver.poll_write(&mut cx(), &session, &Text), enough(true));
        }
    }
}
