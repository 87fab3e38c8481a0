//! [`SendError`], [`DeliveryError`] and [`AskError`]: why a frame was not accepted, not delivered, or not answered.

use std::fmt;

use crate::{ErrorAnswer, Refused};

/// Why a frame was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The send buffer is full: the peer reads or acknowledges more slowly than the application sends. The frame was not queued.
    Full,
    /// The send buffer stayed full for the write timeout. The frame was not queued.
    Timeout,
    /// The session has ended, or is closing.
    Closed,
    /// The encoded frame is larger than the peer accepts. A server announces its limit when it opens a session, rejoin's client
    /// when it dials (PROTOCOL.md §3, §5). The frame was not queued. Does not occur in plain mode, which has no such
    /// announcement.
    TooBig {
        /// The size of the encoded frame, in bytes.
        size: usize,
        /// The size of the largest frame that the peer accepts, in bytes.
        limit: usize,
    },
    /// The event begins with `$`, which belongs to the protocol in session mode.
    Reserved,
    /// No connection has this ID.
    NotFound,
    /// The frame cannot be represented in the peer's codec.
    Encode(crate::EncodeError),
}

impl From<Refused> for SendError {
    fn from(refused: Refused) -> Self {
        match refused {
            // `Overflow::DropNewest` reports a dropped frame in its return value; no caller gets `Dropped` here.
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
            Self::Timeout => f.write_str("send buffer stayed full for the write timeout"),
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

/// Why the delivery of a frame was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The frame was not accepted: the peer will not get it.
    NotSent(SendError),
    /// The send buffer overflowed, and the frame was evicted. The peer will not get it, and the gap is reported to the peer.
    Dropped,
    /// The session ended before the peer acknowledged the frame. The peer may or may not have received it.
    Ended,
    /// Plain mode has no acknowledgements. The frame was not accepted.
    PlainMode,
    /// The frame is volatile, and such frames are not acknowledged. It was not accepted.
    Volatile,
    /// A handler of a server with a store would wait for itself: its frames are sent when it has returned. The frame was not
    /// accepted.
    WouldDeadlock,
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
            Self::Dropped => f.write_str("frame was evicted when the send buffer overflowed"),
            Self::Ended => f.write_str("session ended before the frame was acknowledged"),
            Self::PlainMode => f.write_str("frames are not acknowledged in plain mode"),
            Self::Volatile => f.write_str("volatile frames are not acknowledged"),
            Self::WouldDeadlock => {
                f.write_str("a handler would wait for itself: its frames are sent when it has returned")
            }
        }
    }
}

impl std::error::Error for DeliveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotSent(error) => Some(error),
            Self::Dropped | Self::Ended | Self::PlainMode | Self::Volatile | Self::WouldDeadlock => None,
        }
    }
}

/// Why a question has no answer, or no further one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The peer answered with an error.
    Answer(ErrorAnswer),
    /// The answer took too long. The question is cancelled; the peer may have handled it all the same.
    Timeout,
    /// The session ended, or is closing. The peer may or may not have handled the question.
    Ended,
    /// Client: the session was lost, and a fresh one was opened. The server may or may not have handled the question.
    SessionLost,
    /// The question was not accepted: the peer will not get it.
    NotSent(SendError),
    /// The question has an id of the application's own, and another question with this id is not answered yet. The question was
    /// not sent.
    DuplicateId,
}

impl From<SendError> for AskError {
    fn from(error: SendError) -> Self {
        Self::NotSent(error)
    }
}

impl From<ErrorAnswer> for AskError {
    fn from(error: ErrorAnswer) -> Self {
        Self::Answer(error)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => write!(f, "peer answered with an error: {error}"),
            Self::Timeout => f.write_str("no answer within the timeout"),
            Self::Ended => f.write_str("session ended before the answer"),
            Self::SessionLost => f.write_str("session was lost before the answer"),
            Self::NotSent(error) => error.fmt(f),
            Self::DuplicateId => f.write_str("another question with this id is not answered yet"),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Answer(error) => Some(error),
            Self::NotSent(error) => error.source(),
            _ => None,
        }
    }
}
