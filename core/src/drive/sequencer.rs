//! [`Sequencer`]: one order for the broadcasts in all room logs of a server.

use super::sync::atomic::{AtomicU64, Ordering};

/// Gives every broadcast a ticket. Tickets ascend in each room log, and a session that subscribes to several logs gets their
/// messages in the order of the tickets.
///
/// So a room has one order for all its members, and order is causal across rooms: a message that was broadcast to one room before
/// another message was broadcast to a second room reaches a member of both rooms first.
///
/// # Orderings
///
/// All accesses are `Relaxed`; coherence is enough. A broadcast takes its ticket under the lock of the log that it enters, and
/// enters the log before it unlocks. A session reads `Self::horizon` first, and then locks the logs. Suppose that it finds a
/// log without a message whose ticket is before the horizon. Then it has locked that log before the broadcast did, so its read of
/// the horizon happens before the broadcast takes the ticket, and cannot have counted that ticket.
#[derive(Debug, Default)]
pub struct Sequencer {
    next: AtomicU64,
}

impl Sequencer {
    /// Takes the next ticket. The caller holds the lock of the log that the broadcast enters.
    pub(super) fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The next ticket that will be taken. A log that is locked after this call has every message with a lower ticket.
    pub(super) fn horizon(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}
