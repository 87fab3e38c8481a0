//! Where the sessions of a rejoin server outlive its process.
//!
//! A [`Store`] keeps *logs* and *records*. A log is a numbered sequence of entries that only grows. A record is the state of one writer
//! of a log: a session, or a server that acts for itself. Every change to a session comes from one log, in its order. Every effect of a
//! session is appended to the same log in one entry, together with the number of the last frame that it has handled. And every append
//! names the current epoch of its writer. With these three rules a server may be killed at any instruction: see [`Commit`].

mod error;
pub use error::{AttachError, CommitError, LeaseError, OpenError, ReadError, StoreError};

mod record;
pub use record::{Checkpoint, LogId, NodeId, Position, Record, WriterKey};

mod request;
pub use request::{Attach, Attached, Commit, Committed, Entry, Fence, OpenWriter, Page, ReadLimit, Touch};

mod store;
pub use store::{ENDED_KEPT, Store, Tail, TailStream};

pub mod rules;

mod tails;
pub use tails::Tails;

mod memory;
pub use memory::{Fault, FaultRates, MemoryStore, StoreCall, TailFault};

#[cfg(feature = "conformance")]
pub mod conformance;
