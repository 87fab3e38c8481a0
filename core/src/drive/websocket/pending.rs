//! [`Pending`]: queued bytes that the stream has not taken completely.

use std::sync::Arc;

use bytes::Bytes;

/// Bytes in the queue of a transport: a frame, or a batch of frames.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) bytes: Bytes,
    pub(super) kind: PendingKind,
}

/// The kind of a queued entry.
#[derive(Debug)]
pub(super) enum PendingKind {
    /// A control message, or one without a number.
    Control,
    Data,
    /// Data messages that end at these offsets.
    Batch(Arc<[u32]>),
}

impl PendingKind {
    pub(super) fn messages(&self) -> usize {
        match self {
            Self::Control | Self::Data => 1,
            Self::Batch(ends) => ends.len(),
        }
    }
}
