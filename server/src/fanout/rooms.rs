//! [`Rooms`]: the table of all rooms, and broadcasts to them.

use std::sync::Arc;

use rejoin_core::drive::Sequencer;
use rejoin_core::{Frame, Overflow};

use crate::connection::Connection;
use crate::context::ServerContext;
use crate::error::BroadcastError;
use crate::fanout::encoded::Encoded;
use crate::fanout::fan_out::FanOut;
use crate::fanout::room::{Queueing, Room};
use crate::session::sharded::{Keyed, Sharded};

/// All rooms. A room exists while it has members.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: Sharded<Named>,
    /// One order for the broadcasts in all rooms.
    sequencer: Arc<Sequencer>,
    context: Arc<ServerContext>,
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

impl Rooms {
    pub(crate) fn new(context: Arc<ServerContext>) -> Self {
        Self { rooms: Sharded::new(), sequencer: Arc::default(), context }
    }

    /// The name of a room. Shares the memory of an existing room's name.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        self.rooms.lock(name).get().map_or_else(|| name.into(), |named| named.name.clone())
    }

    /// Adds a connection to its room. Returns the number of rooms that were created for it: none or one, or more if other
    /// connections joined and left them at the same time.
    pub(crate) fn join(&self, connection: &Connection) -> usize {
        let name = connection.handle().shared_room();
        let mut created = 0;
        loop {
            let new = || {
                created += 1;
                Named { name: name.clone(), room: Arc::default() }
            };
            let room = self.rooms.lock(name).get_or_insert_with(new).room.clone();
            if room.join(connection, &self.sequencer) {
                return created;
            }
            // The room was emptied between the look-up and the join. Removing it here, too, means that the next round finds or
            // creates another room, and need not wait for the thread that emptied this one.
            self.remove(name, &room);
        }
    }

    /// Removes a connection from its room. A second call does nothing. Returns whether the room has ended with it.
    pub(crate) fn leave(&self, connection: &Connection) -> bool {
        let name = connection.handle().shared_room();
        let Some(room) = self.room(name) else { return false };
        let Some(is_dead) = room.leave(connection) else { return false };
        if is_dead {
            self.remove(name, &room);
        }
        is_dead
    }

    /// The members of a room, including suspended ones and those whose last callback has not run yet.
    pub(crate) fn members(&self, name: &str) -> Vec<Connection> {
        self.room(name).map(|room| room.members()).unwrap_or_default()
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
    ) -> Result<(usize, usize), BroadcastError> {
        let Some(room) = self.room(name) else { return Ok((0, 0)) };
        let mut encoded = Encoded::new(frame, &self.context);
        let Queueing { queued, begins_fan_out, effects, lagging, .. } = room.queue(&mut encoded, overflow)?;
        // Before the effects: a waker that panics must not leave the room with `flushing` set and without a fan-out.
        if begins_fan_out {
            FanOut::begin(room, &self.context);
        }
        for (member, effects) in effects {
            member.session().apply(effects);
        }
        if let Some(snapshot) = lagging {
            // No lock is held. A fan-out may be at the same sockets: whichever finds one in use leaves it to the session task.
            snapshot.write(0);
        }
        match encoded.failed() {
            // If at least one codec can represent the frame, the members with other codecs get a gap.
            Some(error) if queued == 0 => Err(BroadcastError::Encode(error)),
            _ => Ok((queued, encoded.bytes())),
        }
    }

    pub(super) fn room(&self, name: &str) -> Option<Arc<Room>> {
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
