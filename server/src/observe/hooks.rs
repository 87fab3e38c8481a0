//! [`MetricsHooks`]: the way to the application's [`Metrics`], if it has any.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin_core::drive::now;

use crate::observe::metrics::{CallbackKind, Metrics};

/// The application's metrics, or none: then everything here is one comparison.
#[derive(Default)]
pub(crate) struct MetricsHooks(Option<Arc<dyn Metrics>>);

impl MetricsHooks {
    pub(crate) fn new(metrics: impl Metrics) -> Self {
        Self(Some(Arc::new(metrics)))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Calls hooks. Not to be done while a lock is held: who knows what they do.
    pub(crate) fn report(&self, hooks: impl FnOnce(&dyn Metrics)) {
        let Some(metrics) = &self.0 else { return };
        // What counts must not break what it counts.
        if catch_unwind(AssertUnwindSafe(|| hooks(&**metrics))).is_err() {
            tracing::error!("metrics hook panicked");
        }
    }

    /// A callback begins.
    pub(crate) fn start(&self, which: CallbackKind) -> Option<Stopwatch> {
        self.is_on().then(|| Stopwatch { which, since: now() })
    }

    /// A callback is over.
    pub(crate) fn stop(&self, stopwatch: Option<Stopwatch>) {
        if let Some(Stopwatch { which, since }) = stopwatch {
            self.report(|metrics| metrics.callback_finished(which, elapsed(since)));
        }
    }
}

/// Since when a callback runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    which: CallbackKind,
    since: Instant,
}

/// The time since then, as tokio sees it.
pub(crate) fn elapsed(since: Instant) -> Duration {
    now().saturating_duration_since(since)
}

impl fmt::Debug for MetricsHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MetricsHooks").field(&self.is_on()).finish()
    }
}
