//! [`MetricsHooks`]: calls the application's [`Metrics`], if it has any.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin_core::drive::now;

use crate::observe::metrics::{CallbackKind, Metrics};

/// The application's metrics, or none. Without metrics each call costs one comparison.
#[derive(Default)]
pub(crate) struct MetricsHooks(Option<Arc<dyn Metrics>>);

impl MetricsHooks {
    pub(crate) fn new(metrics: impl Metrics) -> Self {
        Self(Some(Arc::new(metrics)))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Calls hooks. They are foreign code, which may use the server and its connections, so the caller must not hold a lock that such a
    /// call takes.
    pub(crate) fn report(&self, hooks: impl FnOnce(&dyn Metrics)) {
        let Some(metrics) = &self.0 else { return };
        // Observing a session must not break it.
        if catch_unwind(AssertUnwindSafe(|| hooks(&**metrics))).is_err() {
            tracing::error!("metrics hook panicked");
        }
    }

    /// Starts measuring a callback.
    pub(crate) fn start(&self, which: CallbackKind) -> Option<Stopwatch> {
        self.is_on().then(|| Stopwatch { which, since: now() })
    }

    /// Reports a callback that is over.
    pub(crate) fn stop(&self, stopwatch: Option<Stopwatch>) {
        if let Some(Stopwatch { which, since }) = stopwatch {
            self.report(|metrics| metrics.callback_finished(which, elapsed(since)));
        }
    }
}

/// When a callback began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    which: CallbackKind,
    since: Instant,
}

/// The time since then, on tokio's clock.
pub(crate) fn elapsed(since: Instant) -> Duration {
    now().saturating_duration_since(since)
}

impl fmt::Debug for MetricsHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MetricsHooks").field(&self.is_on()).finish()
    }
}
