//! [`alone`]: a scenario by itself in this process, that has to leave nothing behind.

use std::fs;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};

/// Sockets are counted for the whole process: one scenario at a time.
static TURN: Mutex<()> = Mutex::new(());

/// How long what ends may take to be gone. Only a scenario that fails waits so long.
const LINGERING: Duration = Duration::from_secs(20);

/// Runs a scenario on a runtime of its own, with no other scenario beside it. When it has ended, so have the tasks that it
/// started, and its sockets are closed.
///
/// # Panics
/// Panics when the scenario does, and when it leaves a task or a socket behind.
pub fn alone(scenario: impl Future<Output = ()>) {
    // One that failed has left its runtime, and all that was in it.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system has threads to give").block_on(async {
        let before = Baseline::now();
        scenario.await;
        if let Err(left) = before.restored(LINGERING).await {
            panic!("{left}");
        }
    });
}

/// What there is in this process, as against later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baseline {
    tasks: usize,
    /// 0 where the system does not tell.
    sockets: usize,
}

impl Baseline {
    /// The tasks of the current runtime, and the sockets of the process.
    ///
    /// # Panics
    /// Panics outside a runtime.
    pub fn now() -> Self {
        Self { tasks: Handle::current().metrics().num_alive_tasks(), sockets: sockets() }
    }

    /// Waits until there is no more than there was. A task that has said its last word is counted until its worker has let go
    /// of it: that is all that may take a moment.
    ///
    /// # Errors
    /// Says what is left when `patience` has passed.
    pub async fn restored(&self, patience: Duration) -> Result<(), String> {
        let since = Instant::now();
        loop {
            let now = Self::now();
            if now.tasks <= self.tasks && now.sockets <= self.sockets {
                return Ok(());
            }
            if since.elapsed() >= patience {
                let tasks = now.tasks.saturating_sub(self.tasks);
                let sockets = now.sockets.saturating_sub(self.sockets);
                return Err(format!("left behind: {tasks} tasks, {sockets} sockets"));
            }
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
    }
}

fn sockets() -> usize {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return 0 };
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}
