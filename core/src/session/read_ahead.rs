//! [`ReadAhead`]: what was read while the application took nothing.

use std::collections::VecDeque;
use std::time::Instant;

use crate::{Frame, Gap};

/// Data frames and gaps that the attached socket brought while the inbox was full, in their order.
///
/// They are read so that the control frames behind them can be obeyed: who waits for room in his outbox waits for an
/// acknowledgement, and it may stand behind more data than the inbox takes. They are not counted, so that nothing is lost
/// with them: when the socket is, its peer sends them again.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadAhead {
    entries: VecDeque<(Inbound, Instant)>,
    /// How many of the entries are data frames.
    frames: usize,
    /// Bytes of all data frames.
    bytes: usize,
    /// How many numbers the entries will count for.
    numbers: u64,
    /// A `$sync` came behind them: it asks for their acknowledgement, too.
    pub(super) asked: bool,
}

/// What takes the peer's next number, or several.
#[derive(Debug, Clone)]
pub(super) enum Inbound {
    /// A data frame, and the bytes that it took on the wire.
    Frame(Frame, usize),
    Gap(Gap),
}

impl ReadAhead {
    /// Adds what arrived at `now`, after everything that is there.
    pub(super) fn push(&mut self, arrived: Inbound, now: Instant) {
        match &arrived {
            Inbound::Frame(_, size) => {
                self.frames += 1;
                self.bytes += size;
                self.numbers += 1;
            }
            Inbound::Gap(gap) => {
                self.numbers += gap.frames();
                if let Some((Inbound::Gap(last), _)) = self.entries.back_mut() {
                    *last = Gap::new(last.from, gap.to);
                    return;
                }
            }
        }
        self.entries.push_back((arrived, now));
    }

    /// The oldest, and when it arrived.
    pub(super) fn pop(&mut self) -> Option<(Inbound, Instant)> {
        let (arrived, at) = self.entries.pop_front()?;
        match &arrived {
            Inbound::Frame(_, size) => {
                self.frames -= 1;
                self.bytes -= size;
                self.numbers -= 1;
            }
            Inbound::Gap(gap) => self.numbers -= gap.frames(),
        }
        Some((arrived, at))
    }

    /// How many numbers the entries will count for.
    pub(super) fn numbers(&self) -> u64 {
        self.numbers
    }

    /// Whether this is more than a peer sends that keeps `buffer` frames or `bytes` and waits for acknowledgements.
    ///
    /// Such a peer has at most `buffer` frames under way that are not acknowledged, with a gap before, between and after
    /// them; their bytes are at most `bytes`, or it is one frame, however big. What it has all sent is not yet too much: the
    /// acknowledgement that is waited for may be the next that it sends.
    pub(super) fn is_over(&self, buffer: u32, bytes: usize) -> bool {
        let buffer = buffer as usize;
        self.frames > buffer
            || (self.bytes > bytes && self.frames > 1)
            || self.entries.len() > buffer.saturating_mul(2).saturating_add(1)
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
    fn gives_back_in_order_with_the_time_of_each() {
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
    fn joins_gaps_that_follow_each_other_and_keeps_the_older_time() {
        let start = Instant::now();
        let mut ahead = ReadAhead::default();
        ahead.push(Inbound::Gap(Gap::new(1, 2)), start);
        ahead.push(Inbound::Gap(Gap::new(3, 9)), start + std::time::Duration::from_secs(1));
        assert_eq!(ahead.numbers(), 9);
        assert!(matches!(ahead.pop(), Some((Inbound::Gap(gap), at)) if gap == Gap::new(1, 9) && at == start));
        assert!(ahead.is_empty());
    }

    #[test]
    fn a_whole_buffer_is_not_too_much_and_one_frame_more_is() {
        assert!(!ahead(4, 1).is_over(4, 100) && ahead(5, 1).is_over(4, 100));
        assert!(!ahead(4, 25).is_over(9, 100) && ahead(5, 25).is_over(9, 100));
        assert!(!ahead(1, 1000).is_over(1, 100), "one frame, however big");
        assert!(ahead(2, 1000).is_over(2, 100));
    }

    #[test]
    fn gaps_before_between_and_after_the_frames_are_not_too_much() {
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
