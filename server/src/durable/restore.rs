//! The restart: restores the sessions that the store has.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rejoin_core::drive::now;
use rejoin_core::{CloseReason, Mode, Session, SessionIdentity, SessionState};
use rejoin_store::{AttachError, Position, Record};

use crate::connection::{Connection, ConnectionHost as _, NewConnection};
use crate::inner::ServerInner;
use crate::observe::metrics::CallbackKind;
use crate::session::belongings::Belongings;
use crate::session::changes::Change;
use crate::session::expiry_slot::Loss;
use crate::session::handle::SessionKey;

use super::act::Key;
use super::admit::Who;
use super::apply;
use super::checkpoints::Fold;
use super::export::{self, Export, Lost};
use super::handover::Handed;
use super::log::DurableLog;
use super::proof::unknown_token;
use super::told::Callbacks;
use super::windows;
use super::writer::LogWriter;

/// Folds the log once for all sessions of this server. Returns the last entry.
pub(super) async fn restore(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
) -> Result<Position, RestoreError> {
    let started = now();
    // Fence off the earlier process before anything is read: from here on it cannot change a record.
    let adopted = log.adopt_own().await?;
    let (first, end) = log.bounds().await;
    let mut all = Vec::new();
    for record in adopted {
        let placed = export::place(log, record).and_then(|record| {
            let begin = record.checkpoint.position;
            let is_there = begin.generation == end.generation && begin.offset >= first.offset;
            if is_there { Ok(record) } else { Err(Box::new((record, Lost::Trimmed))) }
        });
        match placed {
            Ok(record) => all.push(record),
            Err(lost) => lost.1.end(log, &lost.0),
        }
    }
    let mut records = all;
    records.sort_by_key(|record| record.checkpoint.position.offset);
    // Entries before all checkpoints only serve the histories of rooms.
    let begin = match records.first() {
        _ if shared.options.histories.are_kept() => first.offset,
        Some(record) => record.checkpoint.position.offset,
        None => end.offset,
    };
    let mut records = records.into_iter().peekable();
    let mut cursor = begin;
    let mut revived = Vec::new();
    loop {
        let after = Position { offset: cursor, ..end };
        let page = log.read(after).await.map_err(|error| RestoreError(error.to_string()))?;
        for entry in &page.entries {
            // A session gets the entries after its checkpoint.
            while let Some(record) =
                records.next_if(|record| record.checkpoint.position.offset < entry.position.offset)
            {
                revived.extend(revive(shared, log, record)?);
            }
            cursor = entry.position.offset;
            apply::apply(shared, log, entry, false);
        }
        tokio::task::yield_now().await;
        if page.is_end {
            break;
        }
    }
    for record in records {
        revived.extend(revive(shared, log, record)?);
    }
    for connection in &revived {
        settle(shared, connection);
    }
    let realm = (!log.realm.is_empty()).then_some(&*log.realm);
    tracing::info!(realm, sessions = revived.len(), entries = cursor - begin, took = ?now() - started, "sessions restored");
    Ok(Position { offset: cursor, ..end })
}

/// Restores one session, without a socket. Returns `None` if it cannot be restored here.
fn revive(
    shared: &Arc<ServerInner>,
    log: &Arc<DurableLog>,
    record: Record,
) -> Result<Option<Connection>, RestoreError> {
    let (record, export) = match export::open(log, record) {
        Ok(found) => found,
        Err(lost) => {
            lost.1.end(log, &lost.0);
            return Ok(None);
        }
    };
    let window = shared.session_config(Mode::Session).resume_window;
    let left = record
        .deadline
        .map_or(window, |deadline| Duration::from_millis(deadline.saturating_sub(log.store.now())));
    let (fold, state) = match &export {
        Some(export) => (export.fold.clone(), export.stored()),
        None => (Fold::decode(&record.checkpoint.state)?, record.state.clone()),
    };
    let waited = window - left.min(window);
    let callbacks = fold.callbacks.clone();
    let number = record.checkpoint.number;
    let Some(connection) = connection_of(shared, log, &record, callbacks, export.ok_or(number), waited)?
    else {
        return Ok(None);
    };
    if let Some(writer) = connection.handle().writer().filter(|_| record.deadline.is_none()) {
        // The session was attached when the earlier process ended.
        windows::suspended(log, writer, window);
    }
    if shared.registry.insert(&shared.realm.ids, &connection, false).is_err() {
        return Err(RestoreError(format!("two sessions have the connection id {}", connection.id())));
    }
    enter(shared, &connection, state, fold);
    Ok(Some(connection))
}

/// A session that this server has adopted and that was suspended for `waited`. `export` is its export, or else the number of the last
/// frame that its client has received. The session is not registered yet. Returns `None` if it cannot be restored here.
pub(super) fn connection_of(
    shared: &Arc<ServerInner>,
    log: &DurableLog,
    record: &Record,
    callbacks: Callbacks,
    export: Result<Export, u64>,
    waited: Duration,
) -> Result<Option<Connection>, RestoreError> {
    let who: Who = rmp_serde::from_slice(&record.identity)?;
    if who.realm != *log.realm {
        return Err(RestoreError(format!(
            "a session of the realm {:?} is in the log of {:?}",
            who.realm, log.realm
        )));
    }
    let key = Key::new(record.key.0);
    let writer = LogWriter::new(key, record.epoch, record.w, record.attachment);
    let handed = export.is_ok().then(Handed::of_exported);
    let writer = Arc::new(writer.with_callbacks(callbacks).with_proof(record.proof).with_handed(handed));
    let token = unknown_token(key).ok_or_else(|| RestoreError("a key is damaged".into()))?;
    let Some(codec) = shared.options.codecs.iter().position(|codec| codec.name() == who.codec) else {
        tracing::warn!(
            id = who.id,
            codec = who.codec,
            "a session cannot go on: its codec is not available any more"
        );
        windows::end(log, &writer, Vec::new());
        return Ok(None);
    };
    let identity = Arc::new(SessionIdentity::new(token, who.id, shared.realm.rooms.name(&who.room)));
    let config = shared.session_config(Mode::Session).clone();
    let received = record.received.unwrap_or(0);
    let session = match export.map(|export| export.session(shared, identity.clone(), waited, now())) {
        Err(number) => Session::revived(config, identity.clone(), number, received, waited, now()),
        Ok(Ok(session)) => session,
        Ok(Err(why)) => {
            why.end(log, record);
            return Ok(None);
        }
    };
    Ok(Some(Connection::new(NewConnection {
        number: None,
        host: shared.clone(),
        who: SessionKey::Session(identity),
        remote_addr: None,
        belongings: Belongings::of_restored(who.has_handler),
        codec_index: codec,
        session,
        writer: Some(writer),
    })))
}

/// Sets the user, the presence, the rooms and the state of a registered session.
pub(super) fn enter(shared: &Arc<ServerInner>, connection: &Connection, state: Bytes, fold: Fold) {
    shared.reading.enter(connection.number());
    if !state.is_empty() {
        connection.restore_state(state);
    }
    shared.set_user(connection, fold.user.as_deref(), None);
    connection.handle().set_presence(fold.presence.map(super::act::payload));
    for (index, room) in fold.rooms.iter().enumerate() {
        let rewind = fold.rewind.as_ref().filter(|_| index == 0);
        shared.realm.rooms.join_rewound(connection, &shared.realm.rooms.name(room), rewind);
    }
}

/// Starts the task of a restored session. No callback has run before.
pub(super) fn settle(shared: &Arc<ServerInner>, connection: &Connection) {
    let Some(writer) = connection.handle().writer() else { return };
    let Callbacks { is_connected, is_away, changes, is_over } = writer.callbacks().clone();
    let handlers = &shared.handlers;
    let owes_loss = !is_away && handlers.tell_of_losses();
    writer.owe(!is_connected && handlers.have(CallbackKind::Connect), owes_loss);
    shared.changes.forget(connection.number());
    connection.handle().has_changes.store(false, Ordering::SeqCst);
    for (is_join, room) in &changes {
        let change = if *is_join { Change::Joined } else { Change::Left };
        connection.note(&shared.realm.rooms.name(room), change);
    }
    let loss = connection.session().drive(|session| {
        session.assume_sent();
        if is_over {
            session.end(CloseReason::WindowExpired);
        } else {
            session.handle_timeout(now());
        }
        Loss::last(session)
    });
    if connection.session().drive(|session| session.state()) == SessionState::Suspended {
        shared.suspended.enter(connection, loss);
    }
    let is_due = owes_loss || !changes.is_empty() || !is_connected && handlers.have(CallbackKind::Connect);
    let is_due = is_due && !connection.handle().awaits_handler();
    if !connection.hibernate() {
        shared.clone().wake(connection.clone());
    } else if is_due {
        connection.session().wake_driver();
    }
}

/// The store has data that this server cannot read.
#[derive(Debug)]
pub(super) struct RestoreError(pub(super) String);

impl From<AttachError> for RestoreError {
    fn from(error: AttachError) -> Self {
        Self(error.to_string())
    }
}

impl From<rmp_serde::decode::Error> for RestoreError {
    fn from(error: rmp_serde::decode::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store has what this server cannot read: {}", self.0)
    }
}
