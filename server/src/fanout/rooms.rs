//! [`Rooms`]: the members of each room, and broadcasts to them.

use std::sync::{Arc, PoisonError};

use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::drive::{Effects, RoomLog, Sequencer};
use rejoin_core::{Frame, Mode, Overflow};

use crate::connection::Connection;
use crate::error::BroadcastError;
use crate::fanout::broadcast::{CHUNK, Encoded, FanOut, Queueing, RoomSnapshot};
use crate::inner::ServerInner;
use crate::session::sharded::{Keyed, Sharded};

/// All rooms. A room exists while it has members.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: Sharded<Named>,
    /// One order for the broadcasts in all rooms.
    sequencer: Arc<Sequencer>,
}

/// A room under its name.
#[derive(Debug)]
struct Named {
    name: Arc<str>,
    room: Arc<Room>,
}

impl Keyed for Named {
    type Key = str;

    fn key(&self) -> &str {
        &self.name
    }
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Held while a broadcast is queued, so that all members see the broadcasts of a room in the same order. No foreign code
    /// runs under it: frames are encoded before, and members are woken and written to afterwards.
    ///
    /// Under it the locks of single sessions and of logs are taken, in this order, and never the other way round. It is not held
    /// together with that of the table of rooms.
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// Each chunk but the last has [`CHUNK`] members.
    chunks: Vec<Chunk>,
    /// The number of members that use each codec, by the codec's index.
    codecs: Vec<usize>,
    /// The chunk that a broadcast writes to next, if several lag.
    next_lagging: usize,
    /// Frames were queued that no fan-out has begun to write.
    is_dirty: bool,
    /// A fan-out exists, or is being started.
    ///
    /// A broadcast that makes the room dirty starts a fan-out unless this is set; the fan-out clears it in the critical section
    /// that finds the room clean. So a frame is either seen by the fan-out that exists, or starts another one.
    flushing: bool,
    /// The last member has left, and the room is about to be removed: no connection may join any more. Without this one could
    /// join a room that is in no table, and would miss every broadcast.
    dead: bool,
}

/// Members that share a room log.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Shared with a fan-out; copied if a member joins or leaves while the fan-out uses it.
    pub(crate) members: Arc<Vec<Connection>>,
    pub(crate) log: Arc<RoomLog>,
}

impl Rooms {
    pub(crate) fn new() -> Self {
        Self { rooms: Sharded::new(), sequencer: Arc::default() }
    }

    /// The name of a room. Shares the memory of an existing room's name.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        self.rooms.lock(name).get().map_or_else(|| name.into(), |named| named.name.clone())
    }

    /// Adds a connection to its room. Returns the number of rooms that were created for it: none or one, or more if other
    /// connections joined and left them at the same time.
    pub(crate) fn join(&self, connection: &Connection) -> usize {
        let name = connection.shared_room();
        let mut created = 0;
        loop {
            let new = || {
                created += 1;
                Named { name: name.clone(), room: Arc::default() }
            };
            let room = self.rooms.lock(name).get_or_insert_with(new).room.clone();
            let mut members = room.lock();
            if members.dead {
                // The room was emptied between the look-up and the lock. Removing it here, too, means that the next round finds
                // or creates another room, and need not wait for the thread that emptied this one.
                drop(members);
                self.remove(name, &room);
                continue;
            }
            members.add(connection, &self.sequencer);
            return created;
        }
    }

    /// Removes a connection from its room. A second call does nothing. Returns whether the room has ended with it.
    pub(crate) fn leave(&self, connection: &Connection) -> bool {
        let name = connection.shared_room();
        let Some(room) = self.room(name) else { return false };
        let mut members = room.lock();
        let Some(effects) = members.remove(connection) else { return false };
        // Set under the lock that emptied the room: no connection can join between this and the removal from the table.
        members.dead = members.chunks.is_empty();
        let dead = members.dead;
        drop(members);
        for (member, effects) in effects {
            member.session().apply(effects);
        }
        if dead {
            self.remove(name, &room);
        }
        dead
    }

    /// The members of a room, including suspended ones and those whose last callback has not run yet.
    pub(crate) fn members(&self, name: &str) -> Vec<Connection> {
        self.room(name).map(|room| room.lock().all().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Queues a frame for all members, encoded and framed once for each codec among them. Returns the number of members for which
    /// it was queued, and the size of all encodings.
    pub(crate) fn broadcast(
        &self,
        name: &str,
        frame: &Frame,
        overflow: Overflow,
        shared: &Arc<ServerInner>,
    ) -> Result<(usize, usize), BroadcastError> {
        let Some(room) = self.room(name) else { return Ok((0, 0)) };
        let mut encoded = Encoded::new(frame, shared);
        let mut members = loop {
            let members = room.lock();
            // Checked in each round: a member in session mode may have joined while a codec ran.
            //= PROTOCOL.md#R3.4: A broadcast of a `$` event MUST fail as a whole
            if frame.is_reserved() && members.all().any(|member| member.mode() == Mode::Session) {
                return Err(BroadcastError::Reserved);
            }
            let Some(codec) = encoded.missing(&members.codecs) else { break members };
            // A codec is foreign code, so the lock is released. Meanwhile a member with yet another codec may join: check again.
            // The loop ends, because each codec is asked once.
            drop(members);
            encoded.encode(codec);
        };
        // From here to the release of the lock the frame takes its place in the order of the room.
        let Queueing { queued, is_due, lagging, effects } = members.queue(&encoded, overflow);
        members.is_dirty |= is_due;
        let begins = members.is_dirty && !std::mem::replace(&mut members.flushing, true);
        let snapshot = members.next_lagging(&lagging);
        drop(members);
        // Before the effects: a waker that panics must not leave the room with `flushing` set and without a fan-out.
        if begins {
            FanOut::begin(room, shared);
        }
        for (member, effects) in effects {
            member.session().apply(effects);
        }
        if let Some(snapshot) = snapshot {
            // No lock is held. A fan-out may be at the same sockets: whichever finds one in use leaves it to the session task.
            snapshot.write(0);
        }
        match encoded.failed() {
            // If at least one codec can represent the frame, the members with other codecs get a gap.
            Some(error) if queued == 0 => Err(BroadcastError::Encode(error)),
            _ => Ok((queued, encoded.bytes())),
        }
    }

    fn room(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.lock(name).get().map(|named| named.room.clone())
    }

    /// Removes a dead room from the table.
    fn remove(&self, name: &Arc<str>, room: &Arc<Room>) {
        let mut place = self.rooms.lock(name);
        // Another thread may have removed it, and another room may have its name by now.
        if place.get().is_some_and(|found| Arc::ptr_eq(&found.room, room)) {
            place.remove();
        }
    }
}

impl Members {
    fn add(&mut self, connection: &Connection, sequencer: &Arc<Sequencer>) {
        if self.chunks.last().is_none_or(|chunk| chunk.members.len() == CHUNK) {
            let log = Arc::new(RoomLog::new(sequencer.clone()));
            self.chunks.push(Chunk { members: Arc::default(), log });
        }
        let codec = connection.codec_index();
        if self.codecs.len() <= codec {
            self.codecs.resize(codec + 1, 0);
        }
        self.codecs[codec] += 1;
        let index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[index];
        connection.set_room_slot(index * CHUNK + chunk.members.len());
        // Copies the list if a fan-out is using it, which continues with the members that it began with.
        Arc::make_mut(&mut chunk.members).push(connection.clone());
        connection.subscribe(&chunk.log);
    }

    /// Removes a member; `None` if it is not a member. Returns the wake-ups to perform once the lock is released.
    fn remove(&mut self, connection: &Connection) -> Option<Vec<(Connection, Effects)>> {
        let place = connection.room_slot();
        let (index, offset) = (place / CHUNK, place % CHUNK);
        let found = self.chunks.get(index).and_then(|chunk| chunk.members.get(offset));
        if !found.is_some_and(|found| found == connection) {
            return None;
        }
        // Drains the log for the last time: broadcasts that came before it left are still its own.
        let log = self.chunks[index].log.clone();
        let mut effects = vec![(connection.clone(), connection.session().unsubscribe(&log))];
        self.codecs[connection.codec_index()] -= 1;
        // The last member of the room takes its place, so that all chunks but the last stay full.
        let last = self.chunks.last_mut().expect("it has the connection that was found, or others");
        let moved = Arc::make_mut(&mut last.members).pop().expect("a chunk without members is removed");
        let last_log = last.log.clone();
        if last.members.is_empty() {
            self.chunks.pop();
        }
        if moved != *connection {
            let chunk = &mut self.chunks[index];
            if moved.room_slot() / CHUNK != index {
                // No broadcast can fall between the two logs: the room is locked.
                effects.push((moved.clone(), moved.resubscribe(&last_log, &log)));
            }
            moved.set_room_slot(place);
            Arc::make_mut(&mut chunk.members)[offset] = moved;
        }
        Some(effects)
    }

    fn all(&self) -> impl Iterator<Item = &Connection> {
        self.chunks.iter().flat_map(|chunk| &*chunk.members)
    }

    /// Queues a frame that has been encoded for every codec among the members.
    fn queue(&self, encoded: &Encoded<'_>, overflow: Overflow) -> Queueing {
        let mut queueing = Queueing::default();
        let fits = encoded.fits();
        for (index, Chunk { members, log }) in self.chunks.iter().enumerate() {
            // Where no member can refuse the frame, the members' locks are not needed: one entry in the log serves all of them.
            let lags = if overflow == Overflow::DropOldest && fits {
                encoded.push(log, &mut queueing)
            } else {
                encoded.offer(members, log, overflow, fits, &mut queueing)
            };
            if lags {
                queueing.lagging.push(index);
            }
        }
        queueing
    }

    /// The one lagging chunk that this broadcast writes to itself. That slows down a caller that broadcasts faster than the
    /// fan-out writes, before members lose frames; and no call writes to more than one chunk. Successive calls take turns through
    /// the lagging chunks.
    fn next_lagging(&mut self, lagging: &[usize]) -> Option<RoomSnapshot> {
        let next = lagging.partition_point(|chunk| *chunk < self.next_lagging);
        let chunk = *lagging.get(next).or_else(|| lagging.first())?;
        self.next_lagging = chunk + 1;
        Some(RoomSnapshot::new(&self.chunks[chunk..=chunk]))
    }
}

impl Room {
    /// For the one fan-out: the members, if frames were queued since the last call. `None` ends the fan-out.
    pub(crate) fn next_snapshot(&self) -> Option<RoomSnapshot> {
        // One critical section takes `is_dirty` and decides `flushing`. In two, a broadcast in between would find a fan-out that
        // is about to end, and its frame would stay unwritten until the next broadcast.
        let mut members = self.lock();
        members.flushing = std::mem::take(&mut members.is_dirty);
        members.flushing.then(|| RoomSnapshot::new(&members.chunks))
    }

    /// Notes that a fan-out was dropped before its end, and has left frames unwritten. With `another_begins` the caller starts
    /// another one at once; otherwise the next broadcast does.
    pub(crate) fn fan_out_stopped(&self, another_begins: bool) {
        let mut members = self.lock();
        members.is_dirty = true;
        members.flushing = another_begins;
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
