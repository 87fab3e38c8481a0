//! [`Subscribed`]: whether a session has subscribed to a room log.

/// The result of [`SharedSession::subscribe`](super::SharedSession::subscribe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a room has to handle each")]
pub enum Subscribed {
    /// It gets every later message of the log.
    Yes,
    /// It is in as many rooms as it may be.
    Full,
    /// It has ended or is closing.
    Closed,
}
