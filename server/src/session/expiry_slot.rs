//! [`ExpirySlot`]: the slot of a connection in the expiry queue, [`SuspendedSessions`](crate::session::expiry::SuspendedSessions).

use rejoin_core::Session;
use rejoin_core::drive::sync::atomic::{AtomicU32, Ordering};

/// The slot of a connection that is not in the queue.
pub(super) const NOWHERE: u32 = u32::MAX;

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

/// The slot of a connection in the queue, and the loss for which it was queued.
///
/// Both are written under the queue's lock, which orders them: relaxed accesses suffice. A caller that reads them without the lock
/// gets a hint, and has to check again under the lock before it acts.
#[derive(Debug)]
pub(crate) struct ExpirySlot {
    place: AtomicU32,
    loss: AtomicU32,
}

impl Default for ExpirySlot {
    fn default() -> Self {
        Self { place: AtomicU32::new(NOWHERE), loss: AtomicU32::new(0) }
    }
}

impl ExpirySlot {
    /// `None` if the connection is not queued.
    pub(crate) fn place(&self) -> Option<u32> {
        Some(self.place.load(Ordering::Relaxed)).filter(|place| *place != NOWHERE)
    }

    pub(crate) fn is_queued(&self) -> bool {
        self.place().is_some()
    }

    pub(crate) fn set_place(&self, place: Option<u32>) {
        debug_assert_ne!(place, Some(NOWHERE));
        self.place.store(place.unwrap_or(NOWHERE), Ordering::Relaxed);
    }

    /// Whether the connection has been in the queue since this loss, and not since another one.
    pub(crate) fn is_queued_since(&self, loss: Loss) -> bool {
        self.is_queued() && self.loss() == loss
    }

    pub(crate) fn loss(&self) -> Loss {
        Loss(self.loss.load(Ordering::Relaxed))
    }

    pub(crate) fn set_loss(&self, loss: Loss) {
        self.loss.store(loss.0, Ordering::Relaxed);
    }
}
