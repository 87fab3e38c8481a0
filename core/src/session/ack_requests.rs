//! Requests for an acknowledgement (`$sync`) on the attached socket.

use crate::Control;

use super::asking::Asking;
use super::{Mode, Session, Side, Transmit};

impl Session {
    /// Returns `$sync` if every pending data frame was sent and an acknowledgement is wanted.
    pub(super) fn transmit_sync(&mut self) -> Option<Transmit> {
        // The peer acknowledges before it answers our close frame anyway.
        if self.config.mode == Mode::Plain || self.closing.is_some() {
            return None;
        }
        if self.is_half_full() {
            self.asking.want_any();
        }
        if self.asking != Asking::Due {
            return None;
        }
        if !self.send_buffer.awaits_ack() {
            self.asking = Asking::Idle;
            return None;
        }
        self.asking = Asking::Sent;
        Some(Transmit::Control(Control::Sync))
    }

    /// Whether half of our buffer is unacknowledged and our limits are below those that pace the peer's acknowledgements.
    //= PROTOCOL.md#R4.26: A sender whose own limits are below `buffer` or `buffer_bytes`
    fn is_half_full(&self) -> bool {
        self.keeps_less()
            && (2 * self.send_buffer.occupied() >= self.buffer as usize
                || self.send_buffer.occupied_bytes() >= self.buffer_bytes() / 2)
    }

    /// Whether our limits are below those that pace the peer's acknowledgements.
    pub(super) fn keeps_less(&self) -> bool {
        // A server announces its own limits.
        self.config.side == Side::Client
            && (self.buffer < self.peer_buffer || self.config.buffer_bytes < self.peer_buffer_bytes as usize)
    }

    /// Maximum number of bytes kept for the peer.
    pub(super) fn buffer_bytes(&self) -> usize {
        match self.config.side {
            Side::Server => self.config.buffer_bytes,
            Side::Client => self.config.buffer_bytes.min(self.peer_buffer_bytes as usize),
        }
    }
}
