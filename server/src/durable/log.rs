//! [`DurableLog`]: the log of a realm of a server, and its store.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};

use rejoin_core::drive::sync::Mutex;
use rejoin_core::drive::sync::atomic::{AtomicBool, Ordering};
use rejoin_store::{LogId, WriterKey};
use tokio::sync::Notify;

use super::act::{self, Act};
use super::handover::{Handed, Handover};
use super::landing::Landings;
use super::node::{self, StoreNode};
use super::queue::{CommitQueue, Done, Work};
use super::scope::Scope;
use super::writer::LogWriter;

/// The log of a realm, and the queue of what is said in it. It knows no session and no room.
#[derive(Debug)]
pub(crate) struct DurableLog {
    /// The server.
    pub(super) of: Arc<StoreNode>,
    /// The name of the realm; empty for the default one.
    pub(super) realm: Arc<str>,
    pub(crate) log: LogId,
    pub(crate) queue: CommitQueue,
    /// Sessions that come from other servers.
    pub(super) landings: Landings,
    /// The sessions that wait for their export, with `Durability::Handover`.
    pub(crate) handover: Option<Handover>,
    /// This log of the same realm was open before: its tasks end first.
    before: Option<Arc<Self>>,
    /// Nobody is in the realm any more: its tasks end once they have committed what is queued.
    is_abandoned: AtomicBool,
    /// The tasks were begun.
    has_begun: AtomicBool,
    /// Where the server is with its restart.
    ready: Mutex<Ready>,
    /// Wakes tasks that wait for a change of `ready`, in the order of their arrival. A `watch` channel would wake them in any order.
    readied: Notify,
}

/// Whether a server has restored the sessions of a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    NotYet,
    Yes,
    /// It serves no sessions any more: it shuts down, another server has taken over a session of it, its store has data that it
    /// cannot read, or nobody is in the realm.
    Never,
}

/// What all logs of a server share.
impl Deref for DurableLog {
    type Target = StoreNode;

    fn deref(&self) -> &StoreNode {
        &self.of
    }
}

impl DurableLog {
    /// `before`: the log of the same realm that was open before.
    pub(crate) fn new(of: Arc<StoreNode>, realm: &Arc<str>, before: Option<Arc<Self>>) -> Self {
        Self {
            log: node::log_of(realm),
            realm: realm.clone(),
            queue: CommitQueue::default(),
            landings: Landings::default(),
            handover: of.hands_over.then(Handover::default),
            // One that was never used has nothing to end, but the one before it may have.
            before: before.filter(|before| !before.is_over()),
            is_abandoned: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            ready: Mutex::new(Ready::NotYet),
            readied: Notify::new(),
            of,
        }
    }

    /// The key of the server's own writer.
    pub(crate) fn own_key(&self) -> WriterKey {
        self.of.own_key(self.log)
    }

    /// Waits until the tasks of the same realm have ended that were there before.
    pub(super) async fn wait_for_predecessors(&self) {
        let mut next = self.before.as_ref();
        while let Some(before) = next {
            if before.has_begun() {
                before.wait_ready(|ready| ready == Ready::Never).await;
                return;
            }
            next = before.before.as_ref();
        }
    }

    /// Whether nothing of it is under way.
    pub(crate) fn is_over(&self) -> bool {
        match self.has_begun() {
            true => self.ready() == Ready::Never,
            false => self.before.as_ref().is_none_or(|before| before.is_over()),
        }
    }

    /// Queues an act: in the scope of the handler that this thread polls, or else for the server itself.
    pub(crate) fn say(&self, act: Act) {
        match self.scope() {
            Some(scope) => scope.push(act),
            None => {
                self.queue.push(Work::Server { act, ticket: act::NOBODY });
                self.note_said();
            }
        }
    }

    /// Queues an act and waits until it is applied. In a handler's scope that would wait for the end of the handler, so it returns
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

    /// Waits until all acts that were queued before are applied.
    pub(crate) async fn barrier(&self) {
        self.queue.push_and_wait(Act::Nothing).await.ok();
    }

    /// The scope that collects the acts of the handler that this thread polls.
    pub(crate) fn scope(&self) -> Option<Arc<Scope>> {
        self.speaker().filter(|_| self.handover.is_none())
    }

    /// The scope of the handler that this thread polls.
    pub(super) fn speaker(&self) -> Option<Arc<Scope>> {
        Scope::current(self.identity())
    }

    /// Records that the handler that this thread polls has queued an act.
    fn note_said(&self) {
        if let Some(scope) = self.speaker()
            && let Some(handed) = scope.writer.handed()
        {
            handed.note_said(self.queue.said());
        }
    }

    /// A new scope for a handler of this server.
    pub(crate) fn new_scope(&self, writer: Arc<LogWriter>) -> Arc<Scope> {
        Scope::new(self.identity(), writer)
    }

    /// For a session that begins; `None` without `Durability::Handover`.
    pub(super) fn new_handed(&self) -> Option<Handed> {
        self.handover.is_some().then(Handed::default)
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether newcomers are refused, because the store is down or this server has stopped committing.
    pub(crate) fn is_down(&self) -> bool {
        self.health.is_down() || self.ready() == Ready::Never
    }

    /// Whether its tasks do what is queued.
    pub(super) fn is_running(&self) -> bool {
        self.has_begun() && self.ready() != Ready::Never
    }

    fn ready(&self) -> Ready {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the progress of the restart.
    pub(super) fn set_ready(&self, ready: Ready) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
        self.readied.notify_waiters();
    }

    /// Waits until `is_awaited` accepts the value of `ready`, and returns it.
    pub(super) async fn wait_ready(&self, is_awaited: impl Fn(Ready) -> bool) -> Ready {
        loop {
            // Created before the check, so that no change after it is missed.
            let readied = self.readied.notified();
            let ready = self.ready();
            if is_awaited(ready) {
                return ready;
            }
            readied.await;
        }
    }

    /// Whether this process has left its sessions to the store.
    pub(crate) fn is_left(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst) || self.of.is_left()
    }

    /// Nobody is in the realm any more, or the server is gone without a shutdown: its tasks end once they have committed what is
    /// queued.
    pub(crate) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::SeqCst);
        self.queue.close();
    }

    /// Whether this is the first call. The first caller spawns the tasks.
    pub(super) fn begins(&self) -> bool {
        !self.has_begun.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }
}

/// Says that the tasks of a log have ended, when it is dropped with them.
pub(super) struct LogOver(pub(super) Arc<DurableLog>);

impl Drop for LogOver {
    fn drop(&mut self) {
        self.0.set_ready(Ready::Never);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use rejoin_store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn a_log_that_is_abandoned_leaves_its_sessions_and_does_what_is_queued() {
        let node = StoreNode::new(Arc::new(MemoryStore::new()), 1, 1, false);
        let log = DurableLog::new(node, &"".into(), None);
        assert_eq!([log.begins(), log.begins()], [true, false]);
        log.say(Act::Nothing);
        assert!(!log.is_left());
        log.abandon();
        assert!(log.is_left());
        assert_eq!(log.queue.take().await.map(|works| works.len()), Some(1));
        assert!(log.queue.take().await.is_none());
    }

    #[tokio::test]
    async fn a_log_waits_for_those_of_its_realm_that_were_open_before() {
        let node = StoreNode::new(Arc::new(MemoryStore::new()), 1, 1, false);
        let realm = "blue".into();
        let first = Arc::new(DurableLog::new(node.clone(), &realm, None));
        assert!(first.begins() && !first.is_over());
        // It is opened and left at once, before the first one is over.
        let second = Arc::new(DurableLog::new(node.clone(), &realm, Some(first.clone())));
        let third = DurableLog::new(node, &realm, Some(second.clone()));
        let mut waits = std::pin::pin!(third.wait_for_predecessors());
        let is_pending = waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(is_pending && !second.is_over());
        drop(LogOver(first));
        waits.await;
        assert!(second.is_over());
    }
}
