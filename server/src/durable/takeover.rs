//! Takes over sessions of other servers, running or gone, whose clients have come here.

use std::sync::Arc;
use std::time::Duration;

use rejoin_core::{CloseReason, SessionState, Token};
use rejoin_store::{Attach, AttachError, Attached, Entry, Position, Record};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::accept::admission::Admission;
use crate::accept::logged_request::LoggedRequest;
use crate::accept::offer::{Offer, Resume};
use crate::accept::reject::Reject;
use crate::connection::Connection;
use crate::inner::ServerInner;

use super::act::{self, Act};
use super::admit::{self, NotOurs, PATIENCE, Who, unavailable};
use super::checkpoints::Fold;
use super::fold::{FoldError, Folding};
use super::log::DurableLog;
use super::proof::{key_of, proof};
use super::restore::{connection_of, enter, settle};
use super::writer::LogWriter;
use super::{tasks, windows};

/// Why a session is not taken over.
enum NoTakeover {
    /// The store has no session that this client could resume, so it gets a fresh one.
    Lost,
    /// The client has to ask again.
    Unavailable,
    /// It rewinds rooms, so the fold has to begin at the start of the log.
    NeedsHistories,
}

impl From<FoldError> for NoTakeover {
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::NeedsHistories => Self::NeedsHistories,
            FoldError::Damaged => {
                tracing::error!("an entry of the log cannot be read");
                Self::Unavailable
            }
        }
    }
}

/// How often a takeover is repeated if the session moves away again at once.
const ATTEMPTS: usize = 3;

/// Takes over the session that a request offers to resume, if the store has it and this server does not. Afterwards it is here without
/// a socket, or it does not exist. The caller must not await anything before it decides on the request: another server could take the
/// session over in between, and it would look as if it did not exist.
///
/// # Errors
/// Fails with 503 if the client has to ask again.
pub(crate) async fn bring(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    offer: &Offer,
) -> Result<(), Reject> {
    let Offer::Session { resume: Some(Resume { token, received }), .. } = offer else { return Ok(()) };
    if log.handover.is_some() {
        // With `Handover`, a session in memory has only one owner.
        return Ok(());
    }
    for _ in 0..ATTEMPTS {
        if shared.options.resume_window.is_none() || is_known(shared, token, *received) {
            return Ok(());
        }
        let (done, brought) = oneshot::channel();
        let (server, of, token, received) = (shared.clone(), log.clone(), token.clone(), *received);
        // A separate task completes what it has begun in the store, even if the client gives up.
        shared.runtimes.spawn(async move {
            let brought = timeout(PATIENCE, take_over(&server, &of, &token, received)).await;
            done.send(brought.unwrap_or(Err(NoTakeover::Unavailable))).ok();
        });
        match timeout(PATIENCE, brought).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(NoTakeover::Lost))) => return Ok(()),
            _ => break,
        }
    }
    Err(unavailable())
}

/// Whether this server knows the session: it has every frame that the client has received, or has recorded the session's end.
fn is_known(shared: &ServerInner, token: &Token, received: u64) -> bool {
    let Ok(known) = shared.registry.by_token(token) else { return false };
    let has_moved = known.handle().writer().is_none_or(|writer| writer.has_moved());
    let (state, counts) = known.session().drive(|session| (session.state(), session.counts()));
    match state {
        SessionState::Closed => !has_moved,
        // Another server has owned it since, which this one has not noticed; or the store has lost frames.
        _ => counts.accepted >= received,
    }
}

/// Asks the store whether this server still owns the session that a request has found. If another server has owned it since, takes it
/// over again first.
///
/// # Errors
/// Fails with 503 if the client has to ask again.
pub(crate) async fn resume(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    mut admission: Admission,
    offer: &Offer,
    asked: &LoggedRequest,
) -> Result<Admission, Reject> {
    match admit::resume(log, admission.connection()).await {
        Ok(attachment) => admission.attachment = attachment,
        Err(NotOurs::Refused(reject)) => return Err(*reject),
        Err(NotOurs::Elsewhere) => {
            fence(shared, admission.connection());
            bring(shared, log, offer).await?;
            let Offer::Session { resume: Some(Resume { token, .. }), .. } = offer else {
                return Err(unavailable());
            };
            let connection = shared.registry.by_token(token).map_err(|_| unavailable())?;
            admission = admission.again(shared, connection, offer, asked)?;
            let attached = admit::resume(log, admission.connection()).await;
            admission.attachment = attached.map_err(|_| unavailable())?;
        }
    }
    Ok(admission)
}

/// Ends this server's stale copy of a session that another server owns.
fn fence(shared: &ServerInner, connection: &Connection) {
    windows::moved(connection);
    shared.forget(connection);
}

async fn take_over(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    token: &Token,
    received: u64,
) -> Result<(), NoTakeover> {
    let key = key_of(token);
    let _coming = log.landings.begin(key).await;
    if is_known(shared, token, received) {
        return Ok(());
    }
    let attach = Attach {
        key: key.into(),
        proof: proof(token),
        to: log.node,
        mine: None,
        nonce: log.nonce(),
        moved: act::encode(act::NOBODY, &[Act::Moved(key)]),
    };
    let record = loop {
        match log.ask(|| log.store.attach(attach.clone())).await {
            Ok(Attached::Taken(record)) if record.log != log.log => {
                return elsewhere(shared, &record, token, received).await;
            }
            Ok(Attached::Taken(record)) => break *record,
            Err(AttachError::Unknown | AttachError::Secret) => return Err(NoTakeover::Lost),
            Err(AttachError::NoLease) if log.renewed().await => {}
            // For instance, another dial of the same client was faster.
            Ok(Attached::StillYours { .. }) | Err(_) => return Err(NoTakeover::Unavailable),
        }
    };
    fold_again(shared, log, &record, received).await
}

/// Brings a session whose request does not say its realm.
async fn elsewhere(
    shared: &Arc<ServerInner>,
    record: &Record,
    token: &Token,
    received: u64,
) -> Result<(), NoTakeover> {
    let who: Who = rmp_serde::from_slice(&record.identity).map_err(|error| {
        tracing::error!(id = record.id, %error, "a session cannot be read");
        NoTakeover::Unavailable
    })?;
    let shared = shared.in_realm(&who.realm);
    let log = shared.durable.as_ref().filter(|log| log.log == record.log).ok_or(NoTakeover::Unavailable)?;
    tasks::begin(&shared);
    admit::ready(log).await.map_err(|_| NoTakeover::Unavailable)?;
    // If the realm was opened just now, it came with it.
    if is_known(&shared, token, received) {
        return Ok(());
    }
    fold_again(&shared, log, record, received).await
}

/// Folds a session, from where the log begins if it rewinds rooms.
async fn fold_again(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    record: &Record,
    received: u64,
) -> Result<(), NoTakeover> {
    match fold(shared, log, record, received, false).await {
        Err(NoTakeover::NeedsHistories) => fold(shared, log, record, received, true).await,
        brought => brought,
    }
}

/// Folds a session from its checkpoint to the follower's position, and inserts it there.
async fn fold(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    record: &Record,
    received: u64,
    with_histories: bool,
) -> Result<(), NoTakeover> {
    let checkpoint = &record.checkpoint;
    let begin = checkpoint.position;
    let (recorder, reached) = log.landings.record().await.ok_or(NoTakeover::Unavailable)?;
    let (mut at, known) = match with_histories {
        // The session's count includes rewound frames, so the fold must not skip any.
        true => (log.bounds().await.0, checkpoint.number),
        false => (begin, received.max(checkpoint.number)),
    };
    if at > begin || at.generation != begin.generation {
        return Err(lose(log, record, "the log begins after its checkpoint"));
    }
    let damaged = |error: &dyn std::fmt::Display| {
        tracing::error!(id = record.id, %error, "a session cannot be read");
        NoTakeover::Unavailable
    };
    let state = Fold::decode(&checkpoint.state).map_err(|error| damaged(&error))?;
    let callbacks = state.callbacks.clone();
    let connection = connection_of(shared, log, record, callbacks, Err(known), Duration::ZERO)
        .map_err(|error| damaged(&error))?
        .ok_or(NoTakeover::Lost)?;
    let mut folding = Folding::new(connection, state, (checkpoint.number, known), begin);
    if with_histories {
        folding = folding.with_histories(shared);
    }
    if at == begin {
        folding.rewind_home(shared)?;
    }
    loop {
        let Ok(page) = log.read(at).await else {
            return Err(lose(log, record, "the log begins after its checkpoint"));
        };
        folding.apply(shared, &page.entries)?;
        at = page.entries.last().map_or(at, |entry| entry.position);
        if folding.has_left() {
            return Err(NoTakeover::Unavailable);
        }
        if at >= reached && folding.is_ours() && folding.knows(received) {
            break;
        }
        if page.is_end && folding.is_ours() && at >= reached {
            return Err(lose(log, record, "the log has less than its client"));
        }
        if page.is_end {
            return Err(NoTakeover::Unavailable);
        }
        tokio::task::yield_now().await;
    }
    land_at(shared, log, folding, record, (recorder, at)).await
}

/// Waits until the follower has inserted the session.
async fn land_at(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    folding: Folding,
    record: &Record,
    (recorder, at): (Arc<super::landing::Recorder>, Position),
) -> Result<(), NoTakeover> {
    let (done, landed) = oneshot::channel();
    let (server, of, state) = (Arc::downgrade(shared), log.clone(), record.state.clone());
    let land = move |entries: Vec<Entry>| {
        let Some(shared) = server.upgrade() else { return };
        done.send(land(&shared, &of, folding, &entries, state)).ok();
    };
    log.landings.land(recorder, at, Box::new(land));
    landed.await.unwrap_or(Err(NoTakeover::Unavailable))
}

/// Called between two entries of the follower. The session has been given every entry that the follower has applied.
fn land(
    shared: &Arc<ServerInner>,
    log: &DurableLog,
    mut folding: Folding,
    entries: &[Entry],
    state: bytes::Bytes,
) -> Result<(), NoTakeover> {
    folding.apply(shared, entries)?;
    if folding.has_left() || log.is_left() {
        return Err(NoTakeover::Unavailable);
    }
    let Folding { connection, fold, .. } = folding;
    let Some(writer) = connection.handle().writer() else { return Err(NoTakeover::Unavailable) };
    // The copy from before another server owned the session.
    if let Some(stale) = shared.registry.by_key(&writer.key.bytes()) {
        fence(shared, &stale);
    }
    *writer.callbacks() = fold.callbacks.clone();
    if let Ok(Some(replaced)) = shared.registry.insert(&shared.realm.ids, &connection, true) {
        replaced.end(CloseReason::Duplicate);
        shared.forget(&replaced);
    }
    enter(shared, &connection, state, fold);
    settle(shared, &connection);
    // In case its socket does not arrive.
    windows::suspended(log, writer, shared.session_config(rejoin_core::Mode::Session).resume_window);
    tracing::info!(id = connection.id(), "a session has come from another server");
    Ok(())
}

/// Ends a session that cannot be restored, because the store has lost a part of it.
fn lose(log: &DurableLog, record: &Record, why: &str) -> NoTakeover {
    tracing::warn!(id = record.id, why, "a session is lost");
    let writer = LogWriter::new(act::Key::new(record.key.0), record.epoch, record.w, record.attachment);
    windows::end(log, &Arc::new(writer), Vec::new());
    NoTakeover::Lost
}
