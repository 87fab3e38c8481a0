//! [`Suspended`]: who waits for a socket, and gives way when all sessions together keep too much.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rejoin_core::drive::Budget;
use rejoin_core::{CloseReason, State};

use crate::connection::Connection;

/// What a suspended session counts for beside its frames: about what it costs.
const SESSION_COST: usize = 1024;

/// The suspended sessions of a server, the oldest first, and the bound on what all sessions keep.
#[derive(Debug)]
pub(crate) struct Suspended {
    budget: Arc<Budget>,
    queue: Arc<Queue>,
    numbers: AtomicU64,
}

/// Under the order in which they were suspended.
type Queue = Mutex<BTreeMap<u64, Connection>>;

impl Suspended {
    /// None yet, and a bound of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        let queue = Arc::new(Queue::default());
        let waiting = queue.clone();
        let reclaim = move || {
            // The lock is free again before anything else is locked.
            let oldest = lock(&waiting).pop_first();
            let (_, connection) = oldest?;
            let gives_way = connection.cell().command(|session| {
                // Another socket may have come a moment ago.
                let waits = session.state() == State::Suspended;
                if waits {
                    session.end(CloseReason::Evicted);
                }
                waits
            });
            if gives_way {
                let id = connection.id();
                tracing::warn!(id, limit, "too much is kept: the oldest suspended session ends");
            }
            Some(SESSION_COST)
        };
        Self { budget: Arc::new(Budget::new(limit, reclaim)), queue, numbers: AtomicU64::new(0) }
    }

    /// The bound, for the session's cell.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// A session waits for a socket from now on. Returns its place in the queue.
    pub(crate) fn enter(&self, connection: &Connection) -> Place {
        let place = self.numbers.fetch_add(1, Ordering::Relaxed);
        lock(&self.queue).insert(place, connection.clone());
        self.budget.change(0, SESSION_COST);
        self.budget.make_room(0);
        Place(place)
    }

    /// It does so no more.
    #[allow(clippy::needless_pass_by_value, reason = "a place is given back")]
    pub(crate) fn leave(&self, place: Place) {
        let removed = lock(&self.queue).remove(&place.0);
        // Who had to give way does not count any more.
        if removed.is_some() {
            self.budget.change(SESSION_COST, 0);
        }
    }
}

/// A session's place in the queue, to be given back.
#[derive(Debug)]
#[must_use = "a place has to be given back"]
pub(crate) struct Place(u64);

fn lock(queue: &Queue) -> MutexGuard<'_, BTreeMap<u64, Connection>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
