//! [`ExpiryQueue`]: the suspended sessions in the order in which they lost their sockets.

use std::collections::VecDeque;
use std::sync::PoisonError;

use rejoin_core::drive::MemoryBudget;
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::session::expiry_slot::{Loss, NOWHERE};

/// The bytes that a suspended session counts for in addition to its frames: about its real size.
pub(super) const SESSION_COST: usize = 512;

/// The queue behind its lock.
///
/// This lock and that of a session are never held together. An eviction takes them in one order, removing the session and then
/// ending it; the task takes them in the other, looking at the session and then removing it. Nested, the two could deadlock. So
/// both check again what may have changed in between.
#[derive(Debug, Default)]
pub(super) struct ExpiryQueue {
    pub(super) waiting: Mutex<Waiting>,
    /// Wakes the task when the last session has left, so that the task ends. It stores a permit for a task that is about to
    /// sleep.
    pub(super) empty: Notify,
}

/// The sessions in the order in which they were suspended, with holes where one has left.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) list: VecDeque<Option<Connection>>,
    /// The slot of the first entry in `list`.
    pub(super) first: u32,
    pub(super) holes: usize,
    /// An [`ExpiryTask`](super::task::ExpiryTask) exists, or is being started. Cleared by the task in the critical section in which it finds the list
    /// empty: a session that is added later sees that, and starts another one.
    pub(super) has_task: bool,
}

/// A list of this capacity is not worth shrinking.
pub(super) const MIN_CAPACITY: usize = 16;

/// Stops counting a session that was removed from the queue. Of several callers that remove it, only the successful one frees its cost.
pub(super) fn free(budget: &MemoryBudget, was_there: bool) {
    if was_there {
        budget.resume(SESSION_COST);
    }
}

impl ExpiryQueue {
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a session to the queue, unless it has been there since this loss. `count` is called if it was not there at all, under
    /// the lock, so that an eviction that finds the session also finds it counted.
    pub(super) fn add(&self, connection: &Connection, loss: Loss, count: impl FnOnce()) {
        let mut waiting = self.lock();
        if connection.expiry_slot().is_queued_since(loss) {
            return;
        }
        if !waiting.remove(connection) {
            count();
        }
        waiting.push(connection, loss);
    }

    /// Moves a session that was queued for `old`, and has lost another socket since, to the end of the queue.
    pub(super) fn move_back(&self, connection: &Connection, old: Loss, new: Loss) {
        let mut waiting = self.lock();
        // Its own task may have moved it meanwhile, for the same loss or a later one.
        if connection.expiry_slot().is_queued_since(old) {
            waiting.remove(connection);
            waiting.push(connection, new);
        }
    }

    /// Whether a task must be started. Only one caller gets `true`, and must start it.
    pub(super) fn wants_task(&self) -> bool {
        !std::mem::replace(&mut self.lock().has_task, true)
    }

    /// Removes a session. Returns whether it was there.
    pub(super) fn remove(&self, connection: &Connection) -> bool {
        self.remove_where(connection, |_| true)
    }

    /// Removes a session that was queued for this loss. Returns whether it was.
    pub(super) fn remove_since(&self, connection: &Connection, loss: Loss) -> bool {
        self.remove_where(connection, |connection| connection.expiry_slot().is_queued_since(loss))
    }

    pub(super) fn remove_where(
        &self,
        connection: &Connection,
        is_meant: impl FnOnce(&Connection) -> bool,
    ) -> bool {
        let mut waiting = self.lock();
        let removed = is_meant(connection) && waiting.remove(connection);
        // Only then: while others wait, a timer for the removed session is early for them, never late.
        if waiting.list.is_empty() {
            self.empty.notify_one();
        }
        removed
    }

    pub(super) fn first(&self) -> Option<Connection> {
        self.lock().list.front().cloned().flatten()
    }

    /// Removes the oldest session.
    pub(super) fn pop_first(&self) -> Option<Connection> {
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
    pub(super) fn push(&mut self, connection: &Connection, loss: Loss) {
        if self.holes > self.list.len() / 2 && self.list.len() > MIN_CAPACITY {
            self.compact();
        }
        let mut place =
            self.first.wrapping_add(u32::try_from(self.list.len()).expect("they fit into memory"));
        if place == NOWHERE {
            // Slot numbers keep growing and wrap around; this one number means none.
            self.compact();
            place = u32::try_from(self.list.len()).expect("they fit into memory");
        }
        connection.expiry_slot().set_place(Some(place));
        connection.expiry_slot().set_loss(loss);
        self.list.push_back(Some(connection.clone()));
    }

    /// Closes the holes, and frees the memory of entries that have left.
    pub(super) fn compact(&mut self) {
        self.list.retain(Option::is_some);
        self.list.shrink_to(2 * self.list.len());
        (self.first, self.holes) = (0, 0);
        // Every slot changes: under the queue's lock, so that no removal uses an old one.
        for (place, connection) in (0..).zip(self.list.iter().flatten()) {
            connection.expiry_slot().set_place(Some(place));
        }
    }

    /// Removes a session in constant time, by its slot. Returns whether it was there.
    pub(super) fn remove(&mut self, connection: &Connection) -> bool {
        // Slots change under the queue's lock alone, so this one is exact, although the atomic is relaxed.
        let Some(place) = connection.expiry_slot().place() else { return false };
        connection.expiry_slot().set_place(None);
        let index = place.wrapping_sub(self.first) as usize;
        if let Some(entry) = self.list.get_mut(index) {
            *entry = None;
            self.holes += 1;
        }
        self.trim();
        true
    }

    /// Removes the holes at the front: the first entry is always a session.
    pub(super) fn trim(&mut self) {
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
