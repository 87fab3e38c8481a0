//! [`Transmit`]: the next item for a socket to write.

use std::sync::Arc;

use bytes::Bytes;

use crate::{CloseFrame, Control};

/// The next thing that the attached socket has to write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a driver has to write each")]
pub enum Transmit {
    /// A control frame, to be encoded with the session's codec.
    Control(Control),
    /// A data frame, as it was passed to [`Session::send`](super::Session::send).
    Data(Bytes),
    /// Consecutive data frames, as they were passed to [`Session::send_span`](super::Session::send_span).
    Batch(Batch),
    /// A volatile data frame, as it was passed to [`Session::send_volatile`](super::Session::send_volatile). It has no number, so
    /// it does not count in [`Session::handle_written`](super::Session::handle_written).
    Volatile(Bytes),
    /// An RFC 6455 ping.
    Ping,
    /// A close frame. Reading continues until the peer answers with its own.
    Close(CloseFrame),
}

/// Consecutive data frames, joined for one write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a transport has to write it")]
pub struct Batch {
    /// The frames, one after the other.
    pub bytes: Bytes,
    /// The end of each frame in `bytes`; at least two.
    pub ends: Arc<[u32]>,
}

impl Batch {
    /// The frames one by one.
    pub fn frames(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let to = *end as usize;
            self.bytes.slice(std::mem::replace(&mut from, to)..to)
        })
    }
}
