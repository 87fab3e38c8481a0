//! [`VolatileQueue`]: the volatile frames that wait for a socket.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

/// Volatile frames that the attached socket has not taken, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct VolatileQueue {
    /// By the order in which they were sent.
    frames: BTreeMap<u64, VolatileMessage>,
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
pub(super) struct VolatileMessage {
    /// The number of the last data frame that was accepted before.
    after: u64,
    key: Option<Arc<str>>,
    pub(super) message: Bytes,
}

/// About what each waiting frame costs beyond its bytes.
const OVERHEAD: usize = 64;

impl VolatileMessage {
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
        let waiting = VolatileMessage { after, key, message };
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

    fn take(&mut self, order: u64) -> Option<VolatileMessage> {
        let waiting = self.frames.remove(&order)?;
        self.bytes -= waiting.cost();
        Some(waiting)
    }

    /// Removes the oldest frame.
    pub(super) fn pop(&mut self) -> Option<VolatileMessage> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts that wait, in order, after these were pushed: one that begins with a capital letter has that as its key. Also how
    /// many each push has removed.
    fn after(texts: &[&str], limit: usize, bytes: usize) -> (String, Vec<usize>) {
        let mut queue = VolatileQueue::default();
        let removed = texts.iter().map(|text| {
            let key = text.starts_with(|first: char| first.is_uppercase()).then(|| text[..1].into());
            queue.push(0, key, Bytes::copy_from_slice(text.as_bytes()), limit, bytes)
        });
        let removed = removed.collect();
        let length = queue.len();
        let left: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|waiting| String::from_utf8(waiting.message.to_vec()).unwrap())
            .collect();
        assert_eq!((left.len(), queue.len(), queue.bytes), (length, 0, 0), "all bytes are freed");
        assert!(queue.by_key.is_empty() && queue.without_key.is_empty() && queue.first_after().is_none());
        (left.join(" "), removed)
    }

    #[test]
    fn replaced_and_refused_frames_free_their_bytes() {
        let two = 2 * (OVERHEAD + 2);
        type Case = (&'static [&'static str], usize, usize, &'static str, &'static [usize]);
        let cases: [Case; 6] = [
            (&["a1", "A1", "b1"], 8, 3 * two, "a1 A1 b1", &[0, 0, 0]),
            // A later value of a key takes the place, and the bytes, of the older one.
            (&["A1", "B1", "A2", "A3", "B2"], 8, two, "A3 B2", &[0, 0, 1, 1, 1]),
            // So does a frame without a key beyond the limit of these.
            (&["a1", "b1", "c1", "d1"], 2, two, "c1 d1", &[0, 0, 1, 1]),
            (&["a1", "b1", "c1", "d1"], 8, two, "c1 d1", &[0, 0, 1, 1]),
            (&["A1", "b1", "C1"], 8, two - 1, "C1", &[0, 1, 1]),
            // The newest stays, whatever its size.
            (&["a1", "b1-which-is-long"], 8, 1, "b1-which-is-long", &[0, 1]),
        ];
        for (texts, limit, bytes, left, removed) in cases {
            assert_eq!(after(texts, limit, bytes), (left.to_owned(), removed.to_vec()), "{texts:?}");
        }
    }
}
