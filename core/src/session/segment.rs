//! [`Segment`]: encoded messages that many sessions send, stored once for all of them.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};

use super::transmit::{Batch, Transmit};

/// Consecutive messages in one encoding. Sessions hold [`Span`](super::Span)s of it; the segment is freed with the last of them.
pub(super) struct Segment {
    slots: Box<[OnceLock<Slot>]>,
    /// The last batch that [`Self::transmit`] joined, and the index of its first message: the sessions of a room usually ask
    /// for the same one.
    joined: Mutex<Option<(u32, Batch)>>,
}

struct Slot {
    message: Bytes,
    /// The bytes of all messages up to and including this one, so that a span knows its size without a loop.
    end: u32,
}

impl Segment {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: (0..capacity).map(|_| OnceLock::new()).collect(), joined: Mutex::default() }
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Stores a message. `end` is the bytes of all messages up to and including this one.
    pub(super) fn fill(&self, index: usize, message: Bytes, end: u32) {
        self.slots[index].set(Slot { message, end }).ok().expect("a slot is filled once");
    }

    fn slot(&self, index: u32) -> &Slot {
        self.slots[index as usize].get().expect("a span covers filled slots")
    }

    pub(super) fn message(&self, index: u32) -> &Bytes {
        &self.slot(index).message
    }

    /// The bytes of `count` messages from `index` on.
    pub(super) fn bytes(&self, index: u32, count: u32) -> usize {
        let end = |index: Option<u32>| index.map_or(0, |index| self.slot(index).end);
        (end((index + count).checked_sub(1)) - end(index.checked_sub(1))) as usize
    }

    /// The `count` messages from `index` on, as something to write: joined if there are several.
    pub(super) fn transmit(&self, index: u32, count: u32) -> Transmit {
        if count == 1 {
            return Transmit::Data(self.message(index).clone());
        }
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        match &*joined {
            Some((from, batch)) if *from == index && batch.ends.len() == count as usize => {
                Transmit::Batch(batch.clone())
            }
            _ => {
                let batch = self.join(index, count);
                *joined = Some((index, batch.clone()));
                Transmit::Batch(batch)
            }
        }
    }

    fn join(&self, index: u32, count: u32) -> Batch {
        let mut bytes = BytesMut::with_capacity(self.bytes(index, count));
        let ends = (index..index + count).map(|index| {
            bytes.extend_from_slice(self.message(index));
            u32::try_from(bytes.len()).expect("a segment of several messages is short")
        });
        let ends = ends.collect();
        Batch { bytes: bytes.freeze(), ends }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("length", &self.slots.len()).finish_non_exhaustive()
    }
}
