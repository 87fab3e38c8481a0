//! [`Life`] and [`Sealed`]: a server process that can be killed, and its access to the store.
//!
//! A process affects the world only through its sockets and its store. It is therefore killed by cutting its lines and its access to
//! the store at the same moment: nothing that its tasks do afterwards can be observed. It may die between two polls, or with a call of
//! the store, before the call was applied or before it was answered.

use std::fmt;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use rejoin_store::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, LeaseError, LogId, MemoryStore, NodeId,
    OpenError, OpenWriter, Page, Position, ReadError, ReadLimit, Record, Store, StoreError, TailStream,
    Touch, WriterKey,
};
use tokio::sync::watch;

/// Called when the process dies.
type OnDeath = Box<dyn FnOnce() + Send>;

/// The life of a process.
#[derive(Clone)]
pub(super) struct Life(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    is_dead: watch::Sender<bool>,
}

struct State {
    is_paused: bool,
    calls: u64,
    /// With which call it dies, and whether that call is applied.
    dies_with: Option<(u64, bool)>,
    on_death: Option<OnDeath>,
    node: Option<NodeId>,
    /// The wakers of calls that wait for the end of a pause.
    waiting: Vec<Waker>,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").finish_non_exhaustive()
    }
}

impl Life {
    pub(super) fn new(on_death: impl FnOnce() + Send + 'static) -> Self {
        let state = State {
            is_paused: false,
            calls: 0,
            dies_with: None,
            on_death: Some(Box::new(on_death)),
            node: None,
            waiting: Vec::new(),
        };
        Self(Arc::new(Inner { state: Mutex::new(state), is_dead: watch::Sender::new(false) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.0.is_dead.borrow()
    }

    /// Waits until it is dead.
    pub(super) async fn died(&self) {
        self.0.is_dead.subscribe().wait_for(|is_dead| *is_dead).await.ok();
    }

    pub(super) fn kill(&self) {
        let on_death = self.lock().on_death.take();
        self.0.is_dead.send_replace(true);
        on_death.into_iter().for_each(|on_death| on_death());
    }

    /// Kills the process at its next call of the store after `after` others, before or after the store applies it.
    pub(super) fn die_with_call(&self, after: u64, is_applied: bool) {
        let mut state = self.lock();
        state.dies_with = Some((state.calls + after, is_applied));
    }

    /// Stops it for a while: no call goes out, and no answer comes in.
    pub(super) fn pause(&self, is_paused: bool) {
        let mut state = self.lock();
        state.is_paused = is_paused;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The node as which it has used the store.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.lock().node
    }

    /// Pending while it is stopped, and for ever when it is dead.
    fn poll_runs(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if self.is_dead() || state.is_paused {
            state.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Makes a call.
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        poll_fn(|cx| self.poll_runs(cx)).await;
        let dies = {
            let mut state = self.lock();
            state.calls += 1;
            state.dies_with.filter(|(call, _)| *call < state.calls).map(|(_, is_applied)| is_applied)
        };
        if dies == Some(false) {
            self.kill();
            return pending().await;
        }
        let mut call = pin!(call);
        let answer = poll_fn(|cx| if self.is_dead() { Poll::Pending } else { call.as_mut().poll(cx) }).await;
        if dies == Some(true) {
            self.kill();
            return pending().await;
        }
        poll_fn(|cx| self.poll_runs(cx)).await;
        answer
    }
}

/// The store, as long as the process lives.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) store: MemoryStore,
    pub(super) life: Life,
}

#[async_trait]
impl Store for Sealed {
    async fn lease(&self, node: NodeId, ttl: Duration) -> Result<(), LeaseError> {
        self.life.lock().node = Some(node);
        self.life.call(self.store.lease(node, ttl)).await
    }

    async fn open(&self, open: OpenWriter) -> Result<Position, OpenError> {
        self.life.call(self.store.open(open)).await
    }

    async fn attach(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.life.call(self.store.attach(attach)).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<Committed, CommitError>> {
        self.life.call(self.store.commit(commits)).await
    }

    async fn touch(&self, touches: Vec<Touch>) -> Result<(), StoreError> {
        self.life.call(self.store.touch(touches)).await
    }

    async fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError> {
        self.life.call(self.store.read(log, after, limit)).await
    }

    async fn bounds(&self, log: LogId) -> Result<(Position, Position), StoreError> {
        self.life.call(self.store.bounds(log)).await
    }

    /// One, or all on one page, in the order of their IDs: keys are random.
    async fn records(
        &self,
        log: LogId,
        after: Option<WriterKey>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        if most == 1 {
            return self.life.call(self.store.records(log, after, 1)).await;
        }
        if after.is_some() {
            return Ok(Vec::new());
        }
        let mut records = self.life.call(self.store.records(log, None, usize::MAX)).await?;
        records.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(records)
    }

    async fn expired(&self, log: LogId, window: Duration, most: usize) -> Result<Vec<WriterKey>, StoreError> {
        self.life.call(self.store.expired(log, window, most)).await
    }

    async fn adopt(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.life.call(self.store.adopt(attach)).await
    }

    fn tail(&self, log: LogId) -> TailStream {
        let (life, mut tail) = (self.life.clone(), self.store.tail(log));
        TailStream::new(move |cx| match life.poll_runs(cx) {
            Poll::Ready(()) => tail.poll_next(cx),
            Poll::Pending => Poll::Pending,
        })
    }

    async fn trim(&self, log: LogId, age: Duration) -> Result<(), StoreError> {
        self.life.call(self.store.trim(log, age)).await
    }

    fn now(&self) -> u64 {
        self.store.now()
    }
}
