//! [`Epoch`]: the order of a session's sockets.

/// Identifies a socket of a session; ordered by when the socket requested the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub(super) u64);
