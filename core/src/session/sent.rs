//! [`Sent`]: statistics of sent frames.

use serde::{Deserialize, Serialize};

/// Statistics of the data frames that were sent to sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// Data frames sent. A replayed frame counts again.
    pub frames: u64,
    /// Bytes of `frames`, as the transport takes them.
    pub bytes: u64,
    /// The part of `frames` that had been sent to an earlier socket.
    pub replayed: u64,
    /// Data frames reported to the peer as gaps. A gap that is reported again counts again.
    pub gaps: u64,
}
