//! [`ServerInner`]: the state of one server.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rejoin_core::drive::Detach;
use rejoin_core::drive::sync::Mutex;
use rejoin_core::{CloseFrame, Mode, SessionConfig};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::connect::DynConnect;
use crate::connection::Connection;
use crate::context::ServerContext;
use crate::durable::DurableLog;
use crate::fanout::rooms::Rooms;
use crate::limits::places::Places;
use crate::limits::reading::Reading;
use crate::observe::errors::ErrorKind;
use crate::observe::hooks::MetricsHooks;
use crate::observe::metrics::ResumeRefused;
use crate::observe::stats::Totals;
use crate::observe::throttle::Throttle;
use crate::options::ServerOptions;
use crate::runtimes::Runtimes;
use crate::session::call::{Call, Callback};
use crate::session::expiry::SuspendedSessions;
use crate::session::handle::PendingSocket;
use crate::session::handlers::{Handlers, OwnHandler};
use crate::session::hooks::Hooks;
use crate::session::registry::Registry;
use crate::session::users::Users;

/// The state of one server: its [context](ServerContext), and the tables of its sessions and rooms. All handles and session tasks
/// share it.
pub(crate) struct ServerInner {
    pub(crate) context: Arc<ServerContext>,
    pub(crate) connect: Box<dyn DynConnect>,
    pub(crate) handlers: Handlers,
    pub(crate) hooks: Hooks,
    pub(crate) registry: Registry,
    pub(crate) rooms: Rooms,
    pub(crate) users: Users,
    pub(crate) places: Places,
    pub(crate) reading: Reading,
    pub(crate) suspended: SuspendedSessions,
    /// The counts of sessions that have ended. Locked while a session is moved here from the registry, so that statistics count
    /// each session once.
    pub(crate) totals: Mutex<Totals>,
    pub(crate) refused: AtomicU64,
    /// The number of callbacks that wait for something.
    pub(crate) handlers_running: AtomicUsize,
    /// One permit for each further handshake that our own listeners may begin.
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) accept_errors: Throttle,
    pub(crate) origin_refusals: Throttle,
    plain: Arc<SessionConfig>,
    session: Arc<SessionConfig>,
}

/// The parts that know no session.
impl Deref for ServerInner {
    type Target = ServerContext;

    fn deref(&self) -> &ServerContext {
        &self.context
    }
}

/// The shortest time between two log lines of a kind that a single peer can cause at will.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

impl ServerInner {
    pub(crate) fn new(
        options: ServerOptions,
        connect: Box<dyn DynConnect>,
        handlers: Handlers,
        hooks: Hooks,
        metrics: MetricsHooks,
        durable: Option<Arc<DurableLog>>,
    ) -> Self {
        let tasks = TaskTracker::new();
        let runtimes = Runtimes::new(tasks.clone(), CancellationToken::new());
        let suspended = SuspendedSessions::new(options.max_retained_bytes, runtimes.clone());
        let budget = suspended.budget().clone();
        let reports_changes = handlers.report_changes();
        let context =
            Arc::new(ServerContext::new(options, metrics, reports_changes, budget, runtimes, tasks, durable));
        let configure = |mode| {
            let mut config = context.options.session(mode);
            config.reports_discarded = hooks.reports_discarded();
            config.keeps_expired = hooks.keeps_expired();
            let commits = context.durable.as_ref().is_some_and(|log| log.handover.is_none());
            config.commits = mode == Mode::Session && commits;
            Arc::new(config)
        };
        Self {
            plain: configure(Mode::Plain),
            session: configure(Mode::Session),
            handshakes: Arc::new(Semaphore::new(context.options.max_handshakes)),
            accept_errors: Throttle::new(LOG_INTERVAL),
            origin_refusals: Throttle::new(LOG_INTERVAL),
            connect,
            handlers,
            hooks,
            registry: Registry::new(),
            rooms: Rooms::new(context.clone()),
            users: Users::new(),
            places: Places::new(&context.options.limits),
            reading: Reading::new(&context.options.limits),
            suspended,
            totals: Mutex::default(),
            refused: AtomicU64::new(0),
            handlers_running: AtomicUsize::new(0),
            context,
        }
    }

    /// The configuration of sessions in this mode.
    pub(crate) fn session_config(&self, mode: Mode) -> &Arc<SessionConfig> {
        match mode {
            Mode::Plain => &self.plain,
            Mode::Session => &self.session,
        }
    }

    /// Calls a callback or a hook; `None` if the application has none.
    pub(crate) fn call(&self, connection: &Connection, call: Call) -> Option<Callback> {
        match call {
            Call::SendDropped(..) | Call::Expired(_) => self.hooks.call(connection, call),
            _ if connection.handle().awaits_handler() => None,
            _ => match connection.get::<OwnHandler>() {
                Some(own) => own.0.clone().call(connection.clone(), call),
                None => self.handlers.call(connection, call),
            },
        }
    }

    /// Reports an error to the metrics and the application. The caller holds no lock.
    pub(crate) fn report_error(&self, error: impl FnOnce() -> ErrorKind) {
        if self.metrics.is_on() || self.hooks.want_errors() {
            let error = error();
            self.metrics.report(|metrics| metrics.error(error.as_str()));
            self.hooks.report(&error);
        }
    }

    /// Passes a socket to the session's task.
    pub(crate) fn arrive(&self, connection: &Connection, pending: PendingSocket) {
        if let Some(loser) = connection.handle().arrive(pending) {
            self.refuse_late(connection.id(), ResumeRefused::Overtaken);
            let frame = CloseFrame::from_static(4000, "taken over");
            self.close_socket(loser.driver, Detach::Leave(frame), None);
        }
        // After the socket is stored. The task that ends marks the connection first and looks for a socket afterwards: whichever
        // comes second closes the socket, which would otherwise stay open without a task.
        if connection.is_gone() {
            self.turn_away(connection);
        }
    }

    /// Closes a socket that has arrived too late for its session, with the reason.
    pub(crate) fn turn_away(&self, connection: &Connection) {
        if let Some(late) = connection.handle().take_late_socket() {
            tracing::debug!(id = connection.id(), "socket too late for its session");
            if late.resumes {
                self.refuse_late(connection.id(), ResumeRefused::Ended);
            }
            self.close_socket(late.driver, Detach::Leave(connection.handle().farewell()), None);
        }
    }

    /// Removes a session that is over from the registry, its rooms, its user and its places. A second call does nothing.
    pub(crate) fn forget(&self, connection: &Connection) {
        self.registry.remove(connection);
        for room in connection.take_ended_rooms() {
            self.rooms.leave(connection, &room);
        }
        connection.handle().take_user(|user| self.users.remove(&user, connection));
        self.release(connection);
    }

    /// Releases what a session takes of the server's limits. A second call does nothing.
    pub(crate) fn release(&self, connection: &Connection) {
        self.places.release(connection.handle());
        self.reading.leave(connection.number());
    }

    /// Sets the user of a connection, or removes it. Returns `false` if the connection has ended or is closing, or if the user has
    /// too many connections; `predecessor`, which this one is about to replace, does not count.
    pub(crate) fn set_user(
        &self,
        connection: &Connection,
        name: Option<&str>,
        predecessor: Option<&Connection>,
    ) -> bool {
        let mut user = connection.handle().user_to_change();
        // After the name is locked: a session that ends from here on finds it, and removes it.
        if !connection.session().is_open() {
            return false;
        }
        if name == user.as_deref() {
            return true;
        }
        let max = self.options.limits.connections_per_user;
        let added = name.map(|name| self.users.add(name, connection, max, predecessor));
        if let Some(None) = added {
            return false;
        }
        let added = added.flatten();
        if self.reading.limits_users() {
            let shared = added.as_deref().and_then(|name| self.users.buckets(name));
            self.reading.set_user(connection.number(), shared);
        }
        if let Some(old) = std::mem::replace(&mut *user, added) {
            self.users.remove(&old, connection);
        }
        true
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

    /// Ends all tasks without waiting for their sockets or callbacks.
    pub(crate) fn abort(&self) {
        // First the flag, then the wake-ups: a session task checks the flag after it has registered, so it is either woken here
        // or has seen the flag. Both lock the session in between, which makes the flag visible.
        self.set_aborted();
        for connection in self.registry.running_in_order() {
            connection.session().wake_driver();
        }
    }
}

impl Drop for ServerInner {
    fn drop(&mut self) {
        // No handle is left that could shut the server down. This ends the tasks that watch its runtimes.
        self.closing.cancel();
        if let Some(log) = &self.context.durable {
            log.abandon();
        }
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
            connection.handle().take_pending_socket();
            shared.arrive(&connection, late);
            assert_eq!(received(three).await, (1001, "session ended".into()));
        }
        assert_eq!(*reported.0.lock().unwrap(), [ResumeRefused::Overtaken, ResumeRefused::Ended]);
    }
}
