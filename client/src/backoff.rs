//! [`Backoff`]: how long to wait before the next dial.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Delays that grow with each attempt, with jitter, so that clients which lost the same server do not come back at the same
/// moment. Pure: the same seed gives the same delays.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    /// The next delay without its jitter.
    delay: Duration,
    rng: SmallRng,
}

/// A connection that stood for so long has lasted, also where the longest delay is longer.
const LASTED: Duration = Duration::from_secs(10);

/// The longest hint that is followed: beyond it the server has made a mistake.
const MAX_HINT: Duration = Duration::from_secs(24 * 60 * 60);

impl Backoff {
    /// Delays from `base` to `max`. Without a seed the jitter comes from the operating system's generator.
    pub(crate) fn new(base: Duration, max: Duration, seed: Option<u64>) -> Self {
        let rng = seed.map_or_else(SmallRng::from_os_rng, SmallRng::seed_from_u64);
        let base = base.min(max);
        Self { base, max, delay: base, rng }
    }

    /// The delay before the next attempt: `min(base × 2^attempt, max) × uniform(0.5, 1.0)`.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.delay;
        self.delay = delay.saturating_mul(2).min(self.max);
        delay.mul_f64(self.rng.random_range(0.5..=1.0))
    }

    /// The delay before the next attempt where the server has named one: `hint × uniform(1.0, 1.25)`, never earlier than
    /// the hint, and never earlier than [`Self::next`], so that a hint of nothing is no reason to hurry.
    pub(crate) fn next_after(&mut self, hint: Duration) -> Duration {
        let hint = hint.min(MAX_HINT);
        hint.mul_f64(self.rng.random_range(1.0..=1.25)).max(self.next())
    }

    /// A connection has ended that stood for `time`. The delays begin anew only after one that lasted: 10 s, or the longest
    /// delay where that is shorter; returns whether it has. A server that accepts and drops at once is not dialled in a hot loop.
    pub(crate) fn stood_for(&mut self, time: Duration) -> bool {
        let lasted = time >= LASTED.min(self.max);
        if lasted {
            self.delay = self.base;
        }
        lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn doubles_up_to_the_maximum_with_jitter_below() {
        let mut backoff = Backoff::new(BASE, MAX, Some(1));
        for attempt in 0..40 {
            let full = BASE.saturating_mul(1 << attempt.min(10)).min(MAX);
            let delay = backoff.next();
            assert!(full / 2 <= delay && delay <= full, "attempt {attempt}: {delay:?} of {full:?}");
        }
    }

    #[test]
    fn repeats_itself_with_the_same_seed_only() {
        let delays = |seed| {
            let mut backoff = Backoff::new(BASE, MAX, Some(seed));
            [(); 8].map(|()| backoff.next())
        };
        assert_eq!(delays(7), delays(7));
        assert_ne!(delays(7), delays(8));
    }

    #[test]
    fn begins_anew_after_a_connection_that_lasted() {
        let mut backoff = Backoff::new(BASE, MAX, Some(1));
        for _ in 0..10 {
            backoff.next();
        }
        backoff.stood_for(LASTED - Duration::from_nanos(1));
        assert!(backoff.next() > BASE);
        backoff.stood_for(LASTED);
        assert!(backoff.next() <= BASE);
    }

    #[test]
    fn a_short_maximum_makes_a_connection_last_sooner() {
        let mut backoff = Backoff::new(BASE, BASE * 2, Some(1));
        backoff.next();
        backoff.next();
        backoff.stood_for(BASE * 2 - Duration::from_nanos(1));
        assert!(backoff.next() >= BASE);
        backoff.stood_for(BASE * 2);
        assert!(backoff.next() <= BASE);
    }

    #[test]
    fn never_comes_earlier_than_the_server_said() {
        for hint in [Duration::from_secs(7), Duration::from_nanos(7_123_456_789), MAX_HINT] {
            let mut backoff = Backoff::new(BASE, BASE, Some(1));
            for _ in 0..100 {
                let delay = backoff.next_after(hint);
                assert!(hint <= delay && delay <= hint.mul_f64(1.25), "{delay:?}");
            }
        }
    }

    #[test]
    fn does_not_hurry_for_a_hint_of_nothing_nor_wait_for_ever() {
        let mut backoff = Backoff::new(BASE, MAX, Some(1));
        assert!(backoff.next_after(Duration::ZERO) >= BASE / 2);
        assert!(backoff.next_after(Duration::MAX) <= MAX_HINT.mul_f64(1.25));
    }
}
