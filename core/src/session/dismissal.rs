//! Dismissing a socket: a draining server asks its peer to come back later, here or elsewhere.

use std::time::{Duration, Instant};

use super::{AttachmentState, CloseReason, DropReason, Epoch, Mode, Session, SessionState};

impl Session {
    /// Server: detaches the attached socket, which is to be closed with 1012 `retry in N ms`, and suspends the session. Returns
    /// whether a socket was detached; one of a session that is closing stays until it is closed.
    ///
    /// The driver gets a last `$ack` for the socket from [`Self::take_last_ack`].
    //= PROTOCOL.md#R7.24: with 1012 and the reason `retry in N ms`, and suspend the session
    pub fn dismiss(&mut self, retry_in: Duration, now: Instant) -> bool {
        if self.state != SessionState::Connected || self.closing.is_some() {
            return false;
        }
        // Frames that the peer need not send again.
        if self.outlives_socket() {
            self.count_before_suspension();
        } else {
            self.count_all_ahead();
        }
        let owes = self.config.mode == Mode::Session
            && self.opened
            && (self.receiver.has_unreported() || self.asked);
        self.suspend(DropReason::Draining { retry_in }, now);
        // Without a socket the flag has no other meaning, and attaching the next one resets it.
        self.asked = owes;
        true
    }

    /// The acknowledgement that a dismissed socket has to carry before its close frame.
    //= PROTOCOL.md#R7.6: it MUST acknowledge what it has received if it still can
    pub fn take_last_ack(&mut self, epoch: Epoch) -> Option<u64> {
        let is_detached = epoch == self.epoch && self.state != SessionState::Connected;
        (is_detached && self.asked).then(|| self.report_received())
    }

    /// When the peer was last heard from, if neither side waits for the other: the application has taken all messages, and all
    /// frames for the peer have arrived. `None` for a connection that is busy.
    pub fn idle_since(&self) -> Option<Instant> {
        let is_idle =
            self.events.is_empty() && self.ahead.is_none() && self.send_buffer.unacknowledged() == 0;
        is_idle.then_some(self.last_activity)
    }

    /// The state of a socket that was lost or dismissed for this reason.
    pub(super) fn left_by(why: Option<&DropReason>) -> AttachmentState {
        match why {
            Some(DropReason::Draining { retry_in }) => {
                AttachmentState::Leave(CloseReason::retry_frame(*retry_in))
            }
            _ => AttachmentState::Gone,
        }
    }
}
