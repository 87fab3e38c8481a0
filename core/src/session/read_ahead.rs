//! [`ReadAhead`]: frames that were read while the event queue was full.

use std::collections::VecDeque;
use std::time::Instant;

use crate::{Frame, Gap};

/// Data frames and gaps that arrived on the attached socket while the event queue was full, in order.
///
/// Reading continues so that control frames behind the data are handled: a sender that waits for capacity in its send buffer
/// waits for an acknowledgement, which may follow more data than the event queue holds. The entries are not counted as
/// received, so losing them together with their socket loses nothing: the peer sends them again on the next socket.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadAhead {
    entries: VecDeque<(Inbound, Instant)>,
    /// Number of data frames among the entries, without volatile ones.
    frames: usize,
    /// Number of volatile frames among the entries.
    volatile: usize,
    /// Bytes of all data frames, without volatile ones.
    bytes: usize,
    /// How much the entries will add to the count of received frames.
    numbers: u64,
    /// Whether a `$sync` followed the entries, which asks for their acknowledgement, too.
    pub(super) asked: bool,
}

/// The most volatile frames among the entries.
const MAX_VOLATILE: usize = 64;

/// Inbound data. Unless it is volatile, it takes one or more of the peer's frame numbers.
#[derive(Debug, Clone)]
pub(super) enum Inbound {
    /// A data frame and its size on the wire, in bytes.
    Frame(Frame, usize),
    Gap(Gap),
}

impl Inbound {
    fn is_volatile(&self) -> bool {
        matches!(self, Self::Frame(frame, _) if frame.is_volatile())
    }
}

impl ReadAhead {
    /// Appends a frame or gap that arrived at `now`. Beyond [`MAX_VOLATILE`] frames the oldest volatile one is dropped: waiting for
    /// the application would stop the reading. Returns the number of dropped frames.
    pub(super) fn push(&mut self, arrived: Inbound, now: Instant) -> u64 {
        let mut dropped = 0;
        match &arrived {
            Inbound::Frame(frame, _) if frame.is_volatile() => {
                let oldest = |(entry, _): &(Inbound, Instant)| entry.is_volatile();
                if self.volatile == MAX_VOLATILE
                    && let Some(index) = self.entries.iter().position(oldest)
                {
                    self.entries.remove(index);
                    self.volatile -= 1;
                    dropped = 1;
                }
                self.volatile += 1;
            }
            Inbound::Frame(_, size) => {
                self.frames += 1;
                self.bytes += size;
                self.numbers += 1;
            }
            Inbound::Gap(gap) => {
                self.numbers += gap.frames();
                if let Some((Inbound::Gap(last), _)) = self.entries.back_mut() {
                    *last = Gap::new(last.from, gap.to);
                    return 0;
                }
            }
        }
        self.entries.push_back((arrived, now));
        dropped
    }

    /// Removes and returns the oldest entry and its time of arrival.
    pub(super) fn pop(&mut self) -> Option<(Inbound, Instant)> {
        let (arrived, at) = self.entries.pop_front()?;
        match &arrived {
            Inbound::Frame(..) if arrived.is_volatile() => self.volatile -= 1,
            Inbound::Frame(_, size) => {
                self.frames -= 1;
                self.bytes -= size;
                self.numbers -= 1;
            }
            Inbound::Gap(gap) => self.numbers -= gap.frames(),
        }
        Some((arrived, at))
    }

    /// The peer has cancelled the question with this id.
    pub(super) fn cancel(&mut self, id: &str) {
        for (arrived, _) in &mut self.entries {
            if let Inbound::Frame(frame, _) = arrived
                && frame.id() == id
            {
                frame.cancel();
            }
        }
    }

    /// Bytes of all data frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much the entries will add to the count of received frames.
    pub(super) fn numbers(&self) -> u64 {
        self.numbers
    }

    /// Whether the entries exceed what a peer can send that keeps `buffer` frames or `bytes` and waits for acknowledgements.
    ///
    /// Such a peer has at most `buffer` unacknowledged frames under way, with a gap before, between and after them. Their total
    /// size is at most `bytes`, unless it is a single larger frame. Reaching this limit exactly is fine, because the awaited
    /// acknowledgement may be the next frame.
    pub(super) fn is_over(&self, buffer: u32, bytes: usize) -> bool {
        let buffer = buffer as usize;
        self.frames > buffer
            || (self.bytes > bytes && self.frames > 1)
            || self.entries.len() - self.volatile > buffer.saturating_mul(2).saturating_add(1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(frames: usize, size: usize) -> ReadAhead {
        let mut ahead = ReadAhead::default();
        for _ in 0..frames {
            ahead.push(Inbound::Frame(Frame::default(), size), Instant::now());
        }
        ahead
    }

    #[test]
    fn entries_come_in_order_with_their_times() {
        let start = Instant::now();
        let later = start + std::time::Duration::from_secs(1);
        let mut ahead = ReadAhead::default();
        ahead.push(Inbound::Frame(Frame::event_only("1"), 7), start);
        ahead.push(Inbound::Gap(Gap::new(2, 4)), later);
        assert_eq!(ahead.numbers(), 4);
        assert!(
            matches!(ahead.pop(), Some((Inbound::Frame(frame, 7), at)) if frame.event() == "1" && at == start)
        );
        assert!(matches!(ahead.pop(), Some((Inbound::Gap(gap), at)) if gap == Gap::new(2, 4) && at == later));
        assert!(ahead.pop().is_none() && ahead.is_empty());
        assert_eq!((ahead.frames, ahead.bytes, ahead.numbers), (0, 0, 0));
    }

    #[test]
    fn joined_gaps_keep_the_older_time() {
        let start = Instant::now();
        let mut ahead = ReadAhead::default();
        ahead.push(Inbound::Gap(Gap::new(1, 2)), start);
        ahead.push(Inbound::Gap(Gap::new(3, 9)), start + std::time::Duration::from_secs(1));
        assert_eq!(ahead.numbers(), 9);
        assert!(matches!(ahead.pop(), Some((Inbound::Gap(gap), at)) if gap == Gap::new(1, 9) && at == start));
        assert!(ahead.is_empty());
    }

    #[test]
    fn more_than_a_whole_buffer_is_over() {
        assert!(!ahead(4, 1).is_over(4, 100) && ahead(5, 1).is_over(4, 100));
        assert!(!ahead(4, 25).is_over(9, 100) && ahead(5, 25).is_over(9, 100));
        assert!(!ahead(1, 1000).is_over(1, 100), "one frame, however big");
        assert!(ahead(2, 1000).is_over(2, 100));
    }

    #[test]
    fn gaps_around_a_whole_buffer_are_allowed() {
        let mut ahead = ReadAhead::default();
        let gap = |ahead: &mut ReadAhead, n| ahead.push(Inbound::Gap(Gap::new(n, n)), Instant::now());
        for n in [1, 3, 5] {
            gap(&mut ahead, n);
            ahead.push(Inbound::Frame(Frame::default(), 1), Instant::now());
        }
        gap(&mut ahead, 7);
        assert!(!ahead.is_over(3, 100));
        assert!(ahead.is_over(2, 100));
    }
}
