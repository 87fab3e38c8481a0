//! [`Session`]: the state machine that outlives its sockets. The same type serves both ends and both modes.
//!
//! Pure and synchronous. What arrives goes in by the `handle_*` functions, with the time; what is to be written comes out
//! of [`Session::poll_transmit`], what the application is to be told out of [`Session::poll_event`], and when to call
//! [`Session::handle_timeout`] next out of [`Session::poll_timeout`].
//!
//! A socket belongs to a session under an [`Epoch`]. Everything that a socket brings names its epoch, so that a socket that
//! was taken over, but does not know it yet, can change nothing.
//!
//! The way in: a frame is counted by the `Receiver` and put into the `EventQueue`; while that is full, it waits uncounted in
//! `ReadAhead`. The way out: a frame is numbered by the `SendBuffer` and kept there until the peer has acknowledged it. Below, one
//! file for each subject: sockets come and go, a session opens, frames come in, frames go out, the session closes, time
//! passes.

mod config;
pub use config::{Mode, SessionConfig, Side};

mod event;
pub use event::{CloseReason, DropReason, Event};

mod state;
pub use state::State;

mod sockets;
pub use sockets::{AttachError, AttachmentState, Epoch};

mod opening;
pub use opening::SessionIdentity;

mod incoming;
pub use incoming::Violation;

mod asking;
mod blocked;
mod read_ahead;
#[cfg(all(feature = "drive", target_os = "linux"))]
pub(crate) use blocked::SLOWEST;
mod event_queue;
mod receiver;

mod outgoing;
use outgoing::Sent;
pub use outgoing::{Overflow, Refused, Transmit};

mod runs;
mod send_buffer;

mod tape;
pub use tape::{Batch, SharedFrame, SharedRun, Tape};

mod delivery;
pub use delivery::Delivery;

mod closing;
pub use closing::Reconnect;

mod timeout;

mod hibernation;
pub use hibernation::Hibernated;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::{LostReason, Token};

use asking::Asking;
use blocked::Blocked;
use closing::Closing;
use event_queue::{EventQueue, Unreported};
use read_ahead::ReadAhead;
use receiver::Receiver;
use send_buffer::SendBuffer;
use timeout::Ping;

/// One end of a session.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
#[repr(C)]
pub struct Session {
    // What each delivery looks at comes first, in as few lines of the cache as can be: of thousands of sessions none is in it.
    state: State,
    /// Whether `$open` has gone out or come in on the attached socket; always true in plain mode.
    opened: bool,
    ping: Ping,
    /// Whether the peer is to be asked for an acknowledgement.
    asking: Asking,
    /// The frames that we keep.
    buffer: u32,
    /// The attached socket's, or that of the last one that was.
    epoch: Epoch,
    config: Arc<SessionConfig>,
    closing: Option<Box<Closing>>,
    /// Why the session ended, once it has.
    ended: Option<Box<CloseReason>>,
    /// `$pong`s to be written; mostly none.
    pongs: Option<Box<Pongs>>,
    sent: Sent,
    blocked: Option<Box<Blocked>>,
    send_buffer: SendBuffer,
    events: EventQueue,
    receiver: Receiver,
    /// Session mode: what the attached socket brought while the inbox was full. Never empty; while it is there, the inbox is
    /// full and nothing closes.
    ahead: Option<Box<ReadAhead>>,
    last_heard: Instant,
    /// The frames and the bytes that the peer keeps: what our acknowledgements are measured by. More bytes than fit are as many as
    /// fit.
    peer_buffer: u32,
    peer_buffer_bytes: u32,
    /// The largest message that the peer accepts, likewise.
    peer_max: u32,
    /// The peer has asked for an acknowledgement.
    asked: bool,
    /// Client: the session has ended at the server, so that it is not offered again.
    retired: bool,
    /// Server: what the `$open` that is due has to say. Client: what the last one said, or what the
    /// client has found.
    lost: Option<LostReason>,
    /// Session mode: who we are. A client learns it from `$open`.
    identity: Option<Arc<SessionIdentity>>,
    /// The highest that was given out.
    reserved: Epoch,
    /// Client: what its application would have been told of lost sessions if it had not closed. Mostly nothing.
    unreported: Option<Box<Unreported>>,
    /// Since when there is no socket. Stays when the session ends without one.
    suspended_since: Option<Instant>,
    /// How often a socket was restored.
    resumed: u32,
    /// How often an attached socket was lost.
    drops: u32,
    /// Why the last socket that was lost was.
    dropped: Option<Box<DropReason>>,
    reconnect: Reconnect,
}

/// The payloads of `$pong`s, the oldest first.
type Pongs = VecDeque<Option<Bytes>>;

/// Frames in and out, for statistics: of one session, over all its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Data frames received, and those that the peer said will never come.
    pub received: u64,
    /// Those of [`Self::received`] that the peer said will never come (PROTOCOL.md §3, `$gap`).
    pub received_gaps: u64,
    /// Bytes of the data frames received: the payloads of their WebSocket messages.
    pub received_bytes: u64,
    /// Data frames accepted for sending.
    pub accepted: u64,
    /// Data frames handed to sockets, each time that one was.
    pub sent: u64,
    /// Bytes of [`Self::sent`], in the transport's own form: a server's include the WebSocket header.
    pub sent_bytes: u64,
    /// Those of [`Self::sent`] that an older socket had been handed before.
    pub replayed: u64,
    /// Data frames of which the peer was told that they never come, each time that it was.
    pub sent_gaps: u64,
    /// Data frames that were accepted and given up: the buffer overflowed, or the peer's codec had no image of them.
    pub dropped: u64,
    /// Accepted data frames of which it is not known that they arrived: in session mode those that were never acknowledged,
    /// in plain mode those that were not written. On a client, also those of sessions that were lost, of which the
    /// application was not told because it closed.
    pub unacknowledged: u64,
    /// Bytes kept for the peer.
    pub retained_bytes: usize,
    /// How often the session was resumed: another socket was attached, and it went on.
    pub resumed: u64,
    /// How often an attached socket was lost, cut or taken over. One that the session closed as it ended is none of them.
    pub drops: u64,
}

impl Session {
    /// So many bytes of it, from its beginning, are looked at for each delivery.
    #[cfg(feature = "drive")]
    pub(crate) const HOT: usize = std::mem::offset_of!(Self, send_buffer) + SendBuffer::HOT;

    /// A server's session in session mode, to be announced as `identity`. `lost` is why another was not resumed.
    pub fn new_server(
        config: Arc<SessionConfig>,
        identity: impl Into<Arc<SessionIdentity>>,
        lost: Option<LostReason>,
        now: Instant,
    ) -> Self {
        debug_assert!(config.side == Side::Server && config.mode == Mode::Session);
        Self { identity: Some(identity.into()), lost, ..Self::new(config, now) }
    }

    /// Any other session: plain mode on either side, or a client's before its first `$open`.
    pub fn new(config: Arc<SessionConfig>, now: Instant) -> Self {
        Self {
            state: State::New,
            epoch: Epoch(0),
            reserved: Epoch(0),
            identity: None,
            opened: false,
            lost: None,
            retired: false,
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
            pongs: None,
            sent: Sent::default(),
            resumed: 0,
            last_heard: now,
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

    /// Where the session stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether frames are accepted.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed && self.closing.is_none()
    }

    /// Plain or session mode.
    pub fn mode(&self) -> Mode {
        self.config.mode
    }

    /// Who this session is, in session mode; a client knows after the first `$open`.
    pub fn identity(&self) -> Option<&Arc<SessionIdentity>> {
        self.identity.as_ref()
    }

    /// Client: whether the attached socket has brought its `$open`. Always true of an attached socket in plain mode.
    pub fn is_opened(&self) -> bool {
        self.opened
    }

    /// Client: what to offer for a resume: the token, and how many data frames have been received.
    ///
    /// `None` while a socket is attached: what it still brings would be counted after the offer was made.
    pub fn resume_offer(&self) -> Option<(&Token, u64)> {
        let token = self.token().filter(|_| self.state != State::Connected)?;
        Some((token, self.receiver.received()))
    }

    /// Client: how to go on after the socket is gone.
    pub fn reconnect(&self) -> Reconnect {
        self.reconnect
    }

    /// Why the last socket that was lost was: [`Counts::drops`] says how many were. Forgotten while a session [rests](Hibernated).
    pub fn dropped(&self) -> Option<&DropReason> {
        self.dropped.as_deref()
    }

    /// Client: why a session was not resumed, as the last `$open` says or as the client itself has found.
    pub fn lost(&self) -> Option<LostReason> {
        self.lost
    }

    /// Why the session ended, once it has.
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.as_deref()
    }

    /// Frames in and out so far.
    pub fn counts(&self) -> Counts {
        Counts {
            received: self.receiver.received(),
            received_gaps: self.receiver.gaps(),
            received_bytes: self.receiver.bytes(),
            accepted: self.send_buffer.last(),
            sent: self.sent.frames,
            sent_bytes: self.sent.bytes,
            replayed: self.sent.replayed,
            sent_gaps: self.sent.gaps,
            dropped: self.send_buffer.dropped(),
            unacknowledged: self.send_buffer.unacknowledged() + self.unreported(),
            retained_bytes: self.send_buffer.bytes(),
            resumed: self.resumed.into(),
            drops: self.drops.into(),
        }
    }

    /// The largest message that the peer accepts: the payload of a WebSocket message. Without a bound until it is known.
    ///
    /// A client learns it from `$open`; what the offer of a client says, its server sets here.
    pub fn set_peer_max(&mut self, bytes: u64) {
        self.peer_max = clamp(bytes);
    }

    /// Client: the session that can be resumed, if there is one.
    fn token(&self) -> Option<&Token> {
        self.identity.as_ref().filter(|_| !self.retired).map(|identity| &identity.token)
    }
}

/// As much of a limit as fits: beyond 4 GiB none is reached.
fn clamp(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
