//! [`Throttle`]: a log line for the first of many events, and a count of the others.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rejoin_core::drive::now;

/// Lets one event pass in each interval, and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    state: Mutex<ThrottleState>,
}

#[derive(Debug, Default)]
struct ThrottleState {
    passed: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(ThrottleState { passed: None, suppressed: 0 }) }
    }

    /// Lets an event pass, with the number of events that were suppressed since the last one that passed; `None` suppresses it.
    pub(crate) fn pass(&self) -> Option<u64> {
        let now = now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.passed.is_some_and(|passed| now - passed < self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.passed = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn passes_one_event_per_interval() {
        let throttle = Throttle::new(Duration::from_secs(1));
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(throttle.pass(), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((throttle.pass(), throttle.pass()), (Some(3), None));
    }
}
