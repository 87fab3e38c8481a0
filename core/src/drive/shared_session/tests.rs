//! Tests of [`SharedSession`]: which tasks an access wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use bytes::Bytes;

use super::*;
use crate::drive::now;
use crate::{
    CloseReason, Control, Event, Frame, Mode, Overflow, SessionConfig, SessionIdentity, Side, Token, Transmit,
};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn counting_read_ahead_frames_wakes_the_driver() {
    let mut config = SessionConfig::new(Side::Server, Mode::Session);
    config.inbox_frames = 1;
    let delay = config.ack_delay;
    let identity = SessionIdentity::new(Token::parse("abcdefghijklmnopqrstuv").unwrap(), "id", "room");
    let start = now();
    let mut session = Session::new_server(Arc::new(config), identity, None, start);
    let epoch = session.reserve();
    session.attach(epoch, None, start).unwrap();
    session.poll_transmit(epoch, start);
    for text in ["1", "2"] {
        session.handle_frame(epoch, Frame::event_only(text), 1, start).unwrap();
    }
    let ack = session.poll_transmit(epoch, start + delay);
    assert_eq!(ack, Some(Transmit::Control(Control::Ack(1))));

    let session = SharedSession::new(session);
    let (driver, reader) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
    session.register_driver(&Context::from_waker(&driver.clone().into()));
    let reader = reader.into();
    let cx = Context::from_waker(&reader);
    assert_eq!(session.poll_event(&cx), Poll::Ready(Event::Connected));
    assert!(!driver.0.load(Ordering::Relaxed), "nothing has changed for it");
    assert_eq!(session.poll_event(&cx), Poll::Ready(Event::Message(Frame::event_only("1"))));
    assert!(driver.0.load(Ordering::Relaxed));
}

/// A session with a socket that commits, with as many messages that were received and taken, and a driver that is registered.
fn committing(messages: u64) -> (SharedSession, Arc<Flag>, std::time::Instant, crate::Epoch) {
    let mut config = SessionConfig::new(Side::Server, Mode::Session);
    config.commits = true;
    let identity = SessionIdentity::new(Token::parse("abcdefghijklmnopqrstuv").unwrap(), "id", "room");
    let start = now();
    let mut session = Session::new_server(Arc::new(config), identity, None, start);
    let epoch = session.reserve();
    session.attach(epoch, None, start).unwrap();
    session.poll_transmit(epoch, start);
    for _ in 0..messages {
        session.handle_frame(epoch, Frame::event_only("e"), 1, start).unwrap();
    }
    while session.poll_event().is_some() {}
    let (session, driver) = (SharedSession::new(session), Arc::new(Flag::default()));
    session.register_driver(&Context::from_waker(&driver.clone().into()));
    (session, driver, start, epoch)
}

#[test]
fn a_commit_wakes_a_driver_that_has_set_no_timer_for_the_acknowledgement() {
    let delay = SessionConfig::new(Side::Server, Mode::Session).ack_delay;
    let woken = |driver: &Flag| driver.0.swap(false, Ordering::Relaxed);
    let (session, driver, start, _) = committing(3);
    let due = |at| session.drive(|session| (session.poll_timeout(), session.handle_timeout(at)).0.unwrap());
    session.commit(1, 64, start);
    assert!(!woken(&driver), "it looks at the session again by itself");
    assert_eq!(due(start + delay), start + delay);
    let waits = due(start + delay);
    assert_eq!(waits, start + delay, "the acknowledgement of the first");

    let (session, driver, start, _) = committing(1);
    let due = |at| session.drive(|session| (session.poll_timeout(), session.handle_timeout(at)).0.unwrap());
    assert_eq!(due(start + delay), start + delay);
    assert!(due(start + delay) > start + delay, "there is nothing to acknowledge yet");
    session.commit(1, 64, start + 2 * delay);
    assert!(woken(&driver), "it has not set a timer for this");
    assert_eq!(due(start + 2 * delay), start + 3 * delay);
}

#[test]
fn a_commit_wakes_a_driver_that_waits_for_it() {
    let woken = |driver: &Flag| driver.0.swap(false, Ordering::Relaxed);
    let (session, driver, start, _) = committing(4);
    session.commit(1, 5, start);
    assert!(!woken(&driver));
    session.commit(2, 3, start);
    assert!(woken(&driver), "as many as may be were handled and not committed");

    let (session, driver, start, epoch) = committing(1);
    session.drive(|session| session.handle_frame(epoch, Frame::event_only("$sync"), 1, start)).unwrap();
    while session.drive(|session| session.poll_transmit(epoch, start)).is_some() {}
    session.commit(1, 64, start);
    assert!(woken(&driver), "the peer waits for the acknowledgement");

    let (session, driver, start, _) = committing(1);
    session.drive(|session| session.cut(start));
    woken(&driver);
    session.register_driver(&Context::from_waker(&driver.clone().into()));
    session.commit(1, 64, start);
    assert!(woken(&driver), "the session may hibernate");
}

#[tokio::test(start_paused = true)]
async fn smaller_frame_in_place_of_a_big_one_wakes_a_sender() {
    let mut config = SessionConfig::new(Side::Server, Mode::Plain);
    (config.buffer_frames, config.buffer_bytes) = (2, 10);
    let session = Arc::new(SharedSession::new(Session::new(Arc::new(config), now())));
    assert_eq!(session.send(Bytes::from_static(b"12345678"), Overflow::Reject), Ok(true));
    let waiting = session.clone();
    let sender = tokio::spawn(async move {
        waiting.send_wait(Bytes::from_static(b"12345"), std::time::Duration::from_secs(1)).await
    });
    tokio::task::yield_now().await;
    assert!(!sender.is_finished());
    let since = tokio::time::Instant::now();
    // The number of frames stays the same.
    assert_eq!(session.send(Bytes::from_static(b"12345"), Overflow::DropOldest), Ok(true));
    assert_eq!(sender.await.unwrap(), Ok(()));
    assert!(since.elapsed().is_zero(), "not at the deadline");
}

#[test]
fn counting_read_ahead_answers_wakes_their_askers() {
    let takes: [fn(&SharedSession); 2] = [
        |session| drop(session.next_event()),
        |session| drop(session.poll_event(&Context::from_waker(Waker::noop()))),
    ];
    for take in takes {
        let mut config = SessionConfig::new(Side::Server, Mode::Session);
        config.inbox_frames = 1;
        let identity = SessionIdentity::new(Token::parse("abcdefghijklmnopqrstuv").unwrap(), "id", "room");
        let mut session = Session::new_server(Arc::new(config), identity, None, now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        while session.poll_event().is_some() {}
        let session = SharedSession::new(session);
        let flag = Arc::new(Flag::default());
        let asker = flag.clone().into();
        let cx = Context::from_waker(&asker);
        assert!(session.open_question("a") && session.open_question("b"));
        assert!(session.poll_answer("a", &cx).is_pending() && session.poll_answer("b", &cx).is_pending());
        let receive = |frame: Frame| session.drive(|session| session.handle_frame(epoch, frame, 1, now()));
        receive(Frame::default().with_re("a")).unwrap();
        assert!(flag.0.swap(false, Ordering::Relaxed));
        assert!(session.poll_answer("a", &cx).is_ready());
        for frame in [Frame::event_only("1"), Frame::default().with_re("b")] {
            receive(frame).unwrap();
        }
        assert!(!flag.0.load(Ordering::Relaxed), "it waits behind a message");
        take(&session);
        assert!(flag.0.load(Ordering::Relaxed));
        assert!(session.poll_answer("b", &cx).is_ready());
    }
}

#[test]
fn a_hibernated_session_is_small_and_accepts_frames() {
    let mut session = Session::new(Arc::new(SessionConfig::new(Side::Server, Mode::Plain)), now());
    let epoch = session.reserve();
    session.attach(epoch, None, now()).unwrap();
    session.cut(now());
    let session = SharedSession::new(session);
    let flag = Arc::new(Flag::default());
    let woken = || flag.0.swap(false, Ordering::Relaxed);
    let is_small = || matches!(session.lock().form, Form::Hibernated(_));
    assert!(!session.hibernate(flag.clone().into(), false), "it has an event to report");
    while session.next_event().is_some() {}
    let capacity = session.capacity_changed();
    assert!(session.hibernate(flag.clone().into(), false) && !is_small(), "a sender waits for space");
    drop(capacity);
    assert!(session.hibernate(flag.clone().into(), false) && is_small());
    assert_eq!((session.drive(|session| session.counts().drops), is_small(), woken()), (1, true, false));
    assert_eq!(session.send(Bytes::from_static(b"kept"), Overflow::Reject), Ok(true));
    assert!(!is_small() && !woken(), "it waits for a socket");
    session.command(|session| session.close(CloseReason::Normal, now()));
    assert!(woken(), "the frame is not delivered, and has to be abandoned in time");
    assert!(!session.hibernate(flag.clone().into(), false));
}

#[test]
fn looking_drains_nothing_and_wakes_nobody() {
    let mut session = Session::new(Arc::new(SessionConfig::new(Side::Server, Mode::Plain)), now());
    let epoch = session.reserve();
    session.attach(epoch, None, now()).unwrap();
    session.cut(now());
    while session.poll_event().is_some() {}
    let session = SharedSession::new(session);
    let flag = Arc::new(Flag::default());
    assert!(session.hibernate(flag.clone().into(), true));
    let is_small = || matches!(session.lock().form, Form::Hibernated(_));
    assert_eq!((session.look(Session::state), is_small()), (SessionState::Suspended, true));
    let log = Arc::new(RoomLog::new(Arc::default(), "room".into()));
    assert_eq!(session.subscribe(&log, 0, usize::MAX, || ()), Subscribed::Yes);
    assert_eq!(log.append(&[Some(Bytes::from_static(b"x"))]).queued, 1);
    assert_eq!(session.look(Session::occupied), 0);
    assert!(is_small() && !flag.0.load(Ordering::Relaxed));
    assert_eq!(session.drive(|session| session.occupied()), 1);
    assert_eq!(session.look(Session::occupied), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_frame_is_sent_whole_when_there_is_capacity() {
    let mut config = SessionConfig::new(Side::Server, Mode::Plain);
    config.buffer_frames = 1;
    let session = SharedSession::new(Session::new(Arc::new(config), now()));
    let epoch = session.command(|session| {
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        epoch
    });
    session.send(Bytes::from_static(b"first"), Overflow::Reject).unwrap();
    let written = async {
        let sent = session.drive(|session| session.poll_transmit(epoch, now()));
        assert!(matches!(sent, Some(Transmit::Data(message)) if message == "first"));
        session.drive(|session| session.handle_written(epoch, 1, 5, None, now()));
    };
    let waits = session.send_wait(Bytes::from_static(b"second"), std::time::Duration::from_secs(1));
    let (sent, ()) = tokio::join!(biased; waits, written);
    assert_eq!(sent, Ok(()));
    let sent = session.drive(|session| session.poll_transmit(epoch, now()));
    assert!(matches!(sent, Some(Transmit::Data(message)) if message == "second"));
}

/// A waker that looks, when it is dropped, whether the session is unlocked.
struct Looks {
    session: Arc<SharedSession>,
    dropped: Arc<AtomicUsize>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Looks {
    fn drop(&mut self) {
        assert!(self.session.inner.try_lock().is_ok(), "a waker is dropped under the lock");
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn wakers_are_dropped_while_the_session_is_unlocked() {
    let mut session = Session::new(Arc::new(SessionConfig::new(Side::Server, Mode::Plain)), now());
    let epoch = session.reserve();
    session.attach(epoch, None, now()).unwrap();
    session.cut(now());
    while session.poll_event().is_some() {}
    let session = Arc::new(SharedSession::new(session));
    let dropped = Arc::new(AtomicUsize::new(0));
    let waker = || Waker::from(Arc::new(Looks { session: session.clone(), dropped: dropped.clone() }));
    let count = || dropped.load(Ordering::Relaxed);
    for step in 0..2 {
        assert!(session.hibernate(waker(), false));
        assert_eq!(count(), step, "the second one replaces the first one");
    }
    session.register_driver(&Context::from_waker(&waker()));
    assert_eq!(count(), 2);
    assert!(session.open_question("a"));
    for step in 0..2 {
        let waker = waker();
        let cx = Context::from_waker(&waker);
        for _ in 0..2 {
            assert!(session.poll_event(&cx).is_pending() && session.poll_answer("a", &cx).is_pending());
        }
        drop(waker);
        assert_eq!(count(), 2 + step);
    }
    session.close_question("a", false);
    session.command(|session| session.end(CloseReason::Kicked));
    assert!(session.poll_event(&Context::from_waker(Waker::noop())).is_ready());
    session.forget_driver();
    assert_eq!(count(), 5, "all are gone");
}
