//! Events for the application, and why a session ended.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{CloseFrame, Frame, Gap, LostReason};

use super::serial;

/// An event for the application. Events arrive in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The first socket is attached. On a client: the server has opened the session.
    Connected,
    /// A data frame.
    Message(#[serde(with = "serial::frame")] Frame),
    /// The socket is lost; the session waits for another.
    Dropped(DropReason),
    /// Another socket is attached, and the session continues.
    Restored,
    /// The peer will never deliver these data frames (PROTOCOL.md §3).
    Gap(Gap),
    /// Client: the server did not resume the session and opened a fresh one. These accepted messages were never acknowledged;
    /// the peer may or may not have received them.
    Lost {
        /// The server's reason; `None` if the session had already ended.
        reason: Option<LostReason>,
        /// The messages as passed to [`Session::send`](super::Session::send).
        #[serde(with = "serial::messages")]
        unacknowledged: Vec<Bytes>,
        /// Number of frames that were not kept long enough to be listed.
        dropped: u64,
    },
    /// The session ended. This is the last event.
    Closed(CloseReason),
}

/// Why a socket was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// The peer closed it with a code that leaves the session alive (PROTOCOL.md §7).
    Closed(Option<CloseFrame>),
    /// Reading or writing failed, or the stream ended without a close frame.
    Io(#[serde(with = "serial::io_kind")] io::ErrorKind),
    /// Nothing was received for the pong timeout.
    HeartbeatTimeout,
    /// The socket took no bytes, or too few, for the write timeout.
    WriteTimeout,
    /// Another socket resumed the session while this one was still attached.
    TakenOver,
    /// The application cut it.
    Cut,
    /// Server: it drains, and has asked the client to come back after this time.
    Draining {
        /// The delay that the close frame named.
        retry_in: Duration,
    },
    /// Server: the credentials have expired with which the client opened it, or the application wants fresh ones.
    CredentialsExpired,
    /// Server: its process has ended, and the session continues in another one.
    Restarted,
    /// Server: its store does not answer, so that nothing can be acknowledged.
    StoreDown,
    /// Client: the server resumed the session but no longer has frames that it had acknowledged. The client ends the session
    /// and opens a fresh one (PROTOCOL.md §5).
    SessionLost,
}

impl DropReason {
    /// A fixed name for the variant, without its details; suitable as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Io(_) => "io",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::TakenOver => "taken_over",
            Self::Cut => "cut",
            Self::Draining { .. } => "draining",
            Self::CredentialsExpired => "credentials_expired",
            Self::Restarted => "restarted",
            Self::StoreDown => "store_down",
            Self::SessionLost => "session_lost",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(Some(frame)) => write!(f, "closed by the peer with {frame}"),
            Self::Closed(None) => f.write_str("closed by the peer"),
            Self::Io(kind) => write!(f, "{kind}"),
            Self::HeartbeatTimeout => f.write_str("nothing arrived for the pong timeout"),
            Self::WriteTimeout => f.write_str("the socket took too few bytes within the write timeout"),
            Self::TakenOver => f.write_str("taken over by another socket"),
            Self::Cut => f.write_str("cut by the application"),
            Self::Draining { retry_in } => {
                write!(f, "the server drains (retry in {} ms)", retry_in.as_millis())
            }
            Self::CredentialsExpired => f.write_str("credentials expired"),
            Self::Restarted => f.write_str("the server's process has ended"),
            Self::StoreDown => f.write_str("the server's store does not answer"),
            Self::SessionLost => f.write_str("the server lost frames that it had acknowledged"),
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer's application closed the session, with 1000 or without a code.
    Normal,
    /// Our own application closed the session.
    Local(CloseFrame),
    /// The server kicked the connection.
    Kicked,
    /// The server forbade the connection: its client may not stay, and must not come back.
    Forbidden,
    /// Another connection took the connection ID.
    Duplicate,
    /// No socket resumed the session within the resume window.
    WindowExpired,
    /// The socket was lost, and the session has no resume window.
    TransportLost(DropReason),
    /// The server shut down.
    ServerClosed,
    /// The peer violated RFC 6455, PROTOCOL.md or its codec; the frame has the code (1002, 1007 or 1008) and the violation.
    Protocol(CloseFrame),
    /// The peer sent a message that exceeds the limit.
    TooBig,
    /// Server: the client sent more frames or bytes per second than it may.
    RateExceeded,
    /// The send buffer overflowed under the policy [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    Overflow,
    /// Server: the session was suspended and was evicted because all sessions together reached the memory limit; or its client has
    /// received more than the store has of it, because the store has lost something.
    Evicted,
    /// Server: another server has the session now, or its store has lost it.
    Moved,
    /// A handler of our application panicked.
    HandlerPanicked,
    /// The peer closed with a code that ends the session.
    Remote(CloseFrame),
    /// Client: another socket resumed the session.
    TakenOver,
}

impl CloseReason {
    /// The close frame to send to the peer (PROTOCOL.md §7).
    pub fn close_frame(&self) -> CloseFrame {
        match self {
            Self::Local(frame) | Self::Protocol(frame) => frame.clone(),
            Self::Normal
            | Self::WindowExpired
            | Self::Evicted
            | Self::TransportLost(_)
            | Self::Remote(_)
            | Self::TakenOver => CloseFrame::from_static(1000, ""),
            Self::Kicked => CloseFrame::from_static(1000, "kicked"),
            Self::Moved => CloseFrame::from_static(1001, "session moved"),
            Self::Forbidden => CloseFrame::from_static(3003, "forbidden"),
            Self::Duplicate => CloseFrame::from_static(1000, "duplicate connection id"),
            Self::ServerClosed => CloseFrame::from_static(1001, "server shutting down"),
            Self::TooBig => CloseFrame::from_static(1009, "message too big"),
            Self::RateExceeded => CloseFrame::from_static(1008, "rate limit exceeded"),
            Self::Overflow => CloseFrame::from_static(1013, "send buffer overflow"),
            Self::HandlerPanicked => CloseFrame::from_static(1011, "handler panicked"),
        }
    }

    /// The close frame that asks the peer to come back after this time (PROTOCOL.md §7).
    pub(super) fn retry_frame(retry_in: Duration) -> CloseFrame {
        CloseFrame::truncated(1012, format!("retry in {} ms", retry_in.as_millis()))
    }

    /// A fixed name for the variant, without its details; suitable as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Local(_) => "local",
            Self::Kicked => "kicked",
            Self::Forbidden => "forbidden",
            Self::Duplicate => "duplicate",
            Self::WindowExpired => "window_expired",
            Self::TransportLost(_) => "transport_lost",
            Self::ServerClosed => "server_closed",
            Self::Protocol(_) => "protocol",
            Self::TooBig => "too_big",
            Self::RateExceeded => "rate_exceeded",
            Self::HandlerPanicked => "handler_panicked",
            Self::Remote(_) => "remote",
            Self::TakenOver => "taken_over",
            Self::Overflow => "overflow",
            Self::Evicted => "evicted",
            Self::Moved => "moved",
        }
    }

    /// Whether a session that is closing for this reason keeps the reason when it ends for `other`. A close by our own
    /// application prevails, because the events that `other` would deliver were discarded when it closed.
    pub(super) fn prevails_over(&self, other: &Self) -> bool {
        matches!(self, Self::Local(_))
            && matches!(
                other,
                Self::Normal | Self::Duplicate | Self::WindowExpired | Self::Evicted | Self::ServerClosed
            )
    }

    /// Whether our own side chose to stop, so that undelivered events are discarded.
    pub(super) fn discards_events(&self) -> bool {
        matches!(self, Self::Local(_) | Self::Kicked | Self::Forbidden | Self::HandlerPanicked)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("closed by the peer"),
            Self::Local(_) => f.write_str("closed by the application"),
            Self::Kicked => f.write_str("kicked"),
            Self::Forbidden => f.write_str("forbidden"),
            Self::Duplicate => f.write_str("another connection took the id"),
            Self::WindowExpired => f.write_str("resume window expired"),
            Self::TransportLost(why) => write!(f, "socket lost: {why}"),
            Self::ServerClosed => f.write_str("server shut down"),
            Self::Protocol(frame) => write!(f, "protocol error: {frame}"),
            Self::TooBig => f.write_str("message too big"),
            Self::RateExceeded => f.write_str("rate limit exceeded"),
            Self::Overflow => f.write_str("send buffer overflowed"),
            Self::Evicted => f.write_str("evicted to free memory"),
            Self::Moved => f.write_str("another server has it"),
            Self::HandlerPanicked => f.write_str("handler panicked"),
            Self::Remote(frame) => write!(f, "closed by the peer with {frame}"),
            Self::TakenOver => f.write_str("taken over by another socket"),
        }
    }
}
