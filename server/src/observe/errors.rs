//! [`ErrorKind`]: the errors that a server reports.

use std::fmt;
use std::io;

use http::StatusCode;
use rejoin_core::CloseReason;

use crate::connection::Connection;
use crate::observe::metrics::CallbackKind;

/// An error of the application, of a peer, or of the operating system, as [`Builder::on_error`](crate::Builder::on_error) reports
/// it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A callback has panicked, and its session ends.
    #[non_exhaustive]
    CallbackPanicked {
        /// The connection.
        connection: Connection,
        /// The callback.
        callback: CallbackKind,
    },
    /// A codec has panicked, and its session ends.
    #[non_exhaustive]
    CodecPanicked {
        /// The connection.
        connection: Connection,
    },
    /// A session has ended because of its peer: it violated the protocol, sent a message that is too big, or received too slowly
    /// ([`CloseReason::Protocol`], [`CloseReason::TooBig`], [`CloseReason::Overflow`]), or it closed the session for such a fault of
    /// this server ([`CloseReason::Remote`]).
    #[non_exhaustive]
    Peer {
        /// The connection.
        connection: Connection,
        /// Why it has ended.
        reason: CloseReason,
    },
    /// `ConnectFn` has panicked, and the request was refused with 500.
    ConnectPanicked,
    /// `ConnectFn` has taken longer than the [handshake timeout](crate::Builder::handshake_timeout), and the request was refused
    /// with 503.
    ConnectTimedOut,
    /// `ConnectFn` has refused a request with a status of 500 or above.
    #[non_exhaustive]
    ConnectFailed {
        /// The status of the answer.
        status: StatusCode,
    },
    /// A listener of the server could not accept a connection.
    Accept(io::ErrorKind),
}

impl ErrorKind {
    /// The variant's name in snake case, for the label of a metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CallbackPanicked { .. } => "callback_panicked",
            Self::CodecPanicked { .. } => "codec_panicked",
            Self::Peer { .. } => "peer",
            Self::ConnectPanicked => "connect_panicked",
            Self::ConnectTimedOut => "connect_timed_out",
            Self::ConnectFailed { .. } => "connect_failed",
            Self::Accept(_) => "accept",
        }
    }

    /// The connection, if the error belongs to one.
    pub fn connection(&self) -> Option<&Connection> {
        match self {
            Self::CallbackPanicked { connection, .. }
            | Self::CodecPanicked { connection }
            | Self::Peer { connection, .. } => Some(connection),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallbackPanicked { callback, .. } => write!(f, "the callback {callback} panicked"),
            Self::CodecPanicked { .. } => f.write_str("the codec panicked"),
            Self::Peer { reason, .. } => write!(f, "session ended by its peer: {reason}"),
            Self::ConnectPanicked => f.write_str("ConnectFn panicked"),
            Self::ConnectTimedOut => f.write_str("ConnectFn took too long"),
            Self::ConnectFailed { status } => write!(f, "ConnectFn failed with {status}"),
            Self::Accept(kind) => write!(f, "accept failed: {kind}"),
        }
    }
}

/// Whether the peer of a session is to blame for its end.
pub(crate) fn is_of_peer(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Protocol(_) | CloseReason::TooBig | CloseReason::Overflow | CloseReason::Remote(_)
    )
}
