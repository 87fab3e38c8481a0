//! [`Ping`]: progress of the heartbeat.

/// Heartbeat state of the attached socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ping {
    /// Input has arrived recently.
    Idle,
    /// A ping has to be written.
    Due,
    /// A ping was written, and nothing has arrived since.
    Sent,
}
