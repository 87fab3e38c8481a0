//! [`Queue`]: what waits for the committer, in order.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use rejoin_core::drive::sync::Mutex;
use rejoin_store::Touch;
use tokio::sync::{Notify, oneshot};

use super::act::{Act, Key};
use super::writer::Writer;

/// The outcome of an act, sent to the caller that awaits it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Of a join: what it returned.
    pub(crate) result: Option<Box<dyn Any + Send>>,
    /// Whether it changed something, or of a broadcast, how many got it.
    pub(crate) count: usize,
}

/// Something to commit.
pub(crate) enum Work {
    /// The server itself says something. A ticket, unless it is 0, is what somebody waits for.
    Server {
        act: Act,
        ticket: u64,
    },
    /// A session's handler has returned, or the session has ended.
    Session {
        writer: Arc<Writer>,
        acts: Vec<Act>,
        received: Option<u64>,
        state: Option<Bytes>,
        ends: bool,
        /// Called when it is committed.
        then: Option<Box<dyn FnOnce() + Send>>,
    },
    Touch(Touch),
}

/// The committer's queue, and those who wait for what comes out of the log.
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Wakes the committer.
    filled: Notify,
}

#[derive(Default)]
struct Inner {
    work: Vec<Work>,
    last_ticket: u64,
    waiters: HashMap<u64, oneshot::Sender<Done>>,
    opening: HashMap<Key, Box<dyn FnOnce() + Send>>,
    is_closed: bool,
}

impl Queue {
    pub(crate) fn push(&self, work: Work) {
        self.lock().work.push(work);
        self.filled.notify_one();
    }

    /// Queues something of the server itself, and waits until it has come out of the log and was done.
    pub(crate) fn push_and_wait(&self, act: Act) -> oneshot::Receiver<Done> {
        let (done, wait) = oneshot::channel();
        let mut inner = self.lock();
        inner.last_ticket += 1;
        let ticket = inner.last_ticket;
        inner.waiters.insert(ticket, done);
        inner.work.push(Work::Server { act, ticket });
        drop(inner);
        self.filled.notify_one();
        wait
    }

    /// Takes everything that waits; `None` once the queue is closed and empty.
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

    /// Ends the committer once it has done what is queued.
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

    /// Notes what to do when the session's first entry comes out of the log.
    pub(super) fn expect(&self, key: Key, opened: Box<dyn FnOnce() + Send>) {
        self.lock().opening.insert(key, opened);
    }

    /// Takes what is to be done for a session that opens, or that will not.
    pub(super) fn take_opening(&self, key: Key) -> Option<Box<dyn FnOnce() + Send>> {
        self.lock().opening.remove(&key)
    }

    fn lock(&self) -> rejoin_core::drive::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
