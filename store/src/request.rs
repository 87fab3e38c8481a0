//! What is asked of a store, and what it answers.

use std::time::Duration;

use bytes::Bytes;

use crate::{Checkpoint, LogId, NodeId, Position, Record, WriterKey};

/// Which life of a writer, and which commit of it. A store refuses another epoch, and answers [`Committed::Already`] for a `w`
/// that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Fence {
    /// The writer's epoch.
    pub epoch: u64,
    /// 1 for the first commit of an epoch, and then one more each time.
    pub w: u64,
}

/// Begins a writer: its record and, unless `body` is empty, its first entry, in one step. Its epoch is 1.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct OpenWriter {
    /// The log that it writes to.
    pub log: LogId,
    /// Its key.
    pub key: WriterKey,
    /// Who has it. Refused when the lease of this incarnation is gone: a late `OpenWriter` of a dead node takes no ID from anyone.
    pub owner: NodeId,
    /// Repeated with the same nonce it answers the same. Nonces of one incarnation grow, over all its calls of open, attach and
    /// adopt. An ended key stays taken for [`ENDED_KEPT`](crate::ENDED_KEPT), so that a late repetition begins nothing.
    pub nonce: u64,
    /// See [`Record::proof`].
    pub proof: [u8; 32],
    /// See [`Record::id`].
    pub id: Box<str>,
    /// See [`Record::identity`].
    pub identity: Bytes,
    /// [`Checkpoint::state`] of its first checkpoint, which is the position of this entry (or the log's end), with number 0.
    pub checkpoint: Bytes,
    /// What the entry says.
    pub body: Bytes,
}

/// Asks who may go on with a writer, and takes it over.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Attach {
    /// Whose.
    pub key: WriterKey,
    /// Proof of the secret.
    pub proof: [u8; 32],
    /// Who asks.
    pub to: NodeId,
    /// The epoch in which the caller believes to own it. If it is current: [`Attached::StillYours`], and nothing changes but the
    /// deadline, which is cleared, and the attachment's number.
    pub mine: Option<u64>,
    /// Repeated with the same nonce it answers the same, and does nothing more. The nonces of one incarnation grow: one that is
    /// smaller than the last that was applied for the same owner is [`AttachError::Late`](crate::AttachError::Late). Without that
    /// a request that is applied late would fence its own node.
    pub nonce: u64,
    /// The entry that a takeover appends, in the same step, so that an owner that was fenced learns of it from the log. The store
    /// adds nothing to it.
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
    /// It is the caller's now: in the record the epoch is one more, `w` is 0, and the owner is the caller.
    Taken(Box<Record>),
}

/// One step of a writer. Everything in it happens together or not at all: the entry, the count of handled frames, the state, and
/// the ends.
///
/// The owner of a session commits what a handler has said together with the number of the frame that it has handled. If the
/// process dies before the commit, the number is not in the record and was not acknowledged, so the client sends the frame again,
/// and nothing of the first run is in the log. If it dies afterwards, the next owner finds both.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Commit {
    /// The log of the writer.
    pub log: LogId,
    /// Who commits.
    pub writer: WriterKey,
    /// Refused if it is not current.
    pub fence: Fence,
    /// Sets [`Record::received`].
    pub received: Option<u64>,
    /// Sets [`Record::state`].
    pub state: Option<Bytes>,
    /// Records of the same log that end with it, whatever node owns them. One that does not exist is ignored. The writer itself may
    /// be among them: its repetition is answered as that of another commit.
    pub ends: Vec<WriterKey>,
    /// The entry; none is appended if it is empty.
    pub body: Bytes,
}

/// What has become of a [`Commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // callers match it
pub enum Committed {
    /// The entry is there.
    At(Position),
    /// It had no entry.
    Recorded,
    /// It was applied before: a repetition.
    Already,
}

/// Changes what a record says of its fold or its window. Refused silently if `epoch` or `attachment` is not current. May be lost
/// with the process that asked.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs)] // callers build it
pub struct Touch {
    /// Whose.
    pub key: WriterKey,
    /// The writer's epoch.
    pub epoch: u64,
    /// See [`Record::attachment`].
    pub attachment: u64,
    /// A later checkpoint. One before the current is ignored.
    pub checkpoint: Option<Checkpoint>,
    /// The socket is lost: the window ends after this time, by the store's clock.
    pub ends_in: Option<Duration>,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Entry {
    /// Where it is.
    pub position: Position,
    /// Who has written it, and in which epoch.
    pub writer: WriterKey,
    /// The writer's epoch.
    pub epoch: u64,
    /// When, in milliseconds of the store's clock.
    pub time: u64,
    /// What it says.
    pub body: Bytes,
}

/// How much to read at once. At least one entry is read.
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
    /// In order, without a hole.
    pub entries: Vec<Entry>,
    /// Whether the log ends with them.
    pub is_end: bool,
}
