//! Sessions that a store keeps: acts of the application become entries of a log, and sessions change only as these entries are applied.
//!
//! The acts of a handler are collected in its [`Scope`] and [queued](Queue) as one commit, together with the number of the frame that
//! it has handled; acts outside of handlers are queued at once. The [committer](commit) commits the queue to the store in order. The
//! [follower](apply) reads the entries from the log's tail and applies them, in the order of the log. Both are one [task](worker). After
//! a restart, [`restore`] does the same with the entries that the log still has; [`takeover`] does it for one session whose client has
//! moved here from another server. With [`Durability::Handover`] a session is in the store only while it waits for a socket
//! ([`handover`]).

mod act;
pub(crate) use act::{Act, blob};

mod scope;
pub(crate) use scope::{Scope, Words};

mod proof;
pub(crate) use proof::proof;

mod told;
pub(crate) use told::Told;

mod queue;
pub(crate) use queue::Work;

mod writer;
pub(crate) use writer::LogWriter;

mod node;
pub(crate) use node::StoreNode;

mod log;
pub(crate) use log::DurableLog;

mod health;

mod options;
pub use options::Durability;
pub(crate) use options::StoreOptions;

pub(crate) mod admit;
pub(crate) mod apply;
mod ask;
mod attached;
pub(crate) mod checkpoints;
pub(crate) mod commit;
mod direct;
mod export;
mod fold;
pub(crate) mod handover;
mod landing;
mod restore;
mod said;
pub(crate) mod say;
pub(crate) mod stop;
pub(crate) mod takeover;
pub(crate) mod tasks;
pub(crate) mod void;
pub(crate) mod windows;
mod worker;
