//! [`Receiver`]: counts received data frames and paces their acknowledgements.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::config::clamp;

/// Counts of the data frames that were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReceivedCounts {
    /// Data frames received, including those that the peer reported as gaps.
    pub frames: u64,
    /// Bytes of the data frames that arrived.
    pub bytes: u64,
    /// The part of `frames` that the peer reported as gaps.
    pub gaps: u64,
}

/// Counts received data frames and decides when to acknowledge them (PROTOCOL.md §4).
#[derive(Debug, Clone, Default)]
pub(super) struct Receiver {
    received: ReceivedCounts,
    /// The part of `received` that was not yet reported to the peer by `$ack`, in a resume offer or in `$open`, and its bytes.
    /// Both saturate.
    unreported: u32,
    unreported_bytes: u32,
    /// When the oldest unreported data frame arrived.
    oldest_unreported: Option<Instant>,
}

impl Receiver {
    /// Creates the receiver of a session without a socket. The next socket begins with a report of the whole count, in `$open` or
    /// in the resume offer, so nothing is left to acknowledge.
    pub(super) fn new(received: ReceivedCounts) -> Self {
        Self { received, ..Self::default() }
    }

    /// The counts. A session without a socket needs nothing else of its receiver.
    pub(super) fn counts(&self) -> ReceivedCounts {
        self.received
    }

    /// Counts a data frame of `size` bytes as received.
    pub(super) fn count_frame(&mut self, size: usize, now: Instant) {
        self.received.bytes = self.received.bytes.saturating_add(size as u64);
        self.unreported_bytes = self.unreported_bytes.saturating_add(clamp(size as u64));
        self.count(1, now);
    }

    /// Counts a gap of `frames` data frames as received.
    pub(super) fn count_gap(&mut self, frames: u64, now: Instant) {
        // Cannot overflow: a gap begins after the frames counted so far and ends below 2^53, so all gaps together stay
        // below 2^53.
        self.received.gaps += frames;
        self.count(frames, now);
    }

    fn count(&mut self, frames: u64, now: Instant) {
        self.received.frames += frames;
        self.unreported = self.unreported.saturating_add(clamp(frames));
        self.oldest_unreported.get_or_insert(now);
    }

    /// Lets these frames and bytes be reported, which were received before and [held](Self::hold) until now.
    pub(super) fn release(&mut self, frames: u64, bytes: u64, now: Instant) {
        if frames > 0 {
            self.unreported = self.unreported.saturating_add(clamp(frames));
            self.unreported_bytes = self.unreported_bytes.saturating_add(clamp(bytes));
            self.oldest_unreported.get_or_insert(now);
        }
    }

    /// Counts frames as received, without reporting them: [`Self::release`] does that later.
    pub(super) fn hold(&mut self, frames: u64, bytes: usize, gaps: u64) {
        self.received.frames += frames;
        self.received.bytes = self.received.bytes.saturating_add(bytes as u64);
        self.received.gaps += gaps;
    }

    pub(super) fn received(&self) -> u64 {
        self.received.frames
    }

    /// When an acknowledgement is due: immediately once a quarter of the peer's buffer is unreported, otherwise `delay` after
    /// the oldest unreported frame arrived.
    pub(super) fn ack_at(&self, buffer: u32, buffer_bytes: u32, delay: Duration) -> Option<Instant> {
        let oldest = self.oldest_unreported?;
        let enough = self.unreported >= buffer / 4 || self.unreported_bytes >= buffer_bytes / 4;
        Some(if enough { oldest } else { oldest + delay })
    }

    /// Marks everything received so far as reported to the peer, unless it is held.
    pub(super) fn report(&mut self) {
        (self.unreported, self.unreported_bytes) = (0, 0);
        self.oldest_unreported = None;
    }

    /// Whether the peer has not been informed of the latest count.
    pub(super) fn has_unreported(&self) -> bool {
        self.unreported > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(1);
    const MANY: u32 = u32::MAX;

    #[test]
    fn acknowledges_after_a_quarter_of_the_buffer() {
        let now = Instant::now();
        let mut receiver = Receiver::default();
        receiver.count_frame(1, now);
        assert_eq!(receiver.ack_at(8, MANY, DELAY), Some(now + DELAY));
        receiver.count_frame(1, now + DELAY / 2);
        assert_eq!(receiver.ack_at(8, MANY, DELAY), Some(now));
        assert_eq!(receiver.ack_at(11, MANY, DELAY), Some(now), "a quarter is rounded down");
        assert_eq!(receiver.ack_at(12, MANY, DELAY), Some(now + DELAY));
        receiver.report();
        assert!(!receiver.has_unreported());
    }

    #[test]
    fn acknowledges_after_a_quarter_of_the_bytes() {
        let now = Instant::now();
        let mut receiver = Receiver::default();
        receiver.count_frame(99, now);
        assert_eq!(receiver.ack_at(1000, 400, DELAY), Some(now + DELAY));
        receiver.count_frame(1, now + DELAY / 2);
        assert_eq!(receiver.ack_at(1000, 400, DELAY), Some(now));
        assert_eq!(receiver.ack_at(1000, 403, DELAY), Some(now), "a quarter is rounded down");
        assert_eq!(receiver.ack_at(1000, 404, DELAY), Some(now + DELAY));
        receiver.report();
        receiver.count_frame(99, now);
        assert_eq!(receiver.ack_at(1000, 400, DELAY), Some(now + DELAY), "the count restarts");
    }

    #[test]
    fn counters_saturate() {
        let now = Instant::now();
        let mut receiver = Receiver::default();
        receiver.count_gap((1 << 53) - 1, now);
        receiver.count_frame(usize::MAX, now);
        receiver.count_frame(usize::MAX, now);
        assert_eq!(receiver.ack_at(u32::MAX, u32::MAX, DELAY), Some(now));
        assert_eq!((receiver.received(), receiver.counts().gaps), ((1 << 53) + 1, (1 << 53) - 1));
    }

    #[test]
    fn unreported_counters_saturate_but_totals_do_not() {
        let now = Instant::now();
        let mut receiver = Receiver::default();
        receiver.count_frame(u32::MAX as usize, now);
        receiver.count_frame(1, now);
        assert_eq!(receiver.unreported_bytes, u32::MAX);
        assert_eq!(receiver.counts().bytes, 1 << 32, "all of them");
        receiver.count_gap(u32::MAX.into(), now);
        assert_eq!(receiver.unreported, u32::MAX);
    }

    #[test]
    fn never_acknowledges_nothing_new() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.ack_at(1, 1, DELAY), None);
        receiver.release(0, 0, Instant::now());
        assert_eq!(receiver.ack_at(1, 1, DELAY), None);
        receiver.count_frame(1, Instant::now());
        receiver.report();
        assert_eq!(receiver.ack_at(1, 1, DELAY), None);
        assert!(!receiver.has_unreported());
    }

    #[test]
    fn a_buffer_of_one_acknowledges_each_frame() {
        let now = Instant::now();
        let mut receiver = Receiver::default();
        receiver.count_frame(0, now);
        assert_eq!(receiver.ack_at(1, MANY, DELAY), Some(now));
    }
}
