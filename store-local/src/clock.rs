//! [`Clock`]: wall-clock time that never goes back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. It starts at the wall-clock time, or at the highest time that the directory has recorded if that is later,
/// and advances with the monotonic clock. Setting the machine's clock back, or forward while the process runs, ends no window.
#[derive(Clone)]
pub(crate) struct Clock {
    read: Arc<dyn Fn() -> u64 + Send + Sync>,
    highest: Arc<AtomicU64>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("highest", &self.highest).finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Clock {
    pub(crate) fn of_machine(seen: u64) -> Self {
        let wall = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let (base, begin) = (wall.max(seen), Instant::now());
        Self::new(Arc::new(move || base + millis(begin.elapsed())), seen)
    }

    pub(crate) fn new(read: Arc<dyn Fn() -> u64 + Send + Sync>, seen: u64) -> Self {
        Self { read, highest: Arc::new(AtomicU64::new(seen)) }
    }

    pub(crate) fn now(&self) -> u64 {
        let now = (self.read)();
        // Relaxed suffices: no other data is published with it.
        self.highest.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_never_goes_back() {
        let time = Arc::new(AtomicU64::new(5));
        let read = time.clone();
        let clock = Clock::new(Arc::new(move || read.load(Ordering::Relaxed)), 7);
        assert_eq!(clock.now(), 7);
        for (set, expected) in [(9, 9), (8, 9), (10, 10)] {
            time.store(set, Ordering::Relaxed);
            assert_eq!(clock.now(), expected);
        }
        let future = u64::MAX / 2;
        assert!((future..future + 60_000).contains(&Clock::of_machine(future).now()));
    }
}
