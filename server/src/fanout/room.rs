//! [`Room`]: its members, and the order of its broadcasts.

use std::sync::{Arc, PoisonError};

use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::drive::{Effects, Queued, RoomLog, SendError, Sequencer};
use rejoin_core::{Mode, Overflow, Span};

use crate::connection::Connection;
use crate::error::BroadcastError;
use crate::fanout::encoded::Encoded;
use crate::fanout::snapshot::{CHUNK, Chunk, RoomSnapshot};

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
pub(super) struct Members {
    /// Each chunk but the last has [`CHUNK`] members.
    pub(super) chunks: Vec<Chunk>,
    /// The number of members that use each codec, by the codec's index.
    pub(super) codecs: Vec<usize>,
    /// The chunk that a broadcast writes to next, if several lag.
    pub(super) next_lagging: usize,
    /// Frames were queued that no fan-out has begun to write.
    pub(super) is_dirty: bool,
    /// A fan-out exists, or is being started.
    ///
    /// A broadcast that makes the room dirty starts a fan-out unless this is set; the fan-out clears it in the critical section
    /// that finds the room clean. So a frame is either seen by the fan-out that exists, or starts another one.
    pub(super) flushing: bool,
    /// The last member has left, and the room is about to be removed: no connection may join any more. Without this one could
    /// join a room that is in no table, and would miss every broadcast.
    dead: bool,
}

/// The result of [`Room::queue`], which the caller has to act on once the room is unlocked.
#[derive(Default)]
#[must_use = "the members have to be written to"]
pub(crate) struct Queueing {
    /// The number of members for which the frame was queued.
    pub(crate) queued: usize,
    /// The caller must start the fan-out.
    pub(crate) begins_fan_out: bool,
    /// The wake-ups to perform.
    pub(crate) effects: Vec<(Connection, Effects)>,
    /// The one lagging chunk that the caller writes to itself.
    pub(crate) lagging: Option<RoomSnapshot>,
    /// There is something to write: the frame, or a gap.
    is_due: bool,
}

impl Queueing {
    fn note(&mut self, member: &Connection, effects: Effects) {
        if !effects.is_empty() {
            self.effects.push((member.clone(), effects));
        }
    }
}

impl Room {
    /// Adds a member. Returns `false` if the room is dead.
    pub(crate) fn join(&self, connection: &Connection, sequencer: &Arc<Sequencer>) -> bool {
        let mut members = self.lock();
        if !members.dead {
            members.add(connection, sequencer);
        }
        !members.dead
    }

    /// Removes a member. Returns whether the room is dead: that was its last member. `None` if it is not a member.
    pub(crate) fn leave(&self, connection: &Connection) -> Option<bool> {
        let mut members = self.lock();
        let effects = members.remove(connection)?;
        // Set under the lock that emptied the room: no connection can join between this and the removal from the table.
        members.dead = members.chunks.is_empty();
        let is_dead = members.dead;
        drop(members);
        for (member, effects) in effects {
            member.session().apply(effects);
        }
        Some(is_dead)
    }

    /// The members at this moment.
    pub(crate) fn members(&self) -> Vec<Connection> {
        self.lock().all().cloned().collect()
    }

    /// Encodes a frame for every codec among the members, and queues it for all of them.
    pub(crate) fn queue(
        &self,
        encoded: &mut Encoded<'_>,
        overflow: Overflow,
    ) -> Result<Queueing, BroadcastError> {
        let mut members = loop {
            let members = self.lock();
            // Checked in each round: a member in session mode may have joined while a codec ran.
            //= PROTOCOL.md#R3.4: A broadcast of a `$` event MUST fail as a whole
            if encoded.frame.is_reserved() && members.all().any(|member| member.mode() == Mode::Session) {
                return Err(BroadcastError::Reserved);
            }
            let Some(codec) = encoded.missing(&members.codecs) else { break members };
            // A codec is foreign code, so the lock is released. Meanwhile a member with yet another codec may join: check again.
            // The loop ends, because each codec is asked once.
            drop(members);
            encoded.encode(codec);
        };
        // From here to the release of the lock the frame takes its place in the order of the room.
        Ok(members.queue(encoded, overflow))
    }

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

    pub(super) fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
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
        connection.handle().set_room_slot(index * CHUNK + chunk.members.len());
        // Copies the list if a fan-out is using it, which continues with the members that it began with.
        Arc::make_mut(&mut chunk.members).push(connection.clone());
        connection.subscribe(&chunk.log);
    }

    /// Removes a member; `None` if it is not a member. Returns the wake-ups to perform once the lock is released.
    fn remove(&mut self, connection: &Connection) -> Option<Vec<(Connection, Effects)>> {
        let place = connection.handle().room_slot();
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
            if moved.handle().room_slot() / CHUNK != index {
                // No broadcast can fall between the two logs: the room is locked.
                effects.push((moved.clone(), moved.resubscribe(&last_log, &log)));
            }
            moved.handle().set_room_slot(place);
            Arc::make_mut(&mut chunk.members)[offset] = moved;
        }
        Some(effects)
    }

    fn all(&self) -> impl Iterator<Item = &Connection> {
        self.chunks.iter().flat_map(|chunk| &*chunk.members)
    }

    /// Queues a frame that has been encoded for every codec among the members.
    fn queue(&mut self, encoded: &Encoded<'_>, overflow: Overflow) -> Queueing {
        let mut queueing = Queueing::default();
        let fits = encoded.fits();
        // The chunks whose members may lose frames although their sockets could take them, because no fan-out has reached them
        // yet.
        let mut lagging = Vec::new();
        for (index, Chunk { members, log }) in self.chunks.iter().enumerate() {
            // Where no member can refuse the frame, the members' locks are not needed: one entry in the log serves all of them, at
            // the same cost for any number. Each session drains it when it is accessed next.
            let lags = if overflow == Overflow::DropOldest && fits {
                let appended = log.append(encoded.encodings());
                queueing.is_due = true;
                queueing.queued += appended.queued;
                encoded.lags(appended)
            } else {
                offer(encoded, members, log, overflow, fits, &mut queueing)
            };
            if lags {
                lagging.push(index);
            }
        }
        self.is_dirty |= queueing.is_due;
        queueing.begins_fan_out = self.is_dirty && !std::mem::replace(&mut self.flushing, true);
        queueing.lagging = self.next_lagging(&lagging);
        queueing
    }

    /// The one lagging chunk that this broadcast writes to itself. That slows down a caller that broadcasts faster than the
    /// fan-out writes, before members lose frames; and no call writes to more than one chunk. Successive calls take turns through
    /// the lagging chunks.
    pub(super) fn next_lagging(&mut self, lagging: &[usize]) -> Option<RoomSnapshot> {
        let next = lagging.partition_point(|chunk| *chunk < self.next_lagging);
        let chunk = *lagging.get(next).or_else(|| lagging.first())?;
        self.next_lagging = chunk + 1;
        Some(RoomSnapshot::new(&self.chunks[chunk..=chunk]))
    }
}

/// Queues a frame for each member, which may refuse it. Returns whether some lag: half of a send buffer waits.
///
/// Runs under the room's lock, and takes that of one member at a time. The frame stands behind all broadcasts before it: an access
/// to a session drains its log first.
fn offer(
    encoded: &Encoded<'_>,
    members: &[Connection],
    log: &RoomLog,
    overflow: Overflow,
    fits: bool,
    queueing: &mut Queueing,
) -> bool {
    let encodings = encoded.encodings();
    let mut frames: Vec<Option<Span>> = vec![None; encodings.len()];
    let mut lags = false;
    for member in members {
        let codec = member.codec_index();
        let Some(encoding) = &encodings[codec] else {
            let (is_due, effects) = member.session().queue_missing();
            queueing.is_due |= is_due;
            queueing.note(member, effects);
            continue;
        };
        let frame = frames[codec].get_or_insert_with(|| log.record(codec, encoding.clone()));
        let (queued, effects) = member.session().queue(frame, overflow, fits);
        queueing.note(member, effects);
        match queued {
            Ok(Queued { is_dropped, urgent }) => {
                // Even a frame that was dropped is a gap to report.
                queueing.is_due = true;
                queueing.queued += usize::from(!is_dropped);
                lags |= urgent;
            }
            // The session asks its peer for an acknowledgement, which the fan-out writes.
            Err(SendError::Full) => queueing.is_due = true,
            Err(_) => {}
        }
    }
    lags
}
