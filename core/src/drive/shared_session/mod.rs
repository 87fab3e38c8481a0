//! [`SharedSession`]: a session behind a lock, where both its application and its driver reach it.

mod sending;
pub use sending::Queued;

mod effects;
pub use effects::Effects;

mod form;

mod subscriptions;

use std::mem::offset_of;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;

use crate::{Event, Session, SessionState};

use super::deadline::now;
use super::memory_budget::MemoryBudget;
use super::prefetch::PrefetchHint;
use super::room_log::{Drained, RoomLog};
use super::sync::{Mutex, MutexGuard};
use form::{Form, Live};
use subscriptions::Subscriptions;

/// A session behind a lock that is held for single calls, never across an await.
///
/// Under the lock an access may take the lock of the [`RoomLog`] that the session follows, and no other lock of ours. It wakes no
/// task: it returns [`Effects`], which are applied after the lock is released. No thread locks two sessions at the same time.
#[derive(Debug)]
pub struct SharedSession {
    /// The address of the session in memory, while it is live. It is outside the lock: a fan-out reads it for a session that it
    /// is about to lock, whose lock it does not want to wait for yet.
    prefetch_hint: PrefetchHint,
    inner: Mutex<Inner>,
    /// Bounds the bytes that all sessions of a process keep together.
    budget: Option<Arc<MemoryBudget>>,
}

#[derive(Debug)]
struct Inner {
    slot: Form,
    /// Wakes the driver: the task that writes to the socket and runs the session's timer.
    driver: Option<Waker>,
    /// The driver sleeps, and has not been woken since it registered. One wake-up is enough: the driver looks at everything
    /// before it registers again.
    driver_sleeps: bool,
    /// Whether a hibernated session wakes its driver for each frame that is sent to it, so that the driver can report it.
    counts: bool,
    /// The index of the session's codec in each log.
    lane: u16,
    /// The room logs that the session subscribes to.
    subscriptions: Subscriptions,
}

/// When an access wakes the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Always,
    /// As [`Self::Always`]. The access closes the session, which leaves its log first.
    Closes,
    /// When the access has closed the session.
    AtEnd,
    Never,
}

/// What the senders that wait for capacity depend on. Both counts matter: evicting one big frame for a small one frees bytes, but
/// no frame.
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
    /// Puts a session behind a lock.
    pub fn new(session: Session) -> Self {
        let inner = Inner {
            slot: Form::of(session),
            driver: None,
            driver_sleeps: false,
            counts: true,
            lane: 0,
            subscriptions: Subscriptions::default(),
        };
        let session = Self { prefetch_hint: PrefetchHint::default(), inner: Mutex::new(inner), budget: None };
        session.note_prefetch_hint(&session.lock());
        session
    }

    /// Bounds the bytes of this session together with those of all others that share `budget`. Must be set before the first frame
    /// is sent: frames that were accepted earlier do not count.
    #[must_use]
    pub fn with_budget(mut self, budget: Arc<MemoryBudget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The application's access: wakes the driver, which then does what is due.
    pub fn command<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = self.access(Wake::Always, |live| f(&mut live.session));
        self.apply(effects);
        result
    }

    /// Like [`Self::command`], for an `f` that closes or ends the session. The session leaves its room log first: a broadcast that
    /// counts it is accepted before the close, and delivered. With [`Self::command`] a broadcast could count the session, and
    /// become visible in the log only after the look at the log and before the close.
    pub fn close<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = self.access(Wake::Closes, |live| f(&mut live.session));
        self.apply(effects);
        result
    }

    /// The driver's access, and that of callers that only read: wakes the application when there is a new event, but never the
    /// driver. A caller other than the driver must not leave anything to write behind.
    pub fn drive<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = self.access(Wake::Never, |live| f(&mut live.session));
        self.apply(effects);
        result
    }

    /// Drains pending broadcasts into the session, then runs `f` on it. No task is woken under the lock: the wake-ups are
    /// returned, for [`Self::apply`].
    fn access<R>(&self, wake: Wake, f: impl FnOnce(&mut Live) -> R) -> (R, Effects) {
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        let was_hibernated = matches!(inner.slot, Form::Hibernated(_));
        let counts = inner.counts;
        // First of all, so that a frame that `f` sends stands behind the broadcasts that came before it, and `f` sees counts that
        // include them. Without this a `send` could overtake an earlier broadcast.
        let Inner { subscriptions, slot, lane, .. } = &mut *inner;
        let drained = if wake == Wake::Closes {
            subscriptions.clear(*lane, slot)
        } else {
            subscriptions.drain(*lane, slot)
        };
        let live = inner.slot.live();
        let before = Usage::of(&live.session);
        let could_hibernate = wake == Wake::Always && live.session.can_hibernate();
        let result = f(live);
        let after = Usage::of(&live.session);
        // Check for a waiting reader first. Servers never have one, and `has_events` touches a cold cache line.
        let reader = live.reader.take_if(|_| live.session.has_events());
        let wakes = match wake {
            // A session that could hibernate before and after the access has no socket and no events: its driver has nothing to
            // do, and waking it would cost a hibernated session a new task for each frame that is sent to it. Any access that
            // ends the session, or begins to close it, leaves this state, and wakes.
            Wake::Always => !could_hibernate || counts || !live.session.can_hibernate(),
            Wake::Closes => true,
            // The caller flushes the socket itself; but only the driver can report the end to the application.
            Wake::AtEnd => after.open != before.open,
            Wake::Never => false,
        };
        let deliveries = live.settled_deliveries();
        // `before` was taken behind the drain, so what the drain itself has evicted comes from `drained`. A session that closes
        // notifies, too: its waiting senders have to return an error.
        let has_capacity = drained.has_freed
            || after.frames < before.frames
            || after.bytes < before.bytes
            || after.open != before.open;
        let capacity = if has_capacity { live.take_capacity_waiters() } else { None };
        if !after.open {
            // Otherwise it would count as a subscriber for as long as a handle to it is kept, and broadcasts as queued for it.
            inner.unsubscribe_all();
        }
        // Under the lock, so that the changes of one session reach the budget in order. A late one would leave it a wrong sum in
        // between, and sessions could be evicted in vain.
        self.note_reclaimable(reclaimable, inner.reclaimable());
        if was_hibernated {
            // An access that only reads leaves the session as small as it was. One that leaves a frame or an event keeps it live.
            inner.slot.hibernate();
            self.note_prefetch_hint(&inner);
        }
        let driver = if wakes { inner.wake_driver() } else { None };
        drop(inner);
        (result, Effects { capacity, reader, deliveries, driver })
    }

    /// Wakes the tasks for which an access has changed something. The caller must hold no lock of a session or a room: the tasks
    /// may take it.
    pub fn apply(&self, effects: Effects) {
        let Effects { capacity, reader, deliveries, driver } = effects;
        if let Some(capacity) = capacity {
            capacity.notify_waiters();
        }
        for (caller, delivery) in deliveries.into_iter().flat_map(|deliveries| *deliveries) {
            // Fails when the caller has stopped waiting.
            caller.send(delivery).ok();
        }
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(driver) = driver {
            driver.wake();
        }
        // The access may have dropped frames, and senders on other sessions wait for their bytes.
        if let Some(budget) = &self.budget {
            budget.settle();
        }
    }

    /// Subscribes the session to a room log from its next message on, in the codec with the index `lane`, which is the same in
    /// all logs. All logs share one sequencer. Does nothing if the session has ended or is closing.
    ///
    /// The caller holds the room's lock, so no broadcast falls between the join and the subscription.
    pub fn subscribe(&self, log: &Arc<RoomLog>, lane: u16) {
        let mut inner = self.lock();
        inner.subscribe(log, lane);
    }

    /// Drains a log for the last time, and leaves it. Does nothing if the session does not subscribe to it.
    ///
    /// The effects must be applied once the room's lock is released.
    pub fn unsubscribe(&self, log: &RoomLog) -> Effects {
        self.leave(log, |_| ())
    }

    /// Moves the session from one log to another, as [`Self::unsubscribe`] and [`Self::subscribe`] do.
    ///
    /// The caller holds the room's lock, so no broadcast falls between the two logs: a member that moves misses none and gets
    /// none twice. The effects must be applied once that lock is released.
    pub fn resubscribe(&self, from: &RoomLog, to: &Arc<RoomLog>, lane: u16) -> Effects {
        self.leave(from, |inner| inner.subscribe(to, lane))
    }

    /// Leaves a log, then runs `then` under the same lock: no access falls in between.
    fn leave(&self, log: &RoomLog, then: impl FnOnce(&mut Inner)) -> Effects {
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        let Inner { subscriptions, slot, lane, .. } = &mut *inner;
        let drained = subscriptions.remove(log, *lane, slot);
        self.note_reclaimable(reclaimable, inner.reclaimable());
        then(&mut inner);
        // Draining may have evicted a big frame for a small one. The driver is not woken: the fan-out of the drained broadcasts
        // still has to flush this session.
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

    /// Reports to the budget that evicting this session would free `after` bytes where it freed `before`. Called under the lock.
    fn note_reclaimable(&self, before: usize, after: usize) {
        if let Some(budget) = &self.budget {
            budget.change_reclaimable(before, after);
        }
    }

    /// Notes where the live session is. A hint that is out of date costs a cache miss, and nothing else.
    fn note_prefetch_hint(&self, inner: &Inner) {
        if let Form::Live(live) = &inner.slot {
            self.prefetch_hint.set(&**live);
        }
    }

    /// Prefetches the fields that [`Self::queue`] and [`SocketDriver::flush`](super::SocketDriver::flush) read.
    pub fn prefetch(&self) {
        self.prefetch_hint.prefetch(offset_of!(Live, session) + Session::HOT);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A handler's panic is caught by the task that runs it, outside this lock, and no call into a session panics half-way: a
        // poisoned lock holds an intact session.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the driver, which is about to sleep: the next [`Self::command`] wakes it.
    ///
    /// The driver must look at the session once more after this call. A change that came before it found a driver that was awake,
    /// and woke nothing.
    pub fn register_driver(&self, cx: &Context<'_>) {
        let mut inner = self.lock();
        // The task that runs this holds on to itself and to the session, so replacing the old waker cannot drop the last handle
        // of either under the lock.
        register(&mut inner.driver, cx);
        inner.driver_sleeps = true;
        self.note_prefetch_hint(&inner);
    }

    /// Revokes [`Self::register_driver`] while the driver runs: it looks again before it sleeps, so that waking it would only
    /// cost another poll.
    pub fn unregister_driver(&self) {
        self.lock().driver_sleeps = false;
    }

    /// Registers `waker` in the place of a driver that is about to stop: the next wake-up starts another driver. Does nothing and
    /// returns `false` unless the session [can hibernate](Session::can_hibernate).
    ///
    /// A frame that is sent to a hibernated session wakes no driver, unless `counts` is set.
    #[must_use = "a session that does not hibernate still needs its driver"]
    pub fn hibernate(&self, waker: Waker, counts: bool) -> bool {
        let mut inner = self.lock();
        // The check and the exchange of the waker are one critical section. Between two of them a socket or an end could arrive,
        // wake the old driver that has just decided to stop, and be lost.
        let rests = inner.slot.live().session.can_hibernate();
        if rests {
            inner.slot.hibernate();
            inner.driver = Some(waker);
            inner.driver_sleeps = true;
            inner.counts = counts;
        }
        rests
    }

    /// Drops the waker of a driver that has stopped for good. The waker may own the session: this breaks the cycle.
    pub fn forget_driver(&self) {
        // Dropped after the lock is released: it may be the last handle to this session, whose drop takes the lock again.
        let driver = self.lock().driver.take();
        drop(driver);
    }

    /// Notified when the send buffer has more capacity, or when the session has ended.
    fn capacity_changed(&self) -> Arc<Notify> {
        self.lock().slot.live().capacity.get_or_insert_default().clone()
    }

    /// Wakes the driver without touching the session: see [`SocketDriver::flush`](super::SocketDriver::flush).
    ///
    /// It takes the lock even where there is nothing to wake. So whatever the caller stored before this call, a driver that
    /// registers later sees: either it sleeps already and is woken, or it finds the change when it looks once more.
    pub fn wake_driver(&self) {
        let driver = self.lock().wake_driver();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Takes the next event, for a driver that calls the application itself. It needs no wake-up for what that makes possible:
    /// the driver turns to the socket next.
    pub fn next_event(&self) -> Option<Event> {
        self.lock().slot.live().session.poll_event()
    }

    /// Takes the next event, or registers the application's waker for it.
    pub fn poll_event(&self, cx: &Context<'_>) -> Poll<Event> {
        let mut inner = self.lock();
        let Live { session, reader, .. } = inner.slot.live();
        let wanted = session.wants_read();
        let due = session.poll_timeout();
        let Some(event) = session.poll_event() else {
            register(reader, cx);
            return Poll::Pending;
        };
        // Taking an event may have freed inbox capacity for a driver that had stopped reading. Nothing else wakes it: it does not
        // wait for a socket that it does not read. Or read-ahead frames are counted now, and their acknowledgement is due before
        // the timer that the driver has set.
        let reads_on = !wanted && session.wants_read();
        let due_sooner = session.poll_timeout().is_some_and(|at| due.is_none_or(|due| at < due));
        let driver = if reads_on || due_sooner { inner.wake_driver() } else { None };
        drop(inner);
        if let Some(waker) = driver {
            waker.wake();
        }
        Poll::Ready(event)
    }

    /// Waits for the session's timer, and runs it when it is due. Ready once it has run: the session may have something to write.
    pub fn poll_timeout(&self, cx: &mut Context<'_>, deadline: &mut super::Deadline) -> Poll<()> {
        let at = self.lock().slot.live().session.poll_timeout();
        self.poll_timeout_at(at, cx, deadline)
    }

    /// Like [`Self::poll_timeout`], for a driver that has read the timer's time `at` already: it saves an access.
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
    /// Drains pending broadcasts for the last time, and leaves all logs.
    fn unsubscribe_all(&mut self) -> Drained {
        self.subscriptions.clear(self.lane, &mut self.slot)
    }

    fn subscribe(&mut self, log: &Arc<RoomLog>, lane: u16) {
        let is_open = match &self.slot {
            Form::Live(live) => live.session.is_open(),
            // A session that has ended or is closing does not hibernate.
            Form::Hibernated(_) => true,
        };
        if is_open {
            self.lane = lane;
            self.subscriptions.add(log, lane);
        }
    }

    /// The bytes that evicting this session would free at most: only suspended sessions are evicted.
    fn reclaimable(&self) -> usize {
        match &self.slot {
            Form::Live(live) if live.session.state() == SessionState::Suspended => {
                live.session.retained_bytes()
            }
            _ => 0,
        }
    }

    /// The driver's waker, if the driver sleeps and has not been woken yet.
    fn wake_driver(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.driver_sleeps) { self.driver.clone() } else { None }
    }
}

impl Drop for SharedSession {
    fn drop(&mut self) {
        // The log and the budget outlive the session: without this both would go on counting it.
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        inner.unsubscribe_all();
        drop(inner);
        self.note_reclaimable(reclaimable, 0);
    }
}

/// Registers the task's waker. `clone_from` keeps the old one where it wakes the same task, which saves the clone.
fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests;
