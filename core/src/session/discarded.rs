//! [`Discarded`]: an outgoing frame that the peer will not get.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

/// An outgoing data frame that the peer will not get.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Discarded {
    /// The message, encoded in the form that the transport takes. `None` if the peer's codec cannot represent the frame.
    pub message: Option<Bytes>,
    /// Why it was dropped.
    pub why: WhyDropped,
}

/// Why an outgoing frame was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyDropped {
    /// It was the oldest in a full buffer, and had not been sent yet ([`Overflow::DropOldest`](crate::Overflow::DropOldest)).
    Evicted,
    /// As [`Self::Evicted`], but it had been sent to a socket and was not acknowledged yet: it has arrived, unless that socket was
    /// lost first.
    EvictedInFlight,
    /// It was new, and the buffer was full ([`Overflow::DropNewest`](crate::Overflow::DropNewest)).
    Newest,
    /// It was broadcast, and the buffer of this receiver was full ([`Overflow::Reject`](crate::Overflow::Reject)).
    Refused,
    /// It is larger than the peer accepts.
    TooBig,
    /// The peer's codec cannot represent it.
    Codec,
}

impl WhyDropped {
    /// The variant's name in snake case, for the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::EvictedInFlight => "evicted_in_flight",
            Self::Newest => "newest",
            Self::Refused => "refused",
            Self::TooBig => "too_big",
            Self::Codec => "codec",
        }
    }
}

impl fmt::Display for WhyDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number of discarded frames that wait to be taken. Further ones are only counted.
const MOST: usize = 64;

/// Discarded frames that the server has not taken yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Discards {
    frames: VecDeque<Discarded>,
    /// A frame was added since the driver was woken for them.
    is_news: bool,
}

impl Discards {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds a frame, unless too many wait.
    pub(super) fn push(&mut self, message: Option<Bytes>, why: WhyDropped) {
        if self.frames.len() < MOST {
            self.frames.push_back(Discarded { message, why });
            self.is_news = true;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Discarded> {
        self.frames.pop_front()
    }

    /// Whether frames were added since the last call.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }
}
