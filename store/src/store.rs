//! [`Store`]: the trait.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, Entry, LeaseError, LogId, NodeId,
    OpenError, OpenWriter, Page, Position, ReadError, ReadLimit, Record, StoreError, Touch, WriterKey,
};

/// Storage for logs and records.
///
/// Each call is one step: it is applied completely or not at all, even if the caller drops the future. After an error with an unknown
/// outcome, the caller repeats the call unchanged; every call can be repeated safely. A store has one clock, which alone decides about
/// windows and leases.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Renews a node's lease for the time `ttl`. An incarnation whose lease has expired can still renew it until another node has
    /// [adopted](Self::adopt) one of its sessions: a process that was stopped for a while continues if no other node has acted on its
    /// absence. A `ttl` of zero ends the lease for good.
    async fn lease(&self, node: NodeId, ttl: Duration) -> Result<(), LeaseError>;

    /// Begins a writer.
    async fn open(&self, open: OpenWriter) -> Result<Position, OpenError>;

    /// Attaches a socket to a writer, and takes the writer over if another node owns it.
    async fn attach(&self, attach: Attach) -> Result<Attached, AttachError>;

    /// Applies commits. Each is a separate step; those of one writer are applied in their order. The answers have the order of the
    /// commits.
    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<Committed, CommitError>>;

    /// Moves checkpoints, and begins windows.
    async fn touch(&self, touches: Vec<Touch>) -> Result<(), StoreError>;

    /// Reads a log after a position.
    async fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError>;

    /// The position before the first remaining entry, and that of the last entry. Both offsets are 0 in a log without any entries so
    /// far.
    async fn bounds(&self, log: LogId) -> Result<(Position, Position), StoreError>;

    /// Records of a log, in the order of their keys, after a key.
    async fn records(
        &self,
        log: LogId,
        after: Option<WriterKey>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Records whose deadline has passed by the store's clock, and records without a deadline whose owner's lease expired more than
    /// `window` ago. They stay until a commit ends them: a node adopts them with [`Self::adopt`], and ends each with a commit of the
    /// session itself. That commit is fenced, so a client that attaches in between wins.
    async fn expired(&self, log: LogId, window: Duration, most: usize) -> Result<Vec<WriterKey>, StoreError>;

    /// Takes a writer over as [`Self::attach`] does, but for a node itself: needs no proof, and changes neither the deadline nor the
    /// attachment's number. Does not change a writer that the caller owns already. Refused while a living node owns the writer and its
    /// window has not passed, so that a late adoption cannot take it from a client that has attached meanwhile.
    async fn adopt(&self, attach: Attach) -> Result<Attached, AttachError>;

    /// Follows the log: a stream of everything that any writer appends from now on.
    fn tail(&self, log: LogId) -> TailStream;

    /// Removes entries that are older than `age` and that no record's checkpoint needs; the store's own limits may remove more. A
    /// server's own writer, whose record has no connection ID, is never folded, so its checkpoint needs no entries.
    async fn trim(&self, log: LogId, age: Duration) -> Result<(), StoreError>;

    /// The time of the store's clock in milliseconds, as in [`Record::deadline`] and [`Entry::time`].
    fn now(&self) -> u64;
}

/// How long a key stays taken after its session has ended, by the store's clock.
pub const ENDED_KEPT: Duration = Duration::from_secs(300);

/// An item of a log's tail. Entries can be lost: the store reports a loss that it notices as a [`Tail::Gap`], and `prev` reveals the
/// others.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums)] // followers match it
pub enum Tail {
    /// An entry.
    Entry {
        /// The offset of the entry before it.
        prev: u64,
        /// The entry.
        entry: Entry,
    },
    /// Entries may be missing: read the log.
    Gap,
}

/// A stream of a log's tail. It ends with the store.
pub struct TailStream(Box<PollTail>);

type PollTail = dyn FnMut(&mut Context<'_>) -> Poll<Option<Tail>> + Send;

impl TailStream {
    /// Creates a stream from a function that polls.
    pub fn new(poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Tail>> + Send + 'static) -> Self {
        Self(Box::new(poll))
    }

    /// The next piece; `None` when the store has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Tail> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next piece.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Tail>> {
        (self.0)(cx)
    }
}

impl fmt::Debug for TailStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TailStream").finish_non_exhaustive()
    }
}
