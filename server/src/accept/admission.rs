//! [`Admission`]: the session that a request gets, decided before the request is answered.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use rejoin_core::drive::{SocketDriver, Transport, now};
use rejoin_core::{CloseReason, Epoch, LostReason, Mode, Session, SessionIdentity, SessionState};

use crate::accept::connect::Identity;
use crate::accept::entry;
use crate::accept::logged_request::LoggedRequest;
use crate::accept::offer::{Offer, Resume};
use crate::accept::reject::Reject;
use crate::connection::{Connection, NewConnection};
use crate::durable::LogWriter;
use crate::durable::handover::Resuming;
use crate::inner::ServerInner;
use crate::limits::throttled::Throttled;
use crate::observe::metrics::ResumeRefused;
use crate::options::DuplicateId;
use crate::session::belongings::{Belongings, Renewal};
use crate::session::handle::{PendingSocket, SessionKey};
use crate::session::registry;
use crate::session::task::SessionTask;

/// The session that a request gets, before its socket arrives.
///
/// A fresh session is registered already: when the client reads the answer to its upgrade, it is a member of its room. If the
/// socket never arrives, dropping the admission removes the session again.
pub(crate) struct Admission {
    connection: Connection,
    epoch: Epoch,
    /// The count of a resume offer.
    received: Option<u64>,
    /// The changes that the request makes to the session once the socket is attached.
    renewal: Renewal,
    /// The number of its attachment in the store.
    pub(crate) attachment: Option<u64>,
    /// Until its socket is attached the session is not written to the store.
    pub(crate) resuming: Option<Resuming>,
    /// The task of a fresh session, not running yet.
    task: Option<SessionTask>,
}

/// The outcome of a request.
pub(crate) enum Decision {
    /// A session that is there.
    Known(Box<Admission>),
    /// A fresh session, which is to be opened.
    New(Box<Newcomer>),
}

/// A fresh session that is not open yet.
pub(crate) struct Newcomer {
    pub(crate) session: Session,
    pub(crate) who: SessionKey,
    pub(crate) codec: usize,
    pub(crate) identity: Identity,
    pub(crate) replaces: Option<Connection>,
}

impl Admission {
    /// Decides on a request.
    ///
    /// # Errors
    /// Fails with 400 for an impossible count in a resume offer, with 409 for an ID that is taken, if that is the policy, and with
    /// 503 for a newcomer while the server drains.
    pub(crate) fn decide(
        shared: &Arc<ServerInner>,
        offer: &Offer,
        mut identity: Identity,
        asked: &LoggedRequest,
    ) -> Result<Decision, Reject> {
        // A client without such an offer, and any client in plain mode, accepts messages of every size.
        let peer_max = match offer {
            Offer::Session { max: Some(max), .. } => *max,
            _ => u64::MAX,
        };
        let (mode, codec, lost) = match offer {
            // The default codec is the first.
            Offer::Plain { .. } => (Mode::Plain, 0, None),
            Offer::Session { codecs, resume: None, .. } => (Mode::Session, codecs[0], None),
            Offer::Session { codecs, resume: Some(resume), .. } => {
                shared.metrics.report(|metrics| metrics.resume_attempted());
                match find(shared, resume, codecs, &identity) {
                    Ok(connection) if lacks(&connection, resume) => {
                        // The restored session lacks frames that the client has received, so it cannot continue.
                        connection.end(CloseReason::Evicted);
                        refuse_resume(shared, LostReason::Unknown.into(), asked);
                        (Mode::Session, codecs[0], Some(LostReason::Unknown))
                    }
                    Ok(connection) => {
                        let admission = Self::resume(shared, connection, resume, peer_max, asked)?;
                        // After a restart, the values that the application kept with it are gone.
                        let connection = &admission.connection;
                        let lacks_data = connection.handle().writer().is_some() && !connection.has_data();
                        let renewal = renewal(identity, lacks_data);
                        return Ok(Decision::Known(Box::new(Self { renewal, ..admission })));
                    }
                    Err(reason) => {
                        refuse_resume(shared, reason.into(), asked);
                        (Mode::Session, codecs[0], Some(reason))
                    }
                }
            }
        };
        let id = match identity.id.take() {
            None => registry::new_id().map_err(no_randomness)?.into(),
            Some(id) => {
                if let Some(existing) = shared.realm.ids.get(&id)
                    && takes_over(shared, &existing, mode, &identity, asked)
                {
                    shared.metrics.report(|metrics| metrics.resume_attempted());
                    let epoch = existing.session().drive(|session| session.reserve());
                    let renewal = renewal(identity, false);
                    return Ok(Decision::Known(Box::new(Self::known(existing, epoch, None, renewal))));
                }
                id
            }
        };
        //= PROTOCOL.md#R7.25: MUST refuse a request that opens a fresh session with HTTP 503 and `Retry-After`
        if shared.draining.is_on() {
            return Err(Reject::unavailable("server is draining"));
        }
        let (session, who) = new_session(shared, mode, lost, peer_max, id, identity.room.as_deref())?;
        Ok(Decision::New(Box::new(Newcomer { session, who, codec, identity, replaces: None })))
    }

    fn resume(
        shared: &ServerInner,
        connection: Connection,
        resume: &Resume,
        peer_max: u64,
        asked: &LoggedRequest,
    ) -> Result<Self, Reject> {
        let received = resume.received;
        //= PROTOCOL.md#R7.26: MUST resume sessions as before
        // The epoch is reserved now, before the answer: sockets are ordered by their requests, whichever arrives first.
        let is_kept = connection.handle().writer().is_some();
        let epoch = connection.session().drive(|session| {
            if is_kept {
                // What this server has not sent, another one may have.
                session.assume_sent();
            }
            session.check_resume(received)?;
            session.learn_token(&resume.token);
            session.set_peer_max(peer_max);
            Ok(session.reserve())
        });
        //= PROTOCOL.md#R4.20: answer an offer with such an N with HTTP 400, and leave the session as it is
        let epoch = epoch.map_err(|violation: rejoin_core::Violation| {
            refuse_resume(shared, ResumeRefused::BadCount, asked);
            Reject::bad_request(format!("resume offer: {violation}"))
        })?;
        Ok(Self::known(connection, epoch, Some(received), Renewal::default()))
    }

    fn known(connection: Connection, epoch: Epoch, received: Option<u64>, renewal: Renewal) -> Self {
        Self { connection, epoch, received, renewal, attachment: None, resuming: None, task: None }
    }

    /// The same for a session that was here before, and has come back from another server: `connection`.
    ///
    /// # Errors
    /// Fails with 400 for an impossible count in the resume offer.
    pub(crate) fn again(
        self,
        shared: &ServerInner,
        connection: Connection,
        offer: &Offer,
        asked: &LoggedRequest,
    ) -> Result<Self, Reject> {
        let Offer::Session { resume: Some(resume), max, .. } = offer else { return Ok(self) };
        let known = self.connection.handle().read_belongings(|belongings| belongings.data.clone());
        let renewal = Renewal { data: self.renewal.data.or(known), ..self.renewal };
        let again = Self::resume(shared, connection, resume, max.unwrap_or(u64::MAX), asked)?;
        Ok(Self { renewal, ..again })
    }

    /// Opens a fresh session: it is registered, and a member of its rooms. `writer`: as a store knows it.
    ///
    /// # Errors
    /// Fails at a limit, and for an ID that is taken, if that is the policy.
    pub(crate) fn open(
        shared: &Arc<ServerInner>,
        newcomer: Box<Newcomer>,
        writer: Option<Arc<LogWriter>>,
        asked: &LoggedRequest,
    ) -> Result<Self, Reject> {
        let Newcomer { mut session, who, codec, identity, replaces: ended } = *newcomer;
        let Identity { data, user, further_rooms, rewind, presence, expires, headers, handler, .. } =
            identity;
        let mut belongings = Belongings::new(data, headers);
        belongings.settle_handler(handler);
        let epoch = session.reserve();
        let connection = Connection::new(NewConnection {
            number: asked.number,
            host: shared.clone(),
            who,
            remote_addr: asked.peer,
            belongings,
            codec_index: codec,
            session,
            writer,
        });
        connection.handle().set_presence(presence);
        let replaces = shared.options.duplicate_id != DuplicateId::Reject;
        let gives_way = |found: &Connection| replaces && !asked.is_before(found.handle());
        let predecessor = shared.realm.ids.get(connection.id()).filter(gives_way);
        entry::take_places(shared, &connection, asked.client(), user.as_deref(), predecessor.as_ref())?;
        let Ok(replaced) = shared.registry.insert(&shared.realm.ids, &connection, replaces) else {
            connection.end(CloseReason::Duplicate);
            shared.forget(&connection);
            return Err(Reject::checked(StatusCode::CONFLICT, "connection id is taken"));
        };
        if let Some(replaced) = &replaced {
            replaced.end(CloseReason::Duplicate);
            shared.forget(replaced);
        }
        // If it is refused here, dropping its task removes it again.
        let task = SessionTask::new(shared.clone(), connection.clone(), replaced.or(ended));
        entry::join_rooms(shared, &connection, &further_rooms, rewind.as_ref())?;
        let renewal = Renewal { expires, ..Renewal::default() };
        Ok(Self {
            connection,
            epoch,
            received: None,
            renewal,
            attachment: None,
            resuming: None,
            task: Some(task),
        })
    }

    /// The session.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The index of the session's codec among the server's.
    pub(crate) fn codec_index(&self) -> usize {
        self.connection.codec_index()
    }

    /// The session's connection ID.
    #[cfg(feature = "hyper")]
    pub(crate) fn id(&self) -> &str {
        self.connection.id()
    }

    /// Passes the socket to the session. Returns the task of a fresh session.
    #[must_use = "a session without its task does nothing"]
    pub(crate) fn attach(
        self,
        shared: &Arc<ServerInner>,
        transport: impl Transport + 'static,
    ) -> Option<SessionTask> {
        let Self { connection, epoch, received, renewal, attachment, resuming, task } = self;
        let resumes = task.is_none();
        let driver: Box<SocketDriver> = match shared.reading.of(connection.number()) {
            None => Box::new(SocketDriver::new(epoch, transport)),
            Some(limits) => {
                let throttled = Throttled::new(transport, limits, shared.context.clone());
                Box::new(SocketDriver::new(epoch, throttled))
            }
        };
        shared
            .arrive(&connection, PendingSocket { driver, received, renewal, attachment, resuming, resumes });
        // Shutdown cancels `closing` first and ends the registered connections afterwards. It may have done so before this socket
        // arrived, so the connection is ended here, too; ending it twice is harmless. One that a store keeps is left to it by its
        // task.
        if shared.closing.is_cancelled() && connection.handle().writer().is_none() {
            connection.end(CloseReason::ServerClosed);
        }
        task
    }
}

/// The values that the request of a resumed session carries.
fn renewal(identity: Identity, lacks_data: bool) -> Renewal {
    let Identity { data, refreshes_data, expires, headers, handler, .. } = identity;
    Renewal { expires, data: data.filter(|_| refreshes_data || lacks_data), headers, handler }
}

//= PROTOCOL.md#R5.6: The server MUST resume when…
fn find(
    shared: &ServerInner,
    resume: &Resume,
    codecs: &[usize],
    identity: &Identity,
) -> Result<Connection, LostReason> {
    let found = by_token(shared, resume, codecs)?;
    let same = |claimed: Option<&str>, actual: Option<&str>| claimed.is_none() || claimed == actual;
    let user = found.handle().user();
    let is_same = same(identity.realm.as_deref(), Some(found.host().realm()))
        && same(identity.id.as_deref(), Some(found.id()))
        && same(identity.room.as_deref(), found.room())
        // A session that had no user may have been opened before its client signed in.
        && (user.is_none() || same(identity.user.as_deref(), user.as_deref()));
    if !is_same {
        return Err(LostReason::Identity);
    }
    Ok(found)
}

/// The session whose token the client offers, if it has not ended and the client supports its codec.
fn by_token(shared: &ServerInner, resume: &Resume, codecs: &[usize]) -> Result<Connection, LostReason> {
    if shared.options.resume_window.is_none() {
        return Err(LostReason::Unknown);
    }
    let found = shared.registry.by_token(&resume.token)?;
    if found.session().drive(|session| session.state()) == SessionState::Closed {
        return Err(LostReason::Unknown);
    }
    if !codecs.contains(&found.codec_index()) {
        return Err(LostReason::Codec);
    }
    Ok(found)
}

/// Whether the client has received more than the store has of the session: the store has lost something.
//= PROTOCOL.md#R4.36: MUST open a fresh session with
fn lacks(connection: &Connection, resume: &Resume) -> bool {
    connection.handle().writer().is_some()
        && connection.session().drive(|session| session.counts().accepted) < resume.received
}

/// Logs and counts a request that does not get the session it asked for.
fn refuse_resume(shared: &ServerInner, why: ResumeRefused, asked: &LoggedRequest) {
    let peer = asked.peer.map(tracing::field::display);
    tracing::info!(path = asked.path(), peer, %why, "resume refused");
    shared.metrics.report(|metrics| metrics.resume_refused(why));
}

/// The session that an offer resumes if `ConnectFn` returns its identity.
pub(crate) fn resumable(shared: &ServerInner, offer: &Offer) -> Option<Connection> {
    let Offer::Session { codecs, resume: Some(resume), .. } = offer else { return None };
    by_token(shared, resume, codecs).ok()
}

/// Whether a plain connection continues the session that has its ID.
fn takes_over(
    shared: &ServerInner,
    existing: &Connection,
    mode: Mode,
    identity: &Identity,
    asked: &LoggedRequest,
) -> bool {
    mode == Mode::Plain
        && existing.mode() == Mode::Plain
        && existing.room() == identity.room.as_deref()
        && identity.user.as_deref().is_none_or(|user| existing.user().is_none_or(|known| known == user))
        && existing.session().drive(|session| match session.state() {
            _ if !session.is_open() => false,
            SessionState::Suspended => true,
            SessionState::Connected => {
                shared.options.duplicate_id == DuplicateId::Resume && !asked.is_before(existing.handle())
            }
            _ => false,
        })
}

fn new_session(
    shared: &ServerInner,
    mode: Mode,
    lost: Option<LostReason>,
    peer_max: u64,
    id: Box<str>,
    room: Option<&str>,
) -> Result<(Session, SessionKey), Reject> {
    let room = room.map_or_else(Arc::default, |room| shared.realm.rooms.name(room));
    let config = shared.session_config(mode).clone();
    if mode == Mode::Plain {
        return Ok((Session::new(config, now()), SessionKey::Plain { id, room }));
    }
    let token = registry::new_token().map_err(no_randomness)?;
    let identity = Arc::new(SessionIdentity::new(token, id, room));
    let mut session = Session::new_server(config, identity.clone(), lost, now());
    session.set_peer_max(peer_max);
    Ok((session, SessionKey::Session(identity)))
}

#[allow(clippy::needless_pass_by_value, reason = "`map_err` passes a value")]
fn no_randomness(error: getrandom::Error) -> Reject {
    tracing::error!(%error, "the operating system provides no randomness");
    Reject::checked(StatusCode::SERVICE_UNAVAILABLE, "no randomness")
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("connection", &self.connection).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
