//! [`MortalStore`]: a store as one process sees it, which may be killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use rejoin_store::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, LeaseError, LogId, MemoryStore, NodeId,
    OpenError, OpenWriter, Page, Position, ReadError, ReadLimit, Record, Store, StoreCall, StoreError,
    TailStream, Touch, WriterKey,
};

/// The store of one server of a test. From [`Self::kill`] on no call of this server has an effect, and none is answered: to the
/// store it looks as if the process was killed, at whatever it was doing.
#[derive(Debug, Clone)]
pub struct MortalStore {
    store: MemoryStore,
    life: Arc<Life>,
}

#[derive(Debug, Default)]
struct Life {
    is_over: AtomicBool,
    /// Calls of this kind are no longer answered, and have no effect.
    stuck: Mutex<Option<StoreCall>>,
    node: Mutex<Option<NodeId>>,
}

impl MortalStore {
    /// The store of another server.
    pub fn new(store: &MemoryStore) -> Self {
        Self { store: store.clone(), life: Arc::default() }
    }

    /// Cuts the server off. Its lease ends, as that of a process of a store in a directory.
    pub async fn kill(&self) {
        self.life.is_over.store(true, Ordering::SeqCst);
        let node = self.life.node.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(node) = node {
            self.store.lease(node, Duration::ZERO).await.ok();
        }
    }

    /// Cuts the server off. Its lease continues.
    pub fn vanish(&self) {
        self.life.is_over.store(true, Ordering::SeqCst);
    }

    /// From now on the server hangs in each call of this kind.
    pub fn stick(&self, call: StoreCall) {
        *self.life.stuck.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }

    async fn pass(&self, call: StoreCall) {
        let is_stuck = *self.life.stuck.lock().unwrap_or_else(PoisonError::into_inner) == Some(call);
        if is_stuck || self.life.is_over.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for MortalStore {
    async fn lease(&self, node: NodeId, ttl: Duration) -> Result<(), LeaseError> {
        self.pass(StoreCall::Lease).await;
        *self.life.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
        self.store.lease(node, ttl).await
    }

    async fn open(&self, open: OpenWriter) -> Result<Position, OpenError> {
        self.pass(StoreCall::Open).await;
        self.store.open(open).await
    }

    async fn attach(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.pass(StoreCall::Attach).await;
        self.store.attach(attach).await
    }

    async fn adopt(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.pass(StoreCall::Adopt).await;
        self.store.adopt(attach).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<Committed, CommitError>> {
        self.pass(StoreCall::Commit).await;
        self.store.commit(commits).await
    }

    async fn touch(&self, touches: Vec<Touch>) -> Result<(), StoreError> {
        self.pass(StoreCall::Touch).await;
        self.store.touch(touches).await
    }

    async fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError> {
        self.pass(StoreCall::Read).await;
        self.store.read(log, after, limit).await
    }

    async fn bounds(&self, log: LogId) -> Result<(Position, Position), StoreError> {
        self.pass(StoreCall::Read).await;
        self.store.bounds(log).await
    }

    async fn records(
        &self,
        log: LogId,
        after: Option<WriterKey>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.pass(StoreCall::Read).await;
        self.store.records(log, after, most).await
    }

    async fn expired(&self, log: LogId, window: Duration, most: usize) -> Result<Vec<WriterKey>, StoreError> {
        self.pass(StoreCall::Read).await;
        self.store.expired(log, window, most).await
    }

    fn tail(&self, log: LogId) -> TailStream {
        let mut tail = self.store.tail(log);
        let life = self.life.clone();
        TailStream::new(move |cx| match life.is_over.load(Ordering::SeqCst) {
            true => Poll::Pending,
            false => tail.poll_next(cx),
        })
    }

    async fn trim(&self, log: LogId, age: Duration) -> Result<(), StoreError> {
        self.pass(StoreCall::Trim).await;
        self.store.trim(log, age).await
    }

    fn now(&self) -> u64 {
        self.store.now()
    }
}
