//! [`Form`]: a session, awake or at rest, with those who wait for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use tokio::sync::{Notify, oneshot};

use crate::{Delivery, Hibernated, Overflow, Refused, Session};

use super::effects;

/// A session that waits for a socket mostly keeps nothing, and then takes little.
#[derive(Debug)]
pub(super) enum Form {
    Live(Box<Live>),
    Hibernated(Hibernated),
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct Live {
    /// Who waits for an event.
    pub(super) reader: Option<Waker>,
    /// Who waits to hear what becomes of a frame, by its number. Mostly nobody.
    pub(super) deliveries: Option<Box<Deliveries>>,
    /// Notified when the buffer has room again, or never will. Mostly nobody waits.
    pub(super) capacity: Option<Arc<Notify>>,
    /// Somebody was refused for want of room since `room` was notified last.
    pub(super) capacity_wanted: bool,
    pub(super) session: Session,
}

type Deliveries = VecDeque<(u64, oneshot::Sender<Delivery>)>;

impl Form {
    pub(super) fn of(session: Session) -> Self {
        let live = Live { session, reader: None, deliveries: None, capacity: None, capacity_wanted: false };
        Self::Live(Box::new(live))
    }

    pub(super) fn live(&mut self) -> &mut Live {
        if let Self::Hibernated(resting) = self {
            *self = Self::of(resting.wake());
        }
        match self {
            Self::Live(live) => live,
            Self::Hibernated(_) => unreachable!("it was woken"),
        }
    }

    /// Takes as little as can be, where that is less.
    pub(super) fn hibernate(&mut self) {
        if let Self::Live(live) = self
            && live.reader.is_none()
            && live.deliveries.is_none()
            && live.capacity.as_ref().is_none_or(|room| Arc::strong_count(room) == 1)
            && let Some(resting) = live.session.hibernate()
        {
            *self = Self::Hibernated(resting);
        }
    }
}

impl Live {
    pub(super) fn send(
        &mut self,
        size: usize,
        overflow: Overflow,
        fits: bool,
        send: impl FnOnce(&mut Session) -> Result<u64, Refused>,
    ) -> Result<u64, Refused> {
        let made_way = if fits { Ok(()) } else { self.session.evict_for(size, overflow) };
        let sent = made_way.and_then(|()| send(&mut self.session));
        self.capacity_wanted |= sent == Err(Refused::Full);
        sent
    }

    /// There is more room: who is to hear of it.
    pub(super) fn take_capacity_waiters(&mut self) -> Option<Arc<Notify>> {
        if std::mem::take(&mut self.capacity_wanted) { self.capacity.clone() } else { None }
    }

    /// What has become of frames that somebody waits for.
    pub(super) fn settled_deliveries(&mut self) -> Option<Box<effects::Deliveries>> {
        let deliveries = self.deliveries.as_mut()?;
        let mut settled = Vec::new();
        while let Some((number, delivery)) = self.session.poll_delivery() {
            // Numbers ascend, but for those of a session that is no more: these are all decided before the first new one.
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
