//! One frame to many members.
//!
//! [`rooms`] is the table of the rooms; a [`room`] lists its members, and orders its broadcasts; [`encoded`] is a frame in the
//! encoding of each codec; [`snapshot`] writes what was queued to the members' sockets, in the task of [`fan_out`].

pub(crate) mod encoded;
pub(crate) mod fan_out;
pub(crate) mod room;
pub(crate) mod rooms;
pub(crate) mod snapshot;

#[cfg(test)]
mod tests;
