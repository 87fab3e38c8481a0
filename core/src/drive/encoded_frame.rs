//! [`EncodedFrame`]: a data frame on its way into a session.

use std::sync::Arc;

use bytes::Bytes;

use crate::Frame;

/// An encoded data frame on its way into a session. Made from bytes, it is not volatile.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    pub(super) message: Bytes,
    pub(super) volatile: Option<Volatile>,
}

/// How a volatile frame waits for the socket (PROTOCOL.md §12).
#[derive(Debug, Clone, Default)]
pub struct Volatile {
    /// The frame replaces a waiting one with the same key.
    pub(super) key: Option<Arc<str>>,
}

impl EncodedFrame {
    /// A frame, encoded in the form that the transport takes.
    pub fn new(message: Bytes, frame: &Frame) -> Self {
        Self { message, volatile: Volatile::of(frame) }
    }
}

impl From<Bytes> for EncodedFrame {
    fn from(message: Bytes) -> Self {
        Self { message, volatile: None }
    }
}

impl Volatile {
    /// How a frame waits; `None` if it is not volatile.
    pub fn of(frame: &Frame) -> Option<Self> {
        frame.is_volatile().then(|| Self { key: frame.latest_key().cloned() })
    }
}
