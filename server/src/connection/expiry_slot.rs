//! The slot of a connection in the expiry queue: [`SuspendedSessions`](crate::session::expiry::SuspendedSessions).
//!
//! Slot and loss are written under the queue's lock, which orders them: relaxed accesses suffice. A caller that reads them
//! without the lock gets a hint, and has to check again under the lock before it acts.

use rejoin_core::Session;
use rejoin_core::drive::sync::atomic::Ordering;

use super::Connection;

/// The slot of a connection that is not in the queue.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Identifies the latest socket loss of a session. Each loss restarts the resume window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loss(u32);

impl Loss {
    /// The last loss of a session.
    pub(crate) fn last(session: &Session) -> Self {
        // 32 bits suffice: losses are only compared for equality, and two that are confused would be 2^32 losses apart.
        Self(session.counts().drops as u32)
    }
}

impl Connection {
    /// The connection's slot in the queue; `None` if it is not queued.
    pub(crate) fn expiry_slot(&self) -> Option<u32> {
        Some(self.0.expiry_slot.load(Ordering::Relaxed)).filter(|place| *place != NOWHERE)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.expiry_slot().is_some()
    }

    pub(crate) fn set_expiry_slot(&self, place: Option<u32>) {
        self.0.expiry_slot.store(place.unwrap_or(NOWHERE), Ordering::Relaxed);
    }

    /// Whether the connection has been in the queue since this loss, and not since another one.
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
