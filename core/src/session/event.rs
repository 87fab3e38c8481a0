//! What a session tells its application, and why it ended.

use std::fmt;
use std::io;

use bytes::Bytes;

use crate::{CloseFrame, Frame, Gap, LostReason};

/// What a session tells its application, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first socket is attached; on a client, the server has opened the session.
    Connected,
    /// A data frame.
    Message(Frame),
    /// The socket is gone; the session waits for another.
    Dropped(DropReason),
    /// Another socket is attached, and the session goes on where it was.
    Restored,
    /// The peer will never deliver these data frames (PROTOCOL.md §3).
    Gap(Gap),
    /// Client: the server has not resumed the session and opened a fresh one. These accepted messages were never
    /// acknowledged; the peer may or may not have received them.
    Lost {
        /// What the server said; `None` when the session had ended before.
        reason: Option<LostReason>,
        /// The messages, as they were handed to [`Session::send`](super::Session::send).
        unacknowledged: Vec<Bytes>,
        /// Frames that could not be kept long enough to be listed.
        dropped: u64,
    },
    /// The session ended. Nothing comes after it.
    Closed(CloseReason),
}

/// Why a socket is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// The peer closed it with this code, one that leaves the session alive (PROTOCOL.md §7).
    Closed(Option<CloseFrame>),
    /// Reading or writing failed, or the stream ended without a close frame.
    Io(io::ErrorKind),
    /// Nothing arrived for the pong timeout.
    HeartbeatTimeout,
    /// The socket took nothing of what there was to write, or next to nothing, for the write timeout.
    WriteTimeout,
    /// Another socket resumed the session while this one was still attached.
    TakenOver,
    /// The application cut it.
    Cut,
    /// Client: the server resumed the session, but has forgotten frames that it had acknowledged. The client ends such a session,
    /// and begins a fresh one (PROTOCOL.md §5).
    SessionLost,
}

impl DropReason {
    /// A word for the kind of reason, of a closed set and without what is particular: for the label of a metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Io(_) => "io",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::TakenOver => "taken_over",
            Self::Cut => "cut",
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
            Self::WriteTimeout => f.write_str("the socket took too little for the write timeout"),
            Self::TakenOver => f.write_str("taken over by another socket"),
            Self::Cut => f.write_str("cut by the application"),
            Self::SessionLost => f.write_str("the server has forgotten frames that it acknowledged"),
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer's application closed it: 1000, or no code.
    Normal,
    /// Our own application closed it.
    Local(CloseFrame),
    /// The server kicked it.
    Kicked,
    /// Another connection took its ID.
    Duplicate,
    /// No socket came back within the resume window.
    WindowExpired,
    /// The socket was lost, and there is no resume window.
    TransportLost(DropReason),
    /// The server shut down.
    ServerClosed,
    /// The peer broke a rule of RFC 6455, of PROTOCOL.md or of its codec; the frame says which: 1002, 1007 or 1008.
    Protocol(CloseFrame),
    /// A message was bigger than allowed.
    TooBig,
    /// The send buffer overflowed, and the policy was [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    Overflow,
    /// Server: it was suspended, and gave way to others when all sessions together kept too much.
    Evicted,
    /// A handler of ours panicked.
    HandlerPanicked,
    /// The peer closed with this code, one that ends the session.
    Remote(CloseFrame),
    /// Client: another socket resumed the session.
    TakenOver,
}

impl CloseReason {
    /// The close frame that tells the peer (PROTOCOL.md §7).
    pub fn close_frame(&self) -> CloseFrame {
        match self {
            Self::Local(frame) | Self::Protocol(frame) => frame.clone(),
            Self::Normal
            | Self::WindowExpired
            | Self::Evicted
            | Self::TransportLost(_)
            | Self::Remote(_)
            | Self::TakenOver => CloseFrame::new(1000, ""),
            Self::Kicked => CloseFrame::new(1000, "kicked"),
            Self::Duplicate => CloseFrame::new(1000, "duplicate connection id"),
            Self::ServerClosed => CloseFrame::new(1001, "server shutting down"),
            Self::TooBig => CloseFrame::new(1009, "message too big"),
            Self::Overflow => CloseFrame::new(1013, "send buffer overflow"),
            Self::HandlerPanicked => CloseFrame::new(1011, "handler panicked"),
        }
    }

    /// A word for the kind of reason, of a closed set and without what is particular: for the label of a metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Local(_) => "local",
            Self::Kicked => "kicked",
            Self::Duplicate => "duplicate",
            Self::WindowExpired => "window_expired",
            Self::TransportLost(_) => "transport_lost",
            Self::ServerClosed => "server_closed",
            Self::Protocol(_) => "protocol",
            Self::TooBig => "too_big",
            Self::HandlerPanicked => "handler_panicked",
            Self::Remote(_) => "remote",
            Self::TakenOver => "taken_over",
            Self::Overflow => "overflow",
            Self::Evicted => "evicted",
        }
    }

    /// Whether this stays the reason of a session that was closing when it ended by `other`: our own application had closed it
    /// already, and is not told messages that it would have been told otherwise.
    pub(super) fn outlasts(&self, other: &Self) -> bool {
        matches!(self, Self::Local(_))
            && matches!(
                other,
                Self::Normal | Self::Duplicate | Self::WindowExpired | Self::Evicted | Self::ServerClosed
            )
    }

    /// Whether our own side chose not to hear any more, so that what it has not taken yet is not delivered.
    pub(super) fn discards_inbox(&self) -> bool {
        matches!(self, Self::Local(_) | Self::Kicked | Self::HandlerPanicked)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("closed by the peer"),
            Self::Local(_) => f.write_str("closed by the application"),
            Self::Kicked => f.write_str("kicked"),
            Self::Duplicate => f.write_str("another connection took the id"),
            Self::WindowExpired => f.write_str("resume window expired"),
            Self::TransportLost(why) => write!(f, "socket lost: {why}"),
            Self::ServerClosed => f.write_str("server shut down"),
            Self::Protocol(frame) => write!(f, "protocol error: {frame}"),
            Self::TooBig => f.write_str("message too big"),
            Self::Overflow => f.write_str("send buffer overflowed"),
            Self::Evicted => f.write_str("gave way to other sessions"),
            Self::HandlerPanicked => f.write_str("handler panicked"),
            Self::Remote(frame) => write!(f, "closed by the peer with {frame}"),
            Self::TakenOver => f.write_str("taken over by another socket"),
        }
    }
}
