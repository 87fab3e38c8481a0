//! [`Broadcast`]: one frame queued for all members of a room, and [`Flush`]: what is queued written.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use rejoin_core::drive::{Feed, Queued, Tally, now};
use rejoin_core::{Codec, EncodeError, Frame, Overflow, SharedFrame, ws};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::rooms::Room;
use crate::shared::Shared;

/// So many members are written to before other tasks have their turn. They share a feed: what all members share is passed from
/// core to core with each delivery.
pub(crate) const CHUNK: usize = 256;

/// A frame that is broadcast, encoded and framed once for each codec among the members.
pub(crate) struct Broadcast<'a> {
    /// By the codec's place; `None` where nobody has it, and where it has no image of the frame.
    images: Vec<Option<Bytes>>,
    shared: &'a Shared,
    /// Bytes if each member keeps it.
    kept: usize,
    done: Broadcasted,
}

/// What came of a broadcast.
#[derive(Default)]
pub(crate) struct Broadcasted {
    /// For so many it was queued.
    pub(crate) queued: usize,
    /// The bytes of all the encodings.
    pub(crate) bytes: usize,
    /// There is something to be written: the frame, or that there is a gap.
    pub(crate) told: bool,
    /// The chunks who may have to give something up although their sockets would take it, because no flush has come so far.
    pub(crate) behind: Vec<usize>,
    /// Some codec has no image of the frame.
    pub(crate) failed: Option<EncodeError>,
}

impl<'a> Broadcast<'a> {
    /// Encodes a frame for so many members of each codec.
    pub(crate) fn new(frame: &Frame, codecs: &[usize], shared: &'a Shared) -> Self {
        let mut broadcast =
            Self { images: Vec::with_capacity(codecs.len()), shared, kept: 0, done: Broadcasted::default() };
        for (codec, members) in shared.options.codecs.iter().zip(codecs) {
            let image = if *members > 0 { broadcast.encode(frame, &**codec) } else { None };
            broadcast.kept += image.as_ref().map_or(0, |image| members * image.len());
            broadcast.images.push(image);
        }
        broadcast
    }

    fn encode(&mut self, frame: &Frame, codec: &dyn Codec) -> Option<Bytes> {
        match codec.encode(frame) {
            Ok(message) => {
                let image = ws::encode_message(message.kind, &message.data);
                self.done.bytes += image.len();
                Some(image)
            }
            Err(error) => {
                self.done.failed.get_or_insert(error);
                None
            }
        }
    }

    /// Queues the frame for all members: they follow these feeds.
    pub(crate) fn queue(
        mut self,
        members: &[Connection],
        feeds: &[Arc<Feed>],
        overflow: Overflow,
    ) -> Broadcasted {
        // Where nobody can refuse it, nobody has to be asked now.
        if overflow == Overflow::DropOldest && self.shared.suspended.budget().make_room(self.kept) {
            self.feed(feeds);
        } else {
            for (chunk, (members, feed)) in members.chunks(CHUNK).zip(feeds).enumerate() {
                self.offer(chunk, members, feed, overflow);
            }
        }
        self.done
    }

    /// Each member takes the frame over when its turn comes.
    fn feed(&mut self, feeds: &[Arc<Feed>]) {
        let options = &self.shared.options;
        let mut kept = 0;
        for (chunk, feed) in feeds.iter().enumerate() {
            let fed = feed.push(&self.images);
            kept += fed.bytes;
            self.done.told = true;
            self.done.queued += fed.queued;
            if 2 * fed.waiting_frames >= options.send_buffer
                || 2 * fed.waiting_bytes >= options.send_buffer_bytes
            {
                self.done.behind.push(chunk);
            }
        }
        self.shared.suspended.budget().change(0, kept);
    }

    /// Each member decides now.
    fn offer(&mut self, chunk: usize, members: &[Connection], feed: &Feed, overflow: Overflow) {
        let mut tally = Tally::new(self.shared.suspended.budget());
        let mut frames: Vec<Option<SharedFrame>> = vec![None; self.images.len()];
        let mut is_behind = false;
        for member in members {
            let codec = member.codec_index();
            let Some(image) = &self.images[codec] else {
                member.cell().command(|session| session.send_missing()).ok();
                continue;
            };
            let frame = frames[codec].get_or_insert_with(|| feed.record(codec, image.clone()));
            if let Ok(Queued { is_dropped, urgent }) = member.cell().queue(frame, overflow, &mut tally) {
                // Of a frame that was dropped there is a gap to be told.
                self.done.told = true;
                self.done.queued += usize::from(!is_dropped);
                is_behind |= urgent;
            }
        }
        if is_behind {
            self.done.behind.push(chunk);
        }
    }
}

/// The members of a room, to be gone through.
#[derive(Clone)]
pub(crate) struct Turn {
    members: Arc<Vec<Connection>>,
    /// That of each chunk, and the number up to which its members have taken over what is there when they have been gone through.
    feeds: Arc<[(Arc<Feed>, u32)]>,
}

impl Turn {
    /// To be called while nobody can come, go, or broadcast: who comes later follows from later on.
    pub(crate) fn new(members: Arc<Vec<Connection>>, feeds: &[Arc<Feed>]) -> Self {
        let feeds = feeds.iter().map(|feed| (feed.clone(), feed.next()));
        Self { members, feeds: feeds.collect() }
    }

    /// How many chunks there are.
    fn chunks(&self) -> usize {
        self.feeds.len()
    }

    /// Writes what is queued for a chunk of the members.
    pub(crate) fn write(&self, chunk: usize) {
        let from = chunk * CHUNK;
        write(&self.members[from..self.members.len().min(from + CHUNK)]);
        let (feed, before) = &self.feeds[chunk];
        feed.forget(*before);
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

/// Writes what broadcasts have queued for the members of a room, one member after the other: each of them would have to be
/// woken otherwise, for one write. What is queued while a member waits for its turn leaves in the same write.
pub(crate) struct Flush {
    room: Arc<Room>,
    /// It has said that it ends.
    over: bool,
}

impl Flush {
    /// Begins a flush, in a task of its own where there is a runtime.
    pub(crate) fn begin(room: Arc<Room>, tasks: &TaskTracker) {
        let mut flush = Self { room, over: false };
        match Handle::try_current() {
            Ok(runtime) => {
                let workers = runtime.metrics().num_workers();
                drop(tasks.spawn(flush.run(workers, tasks.clone())));
            }
            Err(_) => {
                while let Some(turn) = flush.next() {
                    (0..turn.chunks()).for_each(|chunk| turn.write(chunk));
                }
            }
        }
    }

    async fn run(mut self, workers: usize, tasks: TaskTracker) {
        let mut first = true;
        while let Some(turn) = self.next() {
            if !std::mem::take(&mut first) {
                tokio::task::yield_now().await;
            }
            // Every worker that is free takes a part of a room that is big.
            let chunks = turn.chunks();
            let size = chunks.div_ceil(chunks.clamp(1, workers));
            if chunks <= size {
                turn.write_all(0..chunks).await;
                continue;
            }
            let writing: Vec<_> = (0..chunks)
                .step_by(size)
                .map(|from| {
                    let turn = turn.clone();
                    let part = from..chunks.min(from + size);
                    tasks.spawn(async move { turn.write_all(part).await })
                })
                .collect();
            for part in writing {
                // It does not panic; and what it has not written is written with what comes next.
                part.await.ok();
            }
        }
    }

    fn next(&mut self) -> Option<Turn> {
        let turn = self.room.flush_due();
        self.over = turn.is_none();
        turn
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        // Not to its end, where the runtime has ended.
        if !self.over {
            self.room.flush_stopped();
        }
    }
}

fn write(members: &[Connection]) {
    let Some(first) = members.first() else { return };
    // All of them, though each write counts against the budget of the task that happens to do it.
    let write = tokio::task::coop::unconstrained(async {
        let now = now();
        let mut tally = Tally::new(first.budget());
        for (index, member) in members.iter().enumerate() {
            // A write takes long enough for the next one's.
            if let Some(member) = members.get(index + 2) {
                member.prefetch();
            }
            if let Some(member) = members.get(index + 1) {
                member.prefetch_session();
                member.prefetch_link();
            }
            member.flush(now, &mut tally);
        }
    });
    let written = pin!(write).poll(&mut Context::from_waker(Waker::noop()));
    debug_assert!(written.is_ready(), "nothing is waited for");
}
