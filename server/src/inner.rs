//! [`ServerInner`]: the state of one server.

use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rejoin_core::drive::sync::atomic::{AtomicBool, Ordering};
use rejoin_core::drive::sync::{Mutex, current_runtime, spawn_on};
use rejoin_core::drive::{Detach, SocketDriver};
use rejoin_core::{CloseFrame, Mode, SessionConfig};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::connect::DynConnect;
use crate::connection::{Connection, PendingSocket};
use crate::fanout::rooms::Rooms;
use crate::observe::hooks::MetricsHooks;
use crate::observe::metrics::ResumeRefused;
use crate::observe::stats::Totals;
use crate::observe::throttle::Throttle;
use crate::options::Options;
use crate::runtimes::Runtimes;
use crate::session::ends::Ends;
use crate::session::expiry::SuspendedSessions;
use crate::session::handlers::Handlers;
use crate::session::registry::Registry;
use crate::session::task::SessionTask;

/// The state of one server. All its handles, tasks and connections share it.
pub(crate) struct ServerInner {
    pub(crate) options: Options,
    pub(crate) connect: Box<dyn DynConnect>,
    pub(crate) handlers: Handlers,
    pub(crate) metrics: MetricsHooks,
    pub(crate) registry: Registry,
    pub(crate) rooms: Rooms,
    pub(crate) suspended: SuspendedSessions,
    pub(crate) ends: Ends,
    pub(crate) runtimes: Arc<Runtimes>,
    /// Every task of the server. Shutdown returns when the last one has ended.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the server accepts no more connections.
    pub(crate) closing: CancellationToken,
    /// Cancelled when shutdown's deadline has passed: tasks end at their next await.
    aborted: CancellationToken,
    /// Set with `aborted`, for tasks that check it in each poll: a flag costs less than the token's lock.
    is_aborted: AtomicBool,
    /// The counts of sessions that have ended. Locked while a session is moved here from the registry, so that statistics count
    /// each session once.
    pub(crate) totals: Mutex<Totals>,
    pub(crate) refused: AtomicU64,
    /// One permit for each further handshake that our own listeners may begin.
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) accept_errors: Throttle,
    pub(crate) origin_refusals: Throttle,
    plain: Arc<SessionConfig>,
    session: Arc<SessionConfig>,
}

/// The shortest time between two log lines of a kind that a single peer can cause at will.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

impl ServerInner {
    pub(crate) fn new(
        options: Options,
        connect: Box<dyn DynConnect>,
        handlers: Handlers,
        metrics: MetricsHooks,
    ) -> Self {
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let runtimes = Runtimes::new(tasks.clone(), closing.clone());
        Self {
            plain: options.session(Mode::Plain),
            session: options.session(Mode::Session),
            suspended: SuspendedSessions::new(options.max_retained_bytes, runtimes.clone()),
            ends: Ends::default(),
            runtimes,
            handshakes: Arc::new(Semaphore::new(options.max_handshakes)),
            accept_errors: Throttle::new(LOG_INTERVAL),
            origin_refusals: Throttle::new(LOG_INTERVAL),
            options,
            connect,
            handlers,
            metrics,
            registry: Registry::new(),
            rooms: Rooms::new(),
            tasks,
            closing,
            aborted: CancellationToken::new(),
            is_aborted: AtomicBool::new(false),
            totals: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// The configuration of sessions in this mode.
    pub(crate) fn session_config(&self, mode: Mode) -> &Arc<SessionConfig> {
        match mode {
            Mode::Plain => &self.plain,
            Mode::Session => &self.session,
        }
    }

    /// Passes a socket to the session's task.
    pub(crate) fn arrive(&self, connection: &Connection, pending: PendingSocket) {
        if let Some(loser) = connection.arrive(pending) {
            self.refuse_late(connection, ResumeRefused::Overtaken);
            let frame = CloseFrame::from_static(4000, "taken over");
            self.close_socket(loser.driver, Detach::Leave(frame));
        }
        // After the socket is stored. The task that ends marks the connection first and looks for a socket afterwards: whichever
        // comes second closes the socket, which would otherwise stay open without a task.
        if connection.is_gone() {
            self.turn_away(connection);
        }
    }

    /// Closes a socket that has arrived too late for its session, with the reason.
    pub(crate) fn turn_away(&self, connection: &Connection) {
        if let Some(late) = connection.take_late_socket() {
            tracing::debug!(id = connection.id(), "socket too late for its session");
            if late.resumes {
                self.refuse_late(connection, ResumeRefused::Ended);
            }
            self.close_socket(late.driver, Detach::Leave(connection.farewell()));
        }
    }

    /// Closes a socket that is no longer attached to a session, within the close timeout.
    pub(crate) fn close_socket(&self, driver: Box<SocketDriver>, end: Detach) {
        let closing = self.until_abort(driver.close(end));
        let budget = self.suspended.budget().clone();
        self.spawn(async move {
            closing.await;
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

    /// Starts a task for a hibernated session. Called by the session's waker, from any thread that holds no lock of the session.
    pub(crate) fn wake(self: Arc<Self>, connection: Connection) {
        self.runtimes.spawn(SessionTask::wake(self.clone(), connection));
    }

    /// Removes a session that is over from the registry and from its room. A second call does nothing.
    pub(crate) fn forget(&self, connection: &Connection) {
        self.registry.remove(connection);
        if self.rooms.leave(connection) {
            self.metrics.report(|metrics| metrics.room_destroyed());
        }
    }

    /// Logs and counts a socket whose request was promised this session, and that arrived too late for it.
    pub(crate) fn refuse_late(&self, connection: &Connection, why: ResumeRefused) {
        tracing::info!(id = connection.id(), %why, "resume refused");
        self.metrics.report(|metrics| metrics.resume_refused(why));
    }

    /// Removes a session whose task has ended for good, and adds its counts to the totals.
    pub(crate) fn retire(&self, connection: &Connection) {
        // The counts are final. They are read before the lock is taken, because an access to a session may run foreign wakers.
        let counts = connection.counts();
        // Held over both steps. `Server::stats` lists the running sessions under the same lock, and finds this one in exactly one
        // of the two places. It visits them after it has released the lock.
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        self.registry.remove_running(connection);
        totals.add(&counts);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::SeqCst)
    }

    /// Ends all tasks without waiting for their sockets or callbacks.
    pub(crate) fn abort(&self) {
        // First the flag, then the wake-ups: a session task checks the flag after it has registered, so it is either woken here
        // or has seen the flag. Both lock the session in between, which makes the flag visible.
        self.is_aborted.store(true, Ordering::SeqCst);
        self.aborted.cancel();
        for connection in self.registry.running_in_order() {
            connection.session().wake_driver();
        }
    }
}

impl Drop for ServerInner {
    fn drop(&mut self) {
        // No handle is left that could shut the server down. This ends the tasks that watch its runtimes.
        self.closing.cancel();
    }
}

impl fmt::Debug for ServerInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInner").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::testing::{connection, pending, runtime, server};
    use crate::{ConnectRequest, Identity, Metrics, Reject, Server};

    #[test]
    fn dropped_server_leaves_no_task() {
        let shared = server();
        let tasks = shared.tasks.clone();
        runtime().block_on(async {
            shared.runtimes.note();
            assert_eq!(tasks.len(), 1, "one task watches the runtime");
            drop(shared);
            while !tasks.is_empty() {
                tokio::task::yield_now().await;
            }
        });
    }

    /// The refused resumes that were reported.
    #[derive(Clone, Default)]
    struct Refused(Arc<Mutex<Vec<ResumeRefused>>>);

    impl Metrics for Refused {
        fn resume_refused(&self, why: ResumeRefused) {
            self.0.lock().unwrap().push(why);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn losing_and_late_sockets_get_a_reason() {
        let reported = Refused::default();
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
        let server = Server::builder(connect).metrics(reported.clone()).build().unwrap();
        let shared = server.shared();
        let connection = connection(shared);
        let received = async |mut theirs: tokio::io::DuplexStream| {
            // An unmasked close frame: its code, and its reason.
            let mut frame = [0; 64];
            let read = theirs.read(&mut frame).await.unwrap();
            assert_eq!((frame[0], frame[1] as usize), (0x88, read - 2));
            let reason = String::from_utf8_lossy(&frame[4..read]).into_owned();
            (u16::from_be_bytes([frame[2], frame[3]]), reason)
        };
        let [(early, one), (late, _two)] = [(); 2].map(|()| pending(&connection, true));
        shared.arrive(&connection, late);
        assert!(reported.0.lock().unwrap().is_empty());
        shared.arrive(&connection, early);
        assert_eq!(received(one).await, (4000, "taken over".into()));
        assert_eq!(*reported.0.lock().unwrap(), [ResumeRefused::Overtaken]);
        connection.set_gone();
        for resumes in [true, false] {
            let (late, three) = pending(&connection, resumes);
            connection.take_pending_socket();
            shared.arrive(&connection, late);
            assert_eq!(received(three).await, (1001, "session ended".into()));
        }
        assert_eq!(*reported.0.lock().unwrap(), [ResumeRefused::Overtaken, ResumeRefused::Ended]);
    }
}
