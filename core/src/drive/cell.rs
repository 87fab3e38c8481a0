//! [`Cell`]: a session where its application and its driver both reach it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{Event, Frame, Overflow, Refused, Session};

use super::deadline::now;

/// A session behind a lock that is held for single calls, never across an await.
#[derive(Debug)]
pub struct Cell {
    inner: Mutex<Inner>,
    /// Notified when the buffer has room again, or never will.
    room: Notify,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    /// Who writes what the session has to say, and runs its timer. Taken when woken: once is enough.
    driver: Option<Waker>,
    /// Who waits for an event.
    reader: Option<Waker>,
}

/// What decides whether who waits for room has to look again. An overflow may give up a big frame for a small one.
struct Room {
    frames: usize,
    bytes: usize,
    open: bool,
}

impl Room {
    fn of(session: &Session) -> Self {
        Self { frames: session.occupied(), bytes: session.retained_bytes(), open: session.is_open() }
    }
}

impl Cell {
    /// A cell for this session.
    pub fn new(session: Session) -> Self {
        Self { inner: Mutex::new(Inner { session, driver: None, reader: None }), room: Notify::new() }
    }

    /// The application's access: the driver looks afterwards whether there is something to do.
    pub fn command<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        self.access(true, f)
    }

    /// The driver's access, and that of whoever only looks: wakes the application where there is something new for it.
    pub fn drive<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        self.access(false, f)
    }

    fn access<R>(&self, wake_driver: bool, f: impl FnOnce(&mut Session) -> R) -> R {
        let mut inner = self.lock();
        let before = Room::of(&inner.session);
        let result = f(&mut inner.session);
        let after = Room::of(&inner.session);
        let reader = if inner.session.has_events() { inner.reader.take() } else { None };
        let driver = if wake_driver { inner.driver.take() } else { None };
        drop(inner);
        if after.frames < before.frames || after.bytes < before.bytes || after.open != before.open {
            self.room.notify_waiters();
        }
        for waker in [reader, driver].into_iter().flatten() {
            waker.wake();
        }
        result
    }

    /// A handler's panic is caught by the task that runs it, and no call into a session panics half way: a poisoned lock
    /// holds a session as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the driver woken by the next [`Self::command`].
    pub fn register_driver(&self, cx: &Context<'_>) {
        register(&mut self.lock().driver, cx);
    }

    /// Takes back [`Self::register_driver`]: the driver is awake, and looks again before it sleeps.
    pub fn unregister_driver(&self) {
        self.lock().driver = None;
    }

    /// Takes the next event: for a driver that tells the application itself, and looks at the socket afterwards.
    pub fn next_event(&self) -> Option<Event> {
        self.lock().session.poll_event()
    }

    /// Takes the next event, or has the application woken when there is one.
    pub fn poll_event(&self, cx: &Context<'_>) -> Poll<Event> {
        let mut inner = self.lock();
        let wanted = inner.session.wants_read();
        let due = inner.session.poll_timeout();
        let Some(event) = inner.session.poll_event() else {
            register(&mut inner.reader, cx);
            return Poll::Pending;
        };
        // The driver had stopped to read, and may go on; or what was read ahead is counted now, and to be acknowledged
        // before the driver would look again.
        let reads_on = !wanted && inner.session.wants_read();
        let due_sooner = inner.session.poll_timeout().is_some_and(|at| due.is_none_or(|due| at < due));
        let driver = if reads_on || due_sooner { inner.driver.take() } else { None };
        drop(inner);
        if let Some(waker) = driver {
            waker.wake();
        }
        Poll::Ready(event)
    }

    /// Accepts an encoded data frame.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub fn send(&self, message: Bytes, overflow: Overflow) -> Result<u64, SendError> {
        Ok(self.command(|session| session.send(message, overflow))?)
    }

    /// Accepts an encoded data frame, and waits for room where there is none.
    ///
    /// # Errors
    /// Fails when the session ends, and when there was no room for `patience`.
    pub async fn send_wait(&self, message: Bytes, patience: Duration) -> Result<u64, SendError> {
        let deadline = tokio::time::sleep(patience);
        let mut deadline = std::pin::pin!(deadline);
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // From here on no notification is missed.
            room.as_mut().enable();
            match self.command(|session| session.send(message.clone(), Overflow::Reject)) {
                Err(Refused::Full) => {}
                result => return Ok(result?),
            }
            tokio::select! {
                biased;
                () = &mut room => {}
                () = &mut deadline => return Err(SendError::Timeout),
            }
        }
    }

    /// Whether the application may send this frame here.
    ///
    /// # Errors
    /// Fails in session mode for an event that begins with `$` (PROTOCOL.md §3).
    pub fn check(&self, frame: &Frame) -> Result<(), SendError> {
        if !frame.is_reserved() || self.drive(|session| session.may_send(frame)) {
            Ok(())
        } else {
            Err(SendError::Reserved)
        }
    }

    /// Ready with the time when the session's timer is due; calls it when it was.
    pub fn poll_timeout(&self, cx: &mut Context<'_>, deadline: &mut super::Deadline) -> Poll<()> {
        let at = self.lock().session.poll_timeout();
        std::task::ready!(deadline.poll(cx, at));
        self.drive(|session| session.handle_timeout(now()));
        Poll::Ready(())
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Why a frame was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The buffer is full: the peer takes or acknowledges less than is sent. The frame was not queued.
    Full,
    /// There was no room for the write timeout. The frame was not queued.
    Timeout,
    /// The session has ended, or is closing.
    Closed,
    /// The event begins with `$`, which belongs to the protocol in session mode.
    Reserved,
    /// No connection has this ID.
    NotFound,
    /// The frame has no image in the peer's codec.
    Encode(crate::EncodeError),
}

impl From<Refused> for SendError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::Closed => Self::Closed,
        }
    }
}

impl From<crate::EncodeError> for SendError {
    fn from(error: crate::EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("send buffer is full"),
            Self::Timeout => f.write_str("send buffer had no room within the write timeout"),
            Self::Closed => f.write_str("connection is closed"),
            Self::NotFound => f.write_str("no connection has this id"),
            Self::Reserved => f.write_str("events that begin with $ are reserved in session mode"),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::{Control, Mode, SessionConfig, SessionIdentity, Side, Token, Transmit};

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_driver_is_woken_when_what_was_read_ahead_is_to_be_acknowledged() {
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

        let cell = Cell::new(session);
        let (driver, reader) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
        cell.register_driver(&Context::from_waker(&driver.clone().into()));
        let reader = reader.into();
        let cx = Context::from_waker(&reader);
        assert_eq!(cell.poll_event(&cx), Poll::Ready(Event::Connected));
        assert!(!driver.0.load(Ordering::Relaxed), "nothing is new for it");
        assert_eq!(cell.poll_event(&cx), Poll::Ready(Event::Message(Frame::event_only("1"))));
        assert!(driver.0.load(Ordering::Relaxed));
    }
}
