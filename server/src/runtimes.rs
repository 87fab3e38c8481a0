//! [`Runtimes`]: where a server runs what belongs to no single socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::{Handle, Id};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The runtimes in which a server was built or has served, as far as they still run: the first is the server's own.
///
/// When that one ends, the next takes its place. A task in each of them notices its end.
#[derive(Debug)]
pub(crate) struct Runtimes {
    known: Mutex<Vec<Handle>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Runtimes {
    /// None yet. `tasks` tracks what runs in them, `closing` ends what notices their end.
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

    /// The server's own runtime; `None` before there is one, and after the last has ended.
    pub(crate) fn own(&self) -> Option<Handle> {
        self.lock().first().cloned()
    }

    /// Notes the runtime that this is called in, where it is called in one.
    pub(crate) fn note(self: &Arc<Self>) {
        let Ok(handle) = Handle::try_current() else { return };
        if self.closing.is_cancelled() || !self.add(&handle) {
            return;
        }
        let end = NoticesEnd { runtimes: Arc::downgrade(self), id: Some(handle.id()) };
        let closing = self.closing.clone();
        self.tasks.spawn_on(
            async move {
                closing.cancelled().await;
                end.disarm();
            },
            &handle,
        );
    }

    fn add(&self, handle: &Handle) -> bool {
        let mut known = self.lock();
        let is_new = known.iter().all(|other| other.id() != handle.id());
        if is_new {
            known.push(handle.clone());
        }
        is_new
    }

    /// This runtime has ended, or is ending: what is spawned in it is dropped at once.
    pub(crate) fn remove(&self, id: Id) {
        self.lock().retain(|known| known.id() != id);
    }

    /// Runs a task in the server's own runtime, which shutdown waits for. Without one the task is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(self.own().as_ref(), task);
    }

    /// The same, for a task that has to know where it runs.
    pub(crate) fn spawn_on(&self, own: Option<&Handle>, task: impl Future<Output = ()> + Send + 'static) {
        match own {
            Some(own) => drop(self.tasks.spawn_on(task, own)),
            None => drop(task),
        }
    }
}

/// Dropped with the runtime in which it waits.
struct NoticesEnd {
    runtimes: Weak<Runtimes>,
    id: Option<Id>,
}

impl NoticesEnd {
    /// The server ends before the runtime.
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
    fn the_first_is_the_servers_own_until_it_ends() {
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
    fn what_notices_the_end_keeps_no_server() {
        let runtime = runtime();
        let closing = CancellationToken::new();
        let runtimes = Runtimes::new(TaskTracker::new(), closing);
        runtime.block_on(async { runtimes.note() });
        assert_eq!(Arc::strong_count(&runtimes), 1);
    }
}
