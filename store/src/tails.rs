//! [`Tails`]: followers of logs, in one process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::{LogId, Tail, TailStream};

/// The limit on a follower's queue. A follower that exceeds it loses the queue, and gets a [`Tail::Gap`]: the entries are in the log.
const MOST_WAITING: usize = 4096;

/// Sends appended entries to the followers of a log.
#[derive(Debug, Default)]
pub struct Tails {
    followers: Mutex<Followers>,
}

#[derive(Debug, Default)]
struct Followers {
    logs: BTreeMap<LogId, Vec<Weak<Follower>>>,
    has_ended: bool,
}

#[derive(Debug, Default)]
struct Follower {
    queue: Mutex<TailQueue>,
}

#[derive(Debug, Default)]
struct TailQueue {
    waiting: VecDeque<Tail>,
    waker: Option<Waker>,
    has_ended: bool,
}

/// No code that holds a lock can panic while its data is inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tails {
    /// Begins to follow a log, from now on.
    pub fn follow(&self, log: LogId) -> TailStream {
        let follower = Arc::new(Follower::default());
        let mut followers = lock(&self.followers);
        if followers.has_ended {
            return TailStream::new(|_| Poll::Ready(None));
        }
        followers.logs.entry(log).or_default().push(Arc::downgrade(&follower));
        drop(followers);
        TailStream::new(move |cx| follower.poll(cx))
    }

    /// Whether the log has followers.
    pub fn is_followed(&self, log: LogId) -> bool {
        lock(&self.followers).logs.contains_key(&log)
    }

    /// Sends pieces to all followers of a log, in their order. Returns the wakers to call after all locks are released.
    #[must_use = "followers have to be woken"]
    pub fn send(&self, log: LogId, pieces: &[Tail]) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut followers = lock(&self.followers);
        let Some(all) = followers.logs.get_mut(&log) else { return wakers };
        all.retain(|follower| {
            let Some(follower) = follower.upgrade() else { return false };
            wakers.extend(follower.push(pieces));
            true
        });
        if all.is_empty() {
            followers.logs.remove(&log);
        }
        wakers
    }

    /// Sends a gap to all followers of all logs.
    pub fn send_gaps(&self) {
        let logs: Vec<_> = lock(&self.followers).logs.keys().copied().collect();
        for log in logs {
            self.send(log, &[Tail::Gap]).into_iter().for_each(Waker::wake);
        }
    }

    /// Ends all streams, after the pieces that are still queued.
    pub fn end(&self) {
        let mut followers = lock(&self.followers);
        followers.has_ended = true;
        let logs = std::mem::take(&mut followers.logs);
        drop(followers);
        for follower in logs.into_values().flatten().filter_map(|follower| follower.upgrade()) {
            let waker = {
                let mut queue = lock(&follower.queue);
                queue.has_ended = true;
                queue.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Follower {
    /// Returns the waker to call.
    fn push(&self, pieces: &[Tail]) -> Option<Waker> {
        let mut queue = lock(&self.queue);
        if queue.waiting.len() + pieces.len() > MOST_WAITING {
            queue.waiting.clear();
            queue.waiting.push_back(Tail::Gap);
        } else {
            queue.waiting.extend(pieces.iter().cloned());
        }
        queue.waker.take()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Tail>> {
        let mut queue = lock(&self.queue);
        match queue.waiting.pop_front() {
            Some(piece) => Poll::Ready(Some(piece)),
            None if queue.has_ended => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;

    use super::*;
    use crate::{Entry, Position, WriterKey};

    fn entry(offset: u64) -> Tail {
        let position = Position { generation: 0, offset };
        let entry = Entry { position, writer: WriterKey([0; 16]), epoch: 1, time: 0, body: Bytes::new() };
        Tail::Entry { prev: offset - 1, entry }
    }

    fn poll(stream: &mut TailStream) -> Poll<Option<Tail>> {
        let next = pin!(stream.next());
        next.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn slow_follower_gets_gap_instead_of_growing() {
        let tails = Tails::default();
        let mut stream = tails.follow(LogId(1));
        for offset in 1..=MOST_WAITING as u64 + 1 {
            drop(tails.send(LogId(1), &[entry(offset)]));
        }
        drop(tails.send(LogId(1), &[entry(9000)]));
        assert!(matches!(poll(&mut stream), Poll::Ready(Some(Tail::Gap))));
        let Poll::Ready(Some(Tail::Entry { prev: 8999, .. })) = poll(&mut stream) else { panic!() };
        assert!(poll(&mut stream).is_pending());
    }

    #[test]
    fn dropped_stream_is_forgotten() {
        let tails = Tails::default();
        drop(tails.follow(LogId(1)));
        drop(tails.send(LogId(1), &[entry(1)]));
        assert!(!tails.is_followed(LogId(1)));
    }

    #[test]
    fn stream_ends_after_its_last_piece() {
        let tails = Tails::default();
        let mut stream = tails.follow(LogId(1));
        drop(tails.send(LogId(1), &[entry(1)]));
        tails.end();
        assert!(matches!(poll(&mut stream), Poll::Ready(Some(Tail::Entry { .. }))));
        assert!(matches!(poll(&mut stream), Poll::Ready(None)));
    }
}
