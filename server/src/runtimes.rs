//! [`Runtimes`]: where a server runs the tasks that belong to no single socket.

use std::sync::{Arc, PoisonError, Weak};

use rejoin_core::drive::sync::{Mutex, MutexGuard, current_runtime, spawn_on};
use tokio::runtime::{Handle, Id};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The running runtimes in which a server was built or has served. The first is the server's own.
///
/// When the first one ends, the next takes its place. A task in each of them waits to be dropped with it: tokio has no other
/// notice of a runtime's end, and spawning into one that has ended silently drops the task.
#[derive(Debug)]
pub(crate) struct Runtimes {
    known: Mutex<Vec<Handle>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Runtimes {
    /// No runtimes yet. `tasks` tracks the tasks in them, and `closing` ends those that watch them.
    pub(crate) fn new(tasks: TaskTracker, closing: CancellationToken) -> Arc<Self> {
        Arc::new(Self { known: Mutex::default(), tasks, closing })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Handle>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the server accepts no more connections.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// The server's own runtime. `None` before there is one, and after the last has ended.
    pub(crate) fn own(&self) -> Option<Handle> {
        self.lock().first().cloned()
    }

    /// Notes the current runtime, if there is one.
    pub(crate) fn note(self: &Arc<Self>) {
        let Some(handle) = current_runtime() else { return };
        if self.closing.is_cancelled() || !self.add(&handle) {
            return;
        }
        // Spawned without the lock: a runtime that is ending drops the task at once, and the drop takes the lock. The handle is
        // weak, so that the task does not keep the server's state alive.
        let end = NoticesEnd { runtimes: Arc::downgrade(self), id: Some(handle.id()) };
        let closing = self.closing.clone();
        let notices = async move {
            closing.cancelled().await;
            end.disarm();
        };
        drop(spawn_on(self.tasks.track_future(notices), &handle));
    }

    /// Adds a runtime. Returns whether it is new: of several threads one gets `true`, and spawns the task.
    fn add(&self, handle: &Handle) -> bool {
        let mut known = self.lock();
        let is_new = known.iter().all(|other| other.id() != handle.id());
        if is_new {
            known.push(handle.clone());
        }
        is_new
    }

    /// Removes a runtime that has ended or is ending, and that drops each task that is spawned into it.
    pub(crate) fn remove(&self, id: Id) {
        self.lock().retain(|known| known.id() != id);
    }

    /// Spawns a task that shutdown waits for in the server's own runtime. Without a runtime the task is dropped, here and now:
    /// the caller must hold no lock that the drop takes.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(self.own().as_ref(), task);
    }

    /// Like [`Self::spawn`], for a task that has to know its runtime.
    pub(crate) fn spawn_on(&self, own: Option<&Handle>, task: impl Future<Output = ()> + Send + 'static) {
        match own {
            Some(own) => drop(spawn_on(self.tasks.track_future(task), own)),
            None => drop(task),
        }
    }
}

/// Removes a runtime from the list when it is dropped with that runtime.
struct NoticesEnd {
    runtimes: Weak<Runtimes>,
    id: Option<Id>,
}

impl NoticesEnd {
    /// Drops it without removing the runtime: the server closes first, and its last callbacks still need a runtime.
    fn disarm(mut self) {
        self.id = None;
    }
}

impl Drop for NoticesEnd {
    fn drop(&mut self) {
        if let (Some(id), Some(runtimes)) = (self.id, self.runtimes.upgrade()) {
            runtimes.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn first_runtime_is_used_until_it_ends() {
        let closing = CancellationToken::new();
        let runtimes = Runtimes::new(TaskTracker::new(), closing.clone());
        runtimes.note();
        assert!(runtimes.own().is_none(), "a plain thread has none");
        let [first, second] = [runtime(), runtime()];
        for runtime in [&first, &second, &first] {
            runtime.block_on(async { runtimes.note() });
        }
        let own = || runtimes.own().map(|own| own.id());
        assert_eq!((own(), runtimes.tasks.len()), (Some(first.handle().id()), 2));
        drop(first);
        assert_eq!((own(), runtimes.tasks.len()), (Some(second.handle().id()), 1));
        closing.cancel();
        runtimes.tasks.close();
        second.block_on(runtimes.tasks.wait());
        assert_eq!(own(), Some(second.handle().id()), "the last callbacks run in it");
    }

    #[test]
    fn watching_a_runtime_keeps_no_server_alive() {
        let runtime = runtime();
        let closing = CancellationToken::new();
        let runtimes = Runtimes::new(TaskTracker::new(), closing);
        runtime.block_on(async { runtimes.note() });
        assert_eq!(Arc::strong_count(&runtimes), 1);
    }
}
