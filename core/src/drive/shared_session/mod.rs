//! [`SharedSession`]: a session where its application and its driver both reach it.

mod sending;
pub use sending::Queued;

mod effects;
pub use effects::Effects;

mod form;

use std::mem::offset_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;

use crate::{Event, Session, State};

use super::deadline::now;
use super::memory_budget::MemoryBudget;
use super::prefetch::PrefetchHint;
use super::room_log::{Drained, RoomLog};
use form::{Form, Live};

/// A session behind a lock that is held for single calls, never across an await.
#[derive(Debug)]
pub struct SharedSession {
    /// Where the session is, while it is awake.
    prefetch_hint: PrefetchHint,
    inner: Mutex<Inner>,
    /// What all cells of a process may keep together.
    budget: Option<Arc<MemoryBudget>>,
}

#[derive(Debug)]
struct Inner {
    slot: Form,
    /// Who writes what the session has to say, and runs its timer.
    driver: Option<Waker>,
    /// It is to be woken. Once is enough, until it registers again.
    driver_sleeps: bool,
    /// Whether a driver that has stopped wants to hear of what is sent.
    counts: bool,
    /// Of its feed: the codec's place, and up to where the session has taken over what is there.
    lane: u16,
    cursor: u32,
    /// What is broadcast to it.
    log: Option<Arc<RoomLog>>,
}

/// When an access has the driver look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Always,
    /// When the session has ended by it.
    AtEnd,
    Never,
}

/// What decides whether those who wait for capacity have to look again: evicting a big frame may make way for a small one.
struct Usage {
    frames: usize,
    bytes: usize,
    open: bool,
}

impl Usage {
    fn of(session: &Session) -> Self {
        Self { frames: session.occupied(), bytes: session.retained_bytes(), open: session.is_open() }
    }
}

impl SharedSession {
    /// A cell for this session.
    pub fn new(session: Session) -> Self {
        let inner = Inner {
            slot: Form::of(session),
            driver: None,
            driver_sleeps: false,
            counts: true,
            lane: 0,
            cursor: 0,
            log: None,
        };
        let session = Self { prefetch_hint: PrefetchHint::default(), inner: Mutex::new(inner), budget: None };
        session.note_prefetch_hint(&session.lock());
        session
    }

    /// The same, sharing a bound with other cells. To be set before anything is sent.
    #[must_use]
    pub fn with_budget(mut self, budget: Arc<MemoryBudget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The application's access: the driver looks afterwards whether there is something to do.
    pub fn command<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        self.access(Wake::Always, f)
    }

    /// The driver's access, and that of whoever only looks: wakes the application where there is something new for it.
    pub fn drive<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        self.access(Wake::Never, f)
    }

    fn access<R>(&self, wake: Wake, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = self.access_inner(wake, |live| f(&mut live.session));
        self.apply(effects);
        result
    }

    /// Runs `f` on the session, behind everything that was broadcast to it before. Nothing foreign runs under the lock: wakers
    /// are returned as effects, for [`Self::apply`].
    fn access_inner<R>(&self, wake: Wake, f: impl FnOnce(&mut Live) -> R) -> (R, Effects) {
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        let was_hibernated = matches!(inner.slot, Form::Hibernated(_));
        let heeds = inner.counts;
        let drained = inner.drain();
        let live = inner.slot.live();
        let before = Usage::of(&live.session);
        let could_hibernate = wake == Wake::Always && live.session.can_hibernate();
        let result = f(live);
        let after = Usage::of(&live.session);
        // Check for a waiting reader first. Servers never have one, and `has_events` touches a cold cache line.
        let reader = live.reader.take_if(|_| live.session.has_events());
        let wakes = match wake {
            // A session that rests has nothing to write.
            Wake::Always => !could_hibernate || heeds || !live.session.can_hibernate(),
            Wake::AtEnd => after.open != before.open,
            Wake::Never => false,
        };
        let deliveries = live.settled_deliveries();
        let has_capacity = drained.has_freed
            || after.frames < before.frames
            || after.bytes < before.bytes
            || after.open != before.open;
        let capacity = if has_capacity { live.take_capacity_waiters() } else { None };
        if !after.open {
            inner.unsubscribe();
        }
        self.note_reclaimable(reclaimable, inner.reclaimable());
        if was_hibernated {
            inner.slot.hibernate();
            self.note_prefetch_hint(&inner);
        }
        let driver = if wakes { inner.wake_driver() } else { None };
        drop(inner);
        (result, Effects { capacity, reader, deliveries, driver })
    }

    /// Wakes those for whom an access has changed something. The caller holds no lock.
    pub fn apply(&self, effects: Effects) {
        let Effects { capacity, reader, deliveries, driver } = effects;
        if let Some(capacity) = capacity {
            capacity.notify_waiters();
        }
        for (receipt, delivery) in deliveries.into_iter().flat_map(|deliveries| *deliveries) {
            // A caller that has stopped waiting does not mind.
            receipt.send(delivery).ok();
        }
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(driver) = driver {
            driver.wake();
        }
        if let Some(budget) = &self.budget {
            budget.settle();
        }
    }

    /// Has the session follow a feed from here on; `lane` is the place of its codec. What the feed that it followed before still
    /// has for it is drained first.
    pub fn subscribe(&self, log: &Arc<RoomLog>, lane: u16) -> Effects {
        self.leave(|inner| {
            let is_open = match &inner.slot {
                Form::Live(live) => live.session.is_open(),
                Form::Hibernated(_) => true,
            };
            if is_open {
                (inner.lane, inner.cursor) = (lane, log.join(lane));
                inner.log = Some(log.clone());
            }
        })
    }

    /// Ends what [`Self::subscribe`] began: what was broadcast so far the session has.
    pub fn unsubscribe(&self) -> Effects {
        self.leave(|_| ())
    }

    fn leave(&self, then: impl FnOnce(&mut Inner)) -> Effects {
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        let drained = inner.unsubscribe();
        self.note_reclaimable(reclaimable, inner.reclaimable());
        then(&mut inner);
        let capacity = match &mut inner.slot {
            Form::Live(live) if drained.has_freed => live.take_capacity_waiters(),
            _ => None,
        };
        Effects { capacity, ..Effects::default() }
    }

    /// Drains pending broadcasts into the session. Every other access does this implicitly; call it only when there is nothing
    /// else to do.
    pub fn drain(&self) {
        self.drive(|_| ());
    }

    /// What suspended sessions keep can be had back by evicting them.
    fn note_reclaimable(&self, before: usize, after: usize) {
        if let Some(budget) = &self.budget {
            budget.change_reclaimable(before, after);
        }
    }

    fn note_prefetch_hint(&self, inner: &Inner) {
        if let Form::Live(live) = &inner.slot {
            self.prefetch_hint.set(&**live);
        }
    }

    /// Has the processor fetch what [`Self::queue`] and [`SocketDriver::flush`](super::SocketDriver::flush) look at.
    pub fn prefetch(&self) {
        self.prefetch_hint.prefetch(offset_of!(Live, session) + Session::HOT);
    }

    /// A handler's panic is caught by the task that runs it, and no call into a session panics half way: a poisoned lock
    /// holds a session as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the driver woken by the next [`Self::command`].
    pub fn register_driver(&self, cx: &Context<'_>) {
        let mut inner = self.lock();
        register(&mut inner.driver, cx);
        inner.driver_sleeps = true;
        self.note_prefetch_hint(&inner);
    }

    /// Takes back [`Self::register_driver`]: the driver is awake, and looks again before it sleeps.
    pub fn unregister_driver(&self) {
        self.lock().driver_sleeps = false;
    }

    /// Like [`Self::register_driver`], for a driver that stops: `waker` begins another one, for whatever comes. Does nothing, and
    /// says so, unless the session [is resting](Session::can_hibernate). What is sent to a session that rests wakes nobody, unless
    /// somebody `counts` it.
    #[must_use = "who does not rest has to be driven on"]
    pub fn hibernate(&self, waker: Waker, counts: bool) -> bool {
        let mut inner = self.lock();
        let rests = inner.slot.live().session.can_hibernate();
        if rests {
            inner.slot.hibernate();
            inner.driver = Some(waker);
            inner.driver_sleeps = true;
            inner.counts = counts;
        }
        rests
    }

    /// The session is driven no more.
    pub fn forget_driver(&self) {
        let driver = self.lock().driver.take();
        drop(driver);
    }

    /// Notified when there is more room, or never will be.
    fn capacity_changed(&self) -> Arc<Notify> {
        self.lock().slot.live().capacity.get_or_insert_default().clone()
    }

    /// Has the driver look: see [`SocketDriver::flush`](super::SocketDriver::flush).
    pub fn wake_driver(&self) {
        let driver = self.lock().wake_driver();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Takes the next event: for a driver that tells the application itself, and looks at the socket afterwards.
    pub fn next_event(&self) -> Option<Event> {
        self.lock().slot.live().session.poll_event()
    }

    /// Takes the next event, or has the application woken when there is one.
    pub fn poll_event(&self, cx: &Context<'_>) -> Poll<Event> {
        let mut inner = self.lock();
        let Live { session, reader, .. } = inner.slot.live();
        let wanted = session.wants_read();
        let due = session.poll_timeout();
        let Some(event) = session.poll_event() else {
            register(reader, cx);
            return Poll::Pending;
        };
        // The driver had stopped to read, and may go on; or what was read ahead is counted now, and to be acknowledged
        // before the driver would look again.
        let reads_on = !wanted && session.wants_read();
        let due_sooner = session.poll_timeout().is_some_and(|at| due.is_none_or(|due| at < due));
        let driver = if reads_on || due_sooner { inner.wake_driver() } else { None };
        drop(inner);
        if let Some(waker) = driver {
            waker.wake();
        }
        Poll::Ready(event)
    }

    /// Ready with the time when the session's timer is due; calls it when it was.
    pub fn poll_timeout(&self, cx: &mut Context<'_>, deadline: &mut super::Deadline) -> Poll<()> {
        let at = self.lock().slot.live().session.poll_timeout();
        self.poll_timeout_at(at, cx, deadline)
    }

    /// The same, for a driver that knows when the timer is due.
    pub fn poll_timeout_at(
        &self,
        at: Option<Instant>,
        cx: &mut Context<'_>,
        deadline: &mut super::Deadline,
    ) -> Poll<()> {
        std::task::ready!(deadline.poll(cx, at));
        self.drive(|session| session.handle_timeout(now()));
        Poll::Ready(())
    }
}

impl Inner {
    /// Drains pending broadcasts into the session.
    fn drain(&mut self) -> Drained {
        match &self.log {
            Some(log) if log.is_behind(self.cursor) => {
                log.drain(self.lane, &mut self.cursor, &mut self.slot.live().session)
            }
            _ => Drained::default(),
        }
    }

    /// The same for the last time.
    fn unsubscribe(&mut self) -> Drained {
        let Some(log) = self.log.take() else { return Drained::default() };
        log.leave(self.lane, self.cursor, || &mut self.slot.live().session)
    }

    /// The bytes that evicting this session would free, at most.
    fn reclaimable(&self) -> usize {
        match &self.slot {
            Form::Live(live) if live.session.state() == State::Suspended => live.session.retained_bytes(),
            _ => 0,
        }
    }

    /// The driver, if it is to be woken.
    fn wake_driver(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.driver_sleeps) { self.driver.clone() } else { None }
    }
}

impl Drop for SharedSession {
    fn drop(&mut self) {
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        inner.unsubscribe();
        drop(inner);
        self.note_reclaimable(reclaimable, 0);
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use bytes::Bytes;

    use super::*;
    use crate::{Control, Frame, Mode, Overflow, SessionConfig, SessionIdentity, Side, Token, Transmit};

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

        let session = SharedSession::new(session);
        let (driver, reader) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
        session.register_driver(&Context::from_waker(&driver.clone().into()));
        let reader = reader.into();
        let cx = Context::from_waker(&reader);
        assert_eq!(session.poll_event(&cx), Poll::Ready(Event::Connected));
        assert!(!driver.0.load(Ordering::Relaxed), "nothing is new for it");
        assert_eq!(session.poll_event(&cx), Poll::Ready(Event::Message(Frame::event_only("1"))));
        assert!(driver.0.load(Ordering::Relaxed));
    }

    #[test]
    fn a_session_that_rests_takes_little_and_hears_what_is_said_to_it() {
        let mut session = Session::new(Arc::new(SessionConfig::new(Side::Server, Mode::Plain)), now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        session.cut(now());
        let session = SharedSession::new(session);
        let flag = Arc::new(Flag::default());
        let woken = || flag.0.swap(false, Ordering::Relaxed);
        let is_small = || matches!(session.lock().slot, Form::Hibernated(_));
        assert!(!session.hibernate(flag.clone().into(), false), "something is to be told");
        while session.next_event().is_some() {}
        assert!(session.hibernate(flag.clone().into(), false) && is_small());
        assert_eq!((session.drive(|session| session.counts().drops), is_small(), woken()), (1, true, false));
        assert_eq!(session.send(Bytes::from_static(b"kept"), Overflow::Reject), Ok(true));
        assert!(!is_small() && !woken(), "it waits for a socket");
        session.command(|session| session.close(crate::CloseReason::Normal, now()));
        assert!(woken(), "it is not delivered, and has to be given up in time");
        assert!(!session.hibernate(flag.clone().into(), false));
    }
}
