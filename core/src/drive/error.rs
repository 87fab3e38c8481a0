//! Why a frame was not accepted, or not delivered.

use std::fmt;

use crate::Refused;

/// Why a frame was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The buffer is full: the peer takes or acknowledges less than is sent. The frame was not queued.
    Full,
    /// There was no room for the write timeout. The frame was not queued.
    Timeout,
    /// The session has ended, or is closing.
    Closed,
    /// The encoded frame is larger than the peer accepts: a server says so when it opens a session, a client of ours when it
    /// dials (PROTOCOL.md §3, §5). The frame was not queued. Never in plain mode, where no peer says.
    TooBig {
        /// The size of the encoded frame, in bytes.
        size: usize,
        /// The largest that the peer accepts, in bytes.
        limit: usize,
    },
    /// The event begins with `$`, which belongs to the protocol in session mode.
    Reserved,
    /// No connection has this ID.
    NotFound,
    /// The frame has no image in the peer's codec.
    Encode(crate::EncodeError),
}

impl From<Refused> for SendError {
    fn from(refused: Refused) -> Self {
        match refused {
            // Who asks for a frame to be dropped is told so by other means.
            Refused::Full | Refused::Dropped => Self::Full,
            Refused::Closed => Self::Closed,
            Refused::TooBig { size, limit } => Self::TooBig { size, limit },
        }
    }
}

impl From<crate::EncodeError> for SendError {
    fn from(error: crate::EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("send buffer is full"),
            Self::Timeout => f.write_str("send buffer had no room within the write timeout"),
            Self::Closed => f.write_str("connection is closed"),
            Self::TooBig { size, limit } => {
                write!(f, "frame of {size} bytes is larger than the {limit} bytes that the peer accepts")
            }
            Self::NotFound => f.write_str("no connection has this id"),
            Self::Reserved => f.write_str("events that begin with $ are reserved in session mode"),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            _ => None,
        }
    }
}

/// Why nothing is known of a frame's delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The frame was not accepted: the peer will not get it.
    NotSent(SendError),
    /// The buffer overflowed, and the frame was given up. The peer will not get it, and is told so.
    Dropped,
    /// The session ended before the peer had acknowledged the frame: it may have got it, or not.
    Ended,
    /// In plain mode nobody acknowledges. The frame was not accepted.
    PlainMode,
}

impl From<SendError> for DeliveryError {
    fn from(error: SendError) -> Self {
        Self::NotSent(error)
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => error.fmt(f),
            Self::Dropped => f.write_str("frame was given up when the send buffer overflowed"),
            Self::Ended => f.write_str("session ended before the frame was acknowledged"),
            Self::PlainMode => f.write_str("frames are not acknowledged in plain mode"),
        }
    }
}

impl std::error::Error for DeliveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotSent(error) => Some(error),
            Self::Dropped | Self::Ended | Self::PlainMode => None,
        }
    }
}
