//! [`VolatileQueue`]: the volatile frames that wait for a socket.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

/// Volatile frames that the attached socket has not taken, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct VolatileQueue {
    /// By the order in which they were sent.
    frames: BTreeMap<u64, Waiting>,
    /// The frames with a key.
    by_key: HashMap<Arc<str>, u64>,
    /// The frames without a key, oldest first.
    without_key: VecDeque<u64>,
    /// The order of the next frame.
    next: u64,
    /// The bytes that all frames cost.
    bytes: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// The number of the last data frame that was accepted before.
    after: u64,
    key: Option<Arc<str>>,
    pub(super) message: Bytes,
}

/// About what each waiting frame costs beyond its bytes.
const OVERHEAD: usize = 64;

impl Waiting {
    fn cost(&self) -> usize {
        self.message.len() + OVERHEAD
    }
}

impl VolatileQueue {
    /// Adds a frame that comes after the data frame `after`, and removes those that it replaces or that exceed the limits: at most
    /// `limit` frames without a key, and at most `bytes` bytes. Returns the number of removed frames.
    pub(super) fn push(
        &mut self,
        after: u64,
        key: Option<Arc<str>>,
        message: Bytes,
        limit: usize,
        bytes: usize,
    ) -> usize {
        let mut removed = 0;
        let order = self.next;
        self.next += 1;
        match &key {
            Some(key) => {
                if let Some(older) = self.by_key.insert(key.clone(), order) {
                    removed += usize::from(self.take(older).is_some());
                }
            }
            None => self.without_key.push_back(order),
        }
        let waiting = Waiting { after, key, message };
        self.bytes += waiting.cost();
        self.frames.insert(order, waiting);
        while self.without_key.len() > limit
            && let Some(oldest) = self.without_key.pop_front()
        {
            removed += usize::from(self.take(oldest).is_some());
        }
        // The new frame itself stays, whatever its size.
        while self.bytes > bytes && self.frames.len() > 1 {
            removed += usize::from(self.pop().is_some());
        }
        removed
    }

    fn take(&mut self, order: u64) -> Option<Waiting> {
        let waiting = self.frames.remove(&order)?;
        self.bytes -= waiting.cost();
        Some(waiting)
    }

    /// Removes the oldest frame.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (order, waiting) = self.frames.pop_first()?;
        self.bytes -= waiting.cost();
        match &waiting.key {
            Some(key) => _ = self.by_key.remove(key),
            None => {
                debug_assert_eq!(self.without_key.front(), Some(&order));
                self.without_key.pop_front();
            }
        }
        Some(waiting)
    }

    /// The number of the data frame before the oldest frame.
    pub(super) fn first_after(&self) -> Option<u64> {
        self.frames.first_key_value().map(|(_, waiting)| waiting.after)
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }
}
