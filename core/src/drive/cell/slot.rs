//! [`Slot`]: a session, awake or at rest, with those who wait for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use tokio::sync::{Notify, oneshot};

use crate::{Fate, Overflow, Refused, Resting, Session};

use super::effects;

/// A session that waits for a socket mostly keeps nothing, and then takes little.
#[derive(Debug)]
pub(super) enum Slot {
    Awake(Box<Awake>),
    Resting(Resting),
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct Awake {
    /// Who waits for an event.
    pub(super) reader: Option<Waker>,
    /// Who waits to hear what becomes of a frame, by its number. Mostly nobody.
    pub(super) receipts: Option<Box<Receipts>>,
    /// Notified when the buffer has room again, or never will. Mostly nobody waits.
    pub(super) room: Option<Arc<Notify>>,
    /// Somebody was refused for want of room since `room` was notified last.
    pub(super) room_wanted: bool,
    pub(super) session: Session,
}

type Receipts = VecDeque<(u64, oneshot::Sender<Fate>)>;

impl Slot {
    pub(super) fn of(session: Session) -> Self {
        let awake = Awake { session, reader: None, receipts: None, room: None, room_wanted: false };
        Self::Awake(Box::new(awake))
    }

    pub(super) fn awake(&mut self) -> &mut Awake {
        if let Self::Resting(resting) = self {
            *self = Self::of(resting.wake());
        }
        match self {
            Self::Awake(awake) => awake,
            Self::Resting(_) => unreachable!("it was woken"),
        }
    }

    /// Takes as little as can be, where that is less.
    pub(super) fn rest(&mut self) {
        if let Self::Awake(awake) = self
            && awake.reader.is_none()
            && awake.receipts.is_none()
            && awake.room.as_ref().is_none_or(|room| Arc::strong_count(room) == 1)
            && let Some(resting) = awake.session.rest()
        {
            *self = Self::Resting(resting);
        }
    }
}

impl Awake {
    pub(super) fn send(
        &mut self,
        size: usize,
        overflow: Overflow,
        fits: bool,
        send: impl FnOnce(&mut Session) -> Result<u64, Refused>,
    ) -> Result<u64, Refused> {
        let made_way = if fits { Ok(()) } else { self.session.make_way(size, overflow) };
        let sent = made_way.and_then(|()| send(&mut self.session));
        self.room_wanted |= sent == Err(Refused::Full);
        sent
    }

    /// There is more room: who is to hear of it.
    pub(super) fn take_room(&mut self) -> Option<Arc<Notify>> {
        if std::mem::take(&mut self.room_wanted) { self.room.clone() } else { None }
    }

    /// What has become of frames that somebody waits for.
    pub(super) fn settled_receipts(&mut self) -> Option<Box<effects::Receipts>> {
        let receipts = self.receipts.as_mut()?;
        let mut settled = Vec::new();
        while let Some((number, fate)) = self.session.poll_receipt() {
            // Numbers ascend, but for those of a session that is no more: these are all decided before the first new one.
            let Some(index) = receipts.iter().position(|(waiting, _)| *waiting == number) else {
                continue;
            };
            settled.extend(receipts.remove(index).map(|(_, waiting)| (waiting, fate)));
        }
        if receipts.is_empty() {
            self.receipts = None;
        }
        (!settled.is_empty()).then(|| Box::new(settled))
    }
}
