//! [`SharedSession`]: a session behind a lock, shared by its application and its driver.

mod sending;
pub use sending::Queued;

mod attached;
pub use attached::Accepted;

mod effects;
pub use effects::Effects;

mod driving;

mod asking;

mod form;

mod subscribed;
pub use subscribed::Subscribed;

mod subscriptions;

use std::mem::offset_of;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use crate::{Session, SessionState};

use super::memory_budget::MemoryBudget;
use super::prefetch::PrefetchHint;
use super::room_log::{Drained, RoomLog, Subscriber};
use super::sync::{Mutex, MutexGuard};
use form::{Form, Live};
use subscriptions::RoomSubscriptions;

/// A session behind a lock that is held for single calls, never across an await.
///
/// Under the lock an access may take the lock of a [`RoomLog`] that the session subscribes to, and no other lock of ours. It
/// wakes no task: it returns [`Effects`], which are applied after the lock is released. No thread locks two sessions at the same
/// time.
#[derive(Debug)]
pub struct SharedSession {
    /// The address of the session in memory, while it is live. It is outside the lock, so that a fan-out can prefetch a session
    /// that it is about to lock without waiting for the lock.
    prefetch_hint: PrefetchHint,
    inner: Mutex<SharedSessionInner>,
    /// Bounds the bytes that all sessions of a process keep together.
    budget: Option<Arc<MemoryBudget>>,
}

#[derive(Debug)]
struct SharedSessionInner {
    form: Form,
    /// Wakes the driver: the task that writes to the socket and runs the session's timer.
    driver: Option<Waker>,
    /// The driver sleeps, and has not been woken since it registered. One wake-up is enough: the driver checks everything before
    /// it registers again.
    driver_sleeps: bool,
    /// Whether a hibernated session wakes its driver for each frame that is sent to it, so that the driver can report it.
    counts: bool,
    /// The index of the session's codec in each log.
    lane: u16,
    /// The room logs that the session subscribes to.
    subscriptions: RoomSubscriptions,
}

/// When an access wakes the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Always,
    /// As [`Self::Always`], for an access that closes the session: it leaves its logs first.
    Closes,
    /// Only if the access has closed the session.
    AtEnd,
    Never,
}

/// The state that senders wait for. Both counts matter: evicting one big frame for a small one frees bytes, but no frame.
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
        let inner = SharedSessionInner {
            form: Form::of(session),
            driver: None,
            driver_sleeps: false,
            counts: true,
            lane: 0,
            subscriptions: RoomSubscriptions::default(),
        };
        let session = Self { prefetch_hint: PrefetchHint::default(), inner: Mutex::new(inner), budget: None };
        session.note_prefetch_hint(&session.lock());
        session
    }

    /// Bounds the bytes of this session together with those of all others that share `budget`. Must be set before the first frame
    /// is sent: frames that were accepted earlier do not count, unless they were [charged](MemoryBudget::charge).
    #[must_use]
    pub fn with_budget(mut self, budget: Arc<MemoryBudget>) -> Self {
        budget.change_reclaimable(0, self.lock().reclaimable());
        self.budget = Some(budget);
        self
    }

    /// Runs `f` for the application, and wakes the driver to act on the change.
    pub fn command<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = self.access(Wake::Always, |live| f(&mut live.session));
        self.apply(effects);
        result
    }

    /// Like [`Self::command`], for an `f` that closes or ends the session. The session leaves its room log first: a broadcast
    /// that counts it is accepted before the close, and delivered. With [`Self::command`], a broadcast could count the session as
    /// a receiver, but enter the log between the last drain and the close, and be lost.
    pub fn close<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = self.access(Wake::Closes, |live| f(&mut live.session));
        self.apply(effects);
        result
    }

    /// Runs `f` for the driver, or for a caller that only reads: wakes the application if there is a new event, but never the
    /// driver. A caller other than the driver must not cause anything to write.
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
        let was_hibernated = matches!(inner.form, Form::Hibernated(_));
        let counts = inner.counts;
        // Drain first, so that a frame that `f` sends is queued behind earlier broadcasts, and `f` sees counts that include them.
        // Without this, a `send` could overtake an earlier broadcast.
        let subscriber = Subscriber::new(self, inner.lane);
        let SharedSessionInner { subscriptions, form, .. } = &mut *inner;
        let drained = if wake == Wake::Closes {
            subscriptions.end(subscriber, form)
        } else {
            subscriptions.drain(subscriber, form)
        };
        let live = inner.form.live();
        let before = Usage::of(&live.session);
        let could_hibernate = wake == Wake::Always && live.session.can_hibernate();
        let result = f(live);
        let after = Usage::of(&live.session);
        // Check for a waiting reader first. Servers never have one, and `has_events` touches a cold cache line.
        let reader = live.reader.take_if(|_| live.session.has_events());
        let wakes = match wake {
            // A session that can hibernate before and after the access has no socket and no events, so its driver has nothing to
            // do. Waking it would start a new task for each frame that is sent to a hibernated session. An access that ends the
            // session, or begins to close it, leaves this state, and wakes the driver.
            Wake::Always => !could_hibernate || counts || !live.session.can_hibernate(),
            Wake::Closes => true,
            // The caller flushes the socket itself, but only the driver can report the end to the application.
            Wake::AtEnd => after.open != before.open,
            Wake::Never => false,
        } || live.session.take_discarded_news();
        let deliveries = live.settled_deliveries();
        let askers = live.askers();
        // `before` was taken after the drain, so `drained` reports the evictions of the drain itself. A session that closes
        // notifies, too, because its waiting senders have to return an error.
        let has_capacity = drained.has_freed
            || after.frames < before.frames
            || after.bytes < before.bytes
            || after.open != before.open;
        let capacity = if has_capacity { live.take_capacity_waiters() } else { None };
        if !after.open {
            // Otherwise it would remain a subscriber while any handle to it exists, and broadcasts would count as queued for it.
            inner.end_subscriptions(subscriber);
        }
        // Under the lock, so that the changes of one session reach the budget in order. Reordered changes would make its sum
        // wrong for a moment, and sessions could be evicted in vain.
        self.note_reclaimable(reclaimable, inner.reclaimable());
        if was_hibernated {
            // An access that only reads leaves the session hibernated. One that adds a frame or an event keeps it live.
            inner.form.hibernate();
            self.note_prefetch_hint(&inner);
        }
        let driver = if wakes { inner.wake_driver() } else { None };
        drop(inner);
        (result, Effects { capacity, reader, deliveries, askers, driver })
    }

    /// Performs the wake-ups of an access. The caller must hold no lock of a session or a room, because the tasks may take it.
    pub fn apply(&self, effects: Effects) {
        // Most accesses wake nobody.
        if !effects.is_empty() {
            effects.perform();
        }
        // The access may have dropped frames, and senders on other sessions wait for their bytes.
        if let Some(budget) = &self.budget {
            budget.settle();
        }
    }

    /// Subscribes the session to a room log from its next message on, in the codec with the index `lane`, which is the same in
    /// all logs. All logs share one sequencer. A session that is in `max` rooms, or has ended or is closing, does not subscribe.
    ///
    /// The caller holds the room's lock, so no broadcast falls between the join and the subscription. The session must not be
    /// moved in memory from here on.
    ///
    /// If it subscribes, `note` is called under the session's lock, so that the notes of one session have the order of its changes.
    #[must_use = "a session that has not subscribed is no member"]
    pub fn subscribe(&self, log: &Arc<RoomLog>, lane: u16, max: usize, note: impl FnOnce()) -> Subscribed {
        let mut inner = self.lock();
        if !inner.is_open() {
            return Subscribed::Closed;
        }
        if max < usize::MAX && inner.subscriptions.rooms().filter(|room| !room.is_empty()).count() >= max {
            return Subscribed::Full;
        }
        inner.lane = lane;
        inner.subscriptions.add(log, Subscriber::new(self, lane));
        note();
        Subscribed::Yes
    }

    /// Whether the session accepts frames: it has not ended, and is not closing. Wakes no task, so a caller may hold a lock.
    pub fn is_open(&self) -> bool {
        self.lock().is_open()
    }

    /// Drains a log for the last time, and removes the subscription. Does nothing if the session does not subscribe to the log.
    ///
    /// The effects must be applied once the room's lock is released. If it subscribed, `note` is called as in [`Self::subscribe`].
    pub fn unsubscribe(&self, log: &RoomLog, note: impl FnOnce()) -> Effects {
        self.leave(|inner, subscriber| {
            if inner.subscriptions.contains(log) {
                note();
            }
            inner.subscriptions.remove(log, subscriber, &mut inner.form)
        })
    }

    /// Moves the session from one log of a room to another. Does nothing if the session does not subscribe to the first.
    ///
    /// The caller holds the room's lock, so no broadcast falls between the two logs: a member that moves misses none and gets
    /// none twice. The effects must be applied once that lock is released.
    pub fn resubscribe(&self, from: &RoomLog, to: &Arc<RoomLog>) -> Effects {
        self.leave(|inner, subscriber| inner.subscriptions.replace(from, to, subscriber, &mut inner.form))
    }

    /// Leaves a log, and drains it for the last time.
    fn leave(&self, leave: impl FnOnce(&mut SharedSessionInner, Subscriber) -> Drained) -> Effects {
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        let subscriber = Subscriber::new(self, inner.lane);
        let drained = leave(&mut inner, subscriber);
        self.note_reclaimable(reclaimable, inner.reclaimable());
        // Draining may have evicted a big frame for a small one. The driver is not woken: the fan-out of the drained broadcasts
        // still has to flush this session.
        let capacity = match &mut inner.form {
            Form::Live(live) if drained.has_freed => live.take_capacity_waiters(),
            _ => None,
        };
        Effects { capacity, ..Effects::default() }
    }

    /// The rooms whose logs the session subscribes to, the home room first. Empty once the session has ended or is closing.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        self.lock().subscriptions.rooms().cloned().collect()
    }

    /// The session as a subscriber of this log; `None` if it does not subscribe to it.
    pub fn subscriber_of(&self, log: &RoomLog) -> Option<Subscriber> {
        let inner = self.lock();
        inner.subscriptions.contains(log).then(|| Subscriber::new(self, inner.lane))
    }

    /// The rooms of the logs that the session subscribed to when it ended or began to close, the home room last. They are
    /// returned once, for a caller that removes the session from these rooms; a session that has not ended returns none. `note` is
    /// called for each of them as in [`Self::subscribe`]: a caller that gets none because another one was first finds its notes.
    pub fn take_ended_rooms(&self, note: impl FnMut(&Arc<str>)) -> Vec<Arc<str>> {
        let mut inner = self.lock();
        let rooms: Vec<_> = inner.subscriptions.take_ended().iter().map(|each| each.room().clone()).collect();
        rooms.iter().for_each(note);
        rooms
    }

    /// Drains pending broadcasts into the session. Every other access does this implicitly; call it only when there is nothing
    /// else to do.
    pub fn drain(&self) {
        self.drive(|_| ());
    }

    /// Reports to the budget that evicting this session would now free `after` bytes instead of `before`. Called under the lock.
    fn note_reclaimable(&self, before: usize, after: usize) {
        if let Some(budget) = &self.budget {
            budget.change_reclaimable(before, after);
        }
    }

    /// Updates the address of the live session. A stale hint only costs a cache miss.
    fn note_prefetch_hint(&self, inner: &SharedSessionInner) {
        if let Form::Live(live) = &inner.form {
            self.prefetch_hint.set(&**live);
        }
    }

    /// Prefetches the fields that [`Self::queue`] and [`SocketDriver::flush`](super::SocketDriver::flush) read.
    pub fn prefetch(&self) {
        self.prefetch_hint.prefetch(offset_of!(Live, session) + Session::HOT);
    }

    fn lock(&self) -> MutexGuard<'_, SharedSessionInner> {
        // A handler's panic is caught by the task that runs it, outside this lock, and no call into a session panics half-way: a
        // poisoned lock holds an intact session.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The notification of more capacity in the send buffer, or of the end of the session.
    fn capacity_changed(&self) -> Arc<Notify> {
        self.lock().form.live().capacity.get_or_insert_default().clone()
    }
}

impl SharedSessionInner {
    /// Drains pending broadcasts for the last time, and ends all subscriptions.
    fn end_subscriptions(&mut self, subscriber: Subscriber) {
        self.subscriptions.end(subscriber, &mut self.form);
    }

    fn is_open(&self) -> bool {
        match &self.form {
            Form::Live(live) => live.session.is_open(),
            // A session that has ended or is closing does not hibernate.
            Form::Hibernated(_) => true,
        }
    }

    /// The maximum of bytes that evicting this session would free. Only suspended sessions are evicted.
    fn reclaimable(&self) -> usize {
        match &self.form {
            Form::Live(live) if live.session.state() == SessionState::Suspended => {
                live.session.retained_bytes()
            }
            _ => 0,
        }
    }

    /// Takes the driver's waker, if the driver sleeps and has not been woken yet. It registers again before it sleeps.
    fn wake_driver(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.driver_sleeps) { self.driver.take() } else { None }
    }
}

impl Drop for SharedSession {
    fn drop(&mut self) {
        // The logs and the budget outlive the session. Without this, both would continue to count it.
        let mut inner = self.lock();
        let reclaimable = inner.reclaimable();
        let subscriber = Subscriber::new(self, inner.lane);
        inner.end_subscriptions(subscriber);
        drop(inner);
        self.note_reclaimable(reclaimable, 0);
    }
}

#[cfg(test)]
mod tests;
