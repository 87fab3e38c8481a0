//! [`ConnectionState`]: whether a connection is online.

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// A socket is connected, and the session is open.
    Connected,
    /// The socket is gone; the client dials another, or waits to do so. Frames are accepted and kept.
    Reconnecting,
    /// The connection has ended.
    Closed,
}
