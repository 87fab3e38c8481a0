//! [`SuspendedSessions`]: the sessions that wait for a socket, until their window ends or all sessions together keep too much.

mod queue;
use queue::{ExpiryQueue, SESSION_COST};

mod task;
use task::ExpiryTask;

use std::sync::Arc;

use rejoin_core::drive::MemoryBudget;
use rejoin_core::{CloseReason, SessionState};

use crate::connection::Connection;
use crate::runtimes::Runtimes;
use crate::session::evictions::Evictions;
use crate::session::expiry_slot::Loss;

/// The suspended sessions of a server, the oldest first, and the bound on the bytes that all sessions keep.
///
/// All sessions have the same window, so the oldest is also the first whose window ends. One timer therefore serves all of them,
/// in a task in the server's own runtime that exists while the queue is not empty.
#[derive(Debug)]
pub(crate) struct SuspendedSessions {
    budget: Arc<MemoryBudget>,
    queue: Arc<ExpiryQueue>,
    runtimes: Arc<Runtimes>,
}

impl SuspendedSessions {
    /// No suspended sessions yet, and a bound of `limit` bytes.
    pub(crate) fn new(limit: usize, runtimes: Arc<Runtimes>) -> Self {
        let queue = Arc::new(ExpiryQueue::default());
        let waiting = queue.clone();
        let evictions = Evictions::new(limit, runtimes.clone());
        let reclaim = move || {
            // The queue is unlocked again before the session is locked.
            let connection = waiting.pop_first()?;
            let gives_way = connection.session().command(|session| {
                // Checked under the session's lock: a socket may have been attached since. Such a session leaves the queue, as its task
                // would remove it anyway.
                let waits = session.state() == SessionState::Suspended;
                if waits {
                    session.end(CloseReason::Evicted);
                }
                waits
            });
            if gives_way {
                evictions.note();
            }
            Some(SESSION_COST)
        };
        Self { budget: Arc::new(MemoryBudget::new(limit, reclaim)), queue, runtimes }
    }

    /// The limit on the bytes that all sessions keep.
    pub(crate) fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// Adds a session that waits for a socket since `loss`. The session task calls it each time that its session has lost a
    /// socket. The caller must hold no lock.
    pub(crate) fn enter(&self, connection: &Connection, loss: Loss) {
        self.queue.add(connection, loss, || self.budget.suspend(SESSION_COST));
        // Senders may evict it now.
        self.budget.settle();
        // The runtime of this session task may outlive all runtimes that the server knows: the expiry task moves here when they end.
        self.runtimes.note();
        // After the session is in the queue: a task that is about to end either sees the session, or has cleared `has_task`.
        ExpiryTask::begin(&self.queue, &self.budget, &self.runtimes);
        // The session counts now, and may exceed the bound: the oldest are evicted, this one last of all.
        self.budget.evict_to_fit(0);
    }

    /// Removes a session that no longer waits for a socket.
    pub(crate) fn leave(&self, connection: &Connection) {
        queue::free(&self.budget, self.queue.remove(connection));
    }
}

#[cfg(test)]
mod tests;
