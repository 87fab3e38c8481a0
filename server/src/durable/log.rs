//! [`DurableLog`]: the log of a server, and its store.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rejoin_core::drive::sync::Mutex;
use rejoin_core::drive::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rejoin_store::{LogId, NodeId, Store, WriterKey};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::act::{self, Act, Key};
use super::handover::{Handed, Handover};
use super::health::StoreHealth;
use super::landing::Landings;
use super::queue::{CommitQueue, Done, Work};
use super::scope::Scope;

/// The store of a server, its log, and the queue of what is said. It knows no session and no room.
#[derive(Debug)]
pub(crate) struct DurableLog {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: LogId,
    pub(crate) node: NodeId,
    pub(crate) queue: CommitQueue,
    pub(crate) health: StoreHealth,
    /// Sessions that come from other servers.
    pub(super) landings: Landings,
    /// The sessions that wait for their export, with `Durability::Handover`.
    pub(crate) handover: Option<Handover>,
    /// Nonces of requests; each is greater than the one before.
    nonce: AtomicU64,
    /// Sessions stay in the store from now on, whatever becomes of them in this process.
    is_left: AtomicBool,
    /// The tasks were begun.
    has_begun: AtomicBool,
    /// Cancelled when the server is gone, or has waited for the store for long enough.
    pub(super) gone: CancellationToken,
    /// Where the server is with its restart.
    ready: Mutex<Ready>,
    /// Wakes those that wait for a change of `ready`, in the order in which they came. A `watch` channel would wake them in any order.
    readied: Notify,
}

/// Whether a server has restored its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    NotYet,
    Yes,
    /// It serves no sessions any more: it shuts down, another server has taken over a session of it, or its store has data that it
    /// cannot read.
    Never,
}

/// How long a node is believed to live without a word. Longer than a process is likely to be stopped: one whose lease has passed
/// has to be restarted. A clean end and a store in a directory need no such wait, so it costs nothing there.
pub(super) const LEASE: Duration = Duration::from_secs(60);

impl DurableLog {
    pub(crate) fn new(store: Arc<dyn Store>, node: u64, incarnation: u64, hands_over: bool) -> Self {
        Self {
            store,
            log: LogId(1),
            node: NodeId { name: node, incarnation },
            queue: CommitQueue::default(),
            health: StoreHealth::default(),
            landings: Landings::default(),
            handover: hands_over.then(Handover::default),
            nonce: AtomicU64::new(0),
            is_left: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            gone: CancellationToken::new(),
            ready: Mutex::new(Ready::NotYet),
            readied: Notify::new(),
        }
    }

    /// The key of the server's own writer. No token has a zero byte.
    pub(crate) fn own_key(&self) -> WriterKey {
        let mut key = [0; 16];
        key[8..].copy_from_slice(&self.node.name.to_be_bytes());
        WriterKey(key)
    }

    pub(super) fn nonce(&self) -> u64 {
        self.nonce.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Says something: in the scope of the handler that this thread polls, or else for the server itself.
    pub(crate) fn say(&self, act: Act) {
        match self.scope() {
            Some(scope) => scope.push(act),
            None => {
                self.queue.push(Work::Server { act, ticket: act::NOBODY });
                self.note_said();
            }
        }
    }

    /// Says something, and waits until it is done. In the scope of a handler that would wait for the handler's end, so it returns
    /// `None` at once.
    pub(crate) fn say_and_wait(&self, act: Act) -> Option<tokio::sync::oneshot::Receiver<Done>> {
        match self.scope() {
            Some(scope) => {
                scope.push(act);
                None
            }
            None => {
                let done = self.queue.push_and_wait(act);
                self.note_said();
                Some(done)
            }
        }
    }

    /// Waits until everything that was queued before was done.
    pub(crate) async fn barrier(&self) {
        self.queue.push_and_wait(Act::Nothing).await.ok();
    }

    /// The scope that collects what the handler says that this thread polls.
    pub(crate) fn scope(&self) -> Option<Arc<Scope>> {
        self.speaker().filter(|_| self.handover.is_none())
    }

    /// The scope of the handler that this thread polls.
    pub(super) fn speaker(&self) -> Option<Arc<Scope>> {
        Scope::current(self.identity())
    }

    /// The handler that this thread polls has queued something.
    fn note_said(&self) {
        if self.handover.is_some()
            && let Some(scope) = self.speaker()
        {
            scope.note_said(self.queue.said());
        }
    }

    /// A new scope for a handler of this server.
    pub(crate) fn new_scope(&self, key: Key) -> Arc<Scope> {
        Scope::new(self.identity(), key)
    }

    /// For a session that begins: `None` unless sessions are handed over.
    pub(super) fn new_handed(&self) -> Option<Handed> {
        self.handover.is_some().then(Handed::default)
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether newcomers are refused: the store is down, or this server writes nothing more.
    pub(crate) fn is_down(&self) -> bool {
        self.health.is_down() || self.ready() == Ready::Never
    }

    fn ready(&self) -> Ready {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where the server is with its restart.
    pub(super) fn set_ready(&self, ready: Ready) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
        self.readied.notify_waiters();
    }

    /// Waits until `ready` is one of those that `is_awaited` names, and returns it.
    pub(super) async fn wait_ready(&self, is_awaited: impl Fn(Ready) -> bool) -> Ready {
        loop {
            // Made before the look: a change after it notifies this one.
            let readied = self.readied.notified();
            let ready = self.ready();
            if is_awaited(ready) {
                return ready;
            }
            readied.await;
        }
    }

    /// Whether the sessions of this process were left to the store.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::SeqCst)
    }

    pub(crate) fn leave(&self) {
        self.is_left.store(true, Ordering::SeqCst);
    }

    /// The server is gone without a shutdown: its tasks end once they have committed what is queued.
    pub(crate) fn abandon(&self) {
        self.leave();
        self.queue.close();
    }

    /// Whether the caller is the first, who begins the tasks.
    pub(super) fn begins(&self) -> bool {
        !self.has_begun.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use rejoin_store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn a_log_that_is_abandoned_leaves_its_sessions_and_does_what_is_queued() {
        let log = DurableLog::new(Arc::new(MemoryStore::new()), 1, 1, false);
        assert_eq!([log.begins(), log.begins()], [true, false]);
        log.say(Act::Nothing);
        assert!(!log.is_left());
        log.abandon();
        assert!(log.is_left());
        assert_eq!(log.queue.take().await.map(|works| works.len()), Some(1));
        assert!(log.queue.take().await.is_none());
    }
}
