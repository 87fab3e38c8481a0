//! [`Closing`]: a close that waits until accepted frames are delivered.

use std::time::Instant;

use super::CloseReason;

/// A pending close, which waits until accepted frames are delivered.
#[derive(Debug, Clone)]
pub(super) struct Closing {
    pub(super) reason: CloseReason,
    pub(super) deadline: Instant,
    /// Whether the close frame was sent to the attached socket.
    pub(super) sent: bool,
}
