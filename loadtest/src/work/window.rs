//! [`Window`]: the measured period.

use std::sync::atomic::{AtomicU64, Ordering};

/// The measured period, in nanoseconds since the run began. Until they are set, its begin and end lie in the infinite future.
#[derive(Debug)]
pub(crate) struct Window {
    begin: AtomicU64,
    end: AtomicU64,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { begin: AtomicU64::new(u64::MAX), end: AtomicU64::new(u64::MAX) }
    }

    pub(crate) fn begin(&self, now: u64) {
        self.begin.store(now, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, now: u64) {
        self.end.store(now, Ordering::Relaxed);
    }

    /// Whether a time lies in the window.
    pub(crate) fn has(&self, moment: u64) -> bool {
        self.begin.load(Ordering::Relaxed) <= moment && moment < self.end.load(Ordering::Relaxed)
    }
}
