//! [`LocalStore`]: the store.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use fjall::PersistMode;
use rejoin_store::rules::{self, millis};
use rejoin_store::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, LeaseError, LogId, NodeId, OpenError,
    OpenWriter, Page, Position, ReadError, ReadLimit, Record, Store, StoreError, TailStream, Tails, Touch,
    WriterKey,
};
use tokio::sync::oneshot;

use crate::LocalError;
use crate::clock::Clock;
use crate::leases::Leases;
use crate::open::{self, Trees, failed};
use crate::options::{LocalStoreOptions, Sync};
use crate::rows::Rows;
use crate::writer::{TRIM_STEP, Writer, WriterRequest};

/// Keeps logs and records in a directory.
///
/// Only one process can have a directory open. Clones share one store; when the last is dropped, or [`close`](Self::close) returns,
/// everything is on disk, and the next process can open it. Opening restores the state after the last acknowledged commit.
///
/// One thread makes all changes, and combines all waiting requests into one batch. Reads run in the caller's thread: most are served
/// from memory, and the others block that thread for a file read. After a disk error, the store answers [`StoreError`] until it is
/// opened again.
#[derive(Debug, Clone)]
pub struct LocalStore {
    inner: Arc<LocalStoreInner>,
}

#[derive(Debug)]
struct LocalStoreInner {
    /// `None` once closed. Readers hold the lock while they read, so closing waits for them.
    trees: RwLock<Option<Arc<Trees>>>,
    requests: Sender<WriterRequest>,
    writer: Mutex<Option<JoinHandle<()>>>,
    tails: Arc<Tails>,
    leases: Arc<Leases>,
    clock: Clock,
    log_age: Option<Duration>,
}

impl LocalStore {
    pub(crate) fn start(options: &LocalStoreOptions) -> Result<Self, LocalError> {
        let directory = &options.directory;
        let (trees, mark, meta) = open::open(options)?;
        let clock = match &options.clock {
            Some(read) => Clock::new(read.clone(), meta.time),
            None => Clock::of_machine(meta.time),
        };
        let owners = trees.take_over(clock.now());
        let owners = owners.map_err(|error| LocalError::damaged(directory, error.to_string()))?;
        let (trees, tails, leases) = (Arc::new(trees), Arc::new(Tails::default()), Leases::default());
        owners.into_iter().for_each(|(log, owner)| leases.add_owner(log, owner));
        let leases = Arc::new(leases);
        let durability = match options.sync {
            Sync::Buffer => PersistMode::Buffer,
            Sync::Data => PersistMode::SyncData,
        };
        let writer = Writer {
            rows: Rows::new(trees.clone(), leases.clone(), meta, durability),
            mark,
            clock: clock.clone(),
            tails: tails.clone(),
            log_bytes: options.log_bytes,
            failed: None,
        };
        let (requests, waiting) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("rejoin-store".into());
        let thread = thread.spawn(move || writer.run(&waiting)).map_err(LocalError::io(directory))?;
        Ok(Self {
            inner: Arc::new(LocalStoreInner {
                trees: RwLock::new(Some(trees)),
                requests,
                writer: Mutex::new(Some(thread)),
                tails,
                leases,
                clock,
                log_age: options.log_age,
            }),
        })
    }

    /// Writes everything to the disk, and releases the directory, so that another process can open it. Waiting requests are answered
    /// first; later ones fail. It does the same as dropping the last clone, but while other clones exist.
    pub async fn close(&self) {
        let inner = self.inner.clone();
        let (done, closed) = oneshot::channel();
        let close = move || {
            inner.close();
            let _ = done.send(());
        };
        // In its own thread, because it waits for the disk.
        match std::thread::Builder::new().name("rejoin-store-close".into()).spawn(close) {
            Ok(_) => drop(closed.await),
            Err(_) => self.inner.close(),
        }
    }

    /// Sends a step to the writer, and waits for its answer.
    async fn ask<R: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Rows) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        let request = WriterRequest::Step(Box::new(move |rows| {
            let result = step(rows);
            Box::new(move |outcome: Result<(), StoreError>| drop(reply.send(outcome.map(|()| result))))
        }));
        let stopped = |_| StoreError::new("the store has stopped or failed");
        self.inner.requests.send(request).map_err(|_| StoreError::new("the store is closed"))?;
        answer.await.map_err(stopped)?
    }

    /// Reads from the trees, unless the store is closed.
    fn look<R, E: From<StoreError>>(&self, read: impl FnOnce(&Trees) -> Result<R, E>) -> Result<R, E> {
        let trees = self.inner.trees.read().unwrap_or_else(PoisonError::into_inner);
        match &*trees {
            Some(trees) => read(trees),
            None => Err(StoreError::new("the store is closed").into()),
        }
    }
}

impl LocalStoreInner {
    fn close(&self) {
        let _ = self.requests.send(WriterRequest::Stop);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panicked writer has already reported its error.
            let _ = writer.join();
        }
        let trees = self.trees.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(trees) = trees
            && let Err(error) = trees.database.persist(PersistMode::SyncAll)
        {
            tracing::error!(error = ?failed(error), "closing a store");
        }
    }
}

impl Drop for LocalStoreInner {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn lease(&self, node: NodeId, ttl: Duration) -> Result<(), LeaseError> {
        self.look(|_| self.inner.leases.renew(node, self.inner.clock.now(), ttl))
    }

    async fn open(&self, open: OpenWriter) -> Result<Position, OpenError> {
        self.ask(move |rows| rules::open(rows, &open)).await?
    }

    async fn attach(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.ask(move |rows| rules::attach(rows, &attach)).await?
    }

    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<Committed, CommitError>> {
        let number = commits.len();
        let all = move |rows: &mut Rows| commits.iter().map(|commit| rules::commit(rows, commit)).collect();
        self.ask(all).await.unwrap_or_else(|error| vec![Err(error.into()); number])
    }

    async fn touch(&self, touches: Vec<Touch>) -> Result<(), StoreError> {
        self.ask(move |rows| touches.iter().try_for_each(|touch| rules::touch(rows, touch).map(drop))).await?
    }

    async fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError> {
        self.look(|trees| trees.read(log, after, limit))
    }

    async fn bounds(&self, log: LogId) -> Result<(Position, Position), StoreError> {
        self.look(|trees| trees.bounds(log))
    }

    async fn records(
        &self,
        log: LogId,
        after: Option<WriterKey>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.ask(Rows::settle).await?;
        self.look(|trees| trees.records(log, after, most))
    }

    async fn expired(&self, log: LogId, window: Duration, most: usize) -> Result<Vec<WriterKey>, StoreError> {
        let times = (self.inner.clock.now(), millis(window));
        self.look(|trees| trees.expired(log, times, &self.inner.leases, most))
    }

    async fn adopt(&self, attach: Attach) -> Result<Attached, AttachError> {
        self.ask(move |rows| rules::adopt(rows, &attach)).await?
    }

    fn tail(&self, log: LogId) -> TailStream {
        self.inner.tails.follow(log)
    }

    async fn trim(&self, log: LogId, age: Duration) -> Result<(), StoreError> {
        let now = self.inner.clock.now();
        let before = |age: Duration| now.saturating_sub(millis(age));
        let (oldest, limit) = (before(age), self.inner.log_age.map_or(0, before));
        // In steps, so that commits do not wait for long.
        while self.ask(move |rows| rows.trim(log, oldest, limit, u64::MAX, TRIM_STEP)).await?? {}
        Ok(())
    }

    fn now(&self) -> u64 {
        self.inner.clock.now()
    }
}
