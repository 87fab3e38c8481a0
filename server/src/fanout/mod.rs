//! One frame to many members: [`rooms`] lists the members and orders the broadcasts, [`broadcast`] encodes a frame and writes it
//! to the members.

pub(crate) mod broadcast;

pub(crate) mod rooms;
