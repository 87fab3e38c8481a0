//! [`Session`]: the state machine that outlives its sockets. Both sides and both modes use the same type.
//!
//! A session is synchronous and does no I/O. The `handle_*` methods take input and the current time;
//! [`Session::poll_transmit`] returns data to write, [`Session::poll_event`] returns events for the application, and
//! [`Session::poll_timeout`] returns when to call [`Session::handle_timeout`] next.
//!
//! Each socket of a session has an [`Epoch`], and every input from a socket carries it. A socket that another one has
//! replaced therefore cannot change the session, even if its driver has not noticed the takeover yet.
//!
//! Incoming: the `Receiver` counts a data frame, and the `EventQueue` stores it for the application. While the queue is full,
//! data frames wait uncounted in `ReadAhead`. Outgoing: the `SendBuffer` numbers a data frame and keeps it until the peer
//! acknowledges it. The modules below each cover one subject: attaching sockets, opening, incoming frames, outgoing frames,
//! closing, timeouts, snapshots and hibernation.

mod config;
pub use config::{Mode, SessionConfig, Side};

mod event;
pub use event::{CloseReason, DropReason, Event};

mod state;
pub use state::SessionState;

mod identity;
pub use identity::SessionIdentity;

mod epoch;
pub use epoch::Epoch;

mod sockets;
pub use sockets::{AttachError, AttachmentState};

mod opening;

mod violation;
pub use violation::Violation;

mod inbound;
mod incoming;

mod ack_requests;
mod asking;
mod read_ahead;

mod cancelled;
pub use cancelled::Cancelled;

mod registration;
pub use registration::Registration;

mod questions;
pub use questions::Answer;

mod answers;
mod rare;
mod volatile;
mod volatile_queue;

mod blocked;
#[cfg(all(feature = "drive", target_os = "linux"))]
pub(crate) use blocked::SLOWEST;
mod writing;

mod event_queue;
mod receiver;

mod overflow;
pub use overflow::{Overflow, Refused};

mod discarded;
pub use discarded::{Discarded, WhyDropped};
mod discarding;

mod sent;
use sent::Sent;

mod outgoing;

mod transmit;
pub use transmit::{Batch, Transmit};

mod send_buffer;

mod span;
pub use span::Span;

mod span_queue;
#[cfg(feature = "drive")]
pub(crate) use span_queue::SpanQueue;

mod segment;

mod segment_writer;
pub use segment_writer::SegmentWriter;

mod delivery;
pub use delivery::Delivery;

mod reconnect;
pub use reconnect::Reconnect;

mod pending_close;

mod closing;
mod committing;
mod dismissal;
mod held;

mod ping;
mod timeout;

pub mod snapshot;

mod hibernation;
pub use hibernation::Hibernated;

mod compact;
mod serial;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use crate::{LostReason, Token};

use asking::Asking;
use blocked::Blocked;
use config::clamp;
use event_queue::{EventQueue, Unreported};
use pending_close::Closing;
use ping::Ping;
use rare::RareState;
use read_ahead::ReadAhead;
use receiver::Receiver;
use send_buffer::SendBuffer;

/// One side of a session. A clone continues independently of the original.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Session {
    // Every broadcast delivery reads the first fields, up to `SendBuffer::HOT`, of thousands of sessions that are in no
    // cache. The declaration order (`repr(C)`) keeps these fields in as few cache lines as possible.
    state: SessionState,
    /// Whether `$open` was sent or received on the attached socket. Always true in plain mode.
    opened: bool,
    ping: Ping,
    /// Progress of our requests for an acknowledgement (`$sync`).
    asking: Asking,
    /// Maximum number of data frames kept for the peer.
    buffer: u32,
    /// Epoch of the attached socket, or of the last one if none is attached.
    epoch: Epoch,
    config: Arc<SessionConfig>,
    closing: Option<Box<Closing>>,
    /// Why the session ended; `None` until then.
    ended: Option<Box<CloseReason>>,
    /// Pending `$pong`s, questions, and volatile frames; usually `None`. Never an empty `RareState`.
    rare: Option<Box<RareState>>,
    sent: Sent,
    blocked: Option<Box<Blocked>>,
    send_buffer: SendBuffer,
    events: EventQueue,
    receiver: Receiver,
    /// Session mode: data frames and gaps that arrived while the event queue was full. Never an empty `ReadAhead`.
    /// While it is `Some`, the event queue is full and the session is not closing.
    ahead: Option<Box<ReadAhead>>,
    last_activity: Instant,
    /// Number of data frames, and of their bytes, that the peer keeps; our acknowledgements are paced by them. A number of
    /// bytes above `u32::MAX` is stored as `u32::MAX`.
    peer_buffer: u32,
    peer_buffer_bytes: u32,
    /// The largest message that the peer accepts, in bytes, likewise capped at `u32::MAX`.
    peer_max: u32,
    /// Whether the peer waits for an answer to its `$sync`.
    asked: bool,
    /// Client: the server has ended the session, so the next dial does not offer it.
    retired: bool,
    /// Server: whether the session is being [revived](Self::revived).
    is_reviving: bool,
    /// Why a session was not resumed. Server: the value for the next `$open`. Client: the value of the last `$open`, or the
    /// client's own finding.
    lost: Option<LostReason>,
    /// Session mode: token, connection ID and room. A client learns them from `$open`.
    identity: Option<Arc<SessionIdentity>>,
    /// The highest epoch that was reserved.
    reserved: Epoch,
    /// Client: losses that were not reported because the application had closed the session; usually `None`.
    unreported: Option<Box<Unreported>>,
    /// When the session lost its last socket. Remains set if the session ends while it is suspended.
    suspended_since: Option<Instant>,
    /// Number of times another socket was attached and the session continued.
    resumed: u32,
    /// Number of attached sockets that were lost.
    drops: u32,
    /// Why the most recent of the `drops` sockets was lost.
    dropped: Option<Box<DropReason>>,
    reconnect: Reconnect,
}

/// Statistics of one session over all its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Data frames received, including those that the peer reported as gaps.
    pub received: u64,
    /// The part of [`Self::received`] that the peer reported as gaps (PROTOCOL.md §3, `$gap`).
    pub received_gaps: u64,
    /// Bytes of the data frames received: the payloads of their WebSocket messages.
    pub received_bytes: u64,
    /// The part of [`Self::received`] that answered a question without an asker, and was dropped.
    pub stray_answers: u64,
    /// Data frames accepted for sending.
    pub accepted: u64,
    /// Data frames sent to sockets, volatile ones included. A replayed frame counts again.
    pub sent: u64,
    /// Bytes of [`Self::sent`] as the transport takes them: on a server they include the WebSocket headers.
    pub sent_bytes: u64,
    /// The part of [`Self::sent`] that had been sent to an earlier socket.
    pub replayed: u64,
    /// Data frames reported to the peer as gaps. A gap that is reported again counts again.
    pub sent_gaps: u64,
    /// Accepted data frames that were dropped because the send buffer overflowed, or because the peer's codec could not
    /// represent them.
    pub dropped: u64,
    /// Volatile frames that were dropped (PROTOCOL.md §12): outgoing ones that no socket took or that a later one replaced, and
    /// incoming ones that the application was too slow for.
    pub volatile_dropped: u64,
    /// Accepted data frames that are not known to have arrived: in session mode those that were not acknowledged, in plain
    /// mode those that were not written. On a client, this includes frames of lost sessions whose loss was not reported
    /// because the application had closed.
    pub unacknowledged: u64,
    /// Bytes kept for the peer.
    pub retained_bytes: usize,
    /// Number of resumes: another socket was attached, and the session continued.
    pub resumed: u64,
    /// Number of attached sockets that were lost, cut or taken over. A socket that the session closes when it ends does not
    /// count.
    pub drops: u64,
}

impl Session {
    /// Length in bytes of the leading fields that every broadcast delivery reads, for prefetching.
    #[cfg(feature = "drive")]
    pub(crate) const HOT: usize = std::mem::offset_of!(Self, send_buffer) + SendBuffer::HOT;

    /// Creates a server's session in session mode, announced to the client as `identity`. `lost` says why the session that
    /// the client offered was not resumed.
    pub fn new_server(
        config: Arc<SessionConfig>,
        identity: impl Into<Arc<SessionIdentity>>,
        lost: Option<LostReason>,
        now: Instant,
    ) -> Self {
        debug_assert!(config.side == Side::Server && config.mode == Mode::Session);
        Self { identity: Some(identity.into()), lost, ..Self::new(config, now) }
    }

    /// Creates any other session: in plain mode on either side, or a client's before its first `$open`.
    pub fn new(config: Arc<SessionConfig>, now: Instant) -> Self {
        Self {
            state: SessionState::New,
            epoch: Epoch(0),
            reserved: Epoch(0),
            identity: None,
            opened: false,
            lost: None,
            retired: false,
            is_reviving: false,
            asking: Asking::Idle,
            asked: false,
            buffer: config.buffer_frames,
            peer_buffer: config.buffer_frames,
            peer_buffer_bytes: clamp(config.buffer_bytes as u64),
            peer_max: u32::MAX,
            send_buffer: SendBuffer::new(config.mode),
            receiver: Receiver::default(),
            events: EventQueue::default(),
            unreported: None,
            ahead: None,
            rare: None,
            sent: Sent::default(),
            resumed: 0,
            last_activity: now,
            ping: Ping::Idle,
            blocked: None,
            suspended_since: None,
            drops: 0,
            dropped: None,
            closing: None,
            ended: None,
            reconnect: Reconnect::Backoff,
            config,
        }
    }

    /// The current state.
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// Whether the session accepts frames.
    pub fn is_open(&self) -> bool {
        self.state != SessionState::Closed && self.closing.is_none()
    }

    /// The session's mode.
    pub fn mode(&self) -> Mode {
        self.config.mode
    }

    /// Session mode: token, connection ID and room. `None` on a client before the first `$open`.
    pub fn identity(&self) -> Option<&Arc<SessionIdentity>> {
        self.identity.as_ref()
    }

    /// Client: whether `$open` has arrived on the attached socket. Always true for an attached socket in plain mode.
    pub fn is_opened(&self) -> bool {
        self.opened
    }

    /// Client: the token and the number of received data frames to offer for a resume.
    ///
    /// `None` while a socket is attached, because frames that still arrive on it would be missing from the offered count.
    pub fn resume_offer(&self) -> Option<(&Token, u64)> {
        let token = self.token().filter(|_| self.state != SessionState::Connected)?;
        Some((token, self.receiver.received()))
    }

    /// Client: how to reconnect after the socket is lost.
    pub fn reconnect(&self) -> Reconnect {
        self.reconnect
    }

    /// Why the last lost socket was lost; [`Counts::drops`] is the number of lost sockets. [Hibernation](Hibernated) forgets
    /// the reason.
    pub fn dropped(&self) -> Option<&DropReason> {
        self.dropped.as_deref()
    }

    /// Client: why a session was not resumed, as the last `$open` reported it or as the client itself has found.
    pub fn lost(&self) -> Option<LostReason> {
        self.lost
    }

    /// Why the session ended; `None` until then.
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.as_deref()
    }

    /// Current statistics.
    pub fn counts(&self) -> Counts {
        Counts {
            received: self.receiver.received(),
            received_gaps: self.receiver.counts().gaps,
            received_bytes: self.receiver.counts().bytes,
            stray_answers: self.stray_answers(),
            accepted: self.send_buffer.accepted(),
            sent: self.sent.frames,
            sent_bytes: self.sent.bytes,
            replayed: self.sent.replayed,
            sent_gaps: self.sent.gaps,
            dropped: self.send_buffer.dropped(),
            volatile_dropped: self.volatile_dropped(),
            unacknowledged: self.send_buffer.unacknowledged() + self.unreported(),
            retained_bytes: self.send_buffer.bytes(),
            resumed: self.resumed.into(),
            drops: self.drops.into(),
        }
    }

    /// Sets the largest message that the peer accepts: the number of bytes of a WebSocket message's payload. Unlimited until
    /// set.
    ///
    /// A client sets it from `$open`, a server from the client's offer.
    pub fn set_peer_max(&mut self, bytes: u64) {
        self.peer_max = clamp(bytes);
    }

    /// Client: the token of a session that can be resumed.
    fn token(&self) -> Option<&Token> {
        self.identity.as_ref().filter(|_| !self.retired).map(|identity| &identity.token)
    }
}
