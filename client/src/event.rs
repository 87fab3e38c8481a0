//! [`Event`]: what a connection tells its application.

use std::fmt;
use std::sync::Arc;

use rejoin_core::{CloseFrame, DropReason, Frame, Gap, LostReason};

use crate::error::ConnectError;
use crate::refusal::Refusal;

/// What a connection tells its application, in order.
///
/// A drop is told once per drop; a restore once per reconnect, and before the first message of the new socket; the end once
/// and last.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A frame from the server.
    Message(Frame),
    /// The socket is gone. Frames are accepted as before; they leave when another is there.
    Dropped {
        /// Why.
        reason: DropReason,
    },
    /// The server, or a proxy before it, refused a reconnect. Another dial follows after 401 (once, where the client has a
    /// source of fresh credentials), 404, 408, 421, 425, 429 and 5xx; any other status is final, and [`Self::Closed`] follows
    /// (PROTOCOL.md §7). Of refusals that the application does not take, the latest 32 are kept.
    Refused(Refusal),
    /// Connected again. The session goes on where it was, unless [`Self::SessionLost`] came just before.
    Restored,
    /// The server will never deliver these frames: it had to give them up. They are counted, not told apart.
    Gap(Gap),
    /// The server has not resumed the session, and has opened a fresh one: what was missed meanwhile will not come, and it is
    /// not known what the server has received of the frames below. [`Self::Restored`] follows: connected again, as a fresh
    /// session.
    #[non_exhaustive]
    SessionLost {
        /// What the server said: [`LostReason::Unknown`], too, where it resumed the session but has forgotten frames that it had
        /// acknowledged. `None` when it had ended the session before.
        reason: Option<LostReason>,
        /// The frames that were accepted and never acknowledged, in order. Whoever sends them again may repeat some.
        unacknowledged: Vec<Frame>,
        /// How many more frames were accepted and never acknowledged, which cannot be listed: they were given up before, where
        /// the [overflow policy](crate::ClientBuilder::overflow) says so.
        dropped: u64,
    },
    /// The connection has ended by something else than our own close. Nothing comes after it.
    Closed(Closed),
}

/// How a connection ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// How many frames were accepted of which it is not known that the server received them; in plain mode, that were not
    /// written. Those of sessions that were lost count too, where the application closed before it was told.
    pub unacknowledged: u64,
}

/// Why a connection ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloseReason {
    /// Our own application closed, aborted or dropped it.
    Local,
    /// The server closed it with this frame, one that ends the session: 1000 with `kicked`, `duplicate connection id` or
    /// nothing, or the rule that it found broken (PROTOCOL.md §7).
    Remote(CloseFrame),
    /// Another socket resumed the session: the same token in another place.
    TakenOver,
    /// The server broke a rule of RFC 6455, of PROTOCOL.md or of the codec; the frame says which.
    Protocol(CloseFrame),
    /// The send buffer overflowed, and the policy was [`Overflow::Disconnect`](crate::Overflow::Disconnect).
    Overflow,
    /// The server sent a message beyond [`max_message_size`](crate::ClientBuilder::max_message_size).
    TooBig,
    /// The server answered the reconnect with a status after which trying again cannot help: any but 404, 408, 421, 425, 429
    /// and 5xx; 401 where there are no fresh credentials, or where they were refused, too.
    Refused(Refusal),
    /// As many reconnects in a row failed as [`max_retries`](crate::ClientBuilder::max_retries) allows; that says when one fails.
    RetriesExhausted {
        /// How many.
        attempts: u32,
        /// What the last one failed with.
        last: Arc<ConnectError>,
    },
    /// The socket was lost, and [reconnecting is turned off](crate::ClientBuilder::no_reconnect).
    ReconnectDisabled(DropReason),
    /// The application's codec panicked.
    Panicked,
}

impl CloseReason {
    /// The same, from the session's own word.
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
            // The rest are a server's; a client's session does not end by them.
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
