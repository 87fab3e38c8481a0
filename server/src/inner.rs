//! [`ServerInner`]: the state of one server, as one of its realms sees it.

use std::any::Any;
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
use crate::durable::{DurableLog, StoreNode};
use crate::fanout::rooms::RoomCounts;
use crate::limits::places::Places;
use crate::limits::reading::Reading;
use crate::observe::errors::ErrorKind;
use crate::observe::hooks::MetricsHooks;
use crate::observe::metrics::ResumeRefused;
use crate::observe::stats::Totals;
use crate::observe::throttle::Throttle;
use crate::options::ServerOptions;
use crate::realm::{KeptRealm, Realm, Realms};
use crate::runtimes::Runtimes;
use crate::session::belongings::Belongings;
use crate::session::call::{Call, Callback};
use crate::session::expiry::SuspendedSessions;
use crate::session::handle::PendingSocket;
use crate::session::handlers::{Handlers, OwnHandler};
use crate::session::hooks::Hooks;
use crate::session::registry::Registry;

/// The state of one server that all of its realms share: its [context](ServerContext), its sessions, and what limits and counts them.
pub(crate) struct ServerCore {
    pub(crate) context: Arc<ServerContext>,
    pub(crate) connect: Box<dyn DynConnect>,
    pub(crate) handlers: Handlers,
    pub(crate) hooks: Hooks,
    pub(crate) registry: Registry,
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
    /// The server as its store knows it, if sessions outlive the process.
    pub(crate) node: Option<Arc<StoreNode>>,
    /// The numbers of rooms and of their bytes in all realms.
    room_counts: RoomCounts,
    realms: Realms<ServerInner>,
    plain: Arc<SessionConfig>,
    session: Arc<SessionConfig>,
}

/// One server, as one of its realms sees it: what the realms [share](ServerCore), and the tables of this one. Handles and
/// session tasks hold it, and those of one realm hold the same. It lives while anybody does.
pub(crate) struct ServerInner {
    pub(crate) context: Arc<ServerContext>,
    pub(crate) core: Arc<ServerCore>,
    pub(crate) realm: Arc<Realm>,
    /// The log of this realm, if sessions outlive the process.
    pub(crate) durable: Option<Arc<DurableLog>>,
}

impl Deref for ServerInner {
    type Target = ServerCore;

    fn deref(&self) -> &ServerCore {
        &self.core
    }
}

/// The parts that know no session.
impl Deref for ServerCore {
    type Target = ServerContext;

    fn deref(&self) -> &ServerContext {
        &self.context
    }
}

/// The shortest time between two log lines of a kind that a single peer can cause at will.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

impl ServerInner {
    /// A server, as its default realm sees it.
    pub(crate) fn new(
        options: ServerOptions,
        connect: Box<dyn DynConnect>,
        handlers: Handlers,
        hooks: Hooks,
        metrics: MetricsHooks,
        node: Option<Arc<StoreNode>>,
    ) -> Arc<Self> {
        let tasks = TaskTracker::new();
        let runtimes = Runtimes::new(tasks.clone(), CancellationToken::new());
        let suspended = SuspendedSessions::new(options.max_retained_bytes, runtimes.clone());
        let budget = suspended.budget().clone();
        let reports_changes = handlers.report_changes();
        let context =
            Arc::new(ServerContext::new(options, metrics, reports_changes, budget, runtimes, tasks));
        let configure = |mode| {
            let mut config = context.options.session(mode);
            config.reports_discarded = hooks.reports_discarded();
            config.keeps_expired = hooks.keeps_expired();
            let commits = node.as_ref().is_some_and(|node| !node.hands_over);
            config.commits = mode == Mode::Session && commits;
            Arc::new(config)
        };
        let core = Arc::new(ServerCore {
            plain: configure(Mode::Plain),
            session: configure(Mode::Session),
            handshakes: Arc::new(Semaphore::new(context.options.max_handshakes)),
            accept_errors: Throttle::new(LOG_INTERVAL),
            origin_refusals: Throttle::new(LOG_INTERVAL),
            connect,
            handlers,
            hooks,
            registry: Registry::new(),
            places: Places::new(&context.options.limits),
            reading: Reading::new(&context.options.limits),
            suspended,
            totals: Mutex::default(),
            refused: AtomicU64::new(0),
            handlers_running: AtomicUsize::new(0),
            node,
            room_counts: RoomCounts::default(),
            realms: Realms::default(),
            context,
        });
        core.view("")
    }

    /// The server of a connection, as its realm sees it.
    pub(crate) fn of(connection: &Connection) -> Arc<Self> {
        let host: Arc<dyn Any + Send + Sync> = connection.host().clone();
        host.downcast().expect("the host of a connection is its server")
    }

    /// The server, as the realm of this name sees it; the default realm has none. Costs a look-up unless it is this one.
    pub(crate) fn in_realm(self: &Arc<Self>, name: &str) -> Arc<Self> {
        if *self.realm.name == *name { self.clone() } else { self.core.view(name) }
    }

    /// Removes a session of this realm that is over from the registry, its rooms, its user and its places. A second call does nothing.
    pub(crate) fn forget(&self, connection: &Connection) {
        self.registry.remove(&self.realm.ids, connection);
        for room in connection.take_ended_rooms() {
            self.realm.rooms.leave(connection, &room);
        }
        connection.handle().take_user(|user| self.realm.users.remove(&user, connection));
        self.release(connection);
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
        let added = name.map(|name| self.realm.users.add(name, connection, max, predecessor));
        if let Some(None) = added {
            return false;
        }
        let added = added.flatten();
        if self.reading.limits_users() {
            let shared = added.as_deref().and_then(|name| self.realm.users.buckets(name));
            self.reading.set_user(connection.number(), shared);
        }
        if let Some(old) = std::mem::replace(&mut *user, added) {
            self.realm.users.remove(&old, connection);
        }
        true
    }
}

impl ServerCore {
    /// The server, as the realm of this name sees it.
    fn view(self: &Arc<Self>, name: &str) -> Arc<ServerInner> {
        self.realms.open(name, |KeptRealm { realm, log }| {
            let new = || Arc::new(Realm::new(name, &self.context, &self.room_counts));
            let realm = realm.unwrap_or_else(new);
            let open = |node: &Arc<StoreNode>| Arc::new(DurableLog::new(node.clone(), &realm.name, log));
            let durable = self.node.as_ref().map(open);
            let kept = KeptRealm { realm: durable.is_none().then(|| realm.clone()), log: durable.clone() };
            let context = self.context.clone();
            (ServerInner { context, core: self.clone(), realm: realm.clone(), durable }, realm, kept)
        })
    }

    /// All realms, also those without connections that keep histories.
    pub(crate) fn realms(&self) -> Vec<Arc<Realm>> {
        self.realms.all()
    }

    /// The number of realms in memory.
    #[cfg(test)]
    pub(crate) fn count_realms(&self) -> usize {
        self.realms.len()
    }

    /// The server as each realm sees it that is open, in the order of their names.
    pub(crate) fn views(&self) -> Vec<Arc<ServerInner>> {
        self.realms.views()
    }

    /// Frees the memory of histories because all sessions together exceed their limit: first what is too old, and the histories of
    /// rooms without members; if there are none, all. Returns whether there were any.
    pub(crate) fn forget_histories(&self) -> bool {
        let before = self.room_counts.history_bytes();
        for forgets_all in [false, true] {
            if before == 0 || self.room_counts.history_bytes() < before {
                break;
            }
            self.realms().iter().for_each(|realm| realm.rooms.forget_histories(forgets_all));
        }
        self.room_counts.history_bytes() < before
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
            _ => match connection.handle().read_belongings(Belongings::handler::<OwnHandler>) {
                Some(own) => own?.downcast::<OwnHandler>().ok()?.0.clone().call(connection.clone(), call),
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

    /// Releases what a session takes of the server's limits. A second call does nothing.
    pub(crate) fn release(&self, connection: &Connection) {
        self.places.release(connection.handle());
        self.reading.leave(connection.number());
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
        if let Some(log) = &self.durable {
            log.abandon();
        }
    }
}

impl Drop for ServerCore {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            node.leave();
            node.close();
        }
        // No handle is left that could shut the server down. This ends the tasks that watch its runtimes.
        self.closing.cancel();
    }
}

impl fmt::Debug for ServerInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ServerInner");
        f.field("realm", &self.realm.name).field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
