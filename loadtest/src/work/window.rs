//! [`Window`]: the time in which is measured.

use std::sync::atomic::{AtomicU64, Ordering};

/// The time in which is measured, in nanoseconds since the run began. It begins never, and ends never, until that is said.
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

    /// Whether a moment is in it.
    pub(crate) fn has(&self, moment: u64) -> bool {
        self.begin.load(Ordering::Relaxed) <= moment && moment < self.end.load(Ordering::Relaxed)
    }
}
