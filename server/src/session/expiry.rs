//! [`SuspendedSessions`]: who waits for a socket, until the window ends or all sessions together keep too much.

mod task;
use task::ExpiryTask;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rejoin_core::drive::MemoryBudget;
use rejoin_core::{CloseReason, State};
use tokio::sync::Notify;

use crate::connection::{Connection, Loss, NOWHERE};
use crate::runtimes::Runtimes;
use crate::session::evictions::Evictions;

/// What a suspended session counts for beside its frames: about what it costs.
const SESSION_COST: usize = 512;

/// The suspended sessions of a server, the oldest first, and the bound on what all sessions keep.
///
/// All have the same window, so that the oldest is also the first whose window ends: one timer does for all of them, in a task
/// that is there while anybody waits, in the server's own runtime.
#[derive(Debug, Clone)]
pub(crate) struct SuspendedSessions {
    budget: Arc<MemoryBudget>,
    queue: Arc<ExpiryQueue>,
    runtimes: Arc<Runtimes>,
}

#[derive(Debug, Default)]
struct ExpiryQueue {
    waiting: Mutex<Waiting>,
    /// Notified when nobody waits any more.
    empty: Notify,
}

/// In the order in which they were suspended, with holes where somebody has left.
#[derive(Debug, Default)]
struct Waiting {
    list: VecDeque<Option<Connection>>,
    /// The place of the first in `list`.
    first: u32,
    holes: usize,
    has_task: bool,
}

/// A list of this size is not worth the bother.
const MIN_CAPACITY: usize = 16;

impl SuspendedSessions {
    /// None yet, and a bound of `limit` bytes.
    pub(crate) fn new(limit: usize, runtimes: Arc<Runtimes>) -> Self {
        let queue = Arc::new(ExpiryQueue::default());
        let waiting = queue.clone();
        let evictions = Evictions::new(limit, runtimes.clone());
        let reclaim = move || {
            // The lock is free again before anything else is locked.
            let connection = waiting.pop_first()?;
            let gives_way = connection.session().command(|session| {
                // Another socket may have come a moment ago.
                let waits = session.state() == State::Suspended;
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

    /// The bound, for the session's cell.
    pub(crate) fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// A session waits for a socket since it has lost the one before: `loss`. To be called from a task, each time that it has.
    pub(crate) fn enter(&self, connection: &Connection, loss: Loss) {
        if self.queue.add(connection, loss) {
            self.budget.suspend(SESSION_COST);
        }
        self.runtimes.note();
        ExpiryTask::begin(self);
        self.budget.evict_to_fit(0);
    }

    /// It does so no more.
    pub(crate) fn leave(&self, connection: &Connection) {
        self.free(self.queue.remove(connection));
    }

    /// SessionKey had to give way does not count any more.
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

    /// Puts a session behind the others, unless it is there since this loss. Returns whether it was not there at all.
    fn add(&self, connection: &Connection, loss: Loss) -> bool {
        let mut waiting = self.lock();
        if connection.is_suspended_by(loss) {
            return false;
        }
        let is_new = !waiting.remove(connection);
        waiting.push(connection, loss);
        is_new
    }

    /// Puts a session behind the others that is there since `old`, and has lost another socket since.
    fn move_back(&self, connection: &Connection, old: Loss, new: Loss) {
        let mut waiting = self.lock();
        if connection.is_suspended_by(old) {
            waiting.remove(connection);
            waiting.push(connection, new);
        }
    }

    /// Whether there is no keeper. There is one from now on.
    fn wants_task(&self) -> bool {
        !std::mem::replace(&mut self.lock().has_task, true)
    }

    /// Takes a session out. Returns whether it was there.
    fn remove(&self, connection: &Connection) -> bool {
        self.remove_where(connection, |_| true)
    }

    /// Takes a session out that is there since this loss. Returns whether it was.
    fn remove_since(&self, connection: &Connection, loss: Loss) -> bool {
        self.remove_where(connection, |connection| connection.is_suspended_by(loss))
    }

    fn remove_where(&self, connection: &Connection, is_meant: impl FnOnce(&Connection) -> bool) -> bool {
        let mut waiting = self.lock();
        let removed = is_meant(connection) && waiting.remove(connection);
        if waiting.list.is_empty() {
            self.empty.notify_one();
        }
        removed
    }

    fn first(&self) -> Option<Connection> {
        self.lock().list.front().cloned().flatten()
    }

    /// Takes the oldest out.
    fn pop_first(&self) -> Option<Connection> {
        loop {
            let oldest = self.first()?;
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
            self.compact();
            place = u32::try_from(self.list.len()).expect("they fit into memory");
        }
        connection.set_expiry_slot(Some(place));
        connection.set_suspended_by(loss);
        self.list.push_back(Some(connection.clone()));
    }

    /// Closes the holes, and gives back the room of many that have left.
    fn compact(&mut self) {
        self.list.retain(Option::is_some);
        self.list.shrink_to(2 * self.list.len());
        (self.first, self.holes) = (0, 0);
        for (place, connection) in (0..).zip(self.list.iter().flatten()) {
            connection.set_expiry_slot(Some(place));
        }
    }

    /// Takes a session out. Returns whether it was there.
    fn remove(&mut self, connection: &Connection) -> bool {
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

    /// The first of the list is one who waits.
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
