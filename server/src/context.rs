//! [`ServerContext`]: what every part of a server may use.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use rejoin_core::drive::sync::atomic::{AtomicBool, Ordering};
use rejoin_core::drive::sync::{current_runtime, spawn_on};
use rejoin_core::drive::{Detach, MemoryBudget, SocketDriver};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::draining::Draining;
use crate::limits::limit::Limit;
use crate::observe::hooks::MetricsHooks;
use crate::observe::metrics::ResumeRefused;
use crate::options::ServerOptions;
use crate::runtimes::Runtimes;
use crate::session::changes::Changes;
use crate::session::ends::Ends;
use crate::session::open_sockets::{ClosingSocket, OpenSockets};
use crate::state::ServerState;

/// The options, tasks and observers of one server. It knows no session and no room: those use it.
///
/// [`ServerInner`](crate::inner::ServerInner) adds the tables of sessions and rooms.
pub(crate) struct ServerContext {
    pub(crate) options: ServerOptions,
    pub(crate) metrics: MetricsHooks,
    /// Bounds the bytes that all sessions keep together.
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) ends: Ends,
    pub(crate) sockets: Arc<OpenSockets>,
    pub(crate) draining: Draining,
    /// Whether callbacks of the server report joins and leaves. Those of single connections may do so regardless.
    pub(crate) reports_changes: bool,
    pub(crate) changes: Changes,
    pub(crate) runtimes: Arc<Runtimes>,
    /// Every task of the server. Shutdown returns when the last one has ended.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the server accepts no more connections.
    pub(crate) closing: CancellationToken,
    /// Cancelled when shutdown's deadline has passed: tasks end at their next await.
    aborted: CancellationToken,
    /// Set with `aborted`, for tasks that check it in each poll: a flag costs less than the token's lock.
    is_aborted: AtomicBool,
}

impl ServerContext {
    pub(crate) fn new(
        options: ServerOptions,
        metrics: MetricsHooks,
        reports_changes: bool,
        budget: Arc<MemoryBudget>,
        runtimes: Arc<Runtimes>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            options,
            metrics,
            reports_changes,
            changes: Changes::new(),
            budget,
            ends: Ends::default(),
            sockets: Arc::default(),
            draining: Draining::default(),
            closing: runtimes.closing().clone(),
            runtimes,
            tasks,
            aborted: CancellationToken::new(),
            is_aborted: AtomicBool::new(false),
        }
    }

    pub(crate) fn state(&self) -> ServerState {
        if self.closing.is_cancelled() {
            ServerState::ShutDown
        } else if self.draining.is_on() {
            ServerState::Draining
        } else {
            ServerState::Running
        }
    }

    /// Reports a limit that was reached.
    pub(crate) fn reached(&self, limit: Limit) {
        self.metrics.report(|metrics| metrics.limit_reached(limit));
    }

    /// Logs and counts a socket whose request was promised this session, and that arrived too late for it.
    pub(crate) fn refuse_late(&self, id: &str, why: ResumeRefused) {
        tracing::info!(id, %why, "resume refused");
        self.metrics.report(|metrics| metrics.resume_refused(why));
    }

    /// Closes a socket that is no longer attached to a session, within the close timeout. It counts until then, if it was
    /// attached.
    pub(crate) fn close_socket(
        &self,
        driver: Box<SocketDriver>,
        end: Detach,
        counted: Option<ClosingSocket>,
    ) {
        let closing = self.until_abort(driver.close(end));
        let budget = self.budget.clone();
        self.spawn(async move {
            closing.await;
            drop(counted);
            // Frames that the socket did not take were dropped with it, and senders may wait for their bytes.
            budget.settle();
        });
    }

    /// Runs `closing` for at most the close timeout. `None` if it takes longer, or if shutdown's deadline passes first.
    pub(crate) fn until_abort<F: Future>(
        &self,
        closing: F,
    ) -> impl Future<Output = Option<F::Output>> + use<F> {
        let timeout = self.options.close_timeout;
        let aborted = self.aborted.clone();
        async move {
            tokio::select! {
                biased;
                () = aborted.cancelled() => None,
                closed = tokio::time::timeout(timeout, closing) => closed.ok(),
            }
        }
    }

    /// Spawns a task that shutdown waits for, in the current runtime or, outside of one, in the server's own.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match current_runtime() {
            Some(current) => drop(spawn_on(self.tasks.track_future(task), &current)),
            None => self.runtimes.spawn(task),
        }
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::SeqCst)
    }

    /// Ends the tasks that wait for a socket to close, and marks the server as aborted for those of sessions, which the caller
    /// wakes afterwards.
    pub(crate) fn set_aborted(&self) {
        self.is_aborted.store(true, Ordering::SeqCst);
        self.aborted.cancel();
    }
}

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext").field("options", &self.options).finish_non_exhaustive()
    }
}
