//! The errors of operations on a server: one type for each operation.

use std::fmt;

use rejoin_core::EncodeError;

/// An invalid option, reported by [`Builder::build`](crate::Builder::build).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The name of the builder's method.
    pub option: &'static str,
    /// The value that was passed to it.
    pub value: String,
    /// The values that it accepts.
    pub range: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid `{}`: {} (expected {})", self.option, self.value, self.range)
    }
}

impl std::error::Error for ConfigError {}

/// The error of [`Server::broadcast`](crate::Server::broadcast). No member got the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The event begins with `$`, and a member of the room is in session mode (PROTOCOL.md §3).
    Reserved,
    /// No member's codec can represent the frame.
    Encode(EncodeError),
    /// The server has been shut down.
    ShutDown,
}

impl fmt::Display for BroadcastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("events that begin with $ are reserved in session mode"),
            Self::Encode(error) => error.fmt(f),
            Self::ShutDown => f.write_str("server has been shut down"),
        }
    }
}

impl std::error::Error for BroadcastError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            Self::Reserved | Self::ShutDown => None,
        }
    }
}

/// The error of [`Connection::join`](crate::Connection::join).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection has ended or is closing.
    Closed,
    /// A room needs a name that is not empty.
    EmptyName,
    /// [`before_join`](crate::Builder::before_join) has refused it.
    Refused,
    /// The connection is in as many rooms as it may be
    /// ([`max_rooms_per_connection`](crate::Builder::max_rooms_per_connection)).
    TooManyRooms,
    /// The room has as many members as it may have ([`max_members`](crate::Builder::max_members)).
    RoomFull,
    /// The room does not exist, and the server has as many rooms as it may have ([`max_rooms`](crate::Builder::max_rooms)).
    ServerFull,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "connection has ended or is closing",
            Self::EmptyName => "a room needs a name",
            Self::Refused => "the application refuses it",
            Self::TooManyRooms => "connection is in too many rooms",
            Self::RoomFull => "room is full",
            Self::ServerFull => "server has too many rooms",
        })
    }
}

impl std::error::Error for JoinError {}

/// The error of [`Connection::leave`](crate::Connection::leave).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveError {
    /// The room is the connection's home room, which it leaves only with its end.
    HomeRoom,
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HomeRoom => "the home room is left with the connection's end",
        })
    }
}

impl std::error::Error for LeaveError {}

/// The error of [`Server::kick`](crate::Server::kick) and [`Server::cut`](crate::Server::cut).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionError {
    /// No connection has this ID.
    NotFound,
    /// The connection has no socket at the moment.
    NotAttached,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no connection has this id",
            Self::NotAttached => "connection has no socket at the moment",
        })
    }
}

impl std::error::Error for ConnectionError {}
