//! [`Subscribed`]: whether a session has subscribed to a room log.

/// The result of [`SharedSession::subscribe`](super::SharedSession::subscribe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a room has to handle each")]
pub enum Subscribed {
    /// It gets every later message of the log.
    Yes,
    /// It has reached the limit on rooms.
    Full,
    /// It has ended or is closing.
    Closed,
}
