//! [`Limit`]: the name of a limit, for metrics.

use std::fmt;

/// A limit that was reached ([`Metrics::limit_reached`](crate::Metrics::limit_reached)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`max_connections`](crate::Builder::max_connections): a newcomer was refused with 503.
    Connections,
    /// [`max_connections_per_user`](crate::Builder::max_connections_per_user): a newcomer was refused with 429.
    ConnectionsPerUser,
    /// [`max_connections_per_address`](crate::Builder::max_connections_per_address): a newcomer was refused with 429.
    ConnectionsPerAddress,
    /// [`max_handshakes`](crate::Builder::max_handshakes): accepting paused.
    Handshakes,
    /// [`max_rooms`](crate::Builder::max_rooms): a connection did not join, or a newcomer was refused with 503.
    Rooms,
    /// [`max_rooms_per_connection`](crate::Builder::max_rooms_per_connection): a connection did not join, or a newcomer was refused
    /// with 403.
    RoomsPerConnection,
    /// [`max_members`](crate::Builder::max_members): a connection did not join, or a newcomer was refused with 503.
    Members,
    /// [`frame_rate`](crate::Builder::frame_rate): a connection was delayed, answered or closed, by the
    /// [policy](crate::Builder::rate_policy).
    FrameRate,
    /// [`byte_rate`](crate::Builder::byte_rate), likewise.
    ByteRate,
    /// [`user_frame_rate`](crate::Builder::user_frame_rate), likewise.
    UserFrameRate,
    /// [`user_byte_rate`](crate::Builder::user_byte_rate), likewise.
    UserByteRate,
    /// [`max_inbound_bytes`](crate::Builder::max_inbound_bytes): a connection is not read until handlers have caught up.
    InboundBytes,
}

impl Limit {
    /// The variant's name in snake case, for the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerUser => "connections_per_user",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Handshakes => "handshakes",
            Self::Rooms => "rooms",
            Self::RoomsPerConnection => "rooms_per_connection",
            Self::Members => "members",
            Self::FrameRate => "frame_rate",
            Self::ByteRate => "byte_rate",
            Self::UserFrameRate => "user_frame_rate",
            Self::UserByteRate => "user_byte_rate",
            Self::InboundBytes => "inbound_bytes",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
