//! [`Rooms`]: who is in which room, and one frame to all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rejoin_core::drive::Feed;
use rejoin_core::{Frame, Mode, Overflow};

use crate::broadcast::{Broadcast, Broadcasted, CHUNK, Flush, Turn};
use crate::connection::Connection;
use crate::error::BroadcastError;
use crate::sharded::{Keyed, Sharded};
use crate::shared::Shared;

/// All rooms. A room exists while it has members.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: Sharded<Named>,
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
    /// Held while a broadcast is queued, so that all members see the broadcasts of a room in the same order.
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    /// Shared with who flushes them; copied when somebody comes or goes meanwhile.
    list: Arc<Vec<Connection>>,
    /// What is broadcast to each [`CHUNK`] of them.
    feeds: Vec<Arc<Feed>>,
    /// How many there are of each codec, by its place among the server's.
    codecs: Vec<usize>,
    /// Something was queued that no flush has begun to write.
    flush_due: bool,
    /// A flush is under way.
    flushing: bool,
    /// The last member has left, and the room is about to be removed: nobody may join any more.
    dead: bool,
}

impl Rooms {
    pub(crate) fn new() -> Self {
        Self { rooms: Sharded::new() }
    }

    /// The name of a room, the room's own where there is one.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        self.rooms.lock(name).get().map_or_else(|| name.into(), |named| named.name.clone())
    }

    /// Puts a connection into its room. Returns how many rooms were created for it: none or one, unless somebody else
    /// entered and left the first of them at the same time.
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
                // Whoever emptied it removes it; then there is a new one.
                drop(members);
                self.remove(name, &room);
                continue;
            }
            members.add(connection);
            return created;
        }
    }

    /// Takes a connection out of its room. A second call does nothing. Returns whether the room is gone with it.
    pub(crate) fn leave(&self, connection: &Connection) -> bool {
        let name = connection.shared_room();
        let Some(room) = self.room(name) else { return false };
        let mut members = room.lock();
        if !members.remove(connection) {
            return false;
        }
        members.dead = members.list.is_empty();
        let dead = members.dead;
        drop(members);
        if dead {
            self.remove(name, &room);
        }
        dead
    }

    /// The members of a room, suspended ones included, and those whose last callback is to come.
    pub(crate) fn members(&self, name: &str) -> Vec<Connection> {
        self.room(name).map(|room| room.lock().list.to_vec()).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Queues a frame for all members: encoded and framed once for each codec among them. Returns for how many, and the
    /// bytes of all the encodings.
    pub(crate) fn broadcast(
        &self,
        name: &str,
        frame: &Frame,
        overflow: Overflow,
        shared: &Shared,
    ) -> Result<(usize, usize), BroadcastError> {
        let Some(room) = self.room(name) else { return Ok((0, 0)) };
        let mut members = room.lock();
        //= PROTOCOL.md#3-control-frames: a broadcast of a `$` event fails as a whole
        if frame.is_reserved() && members.list.iter().any(|member| member.mode() == Mode::Session) {
            return Err(BroadcastError::Reserved);
        }
        let broadcast = Broadcast::new(frame, &members.codecs, shared);
        let Broadcasted { queued, bytes, told, behind, failed } =
            broadcast.queue(&members.list, &members.feeds, overflow);
        members.flush_due |= told;
        let begins = members.flush_due && !std::mem::replace(&mut members.flushing, true);
        let turn = (!behind.is_empty()).then(|| members.turn());
        drop(members);
        if let Some(turn) = turn {
            behind.into_iter().for_each(|chunk| turn.write(chunk));
        }
        if begins {
            Flush::begin(room, &shared.tasks);
        }
        match failed {
            // For some there is an image: the others are told of a gap.
            Some(error) if queued == 0 => Err(BroadcastError::Encode(error)),
            _ => Ok((queued, bytes)),
        }
    }

    fn room(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.lock(name).get().map(|named| named.room.clone())
    }

    fn remove(&self, name: &Arc<str>, room: &Arc<Room>) {
        let mut place = self.rooms.lock(name);
        if place.get().is_some_and(|found| Arc::ptr_eq(&found.room, room)) {
            place.remove();
        }
    }
}

impl Members {
    fn add(&mut self, connection: &Connection) {
        let place = self.list.len();
        if place / CHUNK == self.feeds.len() {
            self.feeds.push(Arc::default());
        }
        let codec = connection.codec_index();
        if self.codecs.len() <= codec {
            self.codecs.resize(codec + 1, 0);
        }
        self.codecs[codec] += 1;
        connection.set_place(place);
        connection.follow(&self.feeds[place / CHUNK]);
        Arc::make_mut(&mut self.list).push(connection.clone());
    }

    fn remove(&mut self, connection: &Connection) -> bool {
        let place = connection.place();
        if !self.list.get(place).is_some_and(|found| found.is_same(connection)) {
            return false;
        }
        Arc::make_mut(&mut self.list).swap_remove(place);
        connection.cell().unfollow();
        self.codecs[connection.codec_index()] -= 1;
        if let Some(moved) = self.list.get(place) {
            moved.set_place(place);
            if place / CHUNK != self.list.len() / CHUNK {
                moved.follow(&self.feeds[place / CHUNK]);
            }
        }
        self.feeds.truncate(self.list.len().div_ceil(CHUNK));
        true
    }

    /// Those who are members now, to be gone through.
    fn turn(&self) -> Turn {
        Turn::new(self.list.clone(), &self.feeds)
    }
}

impl Room {
    /// The members, if anything was queued for them since they were returned last: for the one flush there is at a time.
    pub(crate) fn flush_due(&self) -> Option<Turn> {
        let mut members = self.lock();
        members.flushing = std::mem::take(&mut members.flush_due);
        members.flushing.then(|| members.turn())
    }

    /// A flush has stopped before its end, with its runtime.
    pub(crate) fn flush_stopped(&self) {
        self.lock().flushing = false;
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
