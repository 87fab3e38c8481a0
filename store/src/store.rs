//! [`Store`]: the trait.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, Entry, LeaseError, LogId, NodeId,
    OpenError, OpenWriter, Page, Position, ReadError, ReadLimit, Record, StoreError, Touch, WriterKey,
};

/// Where logs and records live.
///
/// Each call is one step: it happens completely or not at all, also if the caller drops the future. After an error that says that
/// the outcome is unknown, the caller repeats the call as it was; each is made so that a repetition does no harm. A store has one
/// clock, and only its clock decides about windows and leases.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Says that a node lives, for the time `ttl`. An incarnation whose lease has passed can still renew it until another node has
    /// [adopted](Self::adopt) something of it: a process that was stopped for a while goes on if nobody missed it. A `ttl` of zero
    /// ends it for good.
    async fn lease(&self, node: NodeId, ttl: Duration) -> Result<(), LeaseError>;

    /// Begins a writer.
    async fn open(&self, open: OpenWriter) -> Result<Position, OpenError>;

    /// Decides who may go on with a writer.
    async fn attach(&self, attach: Attach) -> Result<Attached, AttachError>;

    /// Each commit is a step of its own; those of one writer are applied in their order. The answers have the order of the
    /// commits.
    async fn commit(&self, commits: Vec<Commit>) -> Vec<Result<Committed, CommitError>>;

    /// Moves checkpoints, and begins windows.
    async fn touch(&self, touches: Vec<Touch>) -> Result<(), StoreError>;

    /// Reads a log behind a position.
    async fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError>;

    /// The positions before the first entry that is kept, and of the last one. A log that nobody has written to has both at
    /// offset 0.
    async fn bounds(&self, log: LogId) -> Result<(Position, Position), StoreError>;

    /// Records of a log, in the order of their keys, after a key.
    async fn records(
        &self,
        log: LogId,
        after: Option<WriterKey>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Records whose deadline has passed by the store's clock, or that have none and whose owner's lease is gone for longer than
    /// `window`. They stay until a commit ends them: a node that is given one takes it over by [`Self::adopt`], and ends it by a
    /// commit of the session itself, which is fenced: a client that attaches in between wins.
    async fn expired(&self, log: LogId, window: Duration, most: usize) -> Result<Vec<WriterKey>, StoreError>;

    /// Takes a writer over as [`Self::attach`] does, but for a node itself: needs no proof, and changes neither the deadline nor
    /// the attachment's number. The caller's own stays as it is. Refused while a living node owns it and its window is not over:
    /// a late adoption takes nothing from a client that has attached meanwhile.
    async fn adopt(&self, attach: Attach) -> Result<Attached, AttachError>;

    /// What is appended to the log from now on, by whomever.
    fn tail(&self, log: LogId) -> TailStream;

    /// Forgets entries that are older than `age` and that no record's checkpoint needs; the store's own bounds may forget more. A
    /// server's own writer, whose record has no connection ID, is never folded: its checkpoint needs nothing.
    async fn trim(&self, log: LogId, age: Duration) -> Result<(), StoreError>;

    /// Now, in milliseconds of the store's clock: those of [`Record::deadline`] and [`Entry::time`].
    fn now(&self) -> u64;
}

/// How long a key stays taken after its session has ended, by the store's clock.
pub const ENDED_KEPT: Duration = Duration::from_secs(300);

/// What a log's tail brings. Losses are possible, and each that is noticed is a [`Tail::Gap`]; `prev` shows the others.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums)] // followers match it
pub enum Tail {
    /// An entry, and the offset of the one before it.
    Entry {
        /// The offset of the entry before.
        prev: u64,
        /// The entry.
        entry: Entry,
    },
    /// Something may be missing: read the log.
    Gap,
}

/// A stream of a log's tail. It ends with the store.
pub struct TailStream(Box<PollTail>);

type PollTail = dyn FnMut(&mut Context<'_>) -> Poll<Option<Tail>> + Send;

impl TailStream {
    /// Makes one of a function that polls.
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
