//! Timers: acknowledgements, heartbeat, write timeout, expiry of credentials, resume window and close deadline.

use std::time::Instant;

use super::ping::Ping;
use super::{CloseReason, DropReason, Mode, Session, SessionState, Side};

impl Session {
    /// When to call [`Self::handle_timeout`] next; `None` if never. It may be earlier than anything is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let closing = self.closing.as_ref().map(|closing| closing.deadline);
        let state = match self.state {
            SessionState::New | SessionState::Closed => None,
            SessionState::Suspended => self.window_end(),
            SessionState::Connected => {
                let heartbeat = match self.ping {
                    Ping::Idle => self.last_activity + self.config.ping_interval,
                    Ping::Due | Ping::Sent => self.last_activity + self.config.pong_timeout,
                };
                let write = self.blocked.as_ref().map(|blocked| blocked.due(self.config.write_timeout));
                // A blocked socket cannot take an acknowledgement; when it takes bytes again, the session is polled anyway.
                let ack = if write.is_some() { None } else { self.ack_at() };
                [Some(heartbeat), write, ack, self.look_at(), self.expiry()].into_iter().flatten().min()
            }
        };
        [state, closing].into_iter().flatten().min()
    }

    /// When the attached socket has to write an acknowledgement.
    pub(super) fn ack_at(&self) -> Option<Instant> {
        if self.config.mode == Mode::Plain || !self.opened || self.close_sent() {
            return None;
        }
        if self.asked {
            // Immediately: the request arrived then.
            return Some(self.last_activity);
        }
        self.receiver.ack_at(self.peer_buffer, self.peer_buffer_bytes, self.config.ack_delay)
    }

    /// Whether nothing has to be done before another socket is attached, the application acts, or the resume window ends.
    pub fn can_hibernate(&self) -> bool {
        self.state == SessionState::Suspended
            && self.closing.is_none()
            && self.events.is_empty()
            && !self.has_discarded()
            && self.uncommitted() == 0
    }

    fn window_end(&self) -> Option<Instant> {
        match self.config.side {
            Side::Client => None,
            // The window may be unlimited; adding it must not overflow the clock.
            Side::Server => self.suspended_since?.checked_add(self.config.resume_window),
        }
    }

    /// Handles all timers that have expired by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closing.as_ref().is_some_and(|closing| closing.deadline <= now) {
            self.end_closing();
        }
        match self.state {
            SessionState::New | SessionState::Closed => {}
            SessionState::Suspended => {
                if self.window_end().is_some_and(|end| end <= now) {
                    self.end(CloseReason::WindowExpired);
                }
            }
            SessionState::Connected => self.handle_socket_timeout(now),
        }
    }

    //= PROTOCOL.md#R8.2: ping a socket on which nothing arrived
    fn handle_socket_timeout(&mut self, now: Instant) {
        let timeout = self.config.write_timeout;
        self.note_look(now);
        if self.expiry().is_some_and(|at| at <= now) {
            self.expire_credentials(now);
        } else if self.blocked.as_ref().is_some_and(|blocked| blocked.is_lost(timeout, now)) {
            self.suspend(DropReason::WriteTimeout, now);
        } else if !self.wants_read() {
            // We are not reading, so silence says nothing about the peer.
            self.last_activity = now;
            self.ping = Ping::Idle;
        } else if self.last_activity + self.config.pong_timeout <= now {
            self.suspend(DropReason::HeartbeatTimeout, now);
        } else if self.ping == Ping::Idle && self.last_activity + self.config.ping_interval <= now {
            self.ping = Ping::Due;
        }
    }
}
