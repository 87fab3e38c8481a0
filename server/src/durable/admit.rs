//! Begins sessions in the store, and resumes them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rejoin_core::CloseReason;
use rejoin_store::{Attach, AttachError, Attached, OpenError, OpenWriter};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::accept::admission::{Admission, Newcomer};
use crate::accept::logged_request::LoggedRequest;
use crate::accept::reject::Reject;
use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::options::DuplicateId;

use super::act::{self, Act, Key};
use super::checkpoints::Fold;
use super::health::PAUSE;
use super::log::{DurableLog, Ready};
use super::proof::{key, proof};
use super::told::Callbacks;
use super::windows::{end, moved};
use super::writer::LogWriter;

/// How long a request waits for the store.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// After this time a client may try again when the store is down.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The part of a session's record that never changes. It excludes the token, which only the client has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) id: String,
    pub(super) room: String,
    pub(super) codec: String,
    /// Whether the session uses [`Durability::Handover`](super::Durability::Handover), for its whole life.
    #[serde(default)]
    pub(super) is_handed: bool,
    /// Whether it has [handlers of its own](crate::Identity::with_handler).
    #[serde(default)]
    pub(super) has_handler: bool,
    /// Empty for the default one.
    #[serde(default)]
    pub(super) realm: String,
}

pub(super) fn unavailable() -> Reject {
    Reject::unavailable("the store of sessions is not available").with_retry_after(RETRY_AFTER)
}

/// Waits until the sessions of the last process are restored.
///
/// # Errors
/// Fails at once while the store is known to be down.
pub(crate) async fn ready(log: &DurableLog) -> Result<(), Reject> {
    match tokio::time::timeout(PATIENCE, log.wait_ready(|ready| ready != Ready::NotYet)).await {
        Ok(Ready::Yes) if !log.health.is_down() => Ok(()),
        _ => Err(unavailable()),
    }
}

/// Begins a session in the store. The follower opens it when it applies the session's first entry, so that the session gets exactly the
/// frames that the log has for it.
pub(crate) async fn open(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    newcomer: Box<Newcomer>,
    asked: &LoggedRequest,
) -> Result<Admission, Reject> {
    let Some(identity) = newcomer.session.identity().cloned() else {
        return Admission::open(shared, newcomer, None, asked);
    };
    let key = key(&identity);
    let further = newcomer.identity.further_rooms.iter().map(|room| &**room);
    let rooms: Vec<_> = std::iter::once(&*identity.room).chain(further).map(String::from).collect();
    let reports_changes = shared.reports_changes || newcomer.identity.handler.is_some();
    let callbacks = Callbacks::of_newcomer(if reports_changes { &rooms } else { &[] });
    let fold = Fold {
        rooms,
        user: newcomer.identity.user.as_deref().map(String::from),
        presence: newcomer.identity.presence.as_ref().map(act::blob),
        rewind: newcomer.identity.rewind.clone(),
        callbacks: callbacks.clone(),
    };
    let who = Who {
        id: identity.id.as_ref().into(),
        room: identity.room.as_ref().into(),
        codec: shared.options.codecs[newcomer.codec].name().into(),
        is_handed: log.handover.is_some(),
        has_handler: newcomer.identity.handler.is_some(),
        realm: log.realm.as_ref().into(),
    };
    let open = OpenWriter {
        log: log.log,
        key: key.into(),
        owner: log.node,
        nonce: log.nonce(),
        proof: proof(&identity.token),
        id: identity.id.clone(),
        identity: Bytes::from(rmp_serde::to_vec(&who).expect("texts")),
        checkpoint: fold.encode(),
        body: act::encode(act::NOBODY, &[Act::Open(key)]),
    };
    let writer =
        Arc::new(LogWriter::new(key, 1, 0, 1).with_callbacks(callbacks).with_handed(log.new_handed()));
    let mut cleanup = Cleanup {
        server: shared.clone(),
        log: log.clone(),
        open: Some(open.clone()),
        writer: writer.clone(),
    };
    let (opened, wait) = oneshot::channel();
    let (to_open, its_request, its_writer) = (shared.clone(), asked.clone(), writer.clone());
    let replaced = Arc::new(OnceLock::new());
    let predecessor = replaced.clone();
    log.queue.expect(
        key,
        Box::new(move || {
            let newcomer = Box::new(Newcomer { replaces: predecessor.get().cloned(), ..*newcomer });
            opened.send(Admission::open(&to_open, newcomer, Some(its_writer), &its_request)).ok();
        }),
    );
    let begun = tokio::time::timeout(PATIENCE, begin(shared, log, open, asked, &replaced)).await;
    if let Ok(Err(_)) = begun {
        // Nothing has begun.
        cleanup.open = None;
    }
    begun.unwrap_or_else(|_| Err(unavailable()))?;
    let admission = match tokio::time::timeout(PATIENCE, wait).await {
        Ok(Ok(admission)) => admission?,
        _ => return Err(unavailable()),
    };
    cleanup.open = None;
    Ok(admission)
}

/// Ends a session in the store that may have begun there, but that this server will not open.
struct Cleanup {
    /// While it lives, so does the log.
    server: Arc<ServerInner>,
    log: Arc<DurableLog>,
    /// The writer, unless the commit is known to have failed or the session is open here.
    open: Option<OpenWriter>,
    writer: Arc<LogWriter>,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        drop(self.log.queue.take_opening(self.writer.key));
        let Some(open) = self.open.take() else { return };
        let (server, log, writer) = (self.server.clone(), self.log.clone(), self.writer.clone());
        let Ok(runtime) = Handle::try_current() else { return };
        // Repeated until the outcome is known: if the end reached the store before a late begin, the session would stay there for ever.
        runtime.spawn(async move {
            if log.ask(|| log.store.open(open.clone())).await.is_ok() {
                end(&log, &writer, Vec::new());
            }
            drop(server);
        });
    }
}

/// `replaced` receives the session of this server that ends in its place.
async fn begin(
    shared: &ServerInner,
    log: &DurableLog,
    open: OpenWriter,
    asked: &LoggedRequest,
    replaced: &OnceLock<Connection>,
) -> Result<(), Reject> {
    let taken = || Reject::checked(http::StatusCode::CONFLICT, "connection id is taken");
    loop {
        match log.ask(|| log.store.open(open.clone())).await {
            Ok(_) => return Ok(()),
            Err(OpenError::IdTaken) if shared.options.duplicate_id == DuplicateId::Reject => {
                return Err(taken());
            }
            Err(OpenError::IdTaken) => {
                let predecessor = shared.realm.ids.get(&open.id);
                if let Some(found) = &predecessor
                    && let Some(writer) = found.handle().writer()
                {
                    if found.is_open() && asked.is_before(found.handle()) {
                        // For instance, the client has abandoned this request and dialled again.
                        return Err(taken());
                    }
                    end(log, writer, Vec::new());
                    // End it at once: the store refuses further acts of its handlers, which would look as if the session had moved.
                    found.end(CloseReason::Duplicate);
                    replaced.set(found.clone()).ok();
                }
                log.queue.push_and_wait(Act::Nothing).await.ok();
                if predecessor.is_none() {
                    end_elsewhere(log, &open.id).await;
                }
            }
            Err(OpenError::NoLease) if log.renewed().await => {}
            Err(error) => {
                tracing::warn!(%error, "a session cannot begin");
                return Err(unavailable());
            }
        }
    }
}

/// Ends the session that has this connection ID at another server. The commit names the session's key, so that it cannot end the next
/// session with this ID.
async fn end_elsewhere(log: &DurableLog, id: &str) {
    match log.record_of_id(id).await {
        Some(record) if record.owner.name != log.node.name => {
            log.queue.push_and_wait(Act::Replaced(Key::new(record.key.0))).await.ok();
        }
        // The session is about to end.
        _ => tokio::time::sleep(PAUSE).await,
    }
}

/// Why this server cannot resume a session at once.
pub(super) enum NotOurs {
    /// Another server has owned the session since, so the state here is stale.
    Elsewhere,
    Refused(Box<Reject>),
}

/// Asks the store whether this server still owns a session. Returns the number of the new attachment, which takes effect when the
/// socket is attached. Until then, the loss of an earlier socket is reported with the earlier number, and the store ignores it.
pub(super) async fn resume(log: &DurableLog, connection: &Connection) -> Result<Option<u64>, NotOurs> {
    let Some(writer) = connection.handle().writer() else { return Ok(None) };
    let identity = connection.session().drive(|session| session.identity().cloned());
    let Some(identity) = identity else { return Ok(None) };
    let attach = Attach {
        key: writer.key.into(),
        proof: proof(&identity.token),
        to: log.node,
        mine: Some(writer.epoch),
        nonce: log.nonce(),
        moved: act::encode(act::NOBODY, &[Act::Moved(writer.key)]),
    };
    let attached = async {
        loop {
            match log.ask(|| log.store.attach(attach.clone())).await {
                Err(AttachError::NoLease) if log.renewed().await => {}
                other => break other,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, attached).await {
        Ok(Ok(Attached::StillYours { attachment })) => return Ok(Some(attachment)),
        Ok(Ok(Attached::Taken(_))) => return Err(NotOurs::Elsewhere),
        // Another dial of the same client was faster, or another server has adopted sessions of this server.
        Ok(Err(AttachError::Late | AttachError::NoLease)) | Err(_) => {}
        // The store has lost the session.
        Ok(Err(_)) => moved(connection),
    }
    Err(NotOurs::Refused(unavailable().into()))
}
