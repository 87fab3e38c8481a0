//! [`Session`]: the state machine that outlives its sockets. The same type serves both ends and both modes.
//!
//! Pure and synchronous. What arrives goes in by the `handle_*` functions, with the time; what is to be written comes out
//! of [`Session::poll_transmit`], what the application is to be told out of [`Session::poll_event`], and when to call
//! [`Session::handle_timeout`] next out of [`Session::poll_timeout`].
//!
//! A socket belongs to a session under an [`Epoch`]. Everything that a socket brings names its epoch, so that a socket that
//! was taken over, but does not know it yet, can change nothing.

mod config;
mod event;
mod inbox;
mod outbox;
mod receiver;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use config::{Mode, SessionConfig, Side};
pub use event::{CloseReason, DropReason, Event};
pub use state::State;

use crate::control::Malformed;
use crate::{CloseFrame, Control, Frame, LostReason, Open, Token};

use inbox::Inbox;
use outbox::{BadAck, Next, Outbox};
use receiver::Receiver;
use state::Step;

/// Which of a session's sockets, in the order in which they asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

/// How a socket stands to its session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a socket that is no longer the session's must be let go"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum Standing {
    /// It is the session's.
    Attached,
    /// It is to be closed with this frame; nothing that it brings counts any more.
    Leave(CloseFrame),
    /// It is lost: to be dropped without a word.
    Gone,
}

/// What the attached socket is to write next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a driver has to write each")]
pub enum Transmit {
    /// A control frame, to be encoded with the session's codec.
    Control(Control),
    /// A data frame, as it was handed to [`Session::send`].
    Data(Bytes),
    /// An RFC 6455 ping.
    Ping,
    /// A close frame. The socket is read on until the peer answers with its own.
    Close(CloseFrame),
}

/// What to do with a frame for which the buffer has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Refuse it: the caller gets an error, nothing is queued.
    Reject,
    /// Give up the oldest frame that is kept, and tell the peer where it misses it.
    DropOldest,
}

/// Why a frame was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The buffer is full.
    Full,
    /// The session has ended, or is closing.
    Closed,
}

/// A rule of the protocol that the peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation(&'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Violation {}

impl From<Malformed> for Violation {
    fn from(Malformed(what): Malformed) -> Self {
        Self(what)
    }
}

impl From<BadAck> for Violation {
    fn from(bad: BadAck) -> Self {
        Self(match bad {
            BadAck::Beyond => "acknowledged more than was sent",
            BadAck::Backwards => "acknowledged less than before",
        })
    }
}

/// Why a socket could not be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// A socket that asked later is, or was, attached.
    Fenced,
    /// The session has ended.
    Closed,
    /// The count in the resume offer cannot be.
    Violation(Violation),
}

/// How a client has to go on after its socket is gone (PROTOCOL.md §7, column 'the client').
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the table has these outcomes")]
pub enum Reconnect {
    /// Not at all.
    Never,
    /// With backoff.
    Backoff,
    /// After this time, with jitter.
    After(Duration),
}

/// Frames in and out, for statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Data frames received.
    pub received: u64,
    /// Data frames accepted for sending.
    pub accepted: u64,
    /// Data frames that were accepted and given up.
    pub dropped: u64,
    /// Accepted data frames of which it is not known that they arrived.
    pub unacknowledged: u64,
    /// Bytes kept for the peer.
    pub retained_bytes: usize,
    /// How often a socket was restored.
    pub resumed: u64,
}

/// The most `$pong`s that wait to be written before reading stops.
const MAX_PONGS: usize = 16;

/// One end of a session.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Session {
    config: Arc<SessionConfig>,
    state: State,
    /// The attached socket's, or that of the last one that was.
    epoch: Epoch,
    /// The highest that was given out.
    reserved: Epoch,
    /// Session mode: who we are. A client learns it from `$open`.
    identity: Option<Arc<SessionIdentity>>,
    /// Whether `$open` has gone out or come in on the attached socket; always true in plain mode.
    opened: bool,
    /// What the `$open` that is due has to say.
    lost: Option<LostReason>,
    /// Client: the session has ended at the server, so that it is not offered again.
    retired: bool,
    /// The frames that we keep.
    buffer: u32,
    /// The frames that the peer keeps: what our acknowledgements are measured by.
    peer_buffer: u32,
    outbox: Outbox,
    receiver: Receiver,
    inbox: Inbox,
    pongs: VecDeque<Option<Bytes>>,
    /// How often a socket was restored.
    resumed: u64,
    last_heard: Instant,
    ping: Ping,
    blocked_since: Option<Instant>,
    suspended_since: Option<Instant>,
    /// Why the last socket that was lost was.
    dropped: Option<Box<DropReason>>,
    closing: Option<Box<Closing>>,
    /// Why the session ended, once it has.
    ended: Option<CloseReason>,
    reconnect: Reconnect,
}

/// What `$open` says of a session for as long as it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionIdentity {
    /// The secret with which the session is resumed.
    pub token: Token,
    /// The connection ID.
    pub id: Box<str>,
    /// The room.
    pub room: Box<str>,
}

impl SessionIdentity {
    /// Who a session is.
    pub fn new(token: Token, id: impl Into<Box<str>>, room: impl Into<Box<str>>) -> Self {
        Self { token, id: id.into(), room: room.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ping {
    Idle,
    Due,
    Sent,
}

/// An end that waits until what was accepted is delivered.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Closing {
    reason: CloseReason,
    deadline: Instant,
    /// Whether the close frame was handed to the attached socket.
    sent: bool,
}

impl Session {
    /// A server's session in session mode, to be announced as `identity`. `lost` is why another was not resumed.
    pub fn new_server(
        config: Arc<SessionConfig>,
        identity: SessionIdentity,
        lost: Option<LostReason>,
        now: Instant,
    ) -> Self {
        debug_assert!(config.side == Side::Server && config.mode == Mode::Session);
        Self { identity: Some(Arc::new(identity)), lost, ..Self::new(config, now) }
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
            buffer: config.buffer_frames,
            peer_buffer: config.buffer_frames,
            outbox: Outbox::new(config.mode),
            receiver: Receiver::default(),
            inbox: Inbox::default(),
            pongs: VecDeque::new(),
            resumed: 0,
            last_heard: now,
            ping: Ping::Idle,
            blocked_since: None,
            suspended_since: None,
            dropped: None,
            closing: None,
            ended: None,
            reconnect: Reconnect::Backoff,
            config,
        }
    }

    // --- the application

    /// Accepts a data frame: an encoded message, in whatever form the transport takes.
    ///
    /// # Errors
    /// Refuses it when the session is closing, and when the buffer is full and the policy says so.
    pub fn send(&mut self, message: Bytes, overflow: Overflow) -> Result<u64, Refused> {
        if self.state == State::Closed || self.closing.is_some() {
            return Err(Refused::Closed);
        }
        while !self.has_room(message.len()) {
            if overflow == Overflow::Reject || !self.outbox.evict_oldest() {
                return Err(Refused::Full);
            }
        }
        Ok(self.outbox.push(message))
    }

    /// Accepts a data frame that has no image in the peer's codec: in session mode the peer is told of a gap.
    ///
    /// # Errors
    /// Refuses it when the session is closing.
    pub fn send_missing(&mut self) -> Result<u64, Refused> {
        if self.state == State::Closed || self.closing.is_some() {
            return Err(Refused::Closed);
        }
        Ok(self.outbox.push_missing())
    }

    /// Whether a message of this size would be accepted without giving anything up. One message is, however big.
    pub fn has_room(&self, size: usize) -> bool {
        let occupied = self.outbox.occupied();
        occupied < self.buffer as usize
            && (occupied == 0 || self.outbox.bytes().saturating_add(size) <= self.config.buffer_bytes)
    }

    /// Closes: nothing more is accepted, what was accepted is delivered, then the close frame is written and answered.
    /// At `deadline` the session ends whatever is left.
    pub fn close(&mut self, reason: CloseReason, deadline: Instant) {
        if self.state == State::Closed || self.closing.is_some() {
            return;
        }
        if reason.discards_inbox() {
            self.inbox.discard();
        }
        self.closing = Some(Box::new(Closing { reason, deadline, sent: false }));
        if self.state != State::Connected && self.outbox.unacknowledged() == 0 {
            self.end_closing();
        }
    }

    /// Ends the session now. An attached socket is closed with the reason's close frame.
    pub fn end(&mut self, reason: CloseReason) {
        let Some(state) = self.state.after(Step::End) else {
            return;
        };
        self.state = state;
        tracing::debug!(%reason, unacknowledged = self.outbox.unacknowledged(), "session ended");
        if reason.discards_inbox() {
            self.inbox.discard();
        }
        self.closing = None;
        self.suspended_since = None;
        self.pongs = VecDeque::new();
        self.ended = Some(reason.clone());
        self.inbox.push(Event::Closed(reason));
    }

    /// Cuts the attached socket without a word. Returns whether there was one.
    pub fn cut(&mut self, now: Instant) -> bool {
        let attached = self.state == State::Connected;
        self.suspend(DropReason::Cut, now);
        attached
    }

    // --- sockets come

    /// A socket has asked for this session: its place in the order of those that ask.
    pub fn reserve(&mut self) -> Epoch {
        self.reserved.0 += 1;
        self.reserved
    }

    /// Whether a resume offer with this count can be (PROTOCOL.md §4, §5).
    ///
    /// # Errors
    /// Fails for a count beyond what was sent, or below what was acknowledged: HTTP 400, the session stays as it is.
    pub fn check_resume(&self, received: u64) -> Result<(), Violation> {
        self.outbox.check_ack(received).map_err(Violation::from)
    }

    /// Attaches a socket. One that is still attached is taken over: from now on it can do nothing.
    ///
    /// `received` is the count of a resume offer, on the server in session mode; `None` everywhere else.
    ///
    /// # Errors
    /// Fails when the session has ended, when a socket that asked later is already there, and for an impossible count; the
    /// session stays as it is.
    pub fn attach(&mut self, epoch: Epoch, received: Option<u64>, now: Instant) -> Result<(), AttachError> {
        let first = self.state == State::New;
        let was_connected = self.state == State::Connected;
        let state = self.state.after(Step::Attach).ok_or(AttachError::Closed)?;
        if epoch <= self.epoch {
            return Err(AttachError::Fenced);
        }
        //= PROTOCOL.md#4-counting: an offer acknowledges like `$ack`
        if let Some(received) = received {
            self.outbox.acknowledge(received).map_err(|bad| AttachError::Violation(bad.into()))?;
        }
        if was_connected {
            self.announce_drop(DropReason::TakenOver);
        }
        self.state = state;
        self.epoch = epoch;
        self.suspended_since = None;
        self.blocked_since = None;
        self.last_heard = now;
        self.ping = Ping::Idle;
        self.pongs.clear();
        self.reconnect = Reconnect::Backoff;
        if let Some(closing) = &mut self.closing {
            closing.sent = false;
        }
        // A client in session mode learns the server's count from `$open`.
        if self.config.side == Side::Server || self.config.mode == Mode::Plain {
            self.outbox.rewind(self.outbox.acked());
        }
        self.opened = self.config.mode == Mode::Plain;
        // A client is connected, or restored, when `$open` says so.
        if self.opened || self.config.side == Side::Server {
            self.announce(first);
        }
        Ok(())
    }

    fn announce(&mut self, first: bool) {
        if !first {
            self.resumed += 1;
        }
        // A session that is closing has an application that wants to hear no more of it.
        if self.closing.is_none() {
            self.inbox.push(if first { Event::Connected } else { Event::Restored });
        }
    }

    fn announce_drop(&mut self, why: DropReason) {
        // A client that was never told of a session, or not yet of its restoration, has nothing to miss.
        let told = self.opened || self.config.side == Side::Server;
        if self.closing.is_none() && told {
            self.inbox.push(Event::Dropped(why));
        }
    }

    /// How the socket of `epoch` stands to the session.
    pub fn standing(&self, epoch: Epoch) -> Standing {
        if epoch != self.epoch {
            //= PROTOCOL.md#7-closing: 4000 `taken over`
            return Standing::Leave(CloseFrame::new(4000, "taken over"));
        }
        match (self.state, &self.ended) {
            (State::Connected, _) => Standing::Attached,
            (State::Closed, Some(CloseReason::TransportLost(_))) => Standing::Gone,
            (State::Closed, Some(reason)) => Standing::Leave(reason.close_frame()),
            _ => Standing::Gone,
        }
    }

    // --- what a socket brings

    /// Something arrived on the socket, were it only a ping.
    pub fn handle_heard(&mut self, epoch: Epoch, now: Instant) {
        if epoch == self.epoch {
            self.last_heard = now;
            self.ping = Ping::Idle;
        }
    }

    /// A frame arrived that took `size` bytes on the wire.
    ///
    /// # Errors
    /// Fails when the peer broke the protocol: the driver then calls [`Self::handle_violation`] with 1002.
    pub fn handle_frame(
        &mut self,
        epoch: Epoch,
        frame: Frame,
        size: usize,
        now: Instant,
    ) -> Result<(), Violation> {
        if epoch != self.epoch || self.state != State::Connected {
            //= PROTOCOL.md#5-resuming: what arrives on it afterwards is neither counted nor delivered
            return Ok(());
        }
        if self.config.mode == Mode::Session {
            let control = if frame.is_reserved() { Control::parse(&frame)? } else { None };
            if self.config.side == Side::Client && !self.opened {
                return match control {
                    Some(Control::Open(open)) => self.handle_open(*open, now),
                    _ => Err(Violation("the first frame is not $open")),
                };
            }
            if frame.is_reserved() {
                return control.map_or(Ok(()), |control| self.handle_control(control, now));
            }
        }
        if self.closing.is_some() {
            // Not counted, so that the peer knows that nobody took it.
            return Ok(());
        }
        self.receiver.count(1, now);
        self.inbox.push_message(frame, size);
        Ok(())
    }

    fn handle_control(&mut self, control: Control, now: Instant) -> Result<(), Violation> {
        match control {
            Control::Open(_) => Err(Violation("$open where none can be")),
            Control::Ack(count) => self.outbox.acknowledge(count).map(|_| ()).map_err(Violation::from),
            Control::Gap(gap) => {
                if self.closing.is_some() {
                    // What came before it was not counted either.
                    return Ok(());
                }
                if gap.from != self.receiver.received() + 1 {
                    return Err(Violation("$gap does not follow what was received"));
                }
                self.receiver.count(gap.frames(), now);
                self.inbox.push(Event::Gap(gap));
                Ok(())
            }
            Control::Ping(value) => {
                // After our close frame no answer can follow, and unwritten ones would stop the reading.
                if !self.close_sent() {
                    self.pongs.push_back(value);
                }
                Ok(())
            }
            Control::Pong(_) => Ok(()),
        }
    }

    /// Client: the server's word on what session this is (PROTOCOL.md §5).
    fn handle_open(&mut self, open: Open, now: Instant) -> Result<(), Violation> {
        let known = self.resume_offer().is_some_and(|(token, _)| *token == open.session);
        if open.resumed {
            if !known {
                return Err(Violation("$open resumes a session that was not asked for"));
            }
            self.outbox.acknowledge(open.received)?;
            self.outbox.rewind(open.received);
            self.receiver.tell();
        } else {
            if open.received != 0 {
                return Err(Violation("a fresh session has received something"));
            }
            self.forget(open.lost);
            if self.state == State::Closed {
                return Ok(());
            }
        }
        let first = self.identity.is_none();
        self.identity = Some(Arc::new(SessionIdentity { token: open.session, id: open.id, room: open.room }));
        self.retired = false;
        self.peer_buffer = open.buffer.max(1);
        self.buffer = self.peer_buffer.min(self.config.buffer_frames);
        self.opened = true;
        self.last_heard = now;
        self.announce(first);
        Ok(())
    }

    /// The session that we had is no more: tells the application what was never acknowledged, and counts anew.
    fn forget(&mut self, reason: Option<LostReason>) {
        if self.identity.is_none() {
            // Nothing was ever opened; what is accepted already belongs to the session that begins.
            return;
        }
        if self.closing.is_some() {
            // There is nothing left that could be delivered; what is still kept counts as unacknowledged.
            self.end_closing();
            return;
        }
        let missing = self.outbox.unacknowledged();
        let unacknowledged = self.outbox.take_all();
        let dropped = missing - unacknowledged.len() as u64;
        self.receiver = Receiver::default();
        self.inbox.push(Event::Lost { reason, unacknowledged, dropped });
    }

    /// The peer broke a rule; `frame` says which, and is what closes the socket.
    pub fn handle_violation(&mut self, epoch: Epoch, frame: CloseFrame) {
        if epoch == self.epoch && self.state == State::Connected {
            self.reconnect = Reconnect::Never;
            self.end(match frame.code {
                1009 => CloseReason::TooBig,
                _ => CloseReason::Protocol(frame),
            });
        }
    }

    /// A close frame arrived. Returns the frame to answer with, and a last `$ack` to write before it.
    pub fn handle_close(
        &mut self,
        epoch: Epoch,
        frame: Option<CloseFrame>,
        now: Instant,
    ) -> (Option<u64>, Option<CloseFrame>) {
        let answer = frame.as_ref().map(|frame| CloseFrame::new(frame.code, ""));
        if epoch != self.epoch || self.state != State::Connected {
            return (None, answer);
        }
        let ack = self.last_ack();
        let code = frame.as_ref().map(|frame| frame.code);
        if let Some(closing) = &self.closing
            && closing.sent
            && code.is_none_or(|code| code == closing.reason.close_frame().code)
        {
            // The answer comes after everything that was written before our close frame has been read.
            let last = self.outbox.last();
            self.outbox.acknowledge(last).ok();
            self.end_closing();
            return (ack, answer);
        }
        match self.config.side {
            Side::Server => self.handle_close_from_client(frame, now),
            Side::Client => self.handle_close_from_server(frame, now),
        }
        (ack, answer)
    }

    /// What the peer still has to be told before a close frame, if it can be told.
    fn last_ack(&mut self) -> Option<u64> {
        let speaks = self.config.mode == Mode::Session && self.opened && !self.close_sent();
        (speaks && self.receiver.has_news()).then(|| self.receiver.tell())
    }

    fn close_sent(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.sent)
    }

    //= PROTOCOL.md#7-closing
    fn handle_close_from_client(&mut self, frame: Option<CloseFrame>, now: Instant) {
        match frame.as_ref().map(|frame| frame.code) {
            None | Some(1000) => self.end(CloseReason::Normal),
            Some(1002 | 1007 | 1008 | 1009) => {
                self.end(frame.map_or(CloseReason::Normal, CloseReason::Remote));
            }
            Some(_) => self.suspend(DropReason::Closed(frame), now),
        }
    }

    //= PROTOCOL.md#7-closing
    fn handle_close_from_server(&mut self, frame: Option<CloseFrame>, now: Instant) {
        let Some(close) = frame else {
            self.suspend(DropReason::Closed(None), now);
            return;
        };
        match close.code {
            1000 | 1002 | 1007 | 1008 | 1009 => {
                self.reconnect = Reconnect::Never;
                self.end(CloseReason::Remote(close));
            }
            4000 => {
                self.reconnect = Reconnect::Never;
                self.end(CloseReason::TakenOver);
            }
            code => {
                if code == 1012
                    && let Some(delay) = retry_delay(&close.reason)
                {
                    self.reconnect = Reconnect::After(delay);
                }
                self.suspend(DropReason::Closed(Some(close)), now);
                self.retired = matches!(code, 1001 | 1011);
            }
        }
    }

    /// The socket is gone: the stream ended, or reading or writing failed.
    pub fn handle_lost(&mut self, epoch: Epoch, why: DropReason, now: Instant) {
        if epoch == self.epoch {
            self.suspend(why, now);
        }
    }

    fn suspend(&mut self, why: DropReason, now: Instant) {
        let Some(state) = self.state.after(Step::Suspend) else {
            return;
        };
        self.blocked_since = None;
        self.pongs = VecDeque::new();
        let keeps = self.config.side == Side::Client || !self.config.resume_window.is_zero();
        if let Some(closing) = &self.closing
            && (!keeps || self.outbox.unacknowledged() == 0)
        {
            tracing::debug!(reason = %closing.reason, "socket gone while closing");
            self.end_closing();
            return;
        }
        if !keeps {
            self.end(CloseReason::TransportLost(why));
            return;
        }
        self.state = state;
        self.suspended_since = Some(now);
        self.outbox.detach();
        tracing::debug!(reason = %why, "session suspended");
        self.dropped = Some(Box::new(why.clone()));
        self.announce_drop(why);
        self.opened = false;
    }

    // --- what a socket takes

    /// The next thing that the socket of `epoch` is to write.
    pub fn poll_transmit(&mut self, epoch: Epoch, now: Instant) -> Option<Transmit> {
        if epoch != self.epoch || self.state != State::Connected {
            return None;
        }
        if self.close_sent() {
            return None;
        }
        if self.ping == Ping::Due {
            self.ping = Ping::Sent;
            return Some(Transmit::Ping);
        }
        if !self.opened {
            if self.config.side == Side::Client {
                return None;
            }
            self.opened = true;
            return Some(Transmit::Control(Control::Open(Box::new(self.open()))));
        }
        if let Some(value) = self.pongs.pop_front() {
            return Some(Transmit::Control(Control::Pong(value)));
        }
        if self.ack_at().is_some_and(|at| at <= now) {
            return Some(Transmit::Control(Control::Ack(self.receiver.tell())));
        }
        match self.outbox.next() {
            Some(Next::Data(message)) => Some(Transmit::Data(message)),
            Some(Next::Gap(gap)) => Some(Transmit::Control(Control::Gap(gap))),
            None => {
                self.closing.as_ref()?;
                if let Some(count) = self.last_ack() {
                    return Some(Transmit::Control(Control::Ack(count)));
                }
                let closing = self.closing.as_mut()?;
                closing.sent = true;
                Some(Transmit::Close(closing.reason.close_frame()))
            }
        }
    }

    /// The `$open` for the socket that was just attached.
    fn open(&mut self) -> Open {
        let identity =
            self.identity.as_ref().expect("a server's session in session mode is created with its identity");
        let mut open = Open::new(identity.token.clone(), &*identity.id, &*identity.room);
        open.resumed = self.resumed > 0;
        open.received = self.receiver.tell();
        // A window without bound has to survive a JavaScript peer, too.
        let window = self.config.resume_window.as_millis().min((1 << 53) - 1);
        open.window_ms = u64::try_from(window).expect("53 bits fit into 64");
        open.buffer = self.buffer;
        open.lost = self.lost.take();
        open
    }

    /// The socket's writing made progress: `frames` data frames are wholly written; `blocked` when it has more to write than
    /// it can.
    pub fn handle_written(
        &mut self,
        epoch: Epoch,
        frames: usize,
        progress: bool,
        blocked: bool,
        now: Instant,
    ) {
        if epoch != self.epoch || self.state != State::Connected {
            return;
        }
        self.outbox.written(frames);
        if !blocked {
            self.blocked_since = None;
        } else if progress || self.blocked_since.is_none() {
            self.blocked_since = Some(now);
        }
    }

    /// Whether the socket is to be read: the application keeps up, and so does the peer with the answers that it asks for.
    pub fn wants_read(&self) -> bool {
        // Once we are closing nothing is queued any more, and the answer to our close frame has to be seen.
        let full = self.inbox.is_full(self.config.inbox_frames, self.config.inbox_bytes);
        (!full || self.closing.is_some()) && self.pongs.len() < MAX_PONGS
    }

    // --- time

    /// When [`Self::handle_timeout`] is to be called next, if ever. It may come earlier than anything is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let closing = self.closing.as_ref().map(|closing| closing.deadline);
        let state = match self.state {
            State::New | State::Closed => None,
            State::Suspended => self.window_end(),
            State::Connected => {
                let heartbeat = self.last_heard
                    + match self.ping {
                        Ping::Idle => self.config.ping_interval,
                        Ping::Due | Ping::Sent => self.config.pong_timeout,
                    };
                let write = self.blocked_since.map(|since| since + self.config.write_timeout);
                // A blocked socket takes no acknowledgement before it moves again, and then it is looked at anyway.
                let ack = if write.is_some() { None } else { self.ack_at() };
                [Some(heartbeat), write, ack].into_iter().flatten().min()
            }
        };
        [state, closing].into_iter().flatten().min()
    }

    fn ack_at(&self) -> Option<Instant> {
        if self.config.mode == Mode::Plain || !self.opened || self.close_sent() {
            return None;
        }
        self.receiver.ack_at(self.peer_buffer, self.config.ack_delay)
    }

    fn window_end(&self) -> Option<Instant> {
        match self.config.side {
            Side::Client => None,
            // A window without end is a choice; it must not overflow the clock.
            Side::Server => self.suspended_since?.checked_add(self.config.resume_window),
        }
    }

    /// The time has come for something.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closing.as_ref().is_some_and(|closing| closing.deadline <= now) {
            self.end_closing();
        }
        match self.state {
            State::New | State::Closed => {}
            State::Suspended => {
                if self.window_end().is_some_and(|end| end <= now) {
                    self.end(CloseReason::WindowExpired);
                }
            }
            State::Connected => self.handle_socket_timeout(now),
        }
    }

    fn handle_socket_timeout(&mut self, now: Instant) {
        if self.blocked_since.is_some_and(|since| since + self.config.write_timeout <= now) {
            self.suspend(DropReason::WriteTimeout, now);
        } else if !self.wants_read() {
            // We are not listening: silence says nothing about the peer.
            self.last_heard = now;
            self.ping = Ping::Idle;
        } else if self.last_heard + self.config.pong_timeout <= now {
            self.suspend(DropReason::HeartbeatTimeout, now);
        } else if self.ping == Ping::Idle && self.last_heard + self.config.ping_interval <= now {
            self.ping = Ping::Due;
        }
    }

    fn end_closing(&mut self) {
        if let Some(closing) = self.closing.take() {
            self.end(closing.reason);
        }
    }

    // --- the application's side

    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.inbox.pop()
    }

    /// Data frames that count against the buffer's bound.
    pub fn occupied(&self) -> usize {
        self.outbox.occupied()
    }

    /// Whether there is something to tell the application.
    pub fn has_events(&self) -> bool {
        !self.inbox.is_empty()
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

    /// Whether the application may send this frame here.
    pub fn may_send(&self, frame: &Frame) -> bool {
        //= PROTOCOL.md#3-control-frames: an application cannot send such an event in session mode
        self.config.mode == Mode::Plain || !frame.is_reserved()
    }

    /// Why the session ended, once it has.
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.as_ref()
    }

    /// Why the last socket that was lost was, for a client that reports why it does not go on.
    pub fn dropped(&self) -> Option<&DropReason> {
        self.dropped.as_deref()
    }

    /// Client: how to go on after the socket is gone.
    pub fn reconnect(&self) -> Reconnect {
        self.reconnect
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
    pub fn resume_offer(&self) -> Option<(&Token, u64)> {
        let identity = self.identity.as_ref().filter(|_| !self.retired)?;
        Some((&identity.token, self.receiver.received()))
    }

    /// Ends everything that was accepted and not delivered, and returns it: for a client that gives up.
    pub fn take_unacknowledged(&mut self) -> Vec<Bytes> {
        self.outbox.take_all()
    }

    /// Frames in and out so far.
    pub fn counts(&self) -> Counts {
        Counts {
            received: self.receiver.received(),
            accepted: self.outbox.last(),
            dropped: self.outbox.dropped(),
            unacknowledged: self.outbox.unacknowledged(),
            retained_bytes: self.outbox.bytes(),
            resumed: self.resumed,
        }
    }
}

/// The delay in `retry in N ms` (PROTOCOL.md §7, 1012).
fn retry_delay(reason: &str) -> Option<Duration> {
    let number = reason.strip_prefix("retry in ")?.strip_suffix(" ms")?;
    number.parse().ok().map(Duration::from_millis)
}
