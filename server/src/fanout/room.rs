//! [`Room`]: its members, and the order of its broadcasts.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rejoin_core::drive::sync::atomic::AtomicUsize;
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_core::drive::{Effects, Exclusion, Queued, RoomLog, SendError, now};
use rejoin_core::{Mode, Overflow, SegmentWriter, Span};

use crate::connection::Connection;
use crate::error::BroadcastError;
use crate::fanout::encoded::Encoded;
use crate::fanout::history::RoomHistory;
use crate::fanout::members::Members;
use crate::fanout::rewind::History;
use crate::fanout::snapshot::{CHUNK, Chunk, RoomSnapshot};

#[derive(Debug)]
pub(crate) struct Room {
    name: Arc<str>,
    /// Held while a broadcast is queued, so that all members see the broadcasts of a room in the same order. No foreign code
    /// runs under it: frames are encoded before, and members are woken and written to afterwards.
    ///
    /// Under it the locks of single sessions and of logs are taken, in this order, and never the other way round. It is not held
    /// together with that of the table of rooms. A broadcast to several rooms holds the locks of all of them, taken in the order
    /// of their names.
    members: Mutex<Members>,
}

/// The members of a room that do not get a broadcast. Default: none.
#[derive(Debug, Default)]
pub(crate) struct Excluded {
    /// All members whose home is another room.
    pub(crate) guests: bool,
    /// The slots of further members, in ascending order.
    pub(crate) slots: Vec<usize>,
}

/// The result of queueing a frame, which the caller has to act on once the room is unlocked.
#[derive(Default)]
#[must_use = "the members have to be written to"]
pub(crate) struct Queueing {
    /// The number of members for which the frame was queued.
    pub(crate) queued: usize,
    /// The caller must start the fan-out.
    pub(crate) begins_fan_out: bool,
    /// The room has no members, and has to be kept for its history.
    pub(crate) begins_keeping: bool,
    /// The wake-ups to perform.
    pub(crate) effects: Vec<(Connection, Effects)>,
    /// The one lagging chunk that the caller writes to itself.
    pub(crate) lagging: Option<RoomSnapshot>,
    /// Whether there is a frame or a gap to write.
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
    /// A room without members, which keeps a history within these bounds. Its bytes count in `history_bytes`.
    pub(crate) fn new(name: Arc<str>, history: Option<History>, history_bytes: &Arc<AtomicUsize>) -> Self {
        let history = history.map(|limits| Box::new(RoomHistory::new(limits, history_bytes.clone())));
        let mut members = Members::default();
        members.history = history;
        Self { name, members: Mutex::new(members) }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Removes a member. Returns whether that was the last one; `None` if it is not a member.
    pub(crate) fn leave(&self, connection: &Connection) -> Option<bool> {
        let mut members = self.lock();
        let effects = members.remove(connection)?;
        let is_empty = members.len() == 0;
        drop(members);
        for (member, effects) in effects {
            member.session().apply(effects);
        }
        // The session has just drained the log, so no fan-out will write its frames: its own task does.
        connection.session().wake_driver();
        Some(is_empty)
    }

    pub(crate) fn contains(&self, connection: &Connection) -> bool {
        self.lock().slot(connection).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The codecs of its members, by their index.
    pub(crate) fn codecs(&self) -> Vec<usize> {
        let members = self.lock();
        let used = members.codecs.iter().enumerate().filter(|(_, members)| **members > 0);
        used.map(|(codec, _)| codec).collect()
    }

    /// Whether the last member has left: no connection can join any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Encodes a frame for every codec among the members, and queues it for all of them. `None` if the room is dead.
    pub(crate) fn queue(
        &self,
        encoded: &mut Encoded<'_>,
        overflow: Overflow,
    ) -> Result<Option<Queueing>, BroadcastError> {
        let mut members = loop {
            let members = self.lock();
            // Checked in each round: a member in session mode may have joined while a codec ran.
            if members.dead {
                return Ok(None);
            }
            members.check_reserved(encoded)?;
            let Some(codec) = members.missing_codec(encoded) else { break members };
            // A codec is foreign code, so the lock is released. Meanwhile a member with yet another codec may join: check again.
            // The loop ends, because each codec is asked once.
            drop(members);
            encoded.encode(codec);
        };
        // From here until the lock is released, the frame takes its place in the order of the room.
        Ok(Some(members.queue(encoded, overflow, &Excluded::default())))
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
    /// How long the room keeps a frame, if it keeps any.
    pub(super) fn history_age(&self) -> Option<Duration> {
        self.history.as_ref()?.age()
    }

    /// Fails if the frame is reserved in session mode, and a member is in session mode.
    //= PROTOCOL.md#R3.4: A broadcast of a `$` event MUST fail as a whole
    pub(super) fn check_reserved(&self, encoded: &Encoded<'_>) -> Result<(), BroadcastError> {
        if encoded.frame.is_reserved() && self.all().any(|member| member.mode() == Mode::Session) {
            return Err(BroadcastError::Reserved);
        }
        Ok(())
    }

    /// Queues a frame that has been encoded for every codec among the members.
    pub(super) fn queue(
        &mut self,
        encoded: &Encoded<'_>,
        overflow: Overflow,
        excluded: &Excluded,
    ) -> Queueing {
        let mut queueing = Queueing::default();
        let fits = encoded.fits();
        let volatile = encoded.volatile();
        if volatile.is_some() && !fits {
            return queueing;
        }
        // The chunks whose members may lose frames although their sockets could take them, because no fan-out has reached them
        // yet.
        let mut lagging = Vec::new();
        for (index, chunk) in self.chunks.iter().enumerate() {
            let excluded = excluded.of_chunk(index);
            // Where no member can refuse the frame, the members' locks are not needed: one entry in the log serves all of them, at
            // the same cost for any number. Each session drains it when it is accessed next.
            // No member refuses a volatile frame.
            let lags = if volatile.is_some() || (overflow == Overflow::DropOldest && fits) {
                let except = excluded.exclusion(chunk);
                let appended = chunk.log.append_as(encoded.encodings(), except, volatile.clone());
                queueing.is_due = true;
                queueing.queued += appended.queued;
                encoded.lags(appended)
            } else {
                offer(encoded, chunk, &excluded, overflow, fits, &mut queueing)
            };
            if lags {
                lagging.push(index);
            }
        }
        // A broadcast to everyone does not enter the room's history.
        if let Some(history) =
            self.history.as_mut().filter(|history| history.keeps(encoded.frame) && !excluded.guests)
        {
            history.record(encoded, now());
            queueing.begins_keeping = self.chunks.is_empty() && !self.is_kept;
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

/// The excluded members of one chunk.
struct ExcludedHere<'a> {
    guests: bool,
    slots: &'a [usize],
}

impl Excluded {
    fn of_chunk(&self, index: usize) -> ExcludedHere<'_> {
        let until = |chunk: usize| self.slots.partition_point(|slot| slot / CHUNK < chunk);
        ExcludedHere { guests: self.guests, slots: &self.slots[until(index)..until(index + 1)] }
    }
}

impl ExcludedHere<'_> {
    /// Whether the frame is for the member at this offset of the chunk.
    fn includes(&self, offset: usize, member: &Connection, log: &RoomLog) -> bool {
        !self.slots.iter().any(|slot| slot % CHUNK == offset) && (!self.guests || is_home(member, log))
    }

    fn exclusion(&self, chunk: &Chunk) -> Exclusion {
        let mut exclusion = if self.guests { Exclusion::guests() } else { Exclusion::default() };
        for slot in self.slots {
            let member = &chunk.members[slot % CHUNK];
            if (!self.guests || is_home(member, &chunk.log))
                && let Some(subscriber) = member.session().subscriber_of(&chunk.log)
            {
                exclusion.add(subscriber);
            }
        }
        exclusion
    }
}

fn is_home(member: &Connection, log: &RoomLog) -> bool {
    member.handle().shared_room() == log.room()
}

/// Queues a frame for each member, which may refuse it. Returns whether some members lag: half of their send buffer is pending.
///
/// Runs under the room's lock, and takes that of one member at a time. Accessing a session drains its logs first, so the frame is
/// queued after all earlier broadcasts.
fn offer(
    encoded: &Encoded<'_>,
    Chunk { members, log }: &Chunk,
    excluded: &ExcludedHere<'_>,
    overflow: Overflow,
    fits: bool,
    queueing: &mut Queueing,
) -> bool {
    let encodings = encoded.encodings();
    let mut frames: Vec<Option<Span>> = vec![None; encodings.len()];
    let mut lags = false;
    for (offset, member) in members.iter().enumerate() {
        if !excluded.includes(offset, member, log) {
            continue;
        }
        let codec = member.codec_index();
        let Some(encoding) = &encodings[codec] else {
            let (is_due, effects) = member.session().queue_missing();
            queueing.is_due |= is_due;
            queueing.note(member, effects);
            continue;
        };
        let frame = &mut frames[codec];
        let (queued, effects) = member.session().queue(encoding, overflow, fits, || {
            frame.get_or_insert_with(|| {
                // Beyond the memory limit, frames are evicted one by one. Each frees its bytes only in a segment of its own.
                let encoding = encoding.clone();
                if fits { log.record(codec, encoding) } else { SegmentWriter::default().push(encoding) }
            })
        });
        queueing.note(member, effects);
        match queued {
            Ok(Queued { is_dropped, urgent }) => {
                // A dropped frame also has to be reported, as a gap.
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
