//! [`Shared`]: what all parts of one server have in common.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rejoin_core::drive::{Link, LinkEnd, Transport, now};
use rejoin_core::{
    CloseFrame, CloseReason, Epoch, LostReason, Mode, Session, SessionConfig, SessionIdentity, State, Token,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::{DynConnect, Identity, Reject};
use crate::connection::{Arrival, Connection, Parts};
use crate::handlers::Handlers;
use crate::options::{DuplicateId, Options};
use crate::registry::{self, Registry};
use crate::rooms::Rooms;
use crate::session_task::SessionTask;
use crate::stats::Totals;
use crate::upgrade::{Offer, Resume, bad};

/// One server. All its handles, tasks and connections share it.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) connect: Box<dyn DynConnect>,
    pub(crate) handlers: Handlers,
    pub(crate) registry: Registry,
    pub(crate) rooms: Rooms,
    /// Every task of the server: shutdown returns when the last has ended.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when no connection is accepted any more.
    pub(crate) closing: CancellationToken,
    /// Cancelled when shutdown's deadline has passed: tasks end where they stand.
    aborted: CancellationToken,
    pub(crate) totals: Mutex<Totals>,
    pub(crate) refused: AtomicU64,
    plain: Arc<SessionConfig>,
    session: Arc<SessionConfig>,
    numbers: AtomicU64,
}

/// What a request was found to ask for; its socket is still to come.
pub(crate) enum Admission {
    /// A session of session mode goes on.
    Resume { connection: Connection, epoch: Epoch, received: u64 },
    /// A fresh session, or in plain mode the one that has this ID.
    Fresh { identity: Identity, mode: Mode, codec: usize, lost: Option<LostReason> },
}

impl Shared {
    pub(crate) fn new(options: Options, connect: Box<dyn DynConnect>, handlers: Handlers) -> Self {
        Self {
            plain: options.session(Mode::Plain),
            session: options.session(Mode::Session),
            options,
            connect,
            handlers,
            registry: Registry::new(),
            rooms: Rooms::new(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            aborted: CancellationToken::new(),
            totals: Mutex::default(),
            refused: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
        }
    }

    /// Finds out what a request is to get, before it is answered.
    ///
    /// # Errors
    /// Refuses an impossible count in a resume offer with 400, and an ID that is taken with 409 where that is the policy.
    pub(crate) fn admit(&self, offer: &Offer, mut identity: Identity) -> Result<Admission, Reject> {
        let (mode, codec, lost) = match offer {
            // The default codec is the first.
            Offer::Plain { .. } => (Mode::Plain, 0, None),
            Offer::Session { codecs, resume: None } => (Mode::Session, codecs[0], None),
            Offer::Session { codecs, resume: Some(resume) } => match self.find(resume, codecs, &identity) {
                Ok(connection) => {
                    let epoch = connection
                        .cell()
                        .drive(|session| session.check_resume(resume.received).map(|()| session.reserve()));
                    //= PROTOCOL.md#4-counting: answered by HTTP 400, and leaves the session as it is
                    let epoch = epoch.map_err(|violation| bad(format!("resume offer: {violation}")))?;
                    return Ok(Admission::Resume { connection, epoch, received: resume.received });
                }
                Err(reason) => (Mode::Session, codecs[0], Some(reason)),
            },
        };
        if identity.id.is_empty() {
            identity.id = random(registry::new_id())?.into();
        } else if let Some(existing) = self.registry.by_id(&identity.id)
            && self.options.duplicate_id == DuplicateId::Reject
            // One that has ended is only waiting for its last callback.
            && existing.is_open()
            && !self.takes_over(&existing, mode, &identity)
        {
            return Err(Reject::new(http::StatusCode::CONFLICT, "connection id is taken"));
        }
        Ok(Admission::Fresh { identity, mode, codec, lost })
    }

    //= PROTOCOL.md#5-resuming
    fn find(&self, resume: &Resume, codecs: &[usize], identity: &Identity) -> Result<Connection, LostReason> {
        if self.options.resume_window.is_zero() {
            return Err(LostReason::Unknown);
        }
        let found = self.registry.by_token(&resume.token)?;
        if found.cell().drive(|session| session.state()) == State::Closed {
            return Err(LostReason::Unknown);
        }
        if !codecs.contains(&found.codec_index()) {
            return Err(LostReason::Codec);
        }
        let same = |claimed: &str, actual: &str| claimed.is_empty() || claimed == actual;
        if !same(&identity.id, found.id()) || !same(&identity.room, found.room()) {
            return Err(LostReason::Identity);
        }
        Ok(found)
    }

    /// Whether a plain connection goes on with the session that has its ID.
    fn takes_over(&self, existing: &Connection, mode: Mode, identity: &Identity) -> bool {
        mode == Mode::Plain
            && existing.mode() == Mode::Plain
            && *existing.room() == *identity.room
            && existing.cell().drive(|session| match session.state() {
                _ if !session.is_open() => false,
                State::Suspended => true,
                State::Connected => self.options.duplicate_id == DuplicateId::Resume,
                _ => false,
            })
    }

    /// Gives a session the socket that it was promised.
    pub(crate) fn attach(
        self: &Arc<Self>,
        admission: Admission,
        transport: Box<dyn Transport>,
        remote_addr: Option<SocketAddr>,
    ) {
        let result = match admission {
            Admission::Resume { connection, epoch, received } => {
                self.arrive(&connection, Arrival { epoch, received: Some(received), transport });
                Ok(())
            }
            Admission::Fresh { identity, mode, codec, lost } => {
                self.open(identity, mode, codec, lost, transport, remote_addr)
            }
        };
        if let Err(error) = result {
            tracing::error!(%error, "no randomness for a session token");
        }
    }

    fn open(
        self: &Arc<Self>,
        identity: Identity,
        mode: Mode,
        codec: usize,
        lost: Option<LostReason>,
        transport: Box<dyn Transport>,
        remote_addr: Option<SocketAddr>,
    ) -> Result<(), getrandom::Error> {
        if let Some(existing) = self.registry.by_id(&identity.id)
            && self.takes_over(&existing, mode, &identity)
        {
            let epoch = existing.cell().drive(|session| session.reserve());
            self.arrive(&existing, Arrival { epoch, received: None, transport });
            return Ok(());
        }
        let (mut session, token) = self.session(&identity, mode, lost)?;
        let epoch = session.reserve();
        let connection = Connection::new(Parts {
            shared: self.clone(),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            id: identity.id.into(),
            room: identity.room.into(),
            token,
            remote_addr,
            data: identity.data,
            codec: self.options.codecs[codec].clone(),
            codec_index: codec,
            session,
        });
        connection.arrive(Arrival { epoch, received: None, transport });
        if let Some(replaced) = self.registry.insert(&connection) {
            replaced.end(CloseReason::Duplicate);
            self.forget(&replaced);
        }
        self.rooms.join(&connection);
        self.tasks.spawn(SessionTask::new(self.clone(), connection.clone()));
        if self.closing.is_cancelled() {
            // Shutdown has looked at all connections already, or is about to: either way this one goes with them.
            connection.end(CloseReason::ServerClosed);
        }
        Ok(())
    }

    fn session(
        &self,
        identity: &Identity,
        mode: Mode,
        lost: Option<LostReason>,
    ) -> Result<(Session, Option<Token>), getrandom::Error> {
        if mode == Mode::Plain {
            return Ok((Session::new(self.plain.clone(), now()), None));
        }
        let token = registry::new_token()?;
        let identity = SessionIdentity::new(token.clone(), identity.id.clone(), identity.room.clone());
        Ok((Session::new_server(self.session.clone(), identity, lost, now()), Some(token)))
    }

    fn arrive(&self, connection: &Connection, arrival: Arrival) {
        if let Some(left) = connection.arrive(arrival) {
            let frame = CloseFrame::new(4000, "taken over");
            self.close_socket(left.transport, LinkEnd::Leave(frame));
        }
        if connection.is_gone() {
            self.turn_away(connection);
        }
    }

    /// A socket that has come too late for its session: the client comes again, and gets a fresh one.
    pub(crate) fn turn_away(&self, connection: &Connection) {
        if let Some(late) = connection.take_arrival() {
            let frame = CloseFrame::new(1001, "session ended");
            self.close_socket(late.transport, LinkEnd::Leave(frame));
        }
    }

    /// Closes a socket that belongs to no session any more, within the close timeout.
    pub(crate) fn close_socket(&self, transport: Box<dyn Transport>, end: LinkEnd) {
        let closing = Link::close(transport, end);
        let timeout = self.options.close_timeout;
        let aborted = self.aborted.clone();
        self.spawn(async move {
            tokio::select! {
                _ = tokio::time::timeout(timeout, closing) => {}
                () = aborted.cancelled() => {}
            }
        });
    }

    /// Runs a task that shutdown waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// The session is over: nobody finds it any more. A second call does nothing.
    pub(crate) fn forget(&self, connection: &Connection) {
        self.registry.remove(connection);
        self.rooms.leave(connection);
    }

    /// The session's task has ended: what it counted stays in the totals.
    pub(crate) fn retire(&self, connection: &Connection) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        self.registry.remove_task(connection);
        totals.add(&connection.counts());
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.is_cancelled()
    }

    /// All tasks are to end where they stand.
    pub(crate) fn abort(&self) {
        self.aborted.cancel();
        for connection in self.registry.running() {
            connection.cell().command(|_| ());
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

fn random<T>(result: Result<T, getrandom::Error>) -> Result<T, Reject> {
    result.map_err(|error| {
        tracing::error!(%error, "no randomness for a connection id");
        Reject::new(http::StatusCode::SERVICE_UNAVAILABLE, "no randomness")
    })
}
