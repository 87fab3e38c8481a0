//! [`Detach`] and [`WriteProgress`]: the results that a driver returns to its owner.

use crate::CloseFrame;

/// How to end a socket that is no longer attached to its session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the transport has to be closed"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum Detach {
    /// Close it with this frame: [`SocketDriver::close`](super::SocketDriver::close).
    Leave(CloseFrame),
    /// The peer has closed, and the answer is queued: flush it, then drop the socket.
    Answered,
    /// Drop it.
    Gone,
}

/// The result of writing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a socket that is no longer attached has to be closed"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum WriteProgress {
    /// Everything is written, or the socket is full.
    Enough {
        /// The driver must be polled again at once: it can continue to read, or its socket is no longer attached.
        again: bool,
        /// The socket has just become full: the write timeout begins, and the session's timer must be set again.
        blocked: bool,
    },
    /// The socket is no longer attached.
    End(Detach),
}
