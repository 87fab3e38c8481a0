//! `$open`: the first frame on every socket in session mode. The server writes it, the client handles it.

use std::sync::Arc;
use std::time::Instant;

use crate::control::MAX_COUNT;
use crate::{LostReason, Open};

use super::config::clamp;
use super::receiver::Receiver;
use super::send_buffer::BadAck;
use super::{Answer, DropReason, Event, Session, SessionIdentity, SessionState, Violation};

impl Session {
    /// Server: builds the `$open` for the socket that was just attached.
    pub(super) fn open(&mut self) -> Open {
        let identity =
            self.identity.as_ref().expect("a server's session in session mode is created with its identity");
        let mut open = Open::new(identity.token.clone(), &*identity.id, &*identity.room);
        open.resumed = self.resumed > 0;
        self.begin_skipping();
        open.received = self.report_received();
        // A JavaScript peer has to be able to represent even an unlimited window.
        let window = self.config.resume_window.as_millis().min(MAX_COUNT.into());
        open.window_ms = u64::try_from(window).expect("53 bits fit into a u64");
        open.buffer = self.buffer;
        open.buffer_bytes = (self.config.buffer_bytes as u64).min(MAX_COUNT);
        open.max_message = (self.config.max_message as u64).min(MAX_COUNT);
        open.lost = self.lost.take();
        open
    }

    /// Client: handles the server's `$open`.
    //= PROTOCOL.md#5-resuming
    pub(super) fn handle_open(&mut self, open: Open, now: Instant) -> Result<(), Violation> {
        if open.resumed {
            if self.token() != Some(&open.session) {
                return Err(Violation("$open resumes a session that was not offered"));
            }
            match self.send_buffer.acknowledge(open.received) {
                Ok(_) => {}
                Err(BadAck::Backwards) => {
                    self.abandon(now);
                    return Ok(());
                }
                Err(beyond) => return Err(beyond.into()),
            }
            self.send_buffer.rewind(open.received);
            self.receiver.report();
        } else {
            if open.received != 0 {
                return Err(Violation("a fresh session has a `received` other than 0"));
            }
            // If the server names no reason, keep the client's own finding about a session that it retired.
            self.lost = open.lost.or_else(|| self.lost.filter(|_| self.retired));
            self.forget(self.lost);
            if self.state == SessionState::Closed {
                return Ok(());
            }
        }
        let first = self.identity.is_none();
        self.identity = Some(Arc::new(SessionIdentity::new(open.session, open.id, open.room)));
        self.retired = false;
        // The same range as the server's option. It also bounds our `ReadAhead`: the server has at most this many frames
        // unacknowledged.
        self.peer_buffer = open.buffer.clamp(1, 65_536);
        self.peer_buffer_bytes = clamp(open.buffer_bytes).max(1);
        self.buffer = self.peer_buffer.min(self.config.buffer_frames);
        self.set_peer_max(open.max_message);
        self.opened = true;
        self.announce(first);
        Ok(())
    }

    /// Client: the server no longer has frames that it acknowledged, so the session is lost. The socket is closed with 1000,
    /// which ends the session on the server, and the next dial asks for a fresh session.
    //= PROTOCOL.md#R5.13: MUST take the session for lost
    fn abandon(&mut self, now: Instant) {
        if self.closing.is_some() {
            self.end_closing();
        } else {
            self.retired = true;
            self.lost = Some(LostReason::Unknown);
            self.suspend(DropReason::SessionLost, now);
        }
    }

    /// The previous session is lost: reports its unacknowledged messages to the application and restarts the counts.
    fn forget(&mut self, reason: Option<LostReason>) {
        if self.identity.is_none() {
            // No session was ever opened; frames accepted so far belong to the one that begins now.
            return;
        }
        if self.closing.is_some() {
            // Nothing can be delivered any more; frames that are still kept count as unacknowledged.
            self.end_closing();
            return;
        }
        let missing = self.send_buffer.unacknowledged();
        let unacknowledged = self.send_buffer.take_all();
        let dropped = missing - unacknowledged.len() as u64;
        self.receiver = Receiver::default();
        self.drop_volatile();
        self.end_questions(&Answer::SessionLost);
        self.events.push(Event::Lost { reason, unacknowledged, dropped });
    }
}
