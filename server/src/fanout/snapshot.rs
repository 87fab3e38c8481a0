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

/// The fewest members of a chunk that are worth a task of their own. Waking another worker costs as much as two or three writes.
const LEAST_PART: usize = 16;

/// A part of the members of a room, which one task writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Whole chunks.
    Chunks(Range<usize>),
    /// Some members of the only chunk.
    Members(Range<usize>),
}

/// Splits `0..len` into at most `parts` ranges of about the same length.
fn split(len: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let size = len.div_ceil(parts.clamp(1, len.max(1))).max(1);
    (0..len).step_by(size).map(move |from| from..len.min(from + size))
}

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
        self.write_to(chunk, 0..self.chunks[chunk].0.members.len());
        self.trim(chunk);
    }

    /// Writes the queued frames to some members of one chunk.
    fn write_to(&self, chunk: usize, some: Range<usize>) {
        let members = &self.chunks[chunk].0.members[some];
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
    }

    /// Trims the log of a chunk, once every member has been drained, also those whose socket was in use.
    pub(crate) fn trim(&self, chunk: usize) {
        let (Chunk { log, .. }, next) = &self.chunks[chunk];
        log.trim(*next);
    }

    /// Splits the members among this number of tasks: the chunks of a big room, or the members of the only chunk. So the last
    /// member of a room gets its frame in a half of the time if there are two workers and both are idle.
    pub(crate) fn parts(&self, workers: usize) -> Vec<Part> {
        let chunks = self.chunks.len();
        if let [(Chunk { members, .. }, _)] = &*self.chunks {
            let parts = (members.len() / LEAST_PART).clamp(1, workers.max(1));
            if parts > 1 {
                return split(members.len(), parts).map(Part::Members).collect();
            }
        }
        split(chunks, workers).map(Part::Chunks).collect()
    }

    /// Writes to a part. After parts of a chunk, the caller trims its log.
    pub(crate) async fn write_part(&self, part: Part) {
        match part {
            Part::Chunks(chunks) => {
                for chunk in chunks.clone() {
                    if chunk > chunks.start {
                        tokio::task::yield_now().await;
                    }
                    self.write(chunk);
                }
            }
            Part::Members(some) => self.write_to(0, some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{connection, server};

    fn snapshot(sizes: &[usize]) -> RoomSnapshot {
        let shared = server();
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Chunk {
                members: Arc::new((0..*size).map(|_| connection(&shared)).collect()),
                log: Arc::new(RoomLog::new(Arc::default(), "room".into())),
            })
            .collect();
        RoomSnapshot::new(&chunks)
    }

    #[test]
    fn members_are_split_among_the_workers() {
        use Part::{Chunks, Members};
        for (sizes, workers, parts) in [
            (&[][..], 2, vec![]),
            (&[31], 2, vec![Chunks(0..1)]),
            (&[50], 1, vec![Chunks(0..1)]),
            (&[50], 0, vec![Chunks(0..1)]),
            (&[51], 2, vec![Members(0..26), Members(26..51)]),
            (&[50], 8, vec![Members(0..17), Members(17..34), Members(34..50)]),
            (&[9, 9, 9], 2, vec![Chunks(0..2), Chunks(2..3)]),
            (&[9, 9], 4, vec![Chunks(0..1), Chunks(1..2)]),
        ] {
            assert_eq!(snapshot(sizes).parts(workers), parts, "{sizes:?} {workers}");
        }
    }
}
