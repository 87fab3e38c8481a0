//! [`Evictions`]: the log lines for evicted sessions.

use std::sync::Arc;
use std::time::Duration;

use rejoin_core::drive::sync::atomic::{AtomicU64, Ordering};

use crate::runtimes::Runtimes;

/// The time after which a burst of evictions is logged, in one line: a server that keeps too much may evict thousands of sessions
/// for one broadcast.
const BURST: Duration = Duration::from_secs(1);

/// Counts evictions, and logs them together.
#[derive(Debug)]
pub(crate) struct Evictions {
    limit: usize,
    runtimes: Arc<Runtimes>,
    pending: Arc<AtomicU64>,
}

impl Evictions {
    /// No evictions yet. `limit` is the number of bytes that all sessions may keep.
    pub(crate) fn new(limit: usize, runtimes: Arc<Runtimes>) -> Self {
        Self { limit, runtimes, pending: Arc::default() }
    }

    /// Counts an eviction. The first of a burst starts the task that logs them.
    pub(crate) fn note(&self) {
        // The one call that finds 0 starts a task; the swap in `Line` makes it 0 again. So no eviction is left without a task.
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

/// Logs the pending evictions when it is dropped. It is dropped with its task: when the burst is over, the server closes, or the
/// runtime ends.
struct Line {
    limit: usize,
    pending: Arc<AtomicU64>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let evicted = self.pending.swap(0, Ordering::SeqCst);
        tracing::warn!(
            evicted,
            limit = self.limit,
            "memory bound exceeded: evicted the oldest suspended sessions"
        );
    }
}
