//! [`alone`]: runs a scenario by itself in this process, and checks that it leaves nothing behind.

use std::fs;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};

/// Sockets are counted for the whole process, so only one scenario may run at a time.
static TURN: Mutex<()> = Mutex::new(());

/// How long tasks and sockets may take to disappear. Only a failing scenario waits this long.
const LINGERING: Duration = Duration::from_secs(20);

/// Runs a scenario on its own runtime, with no other scenario in parallel. When it returns, all its tasks must have ended and all
/// its sockets must be closed.
///
/// # Panics
/// Panics when the scenario does, and when it leaves a task or a socket behind.
pub fn alone(scenario: impl Future<Output = ()>) {
    // A scenario that failed has dropped its runtime with everything in it.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system can start a thread").block_on(async {
        let before = Baseline::now();
        scenario.await;
        if let Err(left) = before.restored(LINGERING).await {
            panic!("{left}");
        }
    });
}

/// The tasks and sockets at one moment, to compare with a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baseline {
    tasks: usize,
    /// 0 if the system does not report it.
    sockets: usize,
}

impl Baseline {
    /// Counts the tasks of the current runtime and the sockets of the process.
    ///
    /// # Panics
    /// Panics outside a runtime.
    pub fn now() -> Self {
        Self { tasks: Handle::current().metrics().num_alive_tasks(), sockets: sockets() }
    }

    /// Waits until there are no more tasks and sockets than at the baseline. A task that has finished is counted until its worker
    /// drops it, which may take a moment.
    ///
    /// # Errors
    /// Fails with the number of remaining tasks and sockets when `patience` has passed.
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
