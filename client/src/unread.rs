//! [`UnreadRefusals`]: refused reconnects that the application has not seen yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rejoin_core::Registration;

use crate::refusal::Refusal;

/// Refusals in order, each with the number of the drop that it follows. The session keeps the other events, but it has no part in
/// dials. Beyond [`MOST`] the oldest refusal is dropped.
#[derive(Debug, Default)]
pub(crate) struct UnreadRefusals(Mutex<UnreadQueue>);

#[derive(Debug, Default)]
struct UnreadQueue {
    refusals: VecDeque<(u64, Refusal)>,
    reader: Option<Waker>,
}

/// The number of refusals that are kept, with at most 4 KiB of body each.
pub(crate) const MOST: usize = 32;

impl UnreadRefusals {
    /// Adds a refusal that follows `drops` drops, and wakes the reader.
    pub(crate) fn push(&self, drops: u64, refusal: Refusal) {
        let reader = {
            let mut queue = self.lock();
            if queue.refusals.len() == MOST {
                queue.refusals.pop_front();
            }
            queue.refusals.push_back((drops, refusal));
            queue.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Takes the oldest, if the application has seen the drop that it follows; `seen` counts the drops.
    pub(crate) fn pop_due(&self, seen: u64) -> Option<Refusal> {
        let mut queue = self.lock();
        if queue.refusals.front()?.0 > seen { None } else { queue.pop() }
    }

    /// Takes the oldest.
    pub(crate) fn pop(&self) -> Option<Refusal> {
        self.lock().pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().refusals.is_empty()
    }

    /// Ready if there is one; otherwise the next one wakes the caller.
    pub(crate) fn poll_any(&self, cx: &Context<'_>) -> Poll<()> {
        Registration::with(cx, |reader| {
            let mut queue = self.lock();
            if !queue.refusals.is_empty() {
                return Some(Poll::Ready(()));
            }
            reader.put(&mut queue.reader).map(|()| Poll::Pending)
        })
    }

    fn lock(&self) -> MutexGuard<'_, UnreadQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnreadQueue {
    fn pop(&mut self) -> Option<Refusal> {
        self.refusals.pop_front().map(|(_, refusal)| refusal)
    }
}
