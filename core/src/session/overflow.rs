//! [`Overflow`] and [`Refused`]: what happens to a frame that cannot be accepted.

/// What to do with a frame that exceeds the capacity of the send buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Refuse the frame: the caller gets an error, and nothing is queued.
    Reject,
    /// Evict the oldest kept frame. The peer receives a gap in its place, unless it has received the frame.
    DropOldest,
    /// Drop the new frame. The peer receives a gap in its place.
    DropNewest,
    /// End the session with 1013, because the peer is too slow. Its client reconnects and learns that the session is lost.
    Disconnect,
}

/// Why a frame was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The buffer is full.
    Full,
    /// The session has ended, or is closing.
    Closed,
    /// The buffer was full, and the frame was dropped ([`Overflow::DropNewest`]). It has a number, and the peer receives a gap.
    Dropped,
    /// The message is larger than the peer accepts. It has no number.
    TooBig {
        /// The size of the message's payload, in bytes.
        size: usize,
        /// The largest payload that the peer accepts, in bytes.
        limit: usize,
    },
}
