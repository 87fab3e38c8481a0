//! Attaching and losing sockets. At most one is attached: the one that was reserved last.

use std::time::Instant;

use crate::{CloseFrame, Token};

use super::asking::Asking;
use super::ping::Ping;
use super::state::Step;
use super::{
    CloseReason, DropReason, Epoch, Event, Mode, Reconnect, Session, SessionIdentity, SessionState, Side,
    Violation,
};

/// The relation of a socket to its session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a detached socket must be closed or dropped"]
#[allow(clippy::exhaustive_enums, reason = "a driver has to handle each")]
pub enum AttachmentState {
    /// The socket is attached to the session.
    Attached,
    /// The socket is detached and has to be closed with this frame. The session ignores further input from it.
    Leave(CloseFrame),
    /// The socket is lost; drop it without a close frame.
    Gone,
}

/// Why a socket could not be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// A socket that requested the session later was attached before.
    Fenced,
    /// The session has ended.
    Closed,
    /// The count in the resume offer is impossible.
    Violation(Violation),
}

impl Session {
    /// Reserves an epoch for a socket that requests this session. The order of reservations decides which socket prevails.
    pub fn reserve(&mut self) -> Epoch {
        self.reserved.0 += 1;
        self.reserved
    }

    /// Checks the count of a resume offer (PROTOCOL.md §4, §5).
    ///
    /// # Errors
    /// Fails if the count is beyond what was sent, or below what was acknowledged. The server then answers with HTTP 400, and
    /// the session is unchanged.
    pub fn check_resume(&self, received: u64) -> Result<(), Violation> {
        self.send_buffer.check_ack(received).map_err(Violation::from)
    }

    /// Server: takes over the token that the client has shown, for a session that was [revived](Self::revived) with another one. The
    /// caller has checked it.
    pub fn learn_token(&mut self, token: &Token) {
        if let Some(identity) = &mut self.identity
            && identity.token != *token
        {
            *identity =
                SessionIdentity::new(token.clone(), identity.id.clone(), identity.room.clone()).into();
        }
    }

    /// Attaches a socket. It takes over from one that is still attached, whose input is ignored from now on.
    ///
    /// `received` is the count of a resume offer, on a server in session mode; `None` otherwise.
    ///
    /// # Errors
    /// Fails if the session has ended, if a socket that requested the session later was attached before, or if `received` is
    /// impossible. The session is then unchanged.
    pub fn attach(&mut self, epoch: Epoch, received: Option<u64>, now: Instant) -> Result<(), AttachError> {
        let first = self.state == SessionState::New;
        let was_connected = self.state == SessionState::Connected;
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
        self.last_activity = now;
        self.ping = Ping::Idle;
        self.drop_socket_state();
        self.end_skipping();
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
        // A client in session mode learns the server's count from `$open`, and rewinds there.
        if self.config.side == Side::Server || self.config.mode == Mode::Plain {
            self.send_buffer.rewind(self.send_buffer.acked());
        }
        self.opened = self.config.mode == Mode::Plain;
        // A client in session mode is connected or restored only when `$open` arrives.
        if self.opened || self.config.side == Side::Server {
            self.announce(first);
        }
        Ok(())
    }

    /// Reports the attached socket to the application.
    pub(super) fn announce(&mut self, first: bool) {
        if !first {
            self.resumed = self.resumed.saturating_add(1);
        }
        // The application of a closing session gets no more events.
        if self.closing.is_none() {
            self.events.push(if first { Event::Connected } else { Event::Restored });
        }
    }

    fn note_drop(&mut self, why: DropReason) {
        self.drops = self.drops.saturating_add(1);
        self.dropped = Some(Box::new(why));
    }

    fn announce_drop(&mut self, why: DropReason) {
        // A client that has not reported this socket as connected or restored has no drop to report, either.
        let was_reported = self.opened || self.config.side == Side::Server;
        if self.closing.is_none() && was_reported {
            self.events.push(Event::Dropped(why));
        }
    }

    /// When the session lost its socket, while it waits for another.
    pub fn suspended_since(&self) -> Option<Instant> {
        self.suspended_since.filter(|_| self.state == SessionState::Suspended)
    }

    /// The relation of the socket of `epoch` to the session.
    pub fn attachment_state(&self, epoch: Epoch) -> AttachmentState {
        if epoch != self.epoch {
            //= PROTOCOL.md#R5.18: close the older socket with 4000 `taken over`
            return AttachmentState::Leave(CloseFrame::from_static(4000, "taken over"));
        }
        match (self.state, self.ended.as_deref()) {
            (SessionState::Connected, _) => AttachmentState::Attached,
            // The socket was lost before the session ended, even if its driver has not noticed yet.
            (SessionState::Closed, _) if self.suspended_since.is_some() => Self::left_by(self.dropped()),
            (SessionState::Closed, Some(CloseReason::TransportLost(why))) => Self::left_by(Some(why)),
            (SessionState::Closed, Some(reason)) => AttachmentState::Leave(reason.close_frame()),
            (SessionState::Suspended, _) if matches!(self.dropped(), Some(DropReason::SessionLost)) => {
                AttachmentState::Leave(CloseFrame::from_static(1000, "session lost"))
            }
            _ => Self::left_by(self.dropped()),
        }
    }

    /// Records that the driver has dropped a socket, after its last [`Self::handle_written`].
    pub fn handle_detached(&mut self, epoch: Epoch) {
        if epoch == self.epoch && self.state == SessionState::Suspended {
            self.send_buffer.detach();
        }
    }

    /// Handles a lost socket: the stream ended, or reading or writing failed.
    pub fn handle_lost(&mut self, epoch: Epoch, why: DropReason, now: Instant) {
        if epoch == self.epoch {
            self.suspend(why, now);
        }
    }

    /// Cuts the attached socket without a close frame. Returns whether one was attached.
    pub fn cut(&mut self, now: Instant) -> bool {
        let attached = self.state == SessionState::Connected;
        self.suspend(DropReason::Cut, now);
        attached
    }

    /// Whether the session survives the loss of its socket.
    pub(super) fn outlives_socket(&self) -> bool {
        self.config.side == Side::Client || !self.config.resume_window.is_zero()
    }

    /// Detaches the socket, if one is attached, and suspends or ends the session.
    pub(super) fn suspend(&mut self, why: DropReason, now: Instant) {
        let Some(state) = self.state.after(Step::Suspend) else {
            return;
        };
        self.note_drop(why.clone());
        self.blocked = None;
        self.drop_socket_state();
        let outlives_socket = self.outlives_socket();
        if self.closing.is_some() && (!outlives_socket || self.send_buffer.unacknowledged() == 0) {
            self.end_closing();
            return;
        }
        if !outlives_socket {
            // No socket can resume this session, so the peer cannot send the read-ahead frames again.
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
