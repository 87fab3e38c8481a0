//! [`Time`]: tokio's clock, paused until the scenario advances it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};

/// The runtime whose clock and timers a scenario uses. It runs no task: see [`spawn_on`](super::spawn_on).
#[derive(Debug, Clone)]
pub struct Time {
    runtime: Arc<Runtime>,
}

impl Time {
    /// Creates a paused clock.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        Self { runtime: Arc::new(runtime.expect("a runtime without I/O needs no system resources")) }
    }

    /// Makes it the clock of all threads and tasks of the scenario.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// The runtime, which tasks are [spawned](super::spawn_on) in.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Lets time pass, and wakes the tasks that wait for it. No other task runs in between.
    pub fn pass(&self, time: Duration) {
        super::step();
        self.runtime.block_on(async {
            tokio::time::advance(time).await;
            tokio::task::yield_now().await;
        });
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::new()
    }
}
