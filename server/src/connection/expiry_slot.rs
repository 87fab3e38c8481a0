//! The place of a connection among those who wait for a socket: [`SuspendedSessions`](crate::session::expiry::SuspendedSessions).

use std::sync::atomic::Ordering;

use rejoin_core::Session;

use super::Connection;

/// No place among those who wait for a socket.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Which of its sockets a session has lost last: with each loss its window begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss(u32);

impl Loss {
    /// The last one of a session.
    pub(crate) fn last(session: &Session) -> Self {
        // It counts on for as long as the session is there; that it counts in 32 bits does not matter to who looks whether it has changed.
        Self(session.counts().drops as u32)
    }
}

impl Connection {
    /// Its place among those who wait for a socket.
    pub(crate) fn expiry_slot(&self) -> Option<u32> {
        Some(self.0.expiry_slot.load(Ordering::Relaxed)).filter(|place| *place != NOWHERE)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.expiry_slot().is_some()
    }

    pub(crate) fn set_expiry_slot(&self, place: Option<u32>) {
        self.0.expiry_slot.store(place.unwrap_or(NOWHERE), Ordering::Relaxed);
    }

    /// Whether it waits for a socket since this loss, and no earlier one.
    pub(crate) fn is_suspended_by(&self, loss: Loss) -> bool {
        self.is_waiting() && self.0.suspended_by.load(Ordering::Relaxed) == loss.0
    }

    pub(crate) fn suspended_by(&self) -> Loss {
        Loss(self.0.suspended_by.load(Ordering::Relaxed))
    }

    pub(crate) fn set_suspended_by(&self, loss: Loss) {
        self.0.suspended_by.store(loss.0, Ordering::Relaxed);
    }
}
