//! Eviction of frames for which there is no capacity.

use bytes::Bytes;

use crate::Gap;

use super::super::config::Mode;
use super::SendBuffer;
use super::evicted::EvictedInFlight;

impl SendBuffer {
    /// The frame that [`Self::evict_oldest`] evicts, and whether it was sent to the attached socket.
    pub(in super::super) fn oldest(&self) -> Option<(&Bytes, bool)> {
        let (index, offset) = self.evicted_next();
        let span = self.kept.get(index)?;
        Some((span.message(offset), span.first() + u64::from(offset) <= self.cursor))
    }

    fn evicted_next(&self) -> (usize, u32) {
        match self.mode {
            Mode::Session => (0, 0),
            Mode::Plain => self.first_after(self.cursor),
        }
    }

    /// Evicts the oldest frame; returns `false` if there is none to evict.
    ///
    /// In plain mode only unsent frames are evicted: a frame that is being written no longer counts against the buffer, and
    /// the socket has its bytes already.
    pub(in super::super) fn evict_oldest(&mut self) -> bool {
        let (index, offset) = self.evicted_next();
        let Some(span) = self.kept.get(index) else {
            return false;
        };
        let number = span.first() + u64::from(offset);
        self.bytes -= span.message(offset).len();
        self.frames -= 1;
        self.kept.remove_message(index, offset);
        if number <= self.cursor {
            self.in_flight -= 1;
            let (from, frames) =
                self.evicted_in_flight.as_ref().map_or((number, 0), |old| (old.range.from, old.frames));
            self.evicted_in_flight =
                Some(Box::new(EvictedInFlight { range: Gap::new(from, number), frames: frames + 1 }));
        } else {
            self.dropped += 1;
            if let Some(deliveries) = &mut self.deliveries {
                deliveries.dropped(number);
            }
        }
        true
    }
}
