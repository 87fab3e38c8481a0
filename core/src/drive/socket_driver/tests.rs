//! Reading and writing over streams in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, DuplexStream};

use super::*;
use crate::drive::{Unmasked, WsTransport};
use crate::{
    DecodeError, EncodeError, Event, Frame, Message, Mode, Overflow, SegmentWriter, SessionConfig,
    SessionIdentity, Side, Token,
};

/// A codec that encodes only the event of a frame, as text.
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

/// A plain session with an attached socket that buffers `capacity` bytes, and the peer's end.
fn attached(
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
    let frame =
        SegmentWriter::default().push(crate::ws::encode_message(crate::MessageKind::Text, text.as_bytes()));
    let (queued, effects) = session.queue(frame.message(0), Overflow::Reject, true, || &frame);
    queued.unwrap();
    session.apply(effects);
}

#[tokio::test]
async fn a_flush_writes_queued_frames_without_the_driver() {
    let (session, mut driver, mut peer) = attached(64, |_| ());
    queue(&session, "early");
    assert!(!flush(&mut driver, &session, now()), "the driver has not polled it yet, and is about to");
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
    let (session, mut driver, mut peer) = attached(1 << 24, |config| {
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
        assert!(wakes.0.swap(0, Ordering::Relaxed) > 0 || left() == 0, "the driver wakes itself");
        polls += 1;
    }
    assert_eq!(polls, 3);
    let mut read = vec![0; 6_000 * message.len()];
    peer.read_exact(&mut read).await.unwrap();
}

/// An application's stream that uses the session from another thread on every write. It panics if the session is locked.
struct LockProbe {
    io: DuplexStream,
    session: Arc<std::sync::OnceLock<Arc<SharedSession>>>,
    writes: Arc<AtomicUsize>,
}

impl tokio::io::AsyncRead for LockProbe {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl tokio::io::AsyncWrite for LockProbe {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let session = self.session.get().unwrap().clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(session.drive(|session| session.counts())));
        // It times out only if the session is locked.
        receiver.recv_timeout(std::time::Duration::from_secs(10)).expect("the session is locked");
        self.writes.fetch_add(1, Ordering::Relaxed);
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
    let (session_of, writes) = (Arc::default(), Arc::default());
    let stream = LockProbe { io, session: Arc::clone(&session_of), writes: Arc::clone(&writes) };
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
    assert_eq!(writes.load(Ordering::Relaxed), 1);
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
    let (session, mut driver, peer) = attached(9, |_| ());
    let write_timeout = SessionConfig::new(Side::Server, Mode::Plain).write_timeout;
    assert!(driver.poll(&mut cx(), &session, &Text).is_pending());
    queue(&session, "123456");
    assert!(!flush(&mut driver, &session, now()));
    queue(&session, "7");
    let at = now();
    assert!(flush(&mut driver, &session, at), "the driver must set its timer");
    assert!(session.drive(|session| session.poll_timeout()).is_some_and(|due| due <= at + write_timeout));
    queue(&session, "8");
    assert!(!flush(&mut driver, &session, now()), "the driver knows already");
    drop(peer);
    assert!(flush(&mut driver, &session, now()));
    assert_eq!(driver.poll(&mut cx(), &session, &Text), Poll::Ready(Detach::Gone));
}

#[tokio::test]
async fn paused_reading_continues_once_events_are_taken() {
    let (session, mut driver, mut peer) = attached(64, |config| config.inbox_frames = 1);
    for text in [b"a", b"b"] {
        let frame = [0x81, 0x81, 0, 0, 0, 0, text[0]];
        tokio::io::AsyncWriteExt::write_all(&mut peer, &frame).await.unwrap();
    }
    let enough = |again| WriteProgress::Enough { again, blocked: false };
    for text in ["a", "b"] {
        assert!(driver.poll_read(&mut cx(), &session, &Text).is_pending());
        assert_eq!(driver.poll_write(&mut cx(), &session, &Text), enough(false), "the queue is full");
        assert!(driver.poll_read(&mut cx(), &session, &Text).is_pending(), "it stays in the socket");
        while let Some(event) = session.next_event() {
            assert!([Event::Connected, Event::Message(Frame::event_only(text))].contains(&event));
        }
        assert!(flush(&mut driver, &session, now()), "the driver must read again");
        assert_eq!(driver.poll_write(&mut cx(), &session, &Text), enough(true));
    }
}
