//! [`Event`]: the events that a connection reports to its application.

use std::fmt;
use std::sync::Arc;

use rejoin_core::{CloseFrame, DropReason, Frame, Gap, LostReason};

use crate::error::ConnectError;
use crate::refusal::Refusal;

/// An event of a connection, in order. Returned by [`Connection::recv`](crate::Connection::recv).
///
/// | what happens | events |
/// |---|---|
/// | the socket is lost, and the session is resumed | [`Disconnected`](Self::Disconnected), [`Reconnected`](Self::Reconnected) with `resumed: true` |
/// | the socket is lost, and a fresh session replaces the lost one | [`Disconnected`](Self::Disconnected), [`SessionLost`](Self::SessionLost), [`Reconnected`](Self::Reconnected) with `resumed: false` |
/// | a reconnect is refused | [`Refused`](Self::Refused), between [`Disconnected`](Self::Disconnected) and the next of these events |
/// | the connection ends | [`Closed`](Self::Closed), once and last; nothing after a close by this side |
///
/// Each lost socket is reported once, and each reconnect once, before the first message of the new socket. If the application
/// takes no events for a long time, consecutive pairs of [`Disconnected`](Self::Disconnected) and
/// [`Reconnected`](Self::Reconnected) are merged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A frame from the server.
    Message(Frame),
    /// The socket is lost. Frames are still accepted, and are sent once another socket is connected.
    Disconnected {
        /// Why the socket was lost.
        reason: DropReason,
    },
    /// The server, or a proxy in front of it, refused a reconnect. The client dials again after 401 (once, if it has a source of
    /// fresh credentials), 404, 408, 421, 425, 429 and 5xx. Any other status is final, and [`Self::Closed`] follows
    /// (PROTOCOL.md §7). At most 32 refusals are kept for an application that takes no events; the oldest are dropped first.
    Refused(Refusal),
    /// Another socket is connected.
    Reconnected {
        /// Whether the session continues: nothing was lost or repeated. `false` if [`Self::SessionLost`] came just before,
        /// because a fresh session replaced the lost one, and always in plain mode, which has no sessions to resume.
        resumed: bool,
    },
    /// The server dropped these frames, and never delivers them. They take the place of the missing messages, and say how many
    /// those are.
    Gap(Gap),
    /// The server did not resume the session, and opened a fresh one. Messages that the server sent meanwhile are lost, and it is
    /// unknown which of the frames below the server received. [`Self::Reconnected`] with `resumed: false` follows at once, before
    /// any message of the fresh session.
    #[non_exhaustive]
    SessionLost {
        /// The server's reason; `None` if the server had ended the session before. [`LostReason::Unknown`] also if the server
        /// resumed the session, but has forgotten frames that it had acknowledged.
        reason: Option<LostReason>,
        /// The frames that were accepted and never acknowledged, in order. An application that sends them again may repeat some.
        unacknowledged: Vec<Frame>,
        /// Number of further frames that were accepted and never acknowledged, but are not listed: they were evicted from the
        /// send buffer, as the [overflow policy](crate::ClientBuilder::overflow) says.
        dropped: u64,
    },
    /// The connection has ended, but not by a close of this side. This is the last event.
    Closed(Closed),
}

/// How a connection ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Closed {
    /// Why it ended.
    pub reason: CloseReason,
    /// Number of accepted frames that the server is not known to have received; in plain mode, that were not written. Includes
    /// the frames of lost sessions if the application closed before [`Event::SessionLost`] reported them.
    pub unacknowledged: u64,
}

/// Why a connection ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloseReason {
    /// Our own application closed, aborted or dropped it.
    Local,
    /// The server closed it with this frame, which ends the session: 1000 with `kicked`, `duplicate connection id` or no reason,
    /// 3003 `forbidden`, or the code of a violation by this client (PROTOCOL.md §7).
    Remote(CloseFrame),
    /// Another socket resumed the session: another process uses the same token.
    TakenOver,
    /// The server violated RFC 6455, PROTOCOL.md or the codec; the frame has the code and the violation.
    Protocol(CloseFrame),
    /// The send buffer overflowed under the policy [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    Overflow,
    /// The server sent a message that exceeds [`max_message_size`](crate::ClientBuilder::max_message_size).
    TooBig,
    /// The server answered a reconnect with a status after which another attempt cannot help: any but 404, 408, 421, 425, 429
    /// and 5xx. That includes 401 if there is no source of fresh credentials, or if fresh ones were refused, too.
    Refused(Refusal),
    /// [`max_retries`](crate::ClientBuilder::max_retries) reconnects in a row failed.
    RetriesExhausted {
        /// Number of reconnects that failed in a row.
        attempts: u32,
        /// The error of the last one.
        last: Arc<ConnectError>,
    },
    /// The socket was lost, and [reconnecting is turned off](crate::ClientBuilder::no_reconnect).
    ReconnectDisabled(DropReason),
    /// The application's codec panicked.
    Panicked,
}

impl CloseReason {
    /// Translates the session's reason.
    pub(crate) fn of_session(reason: &rejoin_core::CloseReason) -> Self {
        use rejoin_core::CloseReason as Core;
        match reason {
            Core::Local(_) => Self::Local,
            Core::Remote(frame) => Self::Remote(frame.clone()),
            Core::TakenOver => Self::TakenOver,
            Core::Protocol(frame) => Self::Protocol(frame.clone()),
            Core::TooBig => Self::TooBig,
            Core::TransportLost(why) => Self::ReconnectDisabled(why.clone()),
            Core::Overflow => Self::Overflow,
            Core::HandlerPanicked => Self::Panicked,
            // The remaining reasons occur on servers only.
            other => Self::Remote(other.close_frame()),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by the application"),
            Self::Remote(frame) => write!(f, "closed by the server with {frame}"),
            Self::TakenOver => f.write_str("taken over by another socket"),
            Self::Protocol(frame) => write!(f, "server broke the protocol: {frame}"),
            Self::Overflow => f.write_str("send buffer overflowed"),
            Self::TooBig => f.write_str("server sent a message that is too big"),
            Self::Refused(refusal) => write!(f, "reconnect refused: {refusal}"),
            Self::RetriesExhausted { attempts, last } => {
                write!(f, "{attempts} reconnects failed, the last: {last}")
            }
            Self::ReconnectDisabled(why) => write!(f, "socket lost, and reconnecting is turned off: {why}"),
            Self::Panicked => f.write_str("codec panicked"),
        }
    }
}
