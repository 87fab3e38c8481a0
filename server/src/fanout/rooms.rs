//! [`Rooms`]: the table of all rooms, and broadcasts to one of them.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use rejoin_core::drive::sync::atomic::{AtomicUsize, Ordering};
use rejoin_core::drive::{Sequencer, now};
use rejoin_core::{Frame, Overflow};

use crate::connection::Connection;
use crate::context::ServerContext;
use crate::error::BroadcastError;
use crate::fanout::encoded::{Encoded, EncodedOnce};
use crate::fanout::fan_out::FanOut;
use crate::fanout::history::keeps;
use crate::fanout::joining::{JoinOutcome, Overdue, Settled};
use crate::fanout::kept_rooms::KeptRooms;
use crate::fanout::members::Joined;
use crate::fanout::rewind::{Rewind, Rewound};
use crate::fanout::room::{Queueing, Room};
use crate::limits::limit::Limit;
use crate::observe::metrics::Metrics;
use crate::session::sharded::{Keyed, Sharded, Shards};

/// The numbers of the rooms of all realms together, which limits bound.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoomCounts {
    /// The number of entries that have a name.
    named: Arc<AtomicUsize>,
    /// The bytes of all histories.
    history_bytes: Arc<AtomicUsize>,
}

impl RoomCounts {
    pub(crate) fn history_bytes(&self) -> usize {
        self.history_bytes.load(Ordering::Relaxed)
    }
}

/// All rooms of a realm. A room exists while it has members, or a history that is not over.
///
/// Connections without a room are in one without a name, so that a broadcast to everyone reaches them. It is not listed.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: Sharded<NamedRoom>,
    counts: RoomCounts,
    /// Those that have no members, and keep a history.
    kept: KeptRooms,
    /// One order for the broadcasts in all rooms of the realm.
    sequencer: Arc<Sequencer>,
    context: Arc<ServerContext>,
}

#[derive(Debug)]
struct NamedRoom(Arc<Room>);

impl Keyed for NamedRoom {
    type Key = str;

    fn key(&self) -> &str {
        self.0.name()
    }
}

impl Rooms {
    /// Without rooms. They count in `counts`.
    pub(crate) fn new(context: Arc<ServerContext>, counts: RoomCounts, size: Shards) -> Self {
        Self {
            rooms: Sharded::new(size),
            counts,
            kept: KeptRooms::default(),
            sequencer: Arc::default(),
            context,
        }
    }

    /// The name of a room. Shares the memory of an existing room's name.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        self.rooms.lock(name).get().map_or_else(|| name.into(), |entry| entry.0.name().clone())
    }

    #[cfg(test)]
    pub(crate) fn join(&self, connection: &Connection, name: &Arc<str>) -> Joined {
        self.join_rewound(connection, name, None).0
    }

    /// Adds a connection to a room, which is created if there is none. Never returns [`Joined::Dead`]. A new member gets the frames
    /// of the room's history that it asks for, and then all later ones.
    pub(crate) fn join_rewound(
        &self,
        connection: &Connection,
        name: &Arc<str>,
        rewind: Option<&Rewind>,
    ) -> (Joined, Rewound) {
        loop {
            let Some(room) = self.get_or_create(name) else {
                return (Joined::Refused(Limit::Rooms), Rewound::default());
            };
            let JoinOutcome { joined, is_first, rewound } =
                room.join(connection, &self.sequencer, rewind, &self.context);
            if is_first {
                self.report(name, |metrics| metrics.room_created());
            }
            match joined {
                // The room was emptied between the look-up and the join. Removing it here, too, means that the next round finds or
                // creates another room, and need not wait for the thread that emptied this one.
                Joined::Dead => self.remove(&room),
                // A room that was created for a connection that does not join has no member. This removes only a dead room.
                Joined::Closed | Joined::Refused(_) => {
                    self.remove(&room);
                    return (joined, rewound);
                }
                Joined::Added => {
                    self.report(name, |metrics| metrics.joined());
                    return (joined, rewound);
                }
                Joined::Already => return (joined, rewound),
            }
        }
    }

    /// Removes a connection from a room. Returns whether it was a member.
    pub(crate) fn leave(&self, connection: &Connection, name: &str) -> bool {
        let Some(room) = self.get(name) else { return false };
        let Some(is_empty) = room.leave(connection) else { return false };
        self.report(name, |metrics| metrics.left());
        if is_empty {
            self.report(name, |metrics| metrics.room_destroyed());
            self.keep_or_remove(room, None);
        }
        true
    }

    /// A room that has members, or a history.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.lock(name).get().map(|entry| entry.0.clone())
    }

    /// The room with this name, which is created if there is none. `None` if the limit on rooms is reached.
    fn get_or_create(&self, name: &Arc<str>) -> Option<Arc<Room>> {
        if let Some(room) = self.get(name) {
            return Some(room);
        }
        self.look_at_kept();
        // Calls the application's function, so no shard is locked.
        let history = self.context.options.histories.of(name);
        let mut place = self.rooms.lock(name);
        if let Some(found) = place.get() {
            return Some(found.0.clone());
        }
        // Counted while the name is locked, so that two connections do not both create the last room, or this one twice.
        let max = self.context.options.limits.rooms;
        let next = |named| (named < max).then_some(named + 1);
        if !name.is_empty()
            && self.counts.named.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_err()
        {
            return None;
        }
        let new = || NamedRoom(Arc::new(Room::new(name.clone(), history, &self.counts.history_bytes)));
        Some(place.get_or_insert_with(new).0.clone())
    }

    /// The room for a broadcast that a history keeps. A room with a history needs no members.
    pub(super) fn target(&self, name: &str, frame: &Frame) -> Option<Arc<Room>> {
        if name.is_empty() {
            return None;
        }
        let histories = &self.context.options.histories;
        let keeps = || histories.of(name).is_some_and(|history| history.has_event(frame.event()));
        self.get(name).or_else(|| if keeps() { self.get_or_create(&name.into()) } else { None })
    }

    /// Removes a room without members, or keeps it for its history. `why` is set if it was kept until now.
    fn keep_or_remove(&self, room: Arc<Room>, why: Option<Overdue>) {
        let now = now();
        let mut rooms = vec![(room, why)];
        while let Some((room, why)) = rooms.pop() {
            match room.settle(why, now) {
                Settled::Dead => self.remove(&room),
                Settled::Kept(until) => rooms.extend(self.kept.push(&room, until, now)),
                Settled::Other => {}
            }
        }
    }

    /// Frees the memory of histories: what is too old, and the histories of rooms without members, or all. Visits all rooms, one after
    /// the other.
    pub(crate) fn forget_histories(&self, forgets_all: bool) {
        let now = now();
        for room in self.all() {
            if room.forget(forgets_all, now) {
                self.remove(&room);
            }
        }
    }

    /// Removes kept rooms whose history has ended. There is no timer: this is done when a room is created or becomes empty.
    pub(crate) fn look_at_kept(&self) {
        for (room, why) in self.kept.overdue(now()) {
            self.keep_or_remove(room, Some(why));
        }
    }

    /// Whether there are no rooms.
    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.len() == 0
    }

    /// All rooms, also the one without a name.
    pub(crate) fn all(&self) -> Vec<Arc<Room>> {
        self.rooms.collect(|entry| entry.0.clone())
    }

    /// The longest time for which a room keeps frames; zero if none keeps any. Costs a lock for each room.
    pub(crate) fn longest_history(&self) -> Duration {
        self.all().iter().filter_map(|room| room.lock().history_age()).max().unwrap_or_default()
    }

    /// The number of rooms that have members and a name.
    pub(crate) fn len(&self) -> usize {
        self.all().iter().filter(|room| !room.name().is_empty() && room.len() > 0).count()
    }

    /// The number of members of all rooms that have a name.
    pub(crate) fn memberships(&self) -> usize {
        self.all().iter().filter(|room| !room.name().is_empty()).map(|room| room.len()).sum()
    }

    /// Queues a frame for all members of a room, encoded and framed once for each codec among them. It may have been encoded `once`
    /// already. With `names_rooms` it names the room. Returns the number of members for which it was queued, and the size of all
    /// encodings.
    pub(crate) fn broadcast(
        &self,
        name: &str,
        frame: &Frame,
        once: Option<EncodedOnce>,
        overflow: Overflow,
        names_rooms: bool,
    ) -> Result<(usize, usize), BroadcastError> {
        let frame = &in_room(frame, names_rooms.then_some(name));
        // Encoded without the room.
        let mut encoded = Encoded::with(frame, &self.context, once.filter(|_| !names_rooms));
        loop {
            let target = if keeps(frame) {
                self.target(name, frame)
            } else {
                self.get(name).filter(|_| !name.is_empty())
            };
            let Some(room) = target else { return Ok((0, 0)) };
            let queued = self.settle_on_panic([&room], || room.queue(&mut encoded, overflow));
            let Some(queueing) = queued? else {
                // As in `join_rewound`: another room may have its name by now, with or without members.
                self.remove(&room);
                continue;
            };
            let queued = queueing.queued;
            self.finish(room, queueing);
            return encoded.result(queued);
        }
    }

    /// Runs `encode`, which calls a codec. If it panics, removes the rooms that were created for this frame, because they get none.
    pub(super) fn settle_on_panic<'a, R>(
        &self,
        rooms: impl IntoIterator<Item = &'a Arc<Room>>,
        encode: impl FnOnce() -> R,
    ) -> R {
        catch_unwind(AssertUnwindSafe(encode)).unwrap_or_else(|panic| {
            rooms.into_iter().for_each(|room| self.keep_or_remove(room.clone(), None));
            resume_unwind(panic)
        })
    }

    /// Acts on a frame that was queued for the members of a room. The caller holds no lock.
    pub(super) fn finish(&self, room: Arc<Room>, queueing: Queueing) {
        let Queueing { begins_fan_out, begins_keeping, effects, lagging, .. } = queueing;
        if begins_keeping {
            self.keep_or_remove(room.clone(), None);
        }
        // Before the effects: a waker that panics must not leave the room with `flushing` set and without a fan-out.
        if begins_fan_out {
            FanOut::begin(room, &self.context);
        }
        for (member, effects) in effects {
            member.session().apply(effects);
        }
        if let Some(snapshot) = lagging {
            // A fan-out may write to the same sockets: whichever finds a socket in use leaves it to the session task.
            snapshot.write(0);
        }
    }

    /// Removes a room from the table if it is dead.
    pub(super) fn remove(&self, room: &Arc<Room>) {
        if !room.is_dead() {
            return;
        }
        let name = room.name();
        let mut place = self.rooms.lock(name);
        // Another thread may have removed it, and another room may have its name by now.
        if place.get().is_some_and(|found| Arc::ptr_eq(&found.0, room)) {
            place.remove();
            self.counts.named.fetch_sub(usize::from(!name.is_empty()), Ordering::SeqCst);
        }
    }

    /// Reports a change of a room that has a name.
    fn report(&self, name: &str, hook: impl FnOnce(&dyn Metrics)) {
        if !name.is_empty() {
            self.context.metrics.report(hook);
        }
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        let named = self.rooms.collect(|entry| !entry.0.name().is_empty());
        let named = named.into_iter().filter(|is_named| *is_named).count();
        self.counts.named.fetch_sub(named, Ordering::SeqCst);
    }
}

/// The frame, with the name of its room if it is to be named.
pub(super) fn in_room<'a>(frame: &'a Frame, name: Option<&str>) -> Cow<'a, Frame> {
    match name {
        Some(name) if !name.is_empty() => Cow::Owned(frame.clone().with_room(name)),
        _ => Cow::Borrowed(frame),
    }
}
