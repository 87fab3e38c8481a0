//! [`Evictions`]: suspended sessions that have given way, as they are logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::runtimes::Runtimes;

/// The evictions of a burst are logged in one line, which comes when the burst has lasted this long: a server that keeps too much may
/// evict thousands of sessions for one broadcast.
const BURST: Duration = Duration::from_secs(1);

/// Counts evictions, and logs them together.
#[derive(Debug)]
pub(crate) struct Evictions {
    limit: usize,
    runtimes: Arc<Runtimes>,
    pending: Arc<AtomicU64>,
}

impl Evictions {
    /// None yet. `limit` is what all sessions may keep.
    pub(crate) fn new(limit: usize, runtimes: Arc<Runtimes>) -> Self {
        Self { limit, runtimes, pending: Arc::default() }
    }

    /// One more. The first of a burst has them logged.
    pub(crate) fn note(&self) {
        if self.pending.fetch_add(1, Ordering::SeqCst) == 0 {
            let line = Line { limit: self.limit, pending: self.pending.clone() };
            let closing = self.runtimes.closing().clone();
            self.runtimes.spawn(async move {
                tokio::time::timeout(BURST, closing.cancelled()).await.ok();
                drop(line);
            });
        }
    }
}

/// Logs what is pending when it is dropped: with its runtime, at the latest.
struct Line {
    limit: usize,
    pending: Arc<AtomicU64>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let evicted = self.pending.swap(0, Ordering::SeqCst);
        tracing::warn!(evicted, limit = self.limit, "too much is kept: the oldest suspended sessions end");
    }
}
