//! [`Blocked`]: a socket that takes less than there is to write, and when it counts as lost.

use std::time::{Duration, Instant};

/// The state of a socket that cannot take all pending bytes. Rare, so a session keeps it in a box.
#[derive(Debug, Clone)]
pub(super) struct Blocked {
    /// Start of the measured period: when the socket blocked, or when its average rate was last evaluated.
    since: Instant,
    /// Bytes that the socket has taken since then.
    moved: usize,
    /// When the socket last took a byte.
    moved_at: Instant,
    /// Bytes that the socket has not taken yet.
    pending: usize,
    /// Whether an average rate was too low.
    is_too_slow: bool,
}

/// Minimum average rate over the write timeout, in bytes per second. Applies while more than this number of bytes is pending.
pub(crate) const SLOWEST: usize = 1024;

impl Blocked {
    pub(super) fn new(pending: usize, now: Instant) -> Self {
        Self { since: now, moved: 0, moved_at: now, pending, is_too_slow: false }
    }

    /// Records that the socket took `bytes`, and still has to take `pending`.
    pub(super) fn note(&mut self, bytes: usize, pending: usize, timeout: Duration, now: Instant) {
        self.pending = pending;
        if bytes == 0 {
            return;
        }
        self.moved = self.moved.saturating_add(bytes);
        self.moved_at = now;
        // Evaluate the average only when bytes move, because some sockets take data in large, rare steps. Periods
        // without any progress have a separate limit.
        let time = now.saturating_duration_since(self.since);
        if time >= timeout {
            self.is_too_slow |=
                self.has_much_pending() && (self.moved as f64) < SLOWEST as f64 * time.as_secs_f64();
            (self.since, self.moved) = (now, 0);
        }
    }

    /// When to check [`Self::is_lost`].
    pub(super) fn due(&self, timeout: Duration) -> Instant {
        if self.is_too_slow { self.moved_at } else { self.moved_at + timeout }
    }

    /// Whether the socket counts as lost: it takes no bytes, or too few.
    //= PROTOCOL.md#R7.16: when it takes no byte for the write timeout
    pub(super) fn is_lost(&self, timeout: Duration, now: Instant) -> bool {
        self.due(timeout) <= now
    }

    pub(super) fn has_much_pending(&self) -> bool {
        self.pending > SLOWEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The number of seconds that a socket with `pending` bytes lives if it takes `bytes` every `millis` milliseconds.
    fn lifetime(timeout: u32, pending: usize, bytes: usize, millis: u32) -> u32 {
        let start = Instant::now();
        let timeout = timeout * SECOND;
        let mut blocked = Blocked::new(pending, start);
        let mut now = start;
        let mut next = start + Duration::from_millis(millis.into());
        while now < start + 1000 * SECOND {
            let due = blocked.due(timeout);
            now = due.min(next);
            if now == next {
                blocked.note(bytes, pending, timeout, now);
                next += Duration::from_millis(millis.into());
            } else if blocked.is_lost(timeout, now) {
                break;
            }
        }
        u32::try_from((now - start).as_secs()).unwrap().min(1000)
    }

    #[test]
    fn a_stuck_socket_is_lost_after_the_timeout() {
        assert_eq!(lifetime(10, 1, 0, 100_000), 10);
        assert_eq!(lifetime(10, 1_000_000, 0, 100), 10);
        assert_eq!(lifetime(10, 1_000_000, 1_000_000, 9_000_000), 10);
    }

    #[test]
    fn a_slow_socket_lives_a_crawling_socket_dies() {
        assert_eq!(lifetime(1, 60_000, 512, 25), 1000, "20 kB/s");
        assert_eq!(lifetime(10, 60_000, 1025, 1000), 1000, "a little more than 1 KiB/s");
        assert_eq!(lifetime(10, 60_000, 9 * 1024 + 1030, 9_000), 1000, "in steps, on average");
        assert_eq!(lifetime(1, 60_000, 1000, 700), 1000, "once or twice in each second");
        assert_eq!(lifetime(10, 60_000, 1000, 1000), 10, "less than 1 KiB/s");
        assert_eq!(lifetime(10, 60_000, 1, 100), 10);
        assert_eq!(lifetime(10, 1025, 1, 100), 10);
        assert_eq!(lifetime(10, 1024, 1, 9_000), 1000, "with few pending bytes, each byte counts");
    }

    #[test]
    fn bytes_taken_earlier_do_not_count() {
        let start = Instant::now();
        let mut blocked = Blocked::new(60_000, start);
        blocked.note(1_000_000, 60_000, 10 * SECOND, start + 10 * SECOND);
        for second in 11..20 {
            blocked.note(1, 60_000, 10 * SECOND, start + second * SECOND);
        }
        assert!(!blocked.is_lost(10 * SECOND, start + 19 * SECOND));
        blocked.note(1, 60_000, 10 * SECOND, start + 20 * SECOND);
        assert!(blocked.is_lost(10 * SECOND, start + 20 * SECOND));
    }

    #[test]
    fn the_timeout_starts_at_the_last_byte() {
        let start = Instant::now();
        let mut blocked = Blocked::new(60_000, start);
        blocked.note(50_000, 60_000, 10 * SECOND, start + 4 * SECOND);
        blocked.note(0, 60_000, 10 * SECOND, start + 12 * SECOND);
        assert!(!blocked.is_lost(10 * SECOND, start + 14 * SECOND - Duration::from_nanos(1)));
        assert_eq!(blocked.due(10 * SECOND), start + 14 * SECOND);
        assert!(blocked.is_lost(10 * SECOND, start + 14 * SECOND));
    }
}
