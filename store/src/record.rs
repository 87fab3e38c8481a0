//! [`Record`]: the state that a store keeps for a writer.

use bytes::Bytes;

/// A log. Its number is no name: servers make it of a hash, and write the name into their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a number
pub struct LogId(pub u64);

/// A writer of a log: a session, or a server. A session's key is the first 16 characters of its token, which are not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a name
pub struct WriterKey(pub [u8; 16]);

/// A process that uses the store: a name that is the same after a restart, and an incarnation that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // servers build it
pub struct NodeId {
    /// The same after a restart.
    pub name: u64,
    /// Different in each process.
    pub incarnation: u64,
}

/// A position in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Position {
    /// Changes when the store has lost or recreated the log.
    pub generation: u32,
    /// The first entry has offset 1. 0 is the position before it.
    pub offset: u64,
}

/// A position between two entries at which a session can be restored, and the session's state there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs)] // stores and servers build it
pub struct Checkpoint {
    /// The last entry before it.
    pub position: Position,
    /// The number of the session's last frame in the log up to there.
    pub number: u64,
    /// The session's memberships there, and other state that is needed to restore it, in the server's format.
    pub state: Bytes,
}

/// The state that a store keeps for a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Record {
    /// The writer's key.
    pub key: WriterKey,
    /// The log that it writes to.
    pub log: LogId,
    /// The writer's epoch: grows by one when [`Attach`](crate::Attach) or an adoption gives it to another owner.
    pub epoch: u64,
    /// The number of sockets that were attached. A [`Touch`](crate::Touch) names it, so that a late one has no effect.
    pub attachment: u64,
    /// The node that owns it.
    pub owner: NodeId,
    /// Number of the writer's last commit in its epoch.
    pub w: u64,
    /// Number of the last handled frame of the client; `None` until the first commit that sets it.
    pub received: Option<u64>,
    /// Where a restore begins.
    pub checkpoint: Checkpoint,
    /// Proof of the secret that a client has to present: a hash of it.
    pub proof: [u8; 32],
    /// The connection ID; empty for a server's own writer. Only one record of a log has it.
    pub id: Box<str>,
    /// The part that never changes, in the server's format.
    pub identity: Bytes,
    /// The state that the application and the server keep with it, in the server's format.
    pub state: Bytes,
    /// When its window ends, in milliseconds of the store's clock; `None` while a socket is attached.
    pub deadline: Option<u64>,
}
