//! The driver's side of a [`SharedSession`]: its wake-ups, events and the timer.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::drive::deadline::{Deadline, now};
use crate::{Event, Registration, Session, SessionState};

use super::effects::Askers;
use super::form::{Form, Live};
use super::{Effects, SharedSession, SharedSessionInner, Wake};

/// The state of the driver's work that changes when the application takes an event or an answer.
#[derive(Clone, Copy)]
pub(super) struct ReadState {
    wants_read: bool,
    due: Option<Instant>,
}

impl ReadState {
    pub(super) fn of(session: &Session) -> Self {
        Self { wants_read: session.wants_read(), due: session.poll_timeout() }
    }

    /// Whether something is due before the timer that the driver has set.
    fn is_sooner(self, before: Self) -> bool {
        self.due.is_some_and(|at| before.due.is_none_or(|due| at < due))
    }
}

impl SharedSessionInner {
    /// The wake-ups that are due after the application has taken an event or an answer.
    ///
    /// Taking it may have freed capacity for a driver that has stopped reading. Nothing else wakes it, because it does not wait
    /// for a socket that it does not read. Or read-ahead frames are counted now, and their acknowledgement is due before the timer
    /// that the driver has set. A task may be waiting for an answer among them.
    pub(super) fn effects_of_taking(&mut self, before: ReadState) -> Effects {
        let live = self.form.live();
        let reading = ReadState::of(&live.session);
        let can_read = !before.wants_read && reading.wants_read;
        let askers = live.askers();
        let driver = if can_read || reading.is_sooner(before) { self.wake_driver() } else { None };
        Effects { askers, driver, ..Effects::default() }
    }
}

impl SharedSession {
    /// Passes on that a store has all frames up to this number: see [`Session::commit`]. With a socket, the driver is woken only if an
    /// acknowledgement is due before its timer goes off, or if it may wait because `most` frames were handled and not committed.
    pub fn commit(&self, number: u64, most: u64, now: Instant) {
        let (is_due, effects) = self.access(Wake::Never, |live| {
            let session = &mut live.session;
            if session.state() != SessionState::Connected {
                return None;
            }
            let before = ReadState::of(session);
            let is_awaited = session.handled_uncommitted() >= most;
            session.commit(number, now);
            Some(is_awaited || ReadState::of(session).is_sooner(before))
        });
        self.apply(effects);
        match is_due {
            Some(true) => self.wake_driver(),
            Some(false) => {}
            None => self.command(|session| session.commit(number, now)),
        }
    }

    /// Registers the driver, which is about to sleep: the next [`Self::command`] wakes it.
    ///
    /// The driver must check the session once more after this call: an earlier change found the driver awake, and woke nothing.
    pub fn register_driver(&self, cx: &Context<'_>) {
        Registration::with(cx, |driver| {
            let mut inner = self.lock();
            driver.put(&mut inner.driver)?;
            inner.driver_sleeps = true;
            self.note_prefetch_hint(&inner);
            Some(())
        });
    }

    /// Revokes [`Self::register_driver`] while the driver runs. It checks the session again before it sleeps, so a wake-up would
    /// only cost another poll.
    pub fn unregister_driver(&self) {
        self.lock().driver_sleeps = false;
    }

    /// Replaces a driver that is about to stop by `waker`, which the next wake-up uses to start another driver. Changes nothing
    /// and returns `false` unless the session [can hibernate](Session::can_hibernate).
    ///
    /// A frame that is sent to a hibernated session wakes no driver, unless `counts` is set.
    #[must_use = "a session that does not hibernate still needs its driver"]
    pub fn hibernate(&self, waker: Waker, counts: bool) -> bool {
        let mut replaced = None;
        let mut inner = self.lock();
        // The check and the exchange of the waker are one critical section. Between two sections, a new socket or the end of the
        // session could wake the old driver, which has already decided to stop, and be lost.
        let can_hibernate = inner.form.live().session.can_hibernate();
        if can_hibernate {
            inner.form.hibernate();
            replaced = inner.driver.replace(waker);
            inner.driver_sleeps = true;
            inner.counts = counts;
        }
        drop(inner);
        drop(replaced);
        can_hibernate
    }

    /// Drops the waker of a driver that has stopped for good. The waker may own the session: this breaks the cycle.
    pub fn forget_driver(&self) {
        // Dropped after the lock is released: it may be the last handle to this session, whose drop takes the lock again.
        let driver = self.lock().driver.take();
        drop(driver);
    }

    /// Wakes the driver without touching the session: see [`SocketDriver::flush`](crate::drive::SocketDriver::flush).
    ///
    /// Takes the lock even if there is nothing to wake, so that the driver cannot miss a value that the caller has stored before:
    /// either the driver sleeps already and is woken, or it registers later and sees the value when it checks once more.
    pub fn wake_driver(&self) {
        let driver = self.lock().wake_driver();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Reads the session for the driver. Unlike [`Self::drive`] it drains no broadcasts first and wakes no task, which makes it a
    /// fraction of the cost: `f` must not depend on pending broadcasts. The access that drains them wakes the driver if that
    /// changes what the driver has to do.
    pub fn look<R>(&self, f: impl FnOnce(&Session) -> R) -> R {
        match &self.lock().form {
            Form::Live(live) => f(&live.session),
            Form::Hibernated(hibernated) => f(&hibernated.wake()),
        }
    }

    /// Takes the next event, for a driver that calls the application itself. Does not wake the driver, even if reading can
    /// continue: it polls the socket next anyway.
    pub fn next_event(&self) -> Option<Event> {
        let mut inner = self.lock();
        let live = inner.form.live();
        let event = live.session.poll_event();
        // Taking an event counts read-ahead frames, and an answer may be among them.
        let askers = live.askers();
        drop(inner);
        self.apply_askers(askers);
        event
    }

    fn apply_askers(&self, askers: Option<Box<Askers>>) {
        if askers.is_some() {
            self.apply(Effects { askers, ..Effects::default() });
        }
    }

    /// Takes the next event, or registers the application's waker for it.
    pub fn poll_event(&self, cx: &Context<'_>) -> Poll<Event> {
        let taken = Registration::with(cx, |waiting| {
            let mut inner = self.lock();
            let Live { session, reader, .. } = inner.form.live();
            let before = ReadState::of(session);
            match session.poll_event() {
                Some(event) => Some(Some((event, inner.effects_of_taking(before)))),
                None => waiting.put(reader).map(|()| None),
            }
        });
        let Some((event, effects)) = taken else { return Poll::Pending };
        self.apply(effects);
        Poll::Ready(event)
    }

    /// Waits for the session's timer, and runs it when it is due. Ready once it has run: the session may have something to write.
    pub fn poll_timeout(&self, cx: &mut Context<'_>, deadline: &mut Deadline) -> Poll<()> {
        let at = self.lock().form.live().session.poll_timeout();
        self.poll_timeout_at(at, cx, deadline)
    }

    /// Like [`Self::poll_timeout`], for a driver that has already read the deadline `at`, which saves an access.
    pub fn poll_timeout_at(
        &self,
        at: Option<Instant>,
        cx: &mut Context<'_>,
        deadline: &mut Deadline,
    ) -> Poll<()> {
        std::task::ready!(deadline.poll(cx, at));
        self.drive(|session| session.handle_timeout(now()));
        Poll::Ready(())
    }
}
