//! [`TokenBucket`]: limits a rate, in one word.

use std::num::NonZeroU64;

use super::sync::atomic::{AtomicU64, Ordering};

/// The nanoseconds in which an empty bucket fills up: the burst is one second's worth.
const BURST: u64 = 1_000_000_000;

/// A number of units per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitsPerSecond(NonZeroU64);

impl UnitsPerSecond {
    /// `None` for 0.
    pub fn new(units: u64) -> Option<Self> {
        NonZeroU64::new(units).map(Self)
    }

    /// The nanoseconds in which the bucket regains this number of units.
    fn cost(self, units: u64) -> u64 {
        units.saturating_mul(BURST) / self.0
    }
}

/// A bucket that holds one second's worth of units, and gains them steadily.
///
/// It stores the time at which it will be full again, so that neither a timer nor a second word is needed (the generic cell rate
/// algorithm). Times are nanoseconds since any fixed point. A clone of a shared bucket is not a part of it, so there is none.
///
/// ```
/// use rejoin_core::drive::{TokenBucket, UnitsPerSecond};
///
/// let (bucket, rate) = (TokenBucket::default(), UnitsPerSecond::new(2).unwrap());
/// assert!(bucket.try_take(rate, 1, 0) && bucket.try_take(rate, 1, 0));
/// assert!(!bucket.try_take(rate, 1, 0), "two per second");
/// assert!(bucket.try_take(rate, 1, 500_000_000));
/// ```
#[derive(Debug, Default)]
pub struct TokenBucket {
    full_at: AtomicU64,
}

impl TokenBucket {
    /// Takes units if the bucket has them. More than it can hold are there when it is full; it then owes the rest.
    pub fn try_take(&self, rate: UnitsPerSecond, units: u64, now: u64) -> bool {
        let cost = rate.cost(units);
        let next = |full_at: u64| {
            let full_at = full_at.max(now);
            (full_at - now + cost.min(BURST) <= BURST).then(|| full_at.saturating_add(cost))
        };
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Takes units in any case. Returns the nanoseconds until the bucket has one unit; 0 if it has one left.
    #[must_use = "the caller waits"]
    pub fn take(&self, rate: UnitsPerSecond, units: u64, now: u64) -> u64 {
        let cost = rate.cost(units);
        let next = |full_at: u64| Some(full_at.max(now).saturating_add(cost));
        let before = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let full_at = before.unwrap_or_default().max(now).saturating_add(cost);
        full_at.saturating_add(rate.cost(1)).saturating_sub(now.saturating_add(BURST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(units: u64) -> UnitsPerSecond {
        UnitsPerSecond::new(units).unwrap()
    }

    #[test]
    fn burst_is_one_second_of_units() {
        for units in [1, 2, 3, 7, 10, 999, 1_000_000] {
            let (bucket, rate) = (TokenBucket::default(), per_second(units));
            let taken = (0..2 * units).filter(|_| bucket.try_take(rate, 1, 5)).count();
            assert_eq!(taken as u64, units);
        }
    }

    #[test]
    fn units_come_back_steadily() {
        let (bucket, rate) = (TokenBucket::default(), per_second(4));
        assert!((0..4).all(|_| bucket.try_take(rate, 1, 0)));
        let taken: Vec<_> = (1..=20).map(|tick| bucket.try_take(rate, 1, tick * BURST / 20)).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 4);
        assert_eq!(taken.iter().position(|taken| *taken), Some(4), "after a quarter of a second");
        // After a long time there is one second's worth, and no more.
        let taken = (0..10).filter(|_| bucket.try_take(rate, 1, 100 * BURST)).count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn taking_beyond_the_burst_makes_wait() {
        let (bucket, rate) = (TokenBucket::default(), per_second(4));
        assert_eq!([(); 4].map(|()| bucket.take(rate, 1, 0)), [0, 0, 0, BURST / 4]);
        assert_eq!(bucket.take(rate, 1, BURST / 4), BURST / 4, "one more after each wait");
        assert_eq!(bucket.take(rate, 8, 100 * BURST), BURST + BURST / 4, "it owes a second's worth");
    }

    #[test]
    fn large_take_needs_a_full_bucket() {
        let (bucket, rate) = (TokenBucket::default(), per_second(100));
        assert!(bucket.try_take(rate, 1000, 0));
        assert!(!bucket.try_take(rate, 1, 9 * BURST), "it owes nine seconds' worth");
        assert!(bucket.try_take(rate, 1, 9 * BURST + BURST / 100));
        assert!(!bucket.try_take(rate, 1000, 10 * BURST), "it is not full");
        assert!(bucket.try_take(rate, u64::MAX, 11 * BURST));
    }

    #[test]
    fn threads_share_a_bucket() {
        let (bucket, rate) = (TokenBucket::default(), per_second(1000));
        let taken: usize = std::thread::scope(|scope| {
            let takers =
                [(); 4].map(|()| scope.spawn(|| (0..1000).filter(|_| bucket.try_take(rate, 1, 0)).count()));
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1000);
    }
}
