//! [`Metrics`]: what a server does, in numbers.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use rejoin_core::{CloseReason, DropReason, LostReason};

/// What a server does, in numbers: hooks for whoever watches it. Every one does nothing unless you write it.
///
/// Set with [`Builder::metrics`](crate::Builder::metrics); one for the facade of the crate `metrics` is there under the
/// feature `metrics`. What can be counted after the fact, without a hook, is in [`Stats`](crate::Stats).
///
/// # How hooks are called
/// Synchronously, by whoever does what is told: the task of a session, the one that answers an upgrade, or the caller of
/// [`Server::broadcast`](crate::Server::broadcast) and [`Server::kick`](crate::Server::kick). Several run at the same time.
/// A hook that blocks holds up a connection, so it must not: add to an atomic, and return. It may call into the server and its
/// connections: nothing that such a call waits for is locked meanwhile. A panic in a hook is caught and logged, and changes nothing else.
///
/// What happens for every frame is not told for every frame: a session tells its numbers once or twice each time that its
/// task has run, for all the frames that passed.
///
/// # Labels
/// No hook is told a connection ID, a room or an address: these have no bound, and a time series for each of them does not
/// end well. Of a reason use the [`kind`](CloseReason::kind), never its text, which may quote the peer.
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
/// let server = Server::builder(async |_| Ok::<_, Reject>(Identity::room("lobby")))
///     .metrics(kicks.clone())
///     .build()?;
/// # let _ = server; Ok(())
/// # }
/// ```
#[allow(unused_variables, reason = "the defaults do nothing")]
pub trait Metrics: Send + Sync + 'static {
    // --- connections come and go

    /// An HTTP request was refused with this status: by us, by `ConnectFn`, or because it was no upgrade.
    fn upgrade_refused(&self, status: StatusCode) {}

    /// A session has begun: its first socket is attached. [`Self::connection_closed`] follows, once.
    fn connection_opened(&self) {}

    /// A session has ended, so long after its first socket was attached; the time without a socket counts.
    fn connection_closed(&self, lived: Duration, reason: &CloseReason) {}

    /// A room has got its first member.
    fn room_created(&self) {}

    /// A room has lost its last member. Where others come and go at the same time, this may be told before
    /// [`Self::room_created`] of the room that has taken its place, or of the same one.
    fn room_destroyed(&self) {}

    // --- sockets come and go

    /// A socket asks for a session that is there already: a well-formed resume offer, or in plain mode the ID of one that
    /// may be resumed. Then comes [`Self::resume_refused`] or [`Self::transport_restored`], or neither when the socket dies
    /// before it is attached.
    fn resume_attempted(&self) {}

    /// A socket did not get the session that it asked for.
    fn resume_refused(&self, why: ResumeRefused) {}

    /// A socket was attached to a session that another one was still attached to. [`Self::transport_dropped`] comes before
    /// it, [`Self::transport_restored`] after it.
    fn takeover(&self) {}

    /// A session has lost its socket: it is suspended, or without a resume window has ended.
    fn transport_dropped(&self, reason: &DropReason) {}

    /// The socket that was lost was silent for the pong timeout. [`Self::transport_dropped`] came before it.
    fn heartbeat_failed(&self) {}

    /// Another socket is attached to a session.
    fn transport_restored(&self) {}

    // --- frames come and go

    /// Data frames were received, each once however often it was sent. Bytes are the payloads of WebSocket messages.
    fn received(&self, frames: u64, bytes: u64) {}

    /// Data frames were handed to the socket, replayed ones included. Bytes are those of WebSocket frames, with headers.
    fn sent(&self, frames: u64, bytes: u64) {}

    /// So many of those that were [`sent`](Self::sent) had been handed to an older socket before.
    fn replayed(&self, frames: u64) {}

    /// A frame was queued for a room. `bytes` is its size, summed over the codecs that it was encoded with; `receivers` is
    /// how many members it was queued for, which may be none.
    fn broadcast(&self, bytes: u64, receivers: usize) {}

    /// Data frames were accepted for a peer and given up: its buffer overflowed, or its codec had no image of them.
    fn frames_dropped(&self, frames: u64) {}

    /// The peer was told that it will never get so many data frames (PROTOCOL.md §3, `$gap`); again, where the socket died
    /// too soon and a resume asked again.
    fn gap_sent(&self, frames: u64) {}

    /// The peer has said that so many of its data frames will never come. rejoin's client never does.
    fn gap_received(&self, frames: u64) {}

    /// How many frames the buffer for a peer holds, of how many it may hold
    /// ([`send_buffer`](crate::Builder::send_buffer)). Told when frames were accepted, before they are written.
    fn send_buffer_used(&self, used: usize, capacity: usize) {}

    /// The bytes kept for peers are so many more now, or fewer. The sum over all calls is what the server keeps
    /// ([`Stats::retained_bytes`](crate::Stats::retained_bytes)), as each session's task has seen it last.
    fn retained_bytes_changed(&self, by: i64) {}

    // --- the application

    /// A callback has returned, or panicked, so long after it was called. One that shutdown's deadline cut short has not.
    fn callback_finished(&self, which: CallbackKind, took: Duration) {}
}

/// Why a socket did not get the session that it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResumeRefused {
    /// There is no such session, or its window has passed, or there is no resume window. A fresh one was opened.
    Unknown,
    /// The session has a codec that the client does not offer any more. A fresh one was opened.
    Codec,
    /// `ConnectFn` said another connection ID or room than the session's. A fresh one was opened.
    Identity,
    /// The count in the offer cannot be: HTTP 400 (PROTOCOL.md §4).
    BadCount,
    /// The session ended between the answer to the upgrade and the arrival of the socket.
    Ended,
    /// Another socket that asked for the session later was there sooner.
    Overtaken,
}

impl ResumeRefused {
    /// The variant's name in snake case: for the label of a metric.
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

/// Which callback of the application.
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
    /// [`on_disconnect`](crate::Builder::on_disconnect)
    Disconnect,
}

impl CallbackKind {
    /// The variant's name in snake case: for the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFn => "connect_fn",
            Self::Connect => "connect",
            Self::Message => "message",
            Self::TransportDrop => "transport_drop",
            Self::TransportRestore => "transport_restore",
            Self::Gap => "gap",
            Self::Disconnect => "disconnect",
        }
    }
}

impl fmt::Display for CallbackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
