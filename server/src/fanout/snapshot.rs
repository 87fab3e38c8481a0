//! [`RoomSnapshot`]: the members of a room at one moment, and the one place where broadcasts are written to sockets.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use rejoin_core::drive::{RoomLog, now};

use crate::connection::Connection;

/// The number of members that share a room log, and that are written to before other tasks run. The lock and the reference counts
/// of one log for a whole room would be passed from core to core with each delivery. Two in the model, whose rooms are small.
pub(crate) const CHUNK: usize = if cfg!(rejoin_model) { 2 } else { 256 };

/// Members that share a room log.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Shared with a fan-out; copied if a member joins or leaves while the fan-out uses it.
    pub(crate) members: Arc<Vec<Connection>>,
    pub(crate) log: Arc<RoomLog>,
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
                    member.handle().prefetch_driver();
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

    /// The number of chunks.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) async fn write_all(&self, chunks: Range<usize>) {
        for chunk in chunks.clone() {
            if chunk > chunks.start {
                tokio::task::yield_now().await;
            }
            self.write(chunk);
        }
    }
}
