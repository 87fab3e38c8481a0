//! [`Record`]: what a store keeps of a writer.

use bytes::Bytes;

/// A log. Its number is no name: servers make it of a hash, and write the name into their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a number
pub struct LogId(pub u64);

/// A writer of a log: a session, or a server. A session's key is made of the first 16 characters of its token: those that are no
/// secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a name
pub struct WriterKey(pub [u8; 16]);

/// A process that uses the store: a name that stays over restarts, and the number of its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // servers build it
pub struct NodeId {
    /// The same after a restart.
    pub name: u64,
    /// Another one in each life.
    pub incarnation: u64,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Position {
    /// Another one when the store has lost or recreated the log.
    pub generation: u32,
    /// The first entry has offset 1. 0 is the place before it.
    pub offset: u64,
}

/// Where the fold of a session may begin: at the boundary of an entry, with what the session was there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs)] // stores and servers build it
pub struct Checkpoint {
    /// The last entry that is part of it.
    pub position: Position,
    /// Number of the last frame that the log has for the session up to there.
    pub number: u64,
    /// The memberships of the session there, and the rest that the fold needs; the server's format.
    pub state: Bytes,
}

/// What a store keeps of a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Record {
    /// Whose it is.
    pub key: WriterKey,
    /// The log that it writes to.
    pub log: LogId,
    /// The life of the writer: one more with each [`Attach`](crate::Attach) by another.
    pub epoch: u64,
    /// How often a socket was attached: a [`Touch`](crate::Touch) names it, so that a late one does no harm.
    pub attachment: u64,
    /// Who has it.
    pub owner: NodeId,
    /// Number of the writer's last commit in its epoch.
    pub w: u64,
    /// Number of the last frame of the client that is handled; `None` until the first commit that names one.
    pub received: Option<u64>,
    /// Where the fold begins.
    pub checkpoint: Checkpoint,
    /// Proof of the secret that a client has to show: a hash of it.
    pub proof: [u8; 32],
    /// The connection ID; empty for a server's own writer. Only one record of a log has it.
    pub id: Box<str>,
    /// What does not change; the server's format.
    pub identity: Bytes,
    /// What the application and the server keep with it; the server's format.
    pub state: Bytes,
    /// When its window ends, in milliseconds of the store's clock; `None` while a socket is attached.
    pub deadline: Option<u64>,
}
