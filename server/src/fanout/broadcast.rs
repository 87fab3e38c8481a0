//! [`Encoded`]: one frame for all members of a room, and [`FanOut`]: the task that writes what was queued for them.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use rejoin_core::drive::{Effects, MemoryBudget, Queued, RoomLog, now};
use rejoin_core::{EncodeError, Frame, Overflow, SharedFrame, ws};

use crate::connection::Connection;
use crate::fanout::rooms::{Chunk, Room};
use crate::inner::ServerInner;

/// The members that share a feed, and that are written to before other tasks have their turn. What all members of a room shared
/// would be passed from core to core with each delivery.
pub(crate) const CHUNK: usize = 256;

/// A frame that is broadcast, encoded and framed once for each codec among the members.
pub(crate) struct Encoded<'a> {
    frame: &'a Frame,
    shared: &'a ServerInner,
    /// By the codec's place; `None` for a codec that cannot represent the frame, and where nobody uses it.
    encodings: Vec<Option<Bytes>>,
    /// The codecs that were asked, by their place.
    asked: Vec<bool>,
    failed: Option<EncodeError>,
}

/// What came of queueing a frame.
#[derive(Default)]
pub(crate) struct Queueing {
    /// The members for which it was queued.
    pub(crate) queued: usize,
    /// There is something to write: the frame, or that there is a gap.
    pub(crate) is_due: bool,
    /// The chunks whose members may lose something although their sockets would take it, because no fan-out has reached
    /// them so far. Ascending.
    pub(crate) lagging: Vec<usize>,
    /// Those to wake once the room is unlocked.
    pub(crate) effects: Vec<(Connection, Effects)>,
}

impl Queueing {
    fn note(&mut self, member: &Connection, effects: Effects) {
        if !effects.is_empty() {
            self.effects.push((member.clone(), effects));
        }
    }
}

impl<'a> Encoded<'a> {
    /// A frame that is not encoded yet.
    pub(crate) fn new(frame: &'a Frame, shared: &'a ServerInner) -> Self {
        let codecs = shared.options.codecs.len();
        Self { frame, shared, encodings: vec![None; codecs], asked: vec![false; codecs], failed: None }
    }

    /// A codec that has members, by these counts, and that was not asked yet.
    pub(crate) fn missing(&self, members: &[usize]) -> Option<usize> {
        members.iter().zip(&self.asked).position(|(members, asked)| *members > 0 && !asked)
    }

    /// Encodes the frame with the codec at this place. The bytes count once in the budget, until nobody keeps them.
    pub(crate) fn encode(&mut self, codec: usize) {
        self.asked[codec] = true;
        match self.shared.options.codecs[codec].encode(self.frame) {
            Ok(message) => {
                let frame = ws::encode_message(message.kind, &message.data);
                self.encodings[codec] = Some(self.budget().charge(frame));
            }
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }

    fn budget(&self) -> &'a MemoryBudget {
        self.shared.suspended.budget()
    }

    /// Whether the frame is within the bound of all sessions, or would be with suspended ones evicted. They are not evicted now:
    /// most sockets take the frame at once, and then it is not kept.
    pub(crate) fn fits(&self) -> bool {
        self.budget().can_fit(0)
    }

    /// The bytes of all encodings.
    pub(crate) fn bytes(&self) -> usize {
        self.encodings.iter().flatten().map(Bytes::len).sum()
    }

    /// Why some codec cannot represent the frame.
    pub(crate) fn failed(&self) -> Option<EncodeError> {
        self.failed.clone()
    }

    /// Queues the frame for all who follow the feed: each drains it when its turn comes. Returns whether they lag.
    pub(crate) fn push(&self, log: &RoomLog, queueing: &mut Queueing) -> bool {
        let options = &self.shared.options;
        let appended = log.push(&self.encodings);
        queueing.is_due = true;
        queueing.queued += appended.queued;
        2 * appended.waiting_frames >= options.send_buffer
            || 2 * appended.waiting_bytes >= options.send_buffer_bytes
    }

    /// Queues the frame for members that decide one by one. Returns whether they lag.
    pub(crate) fn offer(
        &self,
        members: &[Connection],
        log: &RoomLog,
        overflow: Overflow,
        fits: bool,
        queueing: &mut Queueing,
    ) -> bool {
        let mut frames: Vec<Option<SharedFrame>> = vec![None; self.encodings.len()];
        let mut lags = false;
        for member in members {
            let codec = member.codec_index();
            let Some(encoding) = &self.encodings[codec] else {
                let (is_due, effects) = member.session().queue_missing();
                queueing.is_due |= is_due;
                queueing.note(member, effects);
                continue;
            };
            let frame = frames[codec].get_or_insert_with(|| log.record(codec, encoding.clone()));
            let (queued, effects) = member.session().queue(frame, overflow, fits);
            queueing.note(member, effects);
            if let Ok(Queued { is_dropped, urgent }) = queued {
                // Even a frame that was dropped is a gap to report.
                queueing.is_due = true;
                queueing.queued += usize::from(!is_dropped);
                lags |= urgent;
            }
        }
        lags
    }
}

/// The members of a room, to be written to chunk by chunk.
#[derive(Clone)]
pub(crate) struct RoomSnapshot {
    chunks: Arc<[Part]>,
}

struct Part {
    members: Arc<Vec<Connection>>,
    log: Arc<RoomLog>,
    /// The members have drained the feed up to this number once they have been written to.
    drained: u32,
}

impl RoomSnapshot {
    /// To be called under the room's lock: a member that joins later follows from later on.
    pub(crate) fn new(chunks: &[Chunk]) -> Self {
        let parts = chunks.iter().map(|Chunk { members, log }| Part {
            members: members.clone(),
            log: log.clone(),
            drained: log.next(),
        });
        Self { chunks: parts.collect() }
    }

    /// Writes what is queued for a chunk of the members.
    pub(crate) fn write(&self, chunk: usize) {
        let Part { members, log, drained } = &self.chunks[chunk];
        write(members);
        log.trim(*drained);
    }

    async fn write_all(&self, chunks: Range<usize>) {
        for chunk in chunks.clone() {
            if chunk > chunks.start {
                tokio::task::yield_now().await;
            }
            self.write(chunk);
        }
    }
}

/// The task that writes what broadcasts have queued for the members of a room, one member after the other: each member's task
/// would have to be woken otherwise, for one write. What is queued while a member waits for its turn leaves in the same write.
///
/// A room has one at most. It runs in the server's own runtime, wherever the broadcast came from.
pub(crate) struct FanOut {
    room: Arc<Room>,
    shared: Arc<ServerInner>,
    /// It has found nothing more to write.
    over: bool,
}

impl FanOut {
    /// Begins the fan-out of a room that has none.
    pub(crate) fn begin(room: Arc<Room>, shared: &Arc<ServerInner>) {
        let own = shared.runtimes.own();
        let workers = own.as_ref().map_or(1, |runtime| runtime.metrics().num_workers());
        let fan_out = Self { room, shared: shared.clone(), over: false };
        shared.runtimes.spawn_on(own.as_ref(), fan_out.run(workers));
    }

    async fn run(mut self, workers: usize) {
        let mut first = true;
        while let Some(snapshot) = self.next() {
            if !std::mem::take(&mut first) {
                tokio::task::yield_now().await;
            }
            self.write(snapshot, workers).await;
            let budget = self.shared.suspended.budget();
            budget.settle();
            // What the sockets did not take is kept, and may be more than all sessions together are to keep.
            budget.evict_to_fit(0);
        }
    }

    async fn write(&self, snapshot: RoomSnapshot, workers: usize) {
        // Every worker that is free takes a part of a room that is big.
        let chunks = snapshot.chunks.len();
        let size = chunks.div_ceil(chunks.clamp(1, workers));
        if chunks <= size {
            snapshot.write_all(0..chunks).await;
            return;
        }
        let writing: Vec<_> = (0..chunks)
            .step_by(size)
            .map(|from| {
                let snapshot = snapshot.clone();
                let part = from..chunks.min(from + size);
                self.shared.tasks.spawn(async move { snapshot.write_all(part).await })
            })
            .collect();
        for part in writing {
            // It does not panic; and what it has not written is written with what comes next.
            part.await.ok();
        }
    }

    fn next(&mut self) -> Option<RoomSnapshot> {
        let snapshot = self.room.is_dirty();
        self.over = snapshot.is_none();
        snapshot
    }
}

impl Drop for FanOut {
    fn drop(&mut self) {
        // It has not come to its end where the runtime has ended.
        if !self.over {
            self.room.flush_stopped();
        }
    }
}

fn write(members: &[Connection]) {
    // All of them, though each write counts against the budget of the task that happens to do it.
    let write = tokio::task::coop::unconstrained(async {
        let now = now();
        for (index, member) in members.iter().enumerate() {
            // A write takes long enough for the next one's.
            if let Some(member) = members.get(index + 2) {
                member.prefetch();
            }
            if let Some(member) = members.get(index + 1) {
                member.prefetch_session();
                member.prefetch_driver();
            }
            member.flush(now);
        }
    });
    let written = pin!(write).poll(&mut Context::from_waker(Waker::noop()));
    debug_assert!(written.is_ready(), "nothing is waited for");
}
