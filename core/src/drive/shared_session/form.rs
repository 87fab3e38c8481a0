//! [`Form`]: a session, live or hibernated, with the tasks that wait for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use tokio::sync::{Notify, oneshot};

use crate::{Delivery, Hibernated, Overflow, Refused, Session};

use super::effects;

/// A session in its full or in its compact form. A suspended session usually keeps no frames and has no waiting tasks, so that a
/// few numbers represent it completely.
#[derive(Debug)]
pub(super) enum Form {
    Live(Box<Live>),
    Hibernated(Hibernated),
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct Live {
    /// The waker of a task that waits for an event. It is used once: each wait registers again.
    pub(super) reader: Option<Waker>,
    /// The callers that wait for the delivery of a frame, by its number. Usually `None`.
    pub(super) deliveries: Option<Box<AwaitedDeliveries>>,
    /// Notified when the send buffer has capacity again, or when the session ends. `None` until a sender waits for the first
    /// time.
    pub(super) capacity: Option<Arc<Notify>>,
    /// A frame was refused for lack of capacity since `capacity` was notified last.
    ///
    /// The refusal sets it in the same critical section that found the buffer full, and every later access that frees capacity
    /// reads it under the same lock. So a refused sender is always notified, and accesses without one pay nothing.
    pub(super) capacity_wanted: bool,
    pub(super) session: Session,
}

type AwaitedDeliveries = VecDeque<(u64, oneshot::Sender<Delivery>)>;

impl Form {
    pub(super) fn of(session: Session) -> Self {
        let live = Live { session, reader: None, deliveries: None, capacity: None, capacity_wanted: false };
        Self::Live(Box::new(live))
    }

    /// The full form of the session. Wakes a hibernated session; [`Self::hibernate`] makes it compact again.
    pub(super) fn live(&mut self) -> &mut Live {
        if let Self::Hibernated(hibernated) = self {
            *self = Self::of(hibernated.wake());
        }
        match self {
            Self::Live(live) => live,
            Self::Hibernated(_) => unreachable!("it was woken"),
        }
    }

    /// Makes the session compact, unless a task waits for it or it holds more than counts.
    pub(super) fn hibernate(&mut self) {
        // The compact form has no place for waiters: hibernating over one would drop its waker or its channel, and it would
        // wait forever. A sender in `offer_wait` holds a clone of `capacity`; it fetches the `Notify` again in each round, so
        // one that is only cached here may be dropped.
        if let Self::Live(live) = self
            && live.reader.is_none()
            && live.deliveries.is_none()
            && live.capacity.as_ref().is_none_or(|capacity| Arc::strong_count(capacity) == 1)
            && let Some(hibernated) = live.session.hibernate()
        {
            *self = Self::Hibernated(hibernated);
        }
    }
}

impl Live {
    /// Sends a frame of `size` bytes. If it does not fit into the budget of all sessions, evicts frames of this session first, as
    /// `overflow` allows.
    pub(super) fn send(
        &mut self,
        size: usize,
        overflow: Overflow,
        fits: bool,
        send: impl FnOnce(&mut Session) -> Result<u64, Refused>,
    ) -> Result<u64, Refused> {
        let evicted = if fits { Ok(()) } else { self.session.evict_for(size, overflow) };
        let sent = evicted.and_then(|()| send(&mut self.session));
        self.capacity_wanted |= sent == Err(Refused::Full);
        sent
    }

    /// Takes the senders to notify of more capacity.
    pub(super) fn take_capacity_waiters(&mut self) -> Option<Arc<Notify>> {
        // Cleared once for all waiters: `notify_waiters` wakes all of them, and those that are refused again set it again.
        if std::mem::take(&mut self.capacity_wanted) { self.capacity.clone() } else { None }
    }

    /// Takes the tasks to wake for their questions.
    pub(super) fn askers(&mut self) -> Option<Box<effects::Askers>> {
        self.session.has_wakers().then(|| Box::new(self.session.take_wakers()))
    }

    /// Takes the decided deliveries that a caller waits for.
    #[inline]
    pub(super) fn settled_deliveries(&mut self) -> Option<Box<effects::DecidedDeliveries>> {
        if self.deliveries.is_none() { None } else { self.settle() }
    }

    fn settle(&mut self) -> Option<Box<effects::DecidedDeliveries>> {
        let deliveries = self.deliveries.as_mut()?;
        let mut settled = Vec::new();
        while let Some((number, delivery)) = self.session.poll_delivery() {
            // Numbers ascend, except that a client's fresh session begins again at 1: the deliveries of the lost session are all
            // decided before the first of the new one, so the first match is the right one.
            let Some(index) = deliveries.iter().position(|(waiting, _)| *waiting == number) else {
                continue;
            };
            settled.extend(deliveries.remove(index).map(|(_, waiting)| (waiting, delivery)));
        }
        if deliveries.is_empty() {
            self.deliveries = None;
        }
        (!settled.is_empty()).then(|| Box::new(settled))
    }
}
