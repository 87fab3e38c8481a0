//! The life of a session: with a socket, without one, and to its end.
//!
//! A [`handle`] is one session. [`task`] is the one task of a session that has a socket: it reads, calls the application's [`handlers`] for its messages and the [`changes`] of its memberships, and writes through
//! the [`attachment`]. A session without a socket has no task; [`expiry`] ends it when its window has passed, or earlier if all
//! sessions together keep too much. [`registry`] finds sessions by ID and by token.

pub(crate) mod handle;

pub(crate) mod belongings;

pub(crate) mod task;

pub(crate) mod attachment;

pub(crate) mod call;

pub(crate) mod hooks;

pub(crate) mod handlers;

pub(crate) mod changes;

pub(crate) mod expiry;

pub(crate) mod expiry_slot;

mod evictions;

pub(crate) mod ends;

pub(crate) mod open_sockets;

pub(crate) mod registry;

pub(crate) mod users;

pub(crate) mod sharded;
