//! Exports of sessions that wait for a socket, with [`Durability::Handover`](super::Durability::Handover).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use rejoin_core::drive::now;
use rejoin_core::snapshot::{PendingEvent, SessionSnapshot, SnapshotError};
use rejoin_core::{Event, Mode, Session, SessionIdentity, SessionState};
use rejoin_store::{Position, Record};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::inner::ServerInner;
use crate::session::changes::Change;

use super::act::{Blob, Key};
use super::admit::Who;
use super::checkpoints::{Fold, touch};
use super::handover::{Handed, Handover, Interrupted};
use super::log::DurableLog;
use super::queue::Work;
use super::windows::{end, moved};
use super::writer::LogWriter;

/// The number of sessions that are exported before the follower returns to the log.
const AT_ONCE: usize = 64;

/// The size of a position, in bytes.
const HEAD: usize = 12;

/// A session at a position of the log. The record's state is the position followed by this; it is empty while a socket is attached.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Export {
    pub(super) fold: Fold,
    /// The application's state of the session.
    stored: Option<Blob>,
    /// Without the token.
    snapshot: SessionSnapshot,
}

/// Why a session cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Attached,
    Trimmed,
    OtherDurability,
    Damaged,
    TooBig,
}

impl Lost {
    /// Ends a session of this server that cannot be restored. Its client gets a fresh session when it returns.
    pub(super) fn end(self, log: &DurableLog, record: &Record) {
        tracing::warn!(id = record.id, why = self.as_str(), "a session is lost");
        let writer = LogWriter::new(Key::new(record.key.0), record.epoch, record.w, record.attachment);
        end(log, &Arc::new(writer), Vec::new());
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Attached => "it had a socket when its process ended",
            Self::Trimmed => "the log begins after its checkpoint",
            Self::OtherDurability => "it was kept with another durability",
            Self::Damaged => "what the store has of it is damaged",
            Self::TooBig => "it keeps more than the send buffer may",
        }
    }
}

/// A part of a record, or the reason why the session cannot be restored.
pub(super) type Found<T> = Result<T, Box<(Record, Lost)>>;

/// Finds the position at which the fold of a record begins.
pub(super) fn place(log: &DurableLog, mut record: Record) -> Found<Record> {
    let who = rmp_serde::from_slice::<Who>(&record.identity);
    // A session whose export cannot be read ends when it is revived, not here.
    let hands_over = log.handover.is_some();
    let is_handed = who.map_or(hands_over, |who| who.is_handed);
    if is_handed != hands_over {
        return Err(Box::new((record, Lost::OtherDurability)));
    }
    if is_handed {
        if record.state.is_empty() {
            return Err(Box::new((record, Lost::Attached)));
        }
        let Some(position) = position(&record.state) else {
            return Err(Box::new((record, Lost::Damaged)));
        };
        record.checkpoint.position = position;
    }
    Ok(record)
}

/// The session's export in a record, with [`Durability::Handover`](super::Durability::Handover).
pub(super) fn open(log: &DurableLog, record: Record) -> Found<(Record, Option<Export>)> {
    let record = place(log, record)?;
    if log.handover.is_none() {
        return Ok((record, None));
    }
    match rmp_serde::from_slice(&record.state[HEAD..]) {
        Ok(export) => Ok((record, Some(export))),
        Err(_) => Err(Box::new((record, Lost::Damaged))),
    }
}

fn position(state: &[u8]) -> Option<Position> {
    let (generation, offset) = state.get(..HEAD)?.split_first_chunk()?;
    Some(Position {
        generation: u32::from_be_bytes(*generation),
        offset: u64::from_be_bytes(offset.try_into().ok()?),
    })
}

impl Export {
    fn encode(&self, cursor: Position) -> Bytes {
        let mut state = BytesMut::new();
        state.put_u32(cursor.generation);
        state.put_u64(cursor.offset);
        let mut state = state.writer();
        rmp_serde::encode::write(&mut state, self).expect("a session consists of numbers, texts and bytes");
        state.into_inner().freeze()
    }

    /// The application's state of the session; empty if there is none.
    pub(super) fn stored(&self) -> Bytes {
        self.stored.as_ref().map_or_else(Bytes::new, |stored| stored.0.clone())
    }

    /// The session, after a suspension of this duration.
    pub(super) fn session(
        mut self,
        shared: &ServerInner,
        identity: Arc<SessionIdentity>,
        waited: Duration,
        now: Instant,
    ) -> Result<Session, Lost> {
        self.snapshot.identity = Some(identity);
        // The machine may have booted after the session was suspended.
        let waited = now.checked_sub(waited).map_or(Duration::ZERO, |_| waited);
        self.snapshot.progress.suspended_for = Some(waited);
        let runs = self.snapshot.unacknowledged.kept.iter_mut();
        for message in runs.flat_map(|run| &mut run.messages) {
            *message = shared.budget.charge(std::mem::take(message));
        }
        let config = shared.session_config(Mode::Session).clone();
        Session::from_snapshot(self.snapshot, config, now).map_err(|error| match error {
            SnapshotError::TooBig { .. } => Lost::TooBig,
            _ => Lost::Damaged,
        })
    }
}

/// Exports the waiting sessions. Called between two entries.
pub(super) fn export(shared: &ServerInner, log: &DurableLog, handover: &Handover, cursor: Position) {
    for key in handover.take(AT_ONCE) {
        let Some(connection) = shared.registry.by_key(&key.bytes()) else { continue };
        if let Some(writer) = connection.handle().writer()
            && let Some(handed) = writer.handed()
        {
            export_one(log, &connection, writer, handed, cursor);
        }
    }
}

fn export_one(
    log: &DurableLog,
    connection: &Connection,
    writer: &Arc<LogWriter>,
    handed: &Handed,
    cursor: Position,
) {
    let Some(due) = handed.due() else { return };
    let snapshot = connection.session().drive(|session| {
        let waits = session.state() == SessionState::Suspended;
        waits.then(|| session.snapshot(now()))
    });
    let Some(mut snapshot) = snapshot else { return };
    let number = snapshot.progress.outgoing.accepted;
    snapshot.identity = None;
    // Tasks that await these deliveries do not exist in another process.
    snapshot.unacknowledged.deliveries = None;
    let mut fold = Fold::of(connection, writer);
    // The next process reports the loss when it takes the event from the queue.
    fold.callbacks.is_away |=
        snapshot.events.iter().any(|pending| matches!(pending.event, Event::Dropped(_)));
    // The next process derives this event from the recorded callbacks.
    snapshot.events.retain(|pending| pending.event != Event::Connected);
    let changes = connection.host().context().changes.pending(connection.number());
    fold.callbacks.changes = changes.iter().filter_map(untold).collect();
    match &due.interrupted {
        Some(Interrupted::Message(message)) => {
            snapshot.events.insert(0, PendingEvent::message(message.clone()))
        }
        Some(Interrupted::Change(change)) => {
            untold(change).into_iter().for_each(|change| fold.callbacks.changes.push_front(change))
        }
        None => {}
    }
    let stored = connection.state().map(Blob);
    let state = Export { fold, stored, snapshot }.encode(cursor);
    handed.export(&due, || {
        let exported = connection.clone();
        log.queue.push(Work::Session {
            writer: writer.clone(),
            acts: Vec::new(),
            received: None,
            state: Some(state),
            ends: false,
            then: Some(Box::new(move |committed| {
                if !committed {
                    moved(&exported);
                }
            })),
        });
        log.queue.push(Work::Touch(touch(writer, cursor, number)));
    });
}

/// A change that the next process has to report to a callback.
fn untold(change: &Change) -> Option<(bool, String)> {
    match change {
        Change::Joined(room) => Some((true, String::from(&**room))),
        Change::Left(room) => Some((false, String::from(&**room))),
        Change::LeftAtEnd(_) => None,
    }
}
