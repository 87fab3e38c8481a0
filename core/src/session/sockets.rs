//! Sockets come and go: at most one is attached, the one that asked last.

use std::time::Instant;

use crate::CloseFrame;

use super::asking::Asking;
use super::incoming::Violation;
use super::state::Step;
use super::timeout::Ping;
use super::{CloseReason, DropReason, Event, Mode, Reconnect, Session, Side, State};

/// Which of a session's sockets, in the order in which they asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub(super) u64);

/// How a socket stands to its session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a socket that is no longer the session's must be let go"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum AttachmentState {
    /// It is the session's.
    Attached,
    /// It is to be closed with this frame; nothing that it brings counts any more.
    Leave(CloseFrame),
    /// It is lost: to be dropped without a word.
    Gone,
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

impl Session {
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
        self.send_buffer.check_ack(received).map_err(Violation::from)
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
        //= PROTOCOL.md#R4.18: N in a resume offer… acknowledge like `$ack`
        if let Some(received) = received {
            self.send_buffer.acknowledge(received).map_err(|bad| AttachError::Violation(bad.into()))?;
        }
        if was_connected {
            self.note_drop(DropReason::TakenOver);
            self.announce_drop(DropReason::TakenOver);
        }
        self.state = state;
        self.epoch = epoch;
        self.suspended_since = None;
        self.blocked = None;
        self.last_heard = now;
        self.ping = Ping::Idle;
        self.pongs = None;
        self.asked = false;
        self.asking = Asking::default();
        if self.send_buffer.has_deliveries() {
            self.asking.want();
        }
        //= PROTOCOL.md#R5.19: neither count nor deliver what was read from the older socket but not yet counted
        self.ahead = None;
        self.reconnect = Reconnect::Backoff;
        if let Some(closing) = &mut self.closing {
            closing.sent = false;
        }
        // A client in session mode learns the server's count from `$open`.
        if self.config.side == Side::Server || self.config.mode == Mode::Plain {
            self.send_buffer.rewind(self.send_buffer.acked());
        }
        self.opened = self.config.mode == Mode::Plain;
        // A client is connected, or restored, when `$open` says so.
        if self.opened || self.config.side == Side::Server {
            self.announce(first);
        }
        Ok(())
    }

    /// Tells the application that a socket is there.
    pub(super) fn announce(&mut self, first: bool) {
        if !first {
            self.resumed = self.resumed.saturating_add(1);
        }
        // A session that is closing has an application that wants to hear no more of it.
        if self.closing.is_none() {
            self.events.push(if first { Event::Connected } else { Event::Restored });
        }
    }

    fn note_drop(&mut self, why: DropReason) {
        self.drops = self.drops.saturating_add(1);
        self.dropped = Some(Box::new(why));
    }

    fn announce_drop(&mut self, why: DropReason) {
        // A client that was never told of a session, or not yet of its restoration, has nothing to miss.
        let told = self.opened || self.config.side == Side::Server;
        if self.closing.is_none() && told {
            self.events.push(Event::Dropped(why));
        }
    }

    /// How the socket of `epoch` stands to the session.
    pub fn standing(&self, epoch: Epoch) -> AttachmentState {
        if epoch != self.epoch {
            //= PROTOCOL.md#R5.18: close the older socket with 4000 `taken over`
            return AttachmentState::Leave(CloseFrame::new(4000, "taken over"));
        }
        match (self.state, self.ended.as_deref()) {
            (State::Connected, _) => AttachmentState::Attached,
            // It was lost before the session ended, even if its driver has not seen so yet.
            (State::Closed, _) if self.suspended_since.is_some() => AttachmentState::Gone,
            (State::Closed, Some(CloseReason::TransportLost(_))) => AttachmentState::Gone,
            (State::Closed, Some(reason)) => AttachmentState::Leave(reason.close_frame()),
            (State::Suspended, _) if matches!(self.dropped(), Some(DropReason::SessionLost)) => {
                AttachmentState::Leave(CloseFrame::new(1000, "session lost"))
            }
            _ => AttachmentState::Gone,
        }
    }

    /// The driver has let go of a socket: [`Self::handle_written`] is not called for it any more.
    pub fn handle_left(&mut self, epoch: Epoch) {
        if epoch == self.epoch && self.state == State::Suspended {
            self.send_buffer.detach();
        }
    }

    /// The socket is gone: the stream ended, or reading or writing failed.
    pub fn handle_lost(&mut self, epoch: Epoch, why: DropReason, now: Instant) {
        if epoch == self.epoch {
            self.suspend(why, now);
        }
    }

    /// Cuts the attached socket without a word. Returns whether there was one.
    pub fn cut(&mut self, now: Instant) -> bool {
        let attached = self.state == State::Connected;
        self.suspend(DropReason::Cut, now);
        attached
    }

    /// Whether a socket that is lost leaves the session alive.
    pub(super) fn outlives_socket(&self) -> bool {
        self.config.side == Side::Client || !self.config.resume_window.is_zero()
    }

    /// The attached socket, if there is one, is the session's no more.
    pub(super) fn suspend(&mut self, why: DropReason, now: Instant) {
        let Some(state) = self.state.after(Step::Suspend) else {
            return;
        };
        self.note_drop(why.clone());
        self.blocked = None;
        self.pongs = None;
        let keeps = self.outlives_socket();
        if self.closing.is_some() && (!keeps || self.send_buffer.unacknowledged() == 0) {
            self.end_closing();
            return;
        }
        if !keeps {
            // Nobody comes to send it again.
            self.count_all_ahead();
            self.end(CloseReason::TransportLost(why));
            return;
        }
        self.state = state;
        self.suspended_since = Some(now);
        self.ahead = None;
        self.announce_drop(why);
        self.opened = false;
    }
}
