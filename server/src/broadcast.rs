//! [`Broadcast`]: one frame queued for all members of a room, and [`Flush`]: what is queued written.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use rejoin_core::drive::{Queued, Tally, now};
use rejoin_core::{Codec, EncodeError, Frame, Overflow, SharedFrame, Tape, ws};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::rooms::Room;
use crate::shared::Shared;

/// So many members are written to before other tasks have their turn. They share a tape: what all members share is passed from
/// core to core with each delivery.
pub(crate) const CHUNK: usize = 256;

/// While a frame is queued for one member, what it takes for the one so far behind it is fetched.
const AHEAD: usize = 4;

/// A frame that is being queued, encoded and framed once for each codec among the members.
pub(crate) struct Broadcast<'a> {
    frame: &'a Frame,
    overflow: Overflow,
    codecs: &'a [Arc<dyn Codec>],
    /// By the codec's place.
    encodings: Vec<Option<Result<Bytes, EncodeError>>>,
    tally: Tally<'a>,
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
    /// Who may have to give something up although the socket would take it, because no flush has come so far.
    pub(crate) behind: Vec<Connection>,
    /// Some codec has no image of the frame.
    pub(crate) failed: Option<EncodeError>,
}

impl<'a> Broadcast<'a> {
    pub(crate) fn new(frame: &'a Frame, overflow: Overflow, shared: &'a Shared) -> Self {
        let codecs = &shared.options.codecs;
        let tally = Tally::new(shared.suspended.budget());
        Self {
            frame,
            overflow,
            codecs,
            encodings: vec![None; codecs.len()],
            tally,
            done: Broadcasted::default(),
        }
    }

    /// Queues the frame for some of the members, on tapes of theirs.
    pub(crate) fn queue(&mut self, members: &[Connection], tapes: &mut Vec<Tape>) {
        tapes.resize_with(self.codecs.len(), Tape::default);
        let mut frames: Vec<Option<SharedFrame>> = vec![None; self.codecs.len()];
        for (index, member) in members.iter().enumerate() {
            fetch_ahead(members, index);
            let codec = member.codec_index();
            if frames[codec].is_none() {
                frames[codec] = self.encode(codec).map(|message| tapes[codec].push(message));
            }
            let Some(frame) = &frames[codec] else {
                member.cell().command(|session| session.send_missing()).ok();
                continue;
            };
            if let Ok(Queued { is_dropped, urgent }) =
                member.cell().queue(frame, self.overflow, &mut self.tally)
            {
                // Of a frame that was dropped there is a gap to be told.
                self.done.told = true;
                self.done.queued += usize::from(!is_dropped);
                if urgent {
                    self.done.behind.push(member.clone());
                }
            }
        }
    }

    fn encode(&mut self, codec: usize) -> Option<Bytes> {
        let encoding = self.encodings[codec].get_or_insert_with(|| {
            let message = self.codecs[codec].encode(self.frame)?;
            let message = ws::encode_message(message.kind, &message.data);
            self.done.bytes += message.len();
            Ok(message)
        });
        match encoding {
            Ok(message) => Some(message.clone()),
            Err(error) => {
                self.done.failed.get_or_insert_with(|| error.clone());
                None
            }
        }
    }

    pub(crate) fn finish(self) -> Broadcasted {
        self.done
    }
}

/// Has the processor fetch what it takes to queue something for those who come soon.
fn fetch_ahead(members: &[Connection], index: usize) {
    if let Some(member) = members.get(index + 2 * AHEAD) {
        member.prefetch();
    }
    if let Some(member) = members.get(index + AHEAD) {
        member.prefetch_session();
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
                while let Some(members) = flush.next() {
                    write(&members);
                }
            }
        }
    }

    async fn run(mut self, workers: usize, tasks: TaskTracker) {
        let mut first = true;
        while let Some(members) = self.next() {
            if !std::mem::take(&mut first) {
                tokio::task::yield_now().await;
            }
            // Every worker that is free takes a part of a room that is big: whole chunks.
            let chunks = members.len().div_ceil(CHUNK);
            let size = CHUNK * chunks.div_ceil(chunks.clamp(1, workers));
            if members.len() <= size {
                write_in_chunks(&members).await;
                continue;
            }
            let writing: Vec<_> = (0..members.len())
                .step_by(size)
                .map(|from| {
                    let members = members.clone();
                    let part = from..members.len().min(from + size);
                    tasks.spawn(async move { write_in_chunks(&members[part]).await })
                })
                .collect();
            for part in writing {
                // It does not panic; and what it has not written is written with what comes next.
                part.await.ok();
            }
        }
    }

    fn next(&mut self) -> Option<Arc<Vec<Connection>>> {
        let members = self.room.flush_due();
        self.over = members.is_none();
        members
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

async fn write_in_chunks(members: &[Connection]) {
    for (index, chunk) in members.chunks(CHUNK).enumerate() {
        if index > 0 {
            tokio::task::yield_now().await;
        }
        write(chunk);
    }
}

pub(crate) fn write(members: &[Connection]) {
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
