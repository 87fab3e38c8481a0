//! [`Backoff`]: the delay before the next dial.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Delays that grow with each attempt, with jitter, so that clients that lost the same server do not come back at the same
/// moment. The same seed gives the same delays.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    /// The next delay without its jitter.
    delay: Duration,
    draws: Draws,
}

/// Where the random numbers of the jitter come from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Jitter {
    /// The operating system seeds them.
    #[default]
    Random,
    Seed(u64),
    /// The same number every time: the test vectors state each delay.
    #[cfg(test)]
    Fixed(f64),
}

#[derive(Debug)]
enum Draws {
    Rng(SmallRng),
    #[cfg(test)]
    Fixed(f64),
}

impl Draws {
    fn new(jitter: Jitter) -> Self {
        match jitter {
            Jitter::Random => Self::Rng(SmallRng::from_os_rng()),
            Jitter::Seed(seed) => Self::Rng(SmallRng::seed_from_u64(seed)),
            #[cfg(test)]
            Jitter::Fixed(number) => Self::Fixed(number),
        }
    }

    /// A random number in [0, 1).
    fn next(&mut self) -> f64 {
        match self {
            Self::Rng(rng) => rng.random(),
            #[cfg(test)]
            Self::Fixed(number) => *number,
        }
    }
}

/// A socket that was connected for this time has lasted, even if the longest delay is longer.
const LASTED: Duration = Duration::from_secs(10);

/// The longest hint that the client follows: a longer one is a mistake of the server.
const MAX_HINT: Duration = Duration::from_secs(24 * 60 * 60);

impl Backoff {
    /// Makes delays from `base` to `max`.
    pub(crate) fn new(base: Duration, max: Duration, jitter: Jitter) -> Self {
        let base = base.min(max);
        Self { base, max, delay: base, draws: Draws::new(jitter) }
    }

    /// The delay before the next attempt: `min(base × 2^attempt, max) × uniform(0.5, 1.0)`.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = self.delay;
        self.delay = delay.saturating_mul(2).min(self.max);
        delay.mul_f64(0.5 + self.draws.next() / 2.0)
    }

    /// The delay before the next attempt if the server has advised one: `hint × uniform(1.0, 1.25)`, but at least
    /// [`Self::next`], so that a hint of zero does not cause a hot loop.
    pub(crate) fn next_after(&mut self, hint: Duration) -> Duration {
        let hint = hint.min(MAX_HINT);
        hint.mul_f64(1.0 + self.draws.next() / 4.0).max(self.next())
    }

    /// Notes the end of a socket that was connected for `time`, and returns whether it has lasted: 10 s, or the longest delay if
    /// that is shorter. Only then the delays restart, so that a server that accepts and drops at once is not dialled in a hot
    /// loop.
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
    fn delays_double_up_to_the_maximum() {
        let mut backoff = Backoff::new(BASE, MAX, Jitter::Seed(1));
        for attempt in 0..40 {
            let full = BASE.saturating_mul(1 << attempt.min(10)).min(MAX);
            let delay = backoff.next();
            assert!(full / 2 <= delay && delay <= full, "attempt {attempt}: {delay:?} of {full:?}");
        }
    }

    #[test]
    fn only_the_same_seed_repeats_delays() {
        let delays = |seed| {
            let mut backoff = Backoff::new(BASE, MAX, Jitter::Seed(seed));
            [(); 8].map(|()| backoff.next())
        };
        assert_eq!(delays(7), delays(7));
        assert_ne!(delays(7), delays(8));
    }

    #[test]
    fn lasting_socket_restarts_the_delays() {
        let mut backoff = Backoff::new(BASE, MAX, Jitter::Seed(1));
        for _ in 0..10 {
            backoff.next();
        }
        backoff.stood_for(LASTED - Duration::from_nanos(1));
        assert!(backoff.next() > BASE);
        backoff.stood_for(LASTED);
        assert!(backoff.next() <= BASE);
    }

    #[test]
    fn short_maximum_lowers_the_time_to_last() {
        let mut backoff = Backoff::new(BASE, BASE * 2, Jitter::Seed(1));
        backoff.next();
        backoff.next();
        backoff.stood_for(BASE * 2 - Duration::from_nanos(1));
        assert!(backoff.next() >= BASE);
        backoff.stood_for(BASE * 2);
        assert!(backoff.next() <= BASE);
    }

    #[test]
    fn delay_is_never_shorter_than_the_hint() {
        for hint in [Duration::from_secs(7), Duration::from_nanos(7_123_456_789), MAX_HINT] {
            let mut backoff = Backoff::new(BASE, BASE, Jitter::Seed(1));
            for _ in 0..100 {
                let delay = backoff.next_after(hint);
                assert!(hint <= delay && delay <= hint.mul_f64(1.25), "{delay:?}");
            }
        }
    }

    #[test]
    fn extreme_hints_are_clamped() {
        let mut backoff = Backoff::new(BASE, MAX, Jitter::Seed(1));
        assert!(backoff.next_after(Duration::ZERO) >= BASE / 2);
        assert!(backoff.next_after(Duration::MAX) <= MAX_HINT.mul_f64(1.25));
    }
}
