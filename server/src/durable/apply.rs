//! The follower: applies the entries of the log, in their order.

use std::sync::{Arc, Weak};

use rejoin_core::Frame;
use rejoin_store::{Entry, Position, ReadError, Tail, TailStream};

use crate::connection::Connection;
use crate::fanout::broadcast;
use crate::inner::ServerInner;

use super::act::{self, Act, Key, Policy};
use super::checkpoints::Checkpoints;
use super::export;
use super::landing::Runway;
use super::log::DurableLog;
use super::queue::Done;
use super::said;
use super::windows;

/// Follows the log from where the restart stopped. Ends with the store, or with the server.
///
/// # Errors
/// Fails if the log no longer has the next entries.
pub(super) async fn follow(
    server: Weak<ServerInner>,
    log: Arc<DurableLog>,
    mut tail: TailStream,
    mut cursor: Position,
) -> Result<(), ReadError> {
    let mut checkpoints = Checkpoints::new(cursor);
    // The cursor at the last visit.
    let mut looked = cursor;
    let mut runway = Runway::default();
    loop {
        let next = tokio::select! {
            biased;
            () = log.landings.asked() => {
                runway.serve(&log.landings, cursor);
                continue;
            }
            () = checkpoints.due() => {
                let Some(shared) = server.upgrade() else { return Ok(()) };
                checkpoints.visit(&shared, &log, cursor);
                // No entry has arrived since the last visit. The tail may have lost its last piece, so read the log.
                if cursor == looked { Tail::Gap } else {
                    looked = cursor;
                    continue;
                }
            }
            () = handover_asked(&log) => {
                let Some(shared) = server.upgrade() else { return Ok(()) };
                log.handover.iter().for_each(|handover| export::export(&shared, &log, handover, cursor));
                continue;
            }
            next = tail.next() => match next {
                Some(next) => next,
                None => return Ok(()),
            },
        };
        let Some(shared) = server.upgrade() else { return Ok(()) };
        match next {
            Tail::Entry { entry, .. } if is_repeated(entry.position, cursor) => {}
            Tail::Entry { prev, entry } if (Position { offset: prev, ..entry.position }) == cursor => {
                cursor = entry.position;
                apply(&shared, &log, &entry, true);
                runway.pass(&entry);
            }
            Tail::Entry { .. } | Tail::Gap => cursor = read_on(&shared, &log, cursor, &mut runway).await?,
        }
    }
}

/// Waits until a session needs an export.
async fn handover_asked(log: &DurableLog) {
    match &log.handover {
        Some(handover) => handover.asked().await,
        None => std::future::pending().await,
    }
}

fn is_repeated(position: Position, cursor: Position) -> bool {
    position.generation == cursor.generation && position.offset <= cursor.offset
}

/// Reads the entries that the tail has skipped.
async fn read_on(
    shared: &ServerInner,
    log: &DurableLog,
    mut cursor: Position,
    runway: &mut Runway,
) -> Result<Position, ReadError> {
    loop {
        let page = log.read(cursor).await?;
        for entry in &page.entries {
            cursor = entry.position;
            apply(shared, log, entry, true);
            runway.pass(entry);
        }
        if page.is_end {
            return Ok(cursor);
        }
    }
}

/// Applies an entry. `is_live`: it was written after the restart, so a caller in this process may await it.
pub(super) fn apply(shared: &ServerInner, log: &DurableLog, entry: &Entry, is_live: bool) {
    let written = if is_live { log.queue.take_written(&entry.body) } else { None };
    let (ticket, acts) = match written.map_or_else(|| act::decode(&entry.body), Ok) {
        Ok(said) => said,
        Err(error) => {
            tracing::error!(offset = entry.position.offset, %error, "an entry of the log cannot be read");
            return;
        }
    };
    let is_own = is_live && entry.writer == log.own_key();
    let is_awaited = is_own && ticket != act::NOBODY;
    let mut done = Done::default();
    let count = acts.len();
    for act in acts {
        done = apply_act(shared, log, act, entry.epoch, is_own, is_awaited);
    }
    if is_own {
        log.queue.note_applied(count);
    }
    if is_awaited {
        log.queue.done(ticket, done);
    }
}

fn apply_act(
    shared: &ServerInner,
    log: &DurableLog,
    act: Act,
    epoch: u64,
    is_own: bool,
    is_awaited: bool,
) -> Done {
    let mut done = Done::default();
    match act {
        Act::Open(key) => {
            if let Some(opened) = log.queue.take_opening(key) {
                opened();
            }
        }
        Act::Send { to, frame, overflow } => {
            let Some(connection) = find(shared, to) else { return done };
            if is_awaited {
                let sent = broadcast::deliver_watched(shared, &connection, &frame.into());
                done.result = sent.map(|watched| Box::new(watched) as _);
            } else {
                broadcast::deliver(shared, &connection, &Frame::from(frame), overflow.into());
            }
            // Set this last: from then on, frames may be sent without the log.
            if let Some(writer) = connection.handle().writer().filter(|_| is_own) {
                writer.note_sent();
            }
        }
        Act::Say { to, except, frame, overflow, names_rooms, once } => {
            let connections: Vec<_> = except
                .iter()
                .filter_map(|exception| match exception {
                    act::SaidException::Connection(id) => shared.realm.ids.get(id),
                    _ => None,
                })
                .collect();
            let audience = said::audience(&to, &except, &connections, names_rooms);
            let frame = Frame::from(frame);
            // A receiver without capacity gets a gap. Every server has to number the frame, whatever the local buffer holds.
            let overflow = if overflow == Policy::Reject { Policy::DropNewest } else { overflow };
            match broadcast::broadcast_now(shared, &audience, &frame, once, overflow.into()) {
                Ok(count) => done.count = count,
                Err(error) => tracing::debug!(%error, event = frame.event(), "broadcast reaches nobody"),
            }
        }
        Act::Join { who, room, rewind } => {
            if let Some(connection) = find(shared, who) {
                let name = shared.realm.rooms.name(&room);
                let outcome = shared.realm.rooms.join_rewound(&connection, &name, rewind.as_ref());
                note_change(&connection, outcome.1.is_new.then_some(true), room);
                done.result = Some(Box::new(outcome));
            }
        }
        Act::Leave { who, room } => {
            if let Some(connection) = find(shared, who) {
                let was_member = shared.realm.rooms.leave(&connection, &room);
                note_change(&connection, was_member.then_some(false), room);
                done.count = usize::from(was_member);
            }
        }
        Act::User { who, name } => {
            if let Some(connection) = find(shared, who) {
                done.count = usize::from(shared.set_user(&connection, name.as_deref(), None));
            }
        }
        Act::Presence { who, value } => {
            if let Some(connection) = find(shared, who) {
                connection.handle().set_presence(value.map(act::payload));
            }
        }
        Act::Nothing => {}
        Act::Told { who, what } => {
            if let Some(connection) = find(shared, who)
                && let Some(writer) = connection.handle().writer()
            {
                writer.callbacks().note(what);
            }
        }
        Act::Over(who) => {
            if let Some(connection) = find(shared, who)
                && let Some(writer) = connection.handle().writer()
            {
                writer.callbacks().is_over = true;
            }
        }
        Act::Moved(who) => {
            //= PROTOCOL.md#R5.26: MUST close it with 1001 when it learns of the resume
            // Unless the session has resumed since.
            if let Some(connection) = find(shared, who)
                && connection.handle().writer().is_some_and(|writer| writer.epoch < epoch)
            {
                windows::moved(&connection);
                shared.forget(&connection);
            }
        }
        Act::Replaced(who) => {
            if let Some(connection) = find(shared, who) {
                windows::replaced(&connection);
                shared.forget(&connection);
            }
        }
    }
    done
}

/// Records a join (`true`) or a leave for a callback.
fn note_change(connection: &Connection, change: Option<bool>, room: String) {
    if let Some(is_join) = change
        && connection.handle().reports_changes
        && let Some(writer) = connection.handle().writer()
    {
        writer.callbacks().changes.push_back((is_join, room));
    }
}

/// The session with this key, if this server has it.
fn find(shared: &ServerInner, key: Key) -> Option<Connection> {
    shared.registry.by_key(&key.bytes())
}
