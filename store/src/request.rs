//! Requests to a store, and its answers.

use std::time::Duration;

use bytes::Bytes;

use crate::{Checkpoint, LogId, NodeId, Position, Record, WriterKey};

/// The writer's epoch and the number of a commit in it. A store refuses any other epoch, and answers [`Committed::Already`] for a `w`
/// that it has applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Fence {
    /// The writer's epoch.
    pub epoch: u64,
    /// 1 for the first commit of an epoch, and one more for each further commit.
    pub w: u64,
}

/// Begins a writer: creates its record and, unless `body` is empty, appends its first entry, in one step. Its epoch is 1.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct OpenWriter {
    /// The log that it writes to.
    pub log: LogId,
    /// Its key.
    pub key: WriterKey,
    /// The node that owns it. Refused if the lease of this incarnation has expired, so that a late `OpenWriter` of a dead node cannot
    /// claim an ID.
    pub owner: NodeId,
    /// A repeated request with the same nonce gets the same answer. The nonces of one incarnation increase, over all its calls of open,
    /// attach and adopt. An ended key stays taken for [`ENDED_KEPT`](crate::ENDED_KEPT), so that a late repetition begins nothing.
    pub nonce: u64,
    /// See [`Record::proof`].
    pub proof: [u8; 32],
    /// See [`Record::id`].
    pub id: Box<str>,
    /// See [`Record::identity`].
    pub identity: Bytes,
    /// [`Checkpoint::state`] of its first checkpoint, whose position is that of this entry (or the log's end), with number 0.
    pub checkpoint: Bytes,
    /// The body of the entry.
    pub body: Bytes,
}

/// Attaches a socket to a writer, and takes the writer over if another node owns it.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Attach {
    /// The writer.
    pub key: WriterKey,
    /// Proof of the secret.
    pub proof: [u8; 32],
    /// The node that attaches.
    pub to: NodeId,
    /// The epoch in which the caller believes to own the writer. If it is current, the answer is [`Attached::StillYours`]: the deadline
    /// is cleared and the attachment's number grows, but nothing else changes.
    pub mine: Option<u64>,
    /// A repeated request with the same nonce gets the same answer, and has no further effect. The nonces of one incarnation increase:
    /// a nonce below the last one that was applied for the same owner fails with [`AttachError::Late`](crate::AttachError::Late).
    /// Otherwise a late request would fence its own node.
    pub nonce: u64,
    /// The entry that a takeover appends, in the same step, so that a fenced owner can see the takeover in the log. The store does not
    /// change it.
    pub moved: Bytes,
}

/// The answer to an [`Attach`].
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums)] // callers match it
pub enum Attached {
    /// The caller owned it, and still does.
    StillYours {
        /// See [`Record::attachment`].
        attachment: u64,
    },
    /// The caller owns it now. In the record, the epoch has grown by one, `w` is 0, and the owner is the caller.
    Taken(Box<Record>),
}

/// One step of a writer. Its parts are applied together or not at all: the entry, the count of handled frames, the state, and the ends.
///
/// The owner of a session commits the effects of a handler together with the number of the frame that it has handled. If the process
/// dies before the commit, the number is not in the record and was not acknowledged, so the client sends the frame again, and no effect
/// of the first run is in the log. If it dies afterwards, the next owner finds both.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Commit {
    /// The log of the writer.
    pub log: LogId,
    /// The writer.
    pub writer: WriterKey,
    /// Refused if its epoch is not current.
    pub fence: Fence,
    /// Sets [`Record::received`].
    pub received: Option<u64>,
    /// Sets [`Record::state`].
    pub state: Option<Bytes>,
    /// Records of the same log that end with it, whichever node owns them. A key without a record is ignored. If the writer itself is
    /// among them, a repetition is answered like that of any other commit.
    pub ends: Vec<WriterKey>,
    /// The entry; none is appended if it is empty.
    pub body: Bytes,
}

/// The outcome of a [`Commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // callers match it
pub enum Committed {
    /// The position of the appended entry.
    At(Position),
    /// It was applied, and had no entry.
    Recorded,
    /// It was applied before, so this is a repetition.
    Already,
}

/// Changes the checkpoint or the window of a record. Ignored silently if `epoch` or `attachment` is not current. It may be lost with
/// the calling process.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Touch {
    /// The writer.
    pub key: WriterKey,
    /// The writer's epoch.
    pub epoch: u64,
    /// See [`Record::attachment`].
    pub attachment: u64,
    /// A later checkpoint. Ignored if it is before the current one.
    pub checkpoint: Option<Checkpoint>,
    /// The socket is lost: the window ends after this time, by the store's clock.
    pub ends_in: Option<Duration>,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Entry {
    /// Its position.
    pub position: Position,
    /// The writer that has appended it.
    pub writer: WriterKey,
    /// The writer's epoch at that time.
    pub epoch: u64,
    /// The time of the commit, in milliseconds of the store's clock.
    pub time: u64,
    /// Its body.
    pub body: Bytes,
}

/// The limits of a read. At least one entry is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct ReadLimit {
    /// Number of entries.
    pub entries: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
}

impl Default for ReadLimit {
    /// 256 entries, 256 KiB.
    fn default() -> Self {
        Self { entries: 256, bytes: 256 << 10 }
    }
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Page {
    /// The entries, in order, without gaps.
    pub entries: Vec<Entry>,
    /// Whether these are the last entries of the log.
    pub is_end: bool,
}
