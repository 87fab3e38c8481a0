//! [`Held`]: frames that were received and are not handled for good, because a store has to commit that first.

use std::collections::VecDeque;
use std::time::Instant;

/// Received frames that must not be acknowledged yet, in a session whose [configuration](super::SessionConfig) says that it
/// commits. `None` means that there are none.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// Number of received frames that are not committed, and of their bytes.
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Number of frames that the peer sends again on this socket although they were received.
    pub(super) skip: u64,
    /// When the driver looks at the session without being woken. `None` once it has: from then on a commit wakes it.
    pub(super) look_at: Option<Instant>,
    /// The numbers of the messages and gaps among the events.
    pub(super) queued: VecDeque<u64>,
    /// The peer waits for an acknowledgement up to this number.
    pub(super) asked: Option<u64>,
    /// The number of the message that the application has taken last.
    pub(super) taken: u64,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0 && self.skip == 0 && self.queued.is_empty() && self.asked.is_none()
    }

    /// Number of received frames that must not be acknowledged.
    pub(super) fn unreportable(&self) -> u64 {
        self.frames.max(self.skip)
    }
}
