//! [`Members`]: the members of a room, in chunks that share a log.

use std::sync::Arc;

use hashbrown::HashTable;
use rejoin_core::drive::{Effects, RoomLog, Sequencer, Subscribed};

use crate::connection::Connection;
use crate::fanout::encoded::Encoded;
use crate::fanout::history::RoomHistory;
use crate::fanout::snapshot::{CHUNK, Chunk};
use crate::limits::limit::Limit;
use crate::limits::options::LimitOptions;

#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Each chunk but the last has [`CHUNK`] members.
    pub(super) chunks: Vec<Chunk>,
    /// The slot of each member: its index among all of them. Hashed by the connection's number.
    slots: HashTable<u32>,
    /// The number of members that use each codec, by the codec's index.
    pub(super) codecs: Vec<usize>,
    /// The chunk that a broadcast writes to next, if several lag.
    pub(super) next_lagging: usize,
    /// Whether frames were queued that no fan-out has begun to write.
    pub(super) is_dirty: bool,
    /// Whether a fan-out exists, or is being started.
    ///
    /// A broadcast that makes the room dirty starts a fan-out unless this is set; the fan-out clears it in the critical section
    /// that finds the room clean. So a frame is either seen by the fan-out that exists, or starts another one.
    pub(super) flushing: bool,
    /// Whether the last member has left, and the room is about to be removed. No connection may join any more: it would join a room
    /// that is in no table, and miss every broadcast.
    pub(super) dead: bool,
    /// Whether the room is among the [kept ones](crate::fanout::kept_rooms::KeptRooms), even if it has members again.
    pub(super) is_kept: bool,
    /// The frames that the room keeps for newcomers; `None` if it keeps none.
    pub(super) history: Option<Box<RoomHistory>>,
}

/// The result of [`Members::add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The connection is a member now.
    Added,
    /// It was a member before.
    Already,
    /// It has ended or is closing, and is no member.
    Closed,
    /// The room is dead: the connection has to join another one of this name.
    Dead,
    /// A limit is reached, and the connection is no member.
    Refused(Limit),
}

impl Members {
    /// Adds a member.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        room: &Arc<str>,
        sequencer: &Arc<Sequencer>,
        limits: &LimitOptions,
    ) -> Joined {
        if self.dead {
            return Joined::Dead;
        }
        if self.slot(connection).is_some() {
            return Joined::Already;
        }
        // The limit does not apply to the room without a name, which nobody joins explicitly.
        if self.len() >= limits.members && !room.is_empty() {
            return Joined::Refused(Limit::Members);
        }
        let is_full = self.chunks.last().is_none_or(|chunk| chunk.members.len() == CHUNK);
        let new = is_full.then(|| Arc::new(RoomLog::new(sequencer.clone(), room.clone())));
        let log = new.as_ref().or_else(|| self.chunks.last().map(|chunk| &chunk.log)).expect("there is one");
        // Under the room's lock: no broadcast can fall between this and the list of members.
        let subscribed = connection.subscribe(log, limits.rooms_per_connection);
        if subscribed != Subscribed::Yes {
            // Removes the room again if it was created for this connection.
            self.settle();
            return match subscribed {
                Subscribed::Full => Joined::Refused(Limit::RoomsPerConnection),
                _ => Joined::Closed,
            };
        }
        self.chunks.extend(new.map(|log| Chunk { members: Arc::default(), log }));
        let codec = connection.codec_index();
        if self.codecs.len() <= codec {
            self.codecs.resize(codec + 1, 0);
        }
        self.codecs[codec] += 1;
        let slot = self.len();
        let chunk = self.chunks.last_mut().expect("it was added if there was none");
        // Copies the list if a fan-out is using it, which continues with the members that it began with.
        Arc::make_mut(&mut chunk.members).push(connection.clone());
        self.insert_slot(slot, connection);
        Joined::Added
    }

    /// Removes a member; `None` if it is not a member. Returns the wake-ups to perform once the lock is released.
    pub(super) fn remove(&mut self, connection: &Connection) -> Option<Vec<(Connection, Effects)>> {
        let slot = self.slot(connection)?;
        // The last member of the room moves to its slot, so that all chunks but the last stay full.
        let moved = self.chunks.last().and_then(|last| last.members.last()).cloned()?;
        // Before either of them moves.
        self.remove_slot(connection);
        self.remove_slot(&moved);
        let (index, offset) = (slot / CHUNK, slot % CHUNK);
        // Drains the log for the last time, because broadcasts from before it left are still for it.
        let log = self.chunks[index].log.clone();
        let mut effects = vec![(connection.clone(), connection.unsubscribe(&log))];
        self.codecs[connection.codec_index()] -= 1;
        let last = self.chunks.last_mut().expect("it has a last member");
        Arc::make_mut(&mut last.members).pop();
        let last_log = last.log.clone();
        if last.members.is_empty() {
            self.chunks.pop();
        }
        if moved != *connection {
            if !Arc::ptr_eq(&last_log, &log) {
                // No broadcast can fall between the two logs: the room is locked.
                effects.push((moved.clone(), moved.session().resubscribe(&last_log, &log)));
            }
            Arc::make_mut(&mut self.chunks[index].members)[offset] = moved.clone();
            self.insert_slot(slot, &moved);
        }
        // Amortized: it moves fewer slots than were removed since the table last grew or shrank.
        let len = self.slots.len();
        if len < self.slots.capacity() / 8 {
            let chunks = &self.chunks;
            self.slots.shrink_to(2 * len, |slot| at(chunks, *slot).hashed());
        }
        self.settle();
        Some(effects)
    }

    /// Ends a room that has neither members nor a history. Called under the lock that emptied it: no connection can join between
    /// this and the removal from the table.
    pub(super) fn settle(&mut self) {
        self.dead = self.chunks.is_empty() && self.history.as_ref().is_none_or(|history| history.is_empty());
    }

    /// A codec that members or newcomers use, and that has not yet encoded the frame.
    pub(super) fn missing_codec(&self, encoded: &Encoded<'_>) -> Option<usize> {
        let of_history = || {
            let history = self.history.as_ref()?;
            (0..encoded.encodings().len()).find(|codec| history.wants(*codec) && !encoded.has(*codec))
        };
        encoded.missing(&self.codecs).or_else(of_history)
    }

    /// The slot of a member; `None` if it is not a member.
    pub(super) fn slot(&self, connection: &Connection) -> Option<usize> {
        let chunks = &self.chunks;
        let found = self.slots.find(connection.hashed(), |slot| at(chunks, *slot) == connection);
        found.map(|slot| *slot as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.members.len())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.chunks.iter().flat_map(|chunk| &*chunk.members)
    }

    fn insert_slot(&mut self, slot: usize, connection: &Connection) {
        let slot = u32::try_from(slot).expect("a room has fewer than 2^32 members");
        let chunks = &self.chunks;
        self.slots.insert_unique(connection.hashed(), slot, |slot| at(chunks, *slot).hashed());
    }

    fn remove_slot(&mut self, connection: &Connection) {
        let chunks = &self.chunks;
        let found = self.slots.find_entry(connection.hashed(), |slot| at(chunks, *slot) == connection);
        if let Ok(found) = found {
            found.remove();
        }
    }
}

fn at(chunks: &[Chunk], slot: u32) -> &Connection {
    let slot = slot as usize;
    &chunks[slot / CHUNK].members[slot % CHUNK]
}
