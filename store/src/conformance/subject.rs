//! A store under test, and shorthands for its calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::{
    Attach, AttachError, Attached, Checkpoint, Commit, CommitError, Committed, Fence, LogId, MemoryStore,
    NodeId, OpenWriter, Position, ReadLimit, Record, Store, Touch, WriterKey,
};

pub(super) const LOG: LogId = LogId(0x1234_5678_9abc);
pub(super) const SECRET: [u8; 32] = [7; 32];
pub(super) const A: NodeId = NodeId { name: 1, incarnation: 11 };
pub(super) const B: NodeId = NodeId { name: 2, incarnation: 22 };
pub(super) const WINDOW: Duration = Duration::from_secs(30);

/// A store under test, and its clock.
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    advance: Box<dyn Fn(Duration) + Send + Sync>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("store", &self.store).finish_non_exhaustive()
    }
}

pub(super) fn key(number: u8) -> WriterKey {
    let mut key = *b"0123456789abcdef";
    key[15] = number;
    WriterKey(key)
}

impl Subject {
    /// Tests this store, whose clock advances when `advance` is called, and otherwise as little as possible.
    pub fn new(store: Arc<dyn Store>, advance: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self { store, advance: Box::new(advance) }
    }

    /// Tests a [`MemoryStore`].
    pub fn memory() -> Self {
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let read = clock.clone();
        let store = MemoryStore::with_clock(move || read.load(Ordering::Relaxed));
        Self::new(Arc::new(store), move |by| {
            clock.fetch_add(crate::rules::millis(by), Ordering::Relaxed);
        })
    }

    /// Advances the store's clock.
    pub fn advance(&self, by: Duration) {
        (self.advance)(by);
    }

    /// Gives both nodes leases of an hour.
    pub(super) async fn lease(&self) {
        for node in [A, B] {
            self.store.lease(node, Duration::from_secs(3600)).await.unwrap();
        }
    }

    /// Opens writer `number` for node A, with this number as ID and nonce.
    pub(super) async fn open(&self, number: u8) -> Position {
        self.store.open(opening(number)).await.unwrap()
    }

    /// Commits by writer 1.
    pub(super) async fn commit(
        &self,
        epoch: u64,
        w: u64,
        body: &'static str,
    ) -> Result<Committed, CommitError> {
        self.one(commit(1, epoch, w, body)).await
    }

    pub(super) async fn one(&self, commit: Commit) -> Result<Committed, CommitError> {
        let mut answers = self.store.commit(vec![commit]).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub(super) async fn attach(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.store.attach(attach).await
    }

    /// Takes writer 1 over, and returns its record.
    pub(super) async fn take(&self, to: NodeId, nonce: u64) -> Record {
        match self.attach(attaching(to, None, nonce)).await {
            Ok(Attached::Taken(record)) => *record,
            other => panic!("not taken over: {other:?}"),
        }
    }

    pub(super) async fn touch(&self, touch: Touch) {
        self.store.touch(vec![touch]).await.unwrap();
    }

    /// The record of a writer.
    pub(super) async fn record(&self, number: u8) -> Option<Record> {
        let records = self.store.records(LOG, None, 1000).await.unwrap();
        records.into_iter().find(|record| record.key == key(number))
    }

    /// The bodies of the whole log.
    pub(super) async fn bodies(&self) -> Vec<Bytes> {
        let (first, _) = self.store.bounds(LOG).await.unwrap();
        let limit = ReadLimit { entries: 10_000, bytes: usize::MAX };
        let page = self.store.read(LOG, first, limit).await.unwrap();
        assert!(page.is_end);
        page.entries.into_iter().map(|entry| entry.body).collect()
    }

    pub(super) async fn last(&self) -> Position {
        self.store.bounds(LOG).await.unwrap().1
    }

    pub(super) async fn expired(&self) -> Vec<WriterKey> {
        self.store.expired(LOG, WINDOW, 100).await.unwrap()
    }
}

pub(super) fn opening(number: u8) -> OpenWriter {
    OpenWriter {
        log: LOG,
        key: key(number),
        owner: A,
        nonce: u64::from(number),
        proof: SECRET,
        id: format!("id {number}").into(),
        identity: "identity".into(),
        checkpoint: "fold".into(),
        body: "open".into(),
    }
}

pub(super) fn attaching(to: NodeId, mine: Option<u64>, nonce: u64) -> Attach {
    Attach { key: key(1), proof: SECRET, to, mine, nonce, moved: "moved".into() }
}

pub(super) fn commit(number: u8, epoch: u64, w: u64, body: &'static str) -> Commit {
    Commit {
        log: LOG,
        writer: key(number),
        fence: Fence { epoch, w },
        received: None,
        state: None,
        ends: Vec::new(),
        body: body.into(),
    }
}

pub(super) fn touching(epoch: u64, attachment: u64) -> Touch {
    Touch { key: key(1), epoch, attachment, checkpoint: None, ends_in: None }
}

pub(super) fn checkpoint(position: Position, number: u64) -> Option<Checkpoint> {
    Some(Checkpoint { position, number, state: format!("fold {number}").into() })
}

pub(super) fn at(position: Position, after: u64) -> Position {
    Position { offset: position.offset + after, ..position }
}
