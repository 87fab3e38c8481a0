//! [`Metrics`]: an application's hooks for measuring a server.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use rejoin_core::{CloseReason, DropReason, LostReason};

use crate::limits::limit::Limit;

/// Hooks for measuring a server. By default each hook does nothing: implement the ones that you need.
///
/// Set with [`Builder::metrics`](crate::Builder::metrics). The feature `metrics` adds an implementation for the facade of the
/// crate `metrics`. Numbers that need no hook are in [`Stats`](crate::Stats).
///
/// # How hooks are called
/// Hooks are called synchronously by the code that they report on: the task of a session, the task that answers an upgrade, a
/// fan-out, or the caller of [`Server::broadcast`](crate::Server::broadcast) and [`Server::kick`](crate::Server::kick). Several
/// may run at the same time. A hook that blocks delays a connection, so it must not block: add to an atomic, and return. It may
/// call the server and its connections, since no lock is held that such a call waits for. A panic in a hook is caught and logged,
/// and has no other effect.
///
/// Hooks are not called for each frame: a session reports its counts once or twice each time that its task runs, for all the
/// frames that have passed.
///
/// # Labels
/// No hook receives a connection ID, a room or an address: their number has no bound, and a time series for each would exhaust
/// the memory of most systems. For the label of a reason use its [`kind`](CloseReason::kind), never its text, which may quote the
/// peer.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use rejoin_server::{CloseReason, Identity, Metrics, Reject, Server};
///
/// #[derive(Clone, Default)]
/// struct Kicks(Arc<AtomicU64>);
///
/// impl Metrics for Kicks {
///     fn connection_closed(&self, _: std::time::Duration, reason: &CloseReason) {
///         if *reason == CloseReason::Kicked {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// # fn main() -> Result<(), rejoin_server::ConfigError> {
/// let kicks = Kicks::default();
/// let server = Server::builder(async |_| Ok::<_, Reject>(Identity::new().with_room("lobby")))
///     .metrics(kicks.clone())
///     .build()?;
/// # let _ = server; Ok(())
/// # }
/// ```
#[allow(unused_variables, reason = "the defaults do nothing")]
pub trait Metrics: Send + Sync + 'static {
    // --- connections come and go

    /// An HTTP request was refused with this status: by the server, by `ConnectFn`, or because it was not an upgrade.
    fn upgrade_refused(&self, status: StatusCode) {}

    /// A limit was reached, and a client was refused or has to wait. For limits of buffers and times see the other hooks.
    fn limit_reached(&self, limit: Limit) {}

    /// A session has begun: its first socket is attached. [`Self::connection_closed`] follows exactly once.
    fn connection_opened(&self) {}

    /// A session has ended. `lived` is the time since its first socket was attached, including the time without a socket.
    fn connection_closed(&self, lived: Duration, reason: &CloseReason) {}

    /// A room has its first member.
    fn room_created(&self) {}

    /// A room has lost its last member. If other connections join and leave at the same time, this may be called before the
    /// [`Self::room_created`] of the room that has taken its place, or of the same room.
    fn room_destroyed(&self) {}

    /// A connection has become a member of a room. Called for its home room and its further rooms, too.
    fn joined(&self) {}

    /// A connection has left a room, or has ended as a member of it.
    fn left(&self) {}

    /// [`before_join`](crate::Builder::before_join) has refused a join.
    fn join_refused(&self) {}

    // --- sockets come and go

    /// A socket requests an existing session: with a well-formed resume offer, or in plain mode with the ID of a session that can be
    /// resumed. [`Self::resume_refused`] or [`Self::transport_restored`] follows, or neither if the socket is lost before it is
    /// attached.
    fn resume_attempted(&self) {}

    /// A socket did not get the session that it requested.
    fn resume_refused(&self, why: ResumeRefused) {}

    /// A socket was attached to a session while another one was still attached. [`Self::transport_dropped`] is called before
    /// this, [`Self::transport_restored`] after it.
    fn takeover(&self) {}

    /// A session has lost its socket: it is suspended or, without a resume window, has ended.
    fn transport_dropped(&self, reason: &DropReason) {}

    /// A socket was lost because it was silent for the pong timeout. Called after [`Self::transport_dropped`].
    fn heartbeat_failed(&self) {}

    /// A session has got another socket.
    fn transport_restored(&self) {}

    // --- frames come and go

    /// Data frames were received. Each counts once, however often it was sent. `bytes` are the payloads of WebSocket messages.
    fn received(&self, frames: u64, bytes: u64) {}

    /// Data frames were sent to the socket, including replayed ones. `bytes` are those of WebSocket frames, with headers.
    fn sent(&self, frames: u64, bytes: u64) {}

    /// This number of the [`sent`](Self::sent) frames had been sent to an older socket before.
    fn replayed(&self, frames: u64) {}

    /// A frame was queued for a room. `bytes` is its size, summed over the codecs that it was encoded with. `receivers` is the
    /// number of members that it was queued for, which may be 0.
    fn broadcast(&self, bytes: u64, receivers: usize) {}

    /// Data frames were accepted for a peer and dropped, because its buffer overflowed or its codec could not represent them.
    fn frames_dropped(&self, frames: u64) {}

    /// Volatile frames were dropped: outgoing ones that no socket could take or that a later one replaced, and incoming ones that
    /// arrived faster than the application handled them (PROTOCOL.md §12).
    fn volatile_dropped(&self, frames: u64) {}

    /// A gap of this number of data frames was sent to the peer (PROTOCOL.md §3, `$gap`). The same gap counts again if the socket was
    /// lost too soon and a resume has to repeat it.
    fn gap_sent(&self, frames: u64) {}

    /// The peer has reported a gap of this number of its data frames. rejoin's client never does.
    fn gap_received(&self, frames: u64) {}

    /// The number of frames in a peer's send buffer, and the most that it may hold
    /// ([`send_buffer`](crate::Builder::send_buffer)). Called after frames were accepted, before they are written.
    fn send_buffer_used(&self, used: usize, capacity: usize) {}

    /// The bytes kept for peers have grown by `by`, or shrunk if it is negative. The sum over all calls is
    /// [`Stats::retained_bytes`](crate::Stats::retained_bytes), as each session's task has seen it last.
    fn retained_bytes_changed(&self, by: i64) {}

    // --- the application

    /// A callback has returned or panicked, this long after it was called. Not called for a callback that the deadline of a shutdown
    /// has cut short.
    fn callback_finished(&self, which: CallbackKind, took: Duration) {}

    /// Something has failed. `kind` is the error's name: see [`ErrorKind::as_str`](crate::ErrorKind::as_str).
    fn error(&self, kind: &'static str) {}
}

/// Why a socket did not get the session that it requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResumeRefused {
    /// There is no such session, its window has passed, or the server has no resume window. A fresh session was opened.
    Unknown,
    /// The client no longer offers the session's codec. A fresh session was opened.
    Codec,
    /// `ConnectFn` returned another connection ID or room than the session's. A fresh session was opened.
    Identity,
    /// The count in the offer is impossible. The answer was HTTP 400 (PROTOCOL.md §4).
    BadCount,
    /// The session ended between the answer to the upgrade and the arrival of the socket.
    Ended,
    /// Another socket requested the session later, and was attached sooner.
    Overtaken,
}

impl ResumeRefused {
    /// The variant's name in snake case, for the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Codec => "codec",
            Self::Identity => "identity",
            Self::BadCount => "bad_count",
            Self::Ended => "ended",
            Self::Overtaken => "overtaken",
        }
    }
}

impl From<LostReason> for ResumeRefused {
    fn from(reason: LostReason) -> Self {
        match reason {
            LostReason::Codec => Self::Codec,
            LostReason::Identity => Self::Identity,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for ResumeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A callback of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackKind {
    /// [`ConnectFn`](crate::ConnectFn), before the upgrade is answered.
    ConnectFn,
    /// [`on_connect`](crate::Builder::on_connect)
    Connect,
    /// [`on_message`](crate::Builder::on_message)
    Message,
    /// [`on_transport_drop`](crate::Builder::on_transport_drop)
    TransportDrop,
    /// [`on_transport_restore`](crate::Builder::on_transport_restore)
    TransportRestore,
    /// [`on_gap`](crate::Builder::on_gap)
    Gap,
    /// [`on_join`](crate::Builder::on_join)
    Join,
    /// [`on_leave`](crate::Builder::on_leave)
    Leave,
    /// [`on_away`](crate::Builder::on_away)
    Away,
    /// [`on_back`](crate::Builder::on_back)
    Back,
    /// [`before_disconnect`](crate::Builder::before_disconnect)
    BeforeDisconnect,
    /// [`on_disconnect`](crate::Builder::on_disconnect)
    Disconnect,
    /// [`on_send_dropped`](crate::Builder::on_send_dropped)
    SendDropped,
    /// [`on_expired`](crate::Builder::on_expired)
    Expired,
    /// [`on_moved`](crate::Builder::on_moved)
    Moved,
}

impl CallbackKind {
    /// The variant's name in snake case, for the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFn => "connect_fn",
            Self::Connect => "connect",
            Self::Message => "message",
            Self::TransportDrop => "transport_drop",
            Self::TransportRestore => "transport_restore",
            Self::Gap => "gap",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Away => "away",
            Self::Back => "back",
            Self::BeforeDisconnect => "before_disconnect",
            Self::Disconnect => "disconnect",
            Self::SendDropped => "send_dropped",
            Self::Expired => "expired",
            Self::Moved => "moved",
        }
    }
}

impl fmt::Display for CallbackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
