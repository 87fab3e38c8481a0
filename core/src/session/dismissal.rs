//! Dismissing a socket while its session lives on: a draining server asks its peer to come back later, here or elsewhere; or the
//! client's credentials have expired, and it has to come back with fresh ones.

use std::time::{Duration, Instant};

use crate::CloseFrame;

use super::{AttachmentState, CloseReason, DropReason, Epoch, Session, SessionState};

impl Session {
    /// Server: detaches the attached socket, which is to be closed with 1012 `retry in N ms`, and suspends the session. Returns
    /// whether a socket was detached; one of a session that is closing stays until it is closed.
    ///
    /// The driver gets a last `$ack` for the socket from [`Self::take_last_ack`].
    //= PROTOCOL.md#R7.24: with 1012 and the reason `retry in N ms`, and suspend the session
    pub fn dismiss(&mut self, retry_in: Duration, now: Instant) -> bool {
        self.detach(DropReason::Draining { retry_in }, now)
    }

    /// Server: like [`Self::dismiss`], with [`CloseFrame::CREDENTIALS_EXPIRED`].
    pub fn expire_credentials(&mut self, now: Instant) -> bool {
        self.detach(DropReason::CredentialsExpired, now)
    }

    /// Server: like [`Self::dismiss`], with 1013: what the session has handled cannot be committed.
    pub fn dismiss_without_store(&mut self, now: Instant) -> bool {
        self.detach(DropReason::StoreDown, now)
    }

    /// Sets when the credentials expire with which the attached socket was opened. `None` is never. The next socket begins without.
    pub fn set_expiry(&mut self, at: Option<Instant>) {
        if at.is_some() {
            self.rare.get_or_insert_default().expires = at;
        } else if let Some(rare) = &mut self.rare {
            rare.expires = None;
            self.free_rare();
        }
    }

    /// When the credentials of the attached socket expire. `None` also for a session that is closing anyway.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.rare.as_ref()?.expires.filter(|_| self.closing.is_none())
    }

    fn detach(&mut self, why: DropReason, now: Instant) -> bool {
        if self.state != SessionState::Connected || self.closing.is_some() {
            return false;
        }
        // Frames that the peer need not send again.
        if self.outlives_socket() {
            self.count_before_suspension();
        } else {
            self.count_all_ahead();
        }
        let owes = self.owes_ack();
        self.suspend(why, now);
        // Without a socket the flag has no other meaning, and attaching the next one resets it.
        self.asked = owes;
        true
    }

    /// The acknowledgement that a dismissed socket, or one on which the peer broke the protocol, has to carry before its close frame.
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
            Some(DropReason::CredentialsExpired) => AttachmentState::Leave(CloseFrame::CREDENTIALS_EXPIRED),
            Some(DropReason::StoreDown) => {
                AttachmentState::Leave(CloseFrame::from_static(1013, "store unavailable"))
            }
            _ => AttachmentState::Gone,
        }
    }
}
