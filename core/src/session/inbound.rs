//! Received frames that the application has not taken.

use super::{CloseReason, Epoch, Session, SessionState};

impl Session {
    /// Bytes of data frames that were read and that the application has not taken: messages, answers, and frames that wait
    /// uncounted.
    pub fn inbound_bytes(&self) -> usize {
        let ahead = self.ahead.as_ref().map_or(0, |ahead| ahead.bytes());
        let answers = self.rare.as_ref().map_or(0, |rare| rare.questions.unread_bytes());
        self.events.bytes() + ahead + answers
    }

    /// Ends the session of a client that sends faster than it may. Frames before that are valid.
    //= PROTOCOL.md#R7.10: Frames that a side has acknowledged MUST reach its application
    pub fn handle_rate_exceeded(&mut self, epoch: Epoch) {
        if epoch == self.epoch && self.state == SessionState::Connected {
            self.count_all_ahead();
            self.end(CloseReason::RateExceeded);
        }
    }
}
