//! [`CommitQueue`]: the committer's queue.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use rejoin_core::drive::sync::Mutex;
use rejoin_store::Touch;
use tokio::sync::{Notify, oneshot};

use super::act::{Act, Key};
use super::writer::LogWriter;

/// The outcome of an act, sent to the caller that awaits it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The result of a join.
    pub(crate) result: Option<Box<dyn Any + Send>>,
    /// Whether the act changed something; for a broadcast, the number of receivers.
    pub(crate) count: usize,
}

/// Called with whether the commit succeeded. If not, the session has ended in the store, or belongs to another server.
pub(crate) type AfterCommit = Box<dyn FnOnce(bool) + Send>;

/// Work for the committer.
pub(crate) enum Work {
    /// The server itself says something. A ticket, unless it is [`NOBODY`](super::act::NOBODY), is what somebody waits for.
    Server {
        act: Act,
        ticket: u64,
    },
    /// A session's handler has returned, or the session has ended.
    Session {
        writer: Arc<LogWriter>,
        acts: Vec<Act>,
        received: Option<u64>,
        state: Option<Bytes>,
        ends: bool,
        then: Option<AfterCommit>,
    },
    Touch(Touch),
}

/// The queue's length from which handlers wait while the store is down, with [`Durability::Handover`](super::Durability::Handover).
const MAX_WAITING: usize = 4096;

/// The maximum number of entries whose decoded acts are kept until the follower applies them.
const MAX_WRITTEN: usize = 1024;

/// An entry that this process has written, with its decoded acts.
struct WrittenEntry {
    body: Bytes,
    ticket: u64,
    acts: Vec<Act>,
}

/// The committer's queue, and the callers that wait for acts to be applied.
#[derive(Default)]
pub(crate) struct CommitQueue {
    inner: Mutex<CommitQueueInner>,
    /// Wakes the committer.
    filled: Notify,
}

#[derive(Default)]
struct CommitQueueInner {
    work: Vec<Work>,
    last_ticket: u64,
    /// Number of acts that the server itself has queued, and of those that were applied.
    said: u64,
    applied: u64,
    waiters: HashMap<u64, oneshot::Sender<Done>>,
    opening: HashMap<Key, Box<dyn FnOnce() + Send>>,
    /// Written entries that were not applied yet, in order.
    written: VecDeque<WrittenEntry>,
    is_closed: bool,
}

impl CommitQueue {
    pub(crate) fn push(&self, work: Work) {
        let mut inner = self.lock();
        inner.said += u64::from(matches!(work, Work::Server { .. }));
        inner.work.push(work);
        drop(inner);
        self.filled.notify_one();
    }

    /// Number of acts that the server itself has queued.
    pub(super) fn said(&self) -> u64 {
        self.lock().said
    }

    /// Records that acts of the server itself were applied.
    pub(super) fn note_applied(&self, acts: usize) {
        self.lock().applied += acts as u64;
    }

    /// Whether the act with this number was applied.
    pub(super) fn is_applied(&self, number: u64) -> bool {
        number == 0 || number <= self.lock().applied
    }

    /// Whether handlers have to wait because the queue is too long.
    pub(crate) fn is_long(&self) -> bool {
        self.lock().work.len() >= MAX_WAITING
    }

    /// Queues an act of the server itself, and waits until it is applied.
    pub(crate) fn push_and_wait(&self, act: Act) -> oneshot::Receiver<Done> {
        let (done, wait) = oneshot::channel();
        let mut inner = self.lock();
        inner.last_ticket += 1;
        inner.said += 1;
        let ticket = inner.last_ticket;
        inner.waiters.insert(ticket, done);
        inner.work.push(Work::Server { act, ticket });
        drop(inner);
        self.filled.notify_one();
        wait
    }

    /// Takes the whole queue; `None` once it is closed and empty.
    pub(super) async fn take(&self) -> Option<Vec<Work>> {
        loop {
            let filled = self.filled.notified();
            {
                let mut inner = self.lock();
                if !inner.work.is_empty() {
                    return Some(std::mem::take(&mut inner.work));
                }
                if inner.is_closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Clears the queue. Callers that await an outcome get none.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        let CommitQueueInner { work, waiters, opening, written, .. } = &mut *inner;
        let forgotten =
            (std::mem::take(work), std::mem::take(waiters), std::mem::take(opening), std::mem::take(written));
        // Unlock first: dropping the entries runs foreign code.
        drop(inner);
        drop(forgotten);
    }

    /// Ends the committer after it has committed the queue.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    /// Sends the outcome to the caller that awaits this ticket.
    pub(super) fn done(&self, ticket: u64, done: Done) {
        let waiter = self.lock().waiters.remove(&ticket);
        if let Some(waiter) = waiter {
            waiter.send(done).ok();
        }
    }

    /// Registers a function to call when the session's first entry is applied.
    pub(super) fn expect(&self, key: Key, opened: Box<dyn FnOnce() + Send>) {
        self.lock().opening.insert(key, opened);
    }

    /// Takes the registered function of a session that opens, or that will not.
    pub(super) fn take_opening(&self, key: Key) -> Option<Box<dyn FnOnce() + Send>> {
        self.lock().opening.remove(&key)
    }

    /// Keeps the acts of an entry until it is applied, so that this process need not decode it. Evicted entries are decoded.
    pub(super) fn keep(&self, body: Bytes, ticket: u64, acts: Vec<Act>) {
        let mut inner = self.lock();
        if inner.written.len() == MAX_WRITTEN {
            inner.written.pop_front();
        }
        inner.written.push_back(WrittenEntry { body, ticket, acts });
    }

    /// Takes the acts of an entry if this process has written it. Earlier entries that were not applied were refused. An entry with
    /// equal bytes has equal acts, whichever process has written it.
    pub(super) fn take_written(&self, body: &Bytes) -> Option<(u64, Vec<Act>)> {
        let mut inner = self.lock();
        let index = inner.written.iter().position(|written| written.body == *body)?;
        let WrittenEntry { ticket, acts, .. } = inner.written.drain(..=index).next_back()?;
        Some((ticket, acts))
    }

    fn lock(&self) -> rejoin_core::drive::sync::MutexGuard<'_, CommitQueueInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CommitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_taken_in_order() {
        let queue = CommitQueue::default();
        let acts = |number| vec![Act::Open(Key::new([number; 16]))];
        let body = |number: u8| Bytes::from(vec![number; 3]);
        for number in [1, 2, 3, 2] {
            queue.keep(body(number), number.into(), acts(number));
        }
        let taken =
            |number| queue.take_written(&body(number)).map(|(ticket, acts)| (ticket, format!("{acts:?}")));
        let expected = |number: u8| Some((number.into(), format!("{:?}", acts(number))));
        assert_eq!(taken(9), None, "another process has written it");
        assert_eq!(taken(2), expected(2));
        assert_eq!(taken(1), None, "it was refused, or it would have come before");
        assert_eq!([taken(3), taken(2), taken(2)], [expected(3), expected(2), None]);
        for number in 0..=MAX_WRITTEN {
            queue.keep(Bytes::from(number.to_string()), 0, Vec::new());
        }
        assert_eq!(queue.lock().written.len(), MAX_WRITTEN);
        assert!(queue.take_written(&Bytes::from_static(b"0")).is_none(), "the oldest is decoded");
        assert!(queue.take_written(&Bytes::from_static(b"1")).is_some());
    }
}
