//! [`Checkpoints`]: advances the positions at which a restart begins to fold the sessions.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rejoin_core::drive::now;
use rejoin_core::{Mode, SessionState};
use rejoin_store::{Checkpoint, Position, Touch};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::fanout::rewind::Rewind;
use crate::inner::ServerInner;

use super::act::{self, Blob};
use super::log::DurableLog;
use super::queue::Work;
use super::told::Callbacks;
use super::writer::LogWriter;

/// How often sessions are visited.
const INTERVAL: Duration = Duration::from_secs(2);

/// The number of entries after which a visit pays off.
const STRIDE: u64 = 1024;

/// How often the log is trimmed.
const TRIM_INTERVAL: Duration = Duration::from_secs(30);

/// The minimum time that entries are kept in addition to the resume window, for the histories of rooms.
const KEPT: Duration = Duration::from_secs(600);

/// Removes the entries that no session needs, in a separate task.
fn trim(shared: &ServerInner, log: &DurableLog) {
    let window = shared.session_config(Mode::Session).resume_window;
    let (store, id) = (log.store.clone(), log.log);
    let kept = window.saturating_add(KEPT.max(shared.realm.rooms.longest_history()));
    tokio::spawn(async move {
        if let Err(error) = store.trim(id, kept).await {
            tracing::warn!(%error, "the log was not trimmed");
        }
    });
}

/// The state of a session at a checkpoint, beside its number.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Fold {
    /// The home room first; empty if there is none.
    pub(super) rooms: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) presence: Option<(u8, Blob)>,
    /// For a session that begins here: the part of its home room's history that it gets.
    pub(super) rewind: Option<Rewind>,
    pub(super) callbacks: Callbacks,
}

impl Fold {
    pub(super) fn of(connection: &Connection, writer: &LogWriter) -> Self {
        let rooms = connection.session().rooms();
        Self {
            rooms: rooms.iter().map(|room| String::from(&**room)).collect(),
            user: connection.handle().user().map(|user| String::from(&*user)),
            presence: connection.handle().presence().as_ref().map(act::blob),
            rewind: None,
            callbacks: writer.callbacks().clone(),
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        rmp_serde::to_vec(self).expect("texts and bytes").into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(bytes)
    }
}

/// Advances the checkpoint, so that the log can be trimmed. The fold of an exported session begins with its export, which is never
/// before its checkpoint.
pub(super) fn touch(writer: &LogWriter, cursor: Position, number: u64) -> Touch {
    Touch {
        key: writer.key.into(),
        epoch: writer.epoch,
        attachment: writer.attachment(),
        checkpoint: Some(Checkpoint { position: cursor, number, state: Bytes::new() }),
        ends_in: None,
    }
}

/// The timer of the follower's visits to the sessions, and the entry of the last visit.
#[derive(Debug)]
pub(super) struct Checkpoints {
    timer: tokio::time::Interval,
    last: Position,
    /// The time of the last trim.
    trimmed: Instant,
}

impl Checkpoints {
    pub(super) fn new(cursor: Position) -> Self {
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { timer, last: cursor, trimmed: now() }
    }

    pub(super) async fn due(&mut self) {
        self.timer.tick().await;
    }

    /// Between two entries: looks at the sessions, if that pays.
    pub(super) fn visit(&mut self, shared: &ServerInner, log: &DurableLog, cursor: Position) {
        if now() >= self.trimmed + TRIM_INTERVAL {
            self.trimmed = now();
            trim(shared, log);
        }
        if cursor.offset < self.last.offset + STRIDE {
            return;
        }
        self.last = cursor;
        if log.handover.is_some() {
            visit_handed(shared, log, cursor);
        } else {
            visit_kept(shared, log, cursor);
        }
    }
}

/// Between two entries: the log may be trimmed up to here, as far as sessions with a socket are concerned: after a crash they are
/// lost.
fn visit_handed(shared: &ServerInner, log: &DurableLog, cursor: Position) {
    for connection in shared.realm.ids.all() {
        let Some(writer) = connection.handle().writer() else { continue };
        let attached = connection
            .session()
            .drive(|session| (session.state() == SessionState::Connected).then(|| session.counts()));
        if let Some(counts) = attached {
            log.queue.push(Work::Touch(touch(writer, cursor, counts.accepted)));
        }
    }
}

/// Notes where sessions are, and passes on what their clients have acknowledged since.
fn visit_kept(shared: &ServerInner, log: &DurableLog, cursor: Position) {
    for connection in shared.realm.ids.all() {
        let Some(writer) = connection.handle().writer() else { continue };
        connection.session().drain();
        let (state, counts) = connection.session().drive(|session| (session.state(), session.counts()));
        let acknowledged = counts.accepted - counts.unacknowledged;
        if let Some(checkpoint) = writer.take_checkpoint(acknowledged) {
            log.queue.push(Work::Touch(Touch {
                key: writer.key.into(),
                epoch: writer.epoch,
                attachment: writer.attachment(),
                checkpoint: Some(checkpoint),
                ends_in: None,
            }));
        }
        let mut next = writer.next_checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        if state == SessionState::Connected && next.is_none() {
            *next = Some(Checkpoint {
                position: cursor,
                number: counts.accepted,
                state: Fold::of(&connection, writer).encode(),
            });
        }
    }
}
