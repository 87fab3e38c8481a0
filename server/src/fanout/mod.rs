//! Broadcasts one frame to many members.
//!
//! [`rooms`] is the table of the rooms. A [`room`] orders the broadcasts to its [`members`]; connections become members by [`joining`]
//! it. [`encoded`] is a frame in the encoding of each codec. A [`history`] keeps the last frames of a room for newcomers, which
//! [`rewind`] it; [`kept_rooms`] are rooms with a history but without members. [`snapshot`] writes queued frames to the members'
//! sockets, in the task of [`fan_out`]. An [`audience`] is a set of receivers, and [`broadcast`] queues a frame for it.

pub(crate) mod audience;
pub(crate) mod broadcast;
pub(crate) mod encoded;
pub(crate) mod fan_out;
pub(crate) mod history;
pub(crate) mod joining;
pub(crate) mod kept_rooms;
pub(crate) mod members;
pub(crate) mod rewind;
pub(crate) mod room;
pub(crate) mod rooms;
pub(crate) mod snapshot;

#[cfg(test)]
mod tests;
