//! [`Folding`]: applies the log's entries to one session, apart from the follower.

use std::collections::BTreeSet;

use rejoin_core::{Frame, Overflow};
use rejoin_store::{Entry, Position};

use crate::connection::Connection;
use crate::fanout::broadcast::deliver;
use crate::fanout::rewind::Rewind;
use crate::fanout::rooms::{RoomCounts, Rooms};
use crate::inner::ServerInner;
use crate::session::sharded::Shards;

use super::act::{self, Act, Key, Policy, Said, SaidException, SaidTarget};
use super::checkpoints::Fold;

/// A session of another server while it is folded. It is not in this server's registry, so the follower does not apply entries to it.
///
/// Whether it receives a frame depends only on its own state: its ID, its user, and its rooms.
pub(super) struct Folding {
    pub(super) connection: Connection,
    /// The session's state at the position that the fold has reached.
    pub(super) fold: Fold,
    key: Key,
    epoch: u64,
    home: String,
    /// Number of the last frame that the log has for the session.
    number: u64,
    /// Frames up to this number are not kept, because the client has them.
    known: u64,
    /// The session's position when the fold began. Earlier entries only serve the histories.
    begin: Position,
    /// Whether the fold has passed the entry of the takeover.
    is_ours: bool,
    has_left: bool,
    /// The histories of the rooms that it rewinds.
    histories: Option<Rooms>,
}

/// Why a session cannot be folded from its checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FoldError {
    /// It rewinds a room, so the fold has to begin at the start of the log.
    NeedsHistories,
    /// An entry cannot be read.
    Damaged,
}

impl Folding {
    /// A fold that begins at a checkpoint with this number. It does not keep frames up to `known`.
    pub(super) fn new(
        connection: Connection,
        fold: Fold,
        (number, known): (u64, u64),
        begin: Position,
    ) -> Self {
        let writer = connection.handle().writer().expect("it comes from a store");
        Self {
            key: writer.key,
            epoch: writer.epoch,
            home: connection.room().unwrap_or_default().into(),
            connection,
            fold,
            number,
            known,
            begin,
            is_ours: false,
            has_left: false,
            histories: None,
        }
    }

    /// Records histories of rooms as well; the fold begins at the start of the log.
    pub(super) fn with_histories(self, shared: &ServerInner) -> Self {
        Self {
            histories: Some(Rooms::new(shared.context.clone(), RoomCounts::default(), Shards::Small)),
            ..self
        }
    }

    /// Whether the fold has passed all acts of the session's former owner.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Whether the session has ended, or belongs to yet another server.
    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    /// Whether the log has every frame that the client has received.
    pub(super) fn knows(&self, received: u64) -> bool {
        self.number >= received
    }

    /// Applies entries.
    pub(super) fn apply(&mut self, shared: &ServerInner, entries: &[Entry]) -> Result<(), FoldError> {
        for entry in entries {
            let (_, acts) = act::decode(&entry.body).map_err(|_| FoldError::Damaged)?;
            let is_after = entry.position > self.begin;
            if is_after && entry.writer == self.key.into() {
                self.is_ours |= entry.epoch == self.epoch;
                self.has_left |= entry.epoch > self.epoch;
            }
            for act in acts {
                if self.histories.is_some() {
                    self.record(shared, &act);
                }
                if is_after {
                    self.apply_act(shared, act)?;
                }
            }
            if !is_after && entry.position == self.begin {
                self.rewind_home(shared)?;
            }
        }
        Ok(())
    }

    /// Gives a session that begins at the checkpoint the part of its home room's history that it has requested.
    pub(super) fn rewind_home(&mut self, shared: &ServerInner) -> Result<(), FoldError> {
        match self.fold.rewind.take() {
            Some(rewind) if !self.home.is_empty() => {
                let home = self.home.clone();
                self.rewind(shared, &home, &rewind)
            }
            _ => Ok(()),
        }
    }

    fn apply_act(&mut self, shared: &ServerInner, act: Act) -> Result<(), FoldError> {
        let key = self.key;
        let reports = self.connection.handle().reports_changes;
        match act {
            Act::Send { to, frame, overflow } if to == key => {
                self.deliver(shared, &frame.into(), overflow.into());
            }
            Act::Say { to, except, frame, overflow, names_rooms, .. } => {
                self.hear(shared, &to, &except, frame, overflow, names_rooms);
            }
            Act::Join { who, room, rewind } if who == key && !self.is_in(&room) => {
                let joined = self.fold.rooms.iter().filter(|room| !room.is_empty()).count();
                if joined >= shared.options.limits.rooms_per_connection {
                    return Ok(());
                }
                if let Some(rewind) = rewind {
                    self.rewind(shared, &room, &rewind)?;
                }
                self.fold.rooms.push(room.clone());
                if reports {
                    self.fold.callbacks.changes.push_back((true, room));
                }
            }
            Act::Leave { who, room } if who == key && self.is_in(&room) => {
                self.fold.rooms.retain(|other| *other != room);
                if reports {
                    self.fold.callbacks.changes.push_back((false, room));
                }
            }
            Act::User { who, name } if who == key => self.fold.user = name,
            Act::Presence { who, value } if who == key => self.fold.presence = value,
            Act::Told { who, what } if who == key => self.fold.callbacks.note(what),
            Act::Over(who) if who == key => self.fold.callbacks.is_over = true,
            Act::Replaced(who) if who == key => self.has_left = true,
            _ => {}
        }
        Ok(())
    }

    fn is_in(&self, room: &str) -> bool {
        self.fold.rooms.iter().any(|other| other == room)
    }

    /// Appends a frame if the session belongs to its audience, by the same rules as [`broadcast`](crate::fanout::broadcast).
    fn hear(
        &mut self,
        shared: &ServerInner,
        to: &[SaidTarget],
        except: &[SaidException],
        frame: Said,
        overflow: Policy,
        names_rooms: Option<bool>,
    ) {
        let is_user = |name: &String| self.fold.user.as_ref() == Some(name);
        let is_excepted = except.iter().any(|exception| match exception {
            SaidException::Connection(id) => **id == *self.connection.id(),
            SaidException::Room(room) => !room.is_empty() && self.is_in(room),
            SaidException::User(name) => is_user(name),
        });
        let is_everyone = to.iter().any(|target| matches!(target, SaidTarget::Everyone));
        // If it is in several target rooms, it receives the frame through the first by name.
        let through = to.iter().filter_map(|target| match target {
            SaidTarget::Room(room) if !room.is_empty() && self.is_in(room) => Some(room),
            _ => None,
        });
        let through = through.min().filter(|_| !is_everyone);
        let is_direct = to.iter().any(|target| match target {
            SaidTarget::User(name) => is_user(name),
            SaidTarget::Id(id) => **id == *self.connection.id(),
            _ => false,
        });
        let hears = if is_everyone { self.is_in(&self.home) } else { through.is_some() || is_direct };
        let frame = Frame::from(frame);
        if is_excepted || !hears || frame.is_reserved() {
            return;
        }
        let named = through.filter(|_| names_rooms.unwrap_or(shared.options.name_rooms));
        let frame = match named {
            Some(room) => frame.with_room(room.as_str()),
            None => frame,
        };
        // The same rule as the follower's.
        let overflow = if overflow == Policy::Reject { Policy::DropNewest } else { overflow };
        self.deliver(shared, &frame, overflow.into());
    }

    fn deliver(&mut self, shared: &ServerInner, frame: &Frame, overflow: Overflow) {
        self.number += 1;
        if self.number > self.known {
            deliver(shared, &self.connection, frame, overflow);
        }
    }

    /// Gives the session the part of a room's history that it has requested.
    fn rewind(&mut self, shared: &ServerInner, room: &str, rewind: &Rewind) -> Result<(), FoldError> {
        if shared.options.histories.of(room).is_none() {
            return Ok(());
        }
        let Some(histories) = &self.histories else { return Err(FoldError::NeedsHistories) };
        let (_, rewound) = histories.join_rewound(&self.connection, &room.into(), Some(rewind));
        histories.leave(&self.connection, room);
        self.number += rewound.frames as u64;
        Ok(())
    }

    /// Records broadcasts to rooms in their histories.
    fn record(&self, shared: &ServerInner, act: &Act) {
        let (Some(histories), Act::Say { to, except, frame, names_rooms, .. }) = (&self.histories, act)
        else {
            return;
        };
        if to.iter().any(|target| matches!(target, SaidTarget::Everyone)) {
            return;
        }
        let frame = Frame::from(frame.clone());
        let names = names_rooms.unwrap_or(shared.options.name_rooms);
        // An audience may name a room twice.
        let rooms = to.iter().filter_map(|target| match target {
            SaidTarget::Room(room) => Some(room),
            _ => None,
        });
        for room in rooms.collect::<BTreeSet<_>>() {
            let is_excepted =
                except.iter().any(|each| matches!(each, SaidException::Room(name) if name == room));
            if !is_excepted && shared.options.histories.of(room).is_some() {
                // The room has no members: the frame only enters the history.
                histories.broadcast(room, &frame, None, Overflow::DropOldest, names).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests;
