//! [`Rooms`]: the table of all rooms, and broadcasts to one of them.

use std::borrow::Cow;
use std::sync::Arc;

use rejoin_core::drive::Sequencer;
use rejoin_core::{Frame, Overflow};

use crate::connection::Connection;
use crate::context::ServerContext;
use crate::error::BroadcastError;
use crate::fanout::encoded::Encoded;
use crate::fanout::fan_out::FanOut;
use crate::fanout::members::Joined;
use crate::fanout::room::{Queueing, Room};
use crate::observe::metrics::Metrics;
use crate::session::sharded::{Keyed, Sharded};

/// All rooms. A room exists while it has members.
///
/// Connections without a room are in one without a name, so that a broadcast to everyone reaches them. It is not listed.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: Sharded<Entry>,
    /// One order for the broadcasts in all rooms.
    sequencer: Arc<Sequencer>,
    context: Arc<ServerContext>,
}

#[derive(Debug)]
struct Entry(Arc<Room>);

impl Keyed for Entry {
    type Key = str;

    fn key(&self) -> &str {
        self.0.name()
    }
}

impl Rooms {
    pub(crate) fn new(context: Arc<ServerContext>) -> Self {
        Self { rooms: Sharded::new(), sequencer: Arc::default(), context }
    }

    /// The name of a room. Shares the memory of an existing room's name.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        self.rooms.lock(name).get().map_or_else(|| name.into(), |entry| entry.0.name().clone())
    }

    /// Adds a connection to a room, which is created if there is none. Never returns [`Joined::Dead`].
    pub(crate) fn join(&self, connection: &Connection, name: &Arc<str>) -> Joined {
        loop {
            let mut is_new = false;
            let new = || {
                is_new = true;
                Entry(Arc::new(Room::new(name.clone())))
            };
            let room = self.rooms.lock(name).get_or_insert_with(new).0.clone();
            let joined = room.join(connection, &self.sequencer);
            if is_new {
                self.report(name, |metrics| metrics.room_created());
            }
            match joined {
                // The room was emptied between the look-up and the join. Removing it here, too, means that the next round finds or
                // creates another room, and need not wait for the thread that emptied this one.
                Joined::Dead => self.remove(&room),
                // A room that was created for a connection that is closing has no member. This removes only a dead room.
                Joined::Closed => {
                    self.remove(&room);
                    return joined;
                }
                Joined::Added => {
                    self.report(name, |metrics| metrics.joined());
                    return joined;
                }
                Joined::Already => return joined,
            }
        }
    }

    /// Removes a connection from a room. Returns whether it was a member.
    pub(crate) fn leave(&self, connection: &Connection, name: &str) -> bool {
        let Some(room) = self.get(name) else { return false };
        let Some(is_dead) = room.leave(connection) else { return false };
        self.report(name, |metrics| metrics.left());
        if is_dead {
            self.remove(&room);
        }
        true
    }

    /// A room that has members.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.lock(name).get().map(|entry| entry.0.clone())
    }

    /// All rooms, also the one without a name.
    pub(crate) fn all(&self) -> Vec<Arc<Room>> {
        self.rooms.collect(|entry| entry.0.clone())
    }

    /// The number of rooms that have a name.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len() - usize::from(self.get("").is_some())
    }

    /// The number of members of all rooms that have a name.
    pub(crate) fn memberships(&self) -> usize {
        self.all().iter().filter(|room| !room.name().is_empty()).map(|room| room.len()).sum()
    }

    /// Queues a frame for all members of a room, whose name it gets if `names_rooms` is set, encoded and framed once for each codec among them. Returns the number of members
    /// for which it was queued, and the size of all encodings.
    pub(crate) fn broadcast(
        &self,
        name: &str,
        frame: &Frame,
        overflow: Overflow,
        names_rooms: bool,
    ) -> Result<(usize, usize), BroadcastError> {
        let Some(room) = self.get(name).filter(|_| !name.is_empty()) else { return Ok((0, 0)) };
        let frame = &in_room(frame, names_rooms.then_some(name));
        let mut encoded = Encoded::new(frame, &self.context);
        let queueing = room.queue(&mut encoded, overflow)?;
        let queued = queueing.queued;
        self.finish(room, queueing);
        encoded.result(queued)
    }

    /// Acts on a frame that was queued for the members of a room. The caller holds no lock.
    pub(super) fn finish(&self, room: Arc<Room>, queueing: Queueing) {
        let Queueing { begins_fan_out, effects, lagging, .. } = queueing;
        // Before the effects: a waker that panics must not leave the room with `flushing` set and without a fan-out.
        if begins_fan_out {
            FanOut::begin(room, &self.context);
        }
        for (member, effects) in effects {
            member.session().apply(effects);
        }
        if let Some(snapshot) = lagging {
            // A fan-out may be at the same sockets: whichever finds one in use leaves it to the session task.
            snapshot.write(0);
        }
    }

    /// Removes a room from the table if it is dead.
    fn remove(&self, room: &Arc<Room>) {
        if !room.is_dead() {
            return;
        }
        let name = room.name();
        let mut place = self.rooms.lock(name);
        // Another thread may have removed it, and another room may have its name by now.
        let removed =
            place.get().is_some_and(|found| Arc::ptr_eq(&found.0, room)) && place.remove().is_some();
        drop(place);
        if removed {
            self.report(name, |metrics| metrics.room_destroyed());
        }
    }

    /// Reports a change of a room that has a name.
    fn report(&self, name: &str, hook: impl FnOnce(&dyn Metrics)) {
        if !name.is_empty() {
            self.context.metrics.report(hook);
        }
    }
}

/// The frame, with the name of its room if it is to be named.
pub(super) fn in_room<'a>(frame: &'a Frame, name: Option<&str>) -> Cow<'a, Frame> {
    match name {
        Some(name) if !name.is_empty() => Cow::Owned(frame.clone().with_room(name)),
        _ => Cow::Borrowed(frame),
    }
}
