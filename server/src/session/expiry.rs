//! [`SuspendedSessions`]: the sessions that wait for a socket, until their window ends or all sessions together keep too much.

mod task;
use task::ExpiryTask;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use rejoin_core::drive::MemoryBudget;
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::{CloseReason, SessionState};
use tokio::sync::Notify;

use crate::connection::{Connection, Loss, NOWHERE};
use crate::runtimes::Runtimes;
use crate::session::evictions::Evictions;

/// The bytes that a suspended session counts for in addition to its frames: about what it costs.
const SESSION_COST: usize = 512;

/// The suspended sessions of a server, the oldest first, and the bound on the bytes that all sessions keep.
///
/// All sessions have the same window, so the oldest is also the first whose window ends. One timer therefore serves all of them,
/// in a task in the server's own runtime that exists while the queue is not empty.
#[derive(Debug, Clone)]
pub(crate) struct SuspendedSessions {
    budget: Arc<MemoryBudget>,
    queue: Arc<ExpiryQueue>,
    runtimes: Arc<Runtimes>,
}

/// The queue behind its lock.
///
/// This lock and that of a session are never held together. An eviction takes them in one order, removing the session and then
/// ending it; the task takes them in the other, looking at the session and then removing it. Nested, the two could deadlock. So
/// both check again what may have changed in between.
#[derive(Debug, Default)]
struct ExpiryQueue {
    waiting: Mutex<Waiting>,
    /// Wakes the task when the last session has left, so that the task ends. It stores a permit for a task that is about to
    /// sleep.
    empty: Notify,
}

/// The sessions in the order in which they were suspended, with holes where one has left.
#[derive(Debug, Default)]
struct Waiting {
    list: VecDeque<Option<Connection>>,
    /// The slot of the first entry in `list`.
    first: u32,
    holes: usize,
    /// An [`ExpiryTask`] exists, or is being started. Cleared by the task in the critical section in which it finds the list
    /// empty: a session that is added later sees that, and starts another one.
    has_task: bool,
}

/// A list of this capacity is not worth shrinking.
const MIN_CAPACITY: usize = 16;

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
                // Checked under the session's lock: a socket may have been attached since. Such a session is out of the queue, as
                // its task would have it anyway.
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

    /// The bound on the bytes that all sessions keep.
    pub(crate) fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// Adds a session that waits for a socket since `loss`. The session task calls it each time that its session has lost a
    /// socket. The caller must hold no lock.
    pub(crate) fn enter(&self, connection: &Connection, loss: Loss) {
        self.queue.add(connection, loss, || self.budget.suspend(SESSION_COST));
        // Senders may evict it now.
        self.budget.settle();
        // The runtime of this session task may outlive all that the server knows: the expiry task moves here when they end.
        self.runtimes.note();
        // After the session is in the queue: a task that is about to end either sees the session, or has cleared `has_task`.
        ExpiryTask::begin(self);
        // The session counts now, and may exceed the bound: the oldest are evicted, this one last of all.
        self.budget.evict_to_fit(0);
    }

    /// Removes a session that waits for a socket no more.
    pub(crate) fn leave(&self, connection: &Connection) {
        self.free(self.queue.remove(connection));
    }

    /// Stops counting a session that was removed from the queue. Whichever of several callers removed it, and only that one,
    /// frees its cost.
    fn free(&self, was_there: bool) {
        if was_there {
            self.budget.resume(SESSION_COST);
        }
    }
}

impl ExpiryQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a session at the end of the queue, unless it is there since this loss. `count` is called if it was not there at all,
    /// under the lock: an eviction that finds the session must find it counted.
    fn add(&self, connection: &Connection, loss: Loss, count: impl FnOnce()) {
        let mut waiting = self.lock();
        if connection.is_suspended_by(loss) {
            return;
        }
        if !waiting.remove(connection) {
            count();
        }
        waiting.push(connection, loss);
    }

    /// Moves a session that is there since `old`, and has lost another socket since, to the end of the queue.
    fn move_back(&self, connection: &Connection, old: Loss, new: Loss) {
        let mut waiting = self.lock();
        // Its own task may have moved it meanwhile, for the same loss or a later one.
        if connection.is_suspended_by(old) {
            waiting.remove(connection);
            waiting.push(connection, new);
        }
    }

    /// Whether a task must be started. Only one caller gets `true`, and must start it.
    fn wants_task(&self) -> bool {
        !std::mem::replace(&mut self.lock().has_task, true)
    }

    /// Removes a session. Returns whether it was there.
    fn remove(&self, connection: &Connection) -> bool {
        self.remove_where(connection, |_| true)
    }

    /// Removes a session that is there since this loss. Returns whether it was.
    fn remove_since(&self, connection: &Connection, loss: Loss) -> bool {
        self.remove_where(connection, |connection| connection.is_suspended_by(loss))
    }

    fn remove_where(&self, connection: &Connection, is_meant: impl FnOnce(&Connection) -> bool) -> bool {
        let mut waiting = self.lock();
        let removed = is_meant(connection) && waiting.remove(connection);
        // Only then: as long as others wait, the timer of the one that has left is early for them, never late.
        if waiting.list.is_empty() {
            self.empty.notify_one();
        }
        removed
    }

    fn first(&self) -> Option<Connection> {
        self.lock().list.front().cloned().flatten()
    }

    /// Removes the oldest session.
    fn pop_first(&self) -> Option<Connection> {
        loop {
            let oldest = self.first()?;
            // The lock was released in between: if another thread has removed this one, try the next.
            if self.remove(&oldest) {
                return Some(oldest);
            }
        }
    }
}

impl Waiting {
    fn push(&mut self, connection: &Connection, loss: Loss) {
        if self.holes > self.list.len() / 2 && self.list.len() > MIN_CAPACITY {
            self.compact();
        }
        let mut place =
            self.first.wrapping_add(u32::try_from(self.list.len()).expect("they fit into memory"));
        if place == NOWHERE {
            // Slots are numbered on for ever, and wrap around; this one number means none.
            self.compact();
            place = u32::try_from(self.list.len()).expect("they fit into memory");
        }
        connection.set_expiry_slot(Some(place));
        connection.set_suspended_by(loss);
        self.list.push_back(Some(connection.clone()));
    }

    /// Closes the holes, and frees the memory of entries that have left.
    fn compact(&mut self) {
        self.list.retain(Option::is_some);
        self.list.shrink_to(2 * self.list.len());
        (self.first, self.holes) = (0, 0);
        // Every slot changes: under the queue's lock, so that no removal uses an old one.
        for (place, connection) in (0..).zip(self.list.iter().flatten()) {
            connection.set_expiry_slot(Some(place));
        }
    }

    /// Removes a session in constant time, by the slot that it knows. Returns whether it was there.
    fn remove(&mut self, connection: &Connection) -> bool {
        // Slots change under the queue's lock alone, so this one is exact, although the atomic is relaxed.
        let Some(place) = connection.expiry_slot() else { return false };
        connection.set_expiry_slot(None);
        let index = place.wrapping_sub(self.first) as usize;
        if let Some(entry) = self.list.get_mut(index) {
            *entry = None;
            self.holes += 1;
        }
        self.trim();
        true
    }

    /// Removes the holes at the front: the first entry is always a session.
    fn trim(&mut self) {
        while let Some(None) = self.list.front() {
            self.list.pop_front();
            self.first = self.first.wrapping_add(1);
            self.holes -= 1;
        }
        if self.list.is_empty() {
            self.list.shrink_to(MIN_CAPACITY);
        }
    }
}

#[cfg(test)]
mod tests;
