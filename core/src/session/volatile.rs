//! Volatile frames (PROTOCOL.md §12): they have no number, and wait for the attached socket alone.

use std::sync::Arc;

use bytes::Bytes;

use super::{Refused, Session, SessionState, Transmit};

impl Session {
    /// Accepts a volatile data frame, encoded in the form that the transport takes. It is written after the data frames that were
    /// accepted before it, and replaces a waiting one with the same key. Returns whether it waits for the socket: without an
    /// attached socket it is dropped and [counted](super::Counts::volatile_dropped).
    ///
    /// # Errors
    /// Fails if the session is closing or has ended, and if the peer does not accept a message of this size.
    //= PROTOCOL.md#R12.2: MUST NOT number, keep, acknowledge or replay a volatile frame
    pub fn send_volatile(&mut self, message: Bytes, key: Option<Arc<str>>) -> Result<bool, Refused> {
        if !self.is_open() {
            return Err(Refused::Closed);
        }
        self.check_size(message.len())?;
        if self.state != SessionState::Connected {
            self.count_volatile_dropped(1);
            return Ok(false);
        }
        let after = self.send_buffer.accepted();
        let (limit, bytes) = (self.buffer as usize, self.buffer_bytes());
        let rare = self.rare.get_or_insert_default();
        let removed = rare.volatile.get_or_insert_default().push(after, key, message, limit, bytes);
        rare.volatile_dropped += removed as u64;
        Ok(true)
    }

    /// Like [`Self::send_volatile`], for a message that other sessions get, too: one that is larger than the peer accepts is dropped
    /// and counted.
    pub fn relay_volatile(&mut self, message: Bytes, key: Option<Arc<str>>) {
        if let Err(Refused::TooBig { .. }) = self.send_volatile(message, key) {
            self.count_volatile_dropped(1);
        }
    }

    /// Returns the next volatile frame, unless data frames before it are unsent.
    pub(super) fn transmit_volatile(&mut self) -> Option<Transmit> {
        let after = self.volatile_after()?;
        if self.send_buffer.first_unsent().is_some_and(|number| number <= after) {
            return None;
        }
        let rare = self.rare.as_mut()?;
        let queue = rare.volatile.as_mut()?;
        let message = queue.pop()?.message;
        if queue.len() == 0 {
            rare.volatile = None;
        }
        self.sent.frames += 1;
        self.sent.bytes += message.len() as u64;
        self.free_rare();
        Some(Transmit::Volatile(message))
    }

    /// The number of the data frame after which a volatile frame is due.
    fn volatile_after(&self) -> Option<u64> {
        self.rare.as_ref()?.volatile.as_ref()?.first_after()
    }

    /// The number of data frames that may be written before a volatile frame is due. Called when none is due now.
    pub(super) fn before_volatile(&self) -> u32 {
        let frames = self.volatile_after().zip(self.send_buffer.first_unsent());
        frames.map_or(u32::MAX, |(after, first)| u32::try_from(after + 1 - first).unwrap_or(u32::MAX))
    }

    /// Drops the waiting volatile frames.
    pub(super) fn drop_volatile(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.drop_volatile();
        }
    }

    /// Counts volatile frames that were dropped.
    pub fn count_volatile_dropped(&mut self, frames: u64) {
        if frames > 0 {
            self.rare.get_or_insert_default().volatile_dropped += frames;
        }
    }

    /// Number of volatile frames that were dropped, in both directions.
    pub(super) fn volatile_dropped(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.volatile_dropped)
    }
}
