//! [`Encoded`]: one frame for all members of a room, and [`FanOut`]: the task that writes the queued frames to them.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use rejoin_core::drive::sync::{current_runtime, spawn_on};
use rejoin_core::drive::{Effects, MemoryBudget, Queued, RoomLog, now};
use rejoin_core::{EncodeError, Frame, Overflow, Span, ws};
use tokio::runtime::{Handle, Id};

use crate::connection::Connection;
use crate::fanout::rooms::{Chunk, Room};
use crate::inner::ServerInner;

/// The number of members that share a room log, and that are written to before other tasks run. The lock and the reference counts
/// of one log for a whole room would be passed from core to core with each delivery. Two in the model, whose rooms are small.
pub(crate) const CHUNK: usize = if cfg!(rejoin_model) { 2 } else { 256 };

/// A frame to broadcast, encoded and framed once for each codec among the members.
pub(crate) struct Encoded<'a> {
    frame: &'a Frame,
    shared: &'a ServerInner,
    /// By the codec's index; `None` if the codec cannot represent the frame, or if no member uses it.
    encodings: Vec<Option<Bytes>>,
    /// The codecs that have been called, by their index.
    asked: Vec<bool>,
    failed: Option<EncodeError>,
}

/// The result of queueing a frame.
#[derive(Default)]
pub(crate) struct Queueing {
    /// The number of members for which the frame was queued.
    pub(crate) queued: usize,
    /// There is something to write: the frame, or a gap.
    pub(crate) is_due: bool,
    /// The chunks whose members may lose frames although their sockets could take them, because no fan-out has reached them yet.
    /// Ascending.
    pub(crate) lagging: Vec<usize>,
    /// The wake-ups to perform once the room is unlocked.
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

    /// A codec that has members, by these counts, and that has not encoded the frame yet.
    pub(crate) fn missing(&self, members: &[usize]) -> Option<usize> {
        members.iter().zip(&self.asked).position(|(members, asked)| *members > 0 && !asked)
    }

    /// Encodes the frame with the codec of this index. The bytes count once in the budget, until the last copy is dropped. The
    /// caller must hold no lock: a codec is foreign code.
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

    /// Whether the frame is within the bound of all sessions, or would be after evicting suspended ones. None is evicted now:
    /// most sockets take the frame at once, so that it is not kept. Besides, this is called under the room's lock. The fan-out
    /// evicts after it has written.
    pub(crate) fn fits(&self) -> bool {
        self.budget().can_fit(0)
    }

    /// The size of all encodings, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.encodings.iter().flatten().map(Bytes::len).sum()
    }

    /// The error of the first codec that cannot represent the frame.
    pub(crate) fn failed(&self) -> Option<EncodeError> {
        self.failed.clone()
    }

    /// Queues the frame for all subscribers of the log, at the same cost for any number of them: each session drains it when it
    /// is accessed next. Returns whether they lag: half of a send buffer waits in the log.
    pub(crate) fn push(&self, log: &RoomLog, queueing: &mut Queueing) -> bool {
        let options = &self.shared.options;
        let appended = log.append(&self.encodings);
        queueing.is_due = true;
        queueing.queued += appended.queued;
        2 * appended.waiting_frames >= options.send_buffer
            || 2 * appended.waiting_bytes >= options.send_buffer_bytes
    }

    /// Queues the frame for each member, which may refuse it. Returns whether some lag.
    ///
    /// Runs under the room's lock, and takes that of one member at a time. The frame stands behind all broadcasts before it: an
    /// access to a session drains its log first.
    pub(crate) fn offer(
        &self,
        members: &[Connection],
        log: &RoomLog,
        overflow: Overflow,
        fits: bool,
        queueing: &mut Queueing,
    ) -> bool {
        let mut frames: Vec<Option<Span>> = vec![None; self.encodings.len()];
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

/// The members of a room at one moment, to be written to chunk by chunk.
///
/// It shares the lists of members with the room, which copies a list before it changes one that is shared. So the fan-out writes
/// without the room's lock, while members join and leave and the next frames are queued.
#[derive(Clone)]
pub(crate) struct RoomSnapshot {
    /// Each with the next offset of its log: once each member has been written to, every subscriber has drained the log up to
    /// there.
    chunks: Arc<[(Chunk, u64)]>,
}

impl RoomSnapshot {
    /// Must be called under the room's lock. Every subscriber of that moment is in the list; a member that joins later begins at
    /// `drained` or later, and one that leaves drains the log first. So the frames before `drained` can be trimmed after the
    /// write. Without the lock the list could lack a member that has subscribed before `drained`, and frames would be trimmed
    /// before that member has them.
    pub(crate) fn new(chunks: &[Chunk]) -> Self {
        Self { chunks: chunks.iter().map(|chunk| (chunk.clone(), chunk.log.next())).collect() }
    }

    /// Writes the queued frames to the members of one chunk. Another task may be writing to the same chunk: each member's
    /// attachment has its own lock, and trimming twice is harmless.
    pub(crate) fn write(&self, chunk: usize) {
        let (Chunk { members, log }, next) = &self.chunks[chunk];
        // Each write counts against the cooperative budget of the task that runs this. Once it was spent, the remaining members'
        // sockets would look full, and each of their tasks would be woken. A chunk bounds the work instead.
        let write = tokio::task::coop::unconstrained(async {
            let now = now();
            for (index, member) in members.iter().enumerate() {
                // A write takes about as long as the prefetch for the next member. What a connection points to can be prefetched
                // only when the connection itself has arrived, so it is requested two members ahead.
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
        // Polled once, with a waker that does nothing: no step of it waits. Sockets are polled with their own tasks' wakers.
        let written = pin!(write).poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(written.is_ready(), "no step waits");
        // Only now: every member has been drained, also those whose socket was in use.
        log.trim(*next);
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

/// The task that writes queued broadcasts to the members of a room, one member after the other. Otherwise each member's task
/// would have to be woken for one write. Frames that are queued while a member waits for its turn leave in the same write.
///
/// A room has at most one. It runs in the server's own runtime, wherever the broadcast came from.
pub(crate) struct FanOut {
    room: Arc<Room>,
    shared: Arc<ServerInner>,
    /// The runtime that it runs in.
    runtime: Option<Id>,
    /// It has found the room clean, and has cleared `flushing` with that. Another fan-out may be there already.
    is_done: bool,
}

impl FanOut {
    /// Starts the fan-out of a room. The caller has set `flushing` and holds no lock: without a runtime the task is dropped at
    /// once, which takes the room's lock.
    pub(crate) fn begin(room: Arc<Room>, shared: &Arc<ServerInner>) {
        let own = shared.runtimes.own();
        // Without a runtime the number does not matter: the task is dropped.
        let workers = own.as_ref().map_or(1, |runtime| runtime.metrics().num_workers());
        let runtime = own.as_ref().map(Handle::id);
        let fan_out = Self { room, shared: shared.clone(), runtime, is_done: false };
        shared.runtimes.spawn_on(own.as_ref(), fan_out.run(workers));
    }

    async fn run(mut self, workers: usize) {
        let mut first = true;
        while let Some(snapshot) = self.room.next_snapshot() {
            // Lets other tasks run between rounds: a room with a constant stream of broadcasts would otherwise occupy this
            // worker.
            if !std::mem::take(&mut first) {
                tokio::task::yield_now().await;
            }
            self.write(snapshot, workers).await;
            let budget = self.shared.suspended.budget();
            // Trimming a log has freed frames, behind the last access to a session.
            budget.settle();
            // Frames that the sockets did not take are kept, and may exceed the bound of all sessions.
            budget.evict_to_fit(0);
        }
        self.is_done = true;
    }

    async fn write(&self, snapshot: RoomSnapshot, workers: usize) {
        // The chunks of a big room are split among the runtime's workers.
        let chunks = snapshot.chunks.len();
        let size = chunks.div_ceil(chunks.clamp(1, workers));
        if chunks <= size {
            snapshot.write_all(0..chunks).await;
            return;
        }
        let runtime = current_runtime().expect("a task runs in one");
        let writing: Vec<_> = (0..chunks)
            .step_by(size)
            .map(|from| {
                let snapshot = snapshot.clone();
                let part = from..chunks.min(from + size);
                let write = async move { snapshot.write_all(part).await };
                spawn_on(self.shared.tasks.track_future(write), &runtime)
            })
            .collect();
        // Waits for all parts before the next round, so that no two rounds write to the same chunk at the same time.
        for part in writing {
            // Fails only with its runtime, which drops this task, too: the next runtime writes the frames that are left.
            part.await.ok();
        }
    }
}

impl Drop for FanOut {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // Dropped before its end. If its runtime ends, a fan-out in the next runtime writes to the members that are left. After a
        // panic the next broadcast starts one: here a waker that always panics would start fan-outs for ever. If `flushing`
        // stayed set without a fan-out, no broadcast would ever start another one.
        let panics = std::thread::panicking();
        if let Some(runtime) = self.runtime.filter(|_| !panics) {
            self.shared.runtimes.remove(runtime);
        }
        let goes_on = !panics && self.shared.runtimes.own().is_some();
        self.room.fan_out_stopped(goes_on);
        if goes_on {
            Self::begin(self.room.clone(), &self.shared);
        }
    }
}
