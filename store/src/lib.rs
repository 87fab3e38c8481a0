//! Where the sessions of a rejoin server outlive its process.
//!
//! A [`Store`] keeps *logs* and *records*. A log is a numbered sequence of entries that is only ever appended to. A record says how
//! far a writer of the log has got: a session, or a server that speaks for itself. Everything that a session gets comes out of one
//! log, in its order; everything that a session causes goes into the same log in one entry, together with the number of the last
//! frame that it has handled; and who appends names the current epoch of the writer. From these three follows that a server may be
//! killed at any instruction: see [`Commit`].

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
