//! [`Receiver`]: what arrived, and when to say so.

use std::time::{Duration, Instant};

/// Counts the data frames that arrive, and decides when to acknowledge them (PROTOCOL.md §4).
#[derive(Debug, Clone, Default)]
pub(super) struct Receiver {
    received: u64,
    /// Those of `received` that never came.
    gaps: u64,
    /// Bytes of the others.
    bytes: u64,
    /// The peer was told this count, by `$ack`, by a resume offer or by `$open`.
    told: u64,
    /// When the oldest data frame that the peer was not told of arrived.
    oldest_untold: Option<Instant>,
}

impl Receiver {
    /// All that counts while no socket is attached.
    pub(super) fn numbers(&self) -> [u64; 4] {
        [self.received, self.gaps, self.bytes, self.told]
    }

    /// One that has received nothing since this time.
    pub(super) fn of_numbers([received, gaps, bytes, told]: [u64; 4], since: Instant) -> Self {
        Self { received, gaps, bytes, told, oldest_untold: (received > told).then_some(since) }
    }

    /// A data frame of `size` bytes counts as received.
    pub(super) fn count_frame(&mut self, size: usize, now: Instant) {
        self.bytes += size as u64;
        self.count(1, now);
    }

    /// `frames` data frames that never come count as received.
    pub(super) fn count_gap(&mut self, frames: u64, now: Instant) {
        self.gaps += frames;
        self.count(frames, now);
    }

    fn count(&mut self, frames: u64, now: Instant) {
        self.received += frames;
        self.oldest_untold.get_or_insert(now);
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When an acknowledgement is due: at once after a quarter of `buffer`, `delay` after the oldest data frame otherwise.
    pub(super) fn ack_at(&self, buffer: u32, delay: Duration) -> Option<Instant> {
        let oldest = self.oldest_untold?;
        let enough = self.received - self.told >= u64::from(buffer / 4).max(1);
        Some(if enough { oldest } else { oldest + delay })
    }

    /// The peer has been told the present count. Returns it.
    pub(super) fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.oldest_untold = None;
        self.received
    }

    /// Whether there is something that the peer was not told.
    pub(super) fn has_news(&self) -> bool {
        self.received > self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(1);

    #[test]
    fn acknowledges_after_a_quarter_of_the_buffer_at_once() {
        let now = Instant::now();
        let mut receiver = Receiver::default();
        receiver.count_frame(1, now);
        assert_eq!(receiver.ack_at(8, DELAY), Some(now + DELAY));
        receiver.count_frame(1, now + DELAY / 2);
        assert_eq!(receiver.ack_at(8, DELAY), Some(now));
        assert_eq!(receiver.tell(), 2);
    }

    #[test]
    fn never_acknowledges_nothing_new() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.ack_at(1, DELAY), None);
        receiver.count_frame(1, Instant::now());
        receiver.tell();
        assert_eq!(receiver.ack_at(1, DELAY), None);
        assert!(!receiver.has_news());
    }

    #[test]
    fn a_buffer_of_one_acknowledges_each_frame() {
        let now = Instant::now();
        let mut receiver = Receiver::default();
        receiver.count_frame(1, now);
        assert_eq!(receiver.ack_at(1, DELAY), Some(now));
    }
}
