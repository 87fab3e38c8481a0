//! [`EventQueue`]: events that the application has not taken yet.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Frame, Gap};

use super::event::Event;
use super::serial;

/// Events in order, with a count of the frames among them.
///
/// The queue is bounded, whatever the peer does: reading stops when [`Self::is_full`], consecutive gaps are merged, and so
/// are consecutive pairs of drop and restore once the queue is long, with the losses between them.
#[derive(Debug, Clone, Default)]
pub(super) struct EventQueue {
    events: VecDeque<PendingEvent>,
    frames: usize,
    bytes: usize,
}

/// An event that the application has not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingEvent {
    /// The event.
    pub event: Event,
    /// Of a message: the number of bytes that it took on the wire, at most `u32::MAX`. Otherwise 0.
    pub size: u32,
}

impl PendingEvent {
    /// A message that the application has not taken, or that it is to take once more.
    pub fn message(frame: Frame) -> Self {
        Self { event: Event::Message(frame), size: 0 }
    }
}

/// Frames of lost sessions that were accepted and never acknowledged, and whose loss was not reported to the application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unreported {
    /// The messages as passed to [`Session::send`](super::Session::send).
    #[serde(with = "serial::messages")]
    pub messages: Vec<Bytes>,
    /// Number of frames that were not kept long enough to be listed.
    pub dropped: u64,
}

/// From this number of events on, consecutive pairs of drop and restore are merged, because the application is too slow.
const MANY_EVENTS: usize = 256;

impl EventQueue {
    /// A queue of these events, oldest first.
    pub(super) fn new(events: Vec<PendingEvent>) -> Self {
        let is_message = |pending: &&PendingEvent| matches!(pending.event, Event::Message(_));
        let frames = events.iter().filter(is_message).count();
        let bytes = events.iter().map(|pending| pending.size as usize).sum();
        Self { events: events.into(), frames, bytes }
    }

    /// All events, oldest first.
    pub(super) fn pending(&self) -> Vec<PendingEvent> {
        self.events.iter().cloned().collect()
    }

    /// Adds a data frame that took `size` bytes on the wire.
    pub(super) fn push_message(&mut self, frame: Frame, size: usize) {
        self.frames += 1;
        self.bytes += size;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.events.push_back(PendingEvent { event: Event::Message(frame), size });
    }

    /// Bytes of the messages that the application has not taken.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds any other event.
    pub(super) fn push(&mut self, mut event: Event) {
        let many = self.events.len() >= MANY_EVENTS;
        if many && let Event::Lost { unacknowledged, dropped, .. } = &mut event {
            // The application is not reading: if an older loss lists its messages, only count these.
            if self.events.iter().any(|pending| matches!(pending.event, Event::Lost { .. })) {
                *dropped += std::mem::take(unacknowledged).len() as u64;
            }
        }
        match (&event, self.events.back_mut().map(|pending| &mut pending.event)) {
            // Two losses without a restore between them, because drop and restore were merged. A loss is never moved before a
            // restore: the restore after it means a fresh session.
            (Event::Lost { unacknowledged, dropped: more, .. }, Some(Event::Lost { dropped, .. })) => {
                *dropped += unacknowledged.len() as u64 + more;
            }
            (Event::Gap(gap), Some(Event::Gap(last))) if last.to + 1 == gap.from => {
                *last = Gap::new(last.from, gap.to);
            }
            (Event::Dropped(_), Some(Event::Restored)) if many => {
                self.events.pop_back();
            }
            _ => self.events.push_back(PendingEvent { event, size: 0 }),
        }
    }

    /// Removes and returns the oldest event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let PendingEvent { event, size } = self.events.pop_front()?;
        self.bytes -= size as usize;
        if let Event::Message(_) = event {
            self.frames -= 1;
        }
        if self.events.is_empty() {
            // Free the allocation, so that an idle connection holds no buffer.
            self.events = VecDeque::new();
        }
        Some(event)
    }

    /// Discards the events of an application that wants no more, except `Connected` and `Closed`, which have to stay paired.
    /// Returns the losses among the discarded events.
    pub(super) fn discard(&mut self) -> Unreported {
        let mut unreported = Unreported::default();
        self.events.retain_mut(|pending| match &mut pending.event {
            Event::Connected | Event::Closed(_) => true,
            Event::Lost { unacknowledged, dropped, .. } => {
                unreported.messages.append(unacknowledged);
                unreported.dropped += *dropped;
                false
            }
            _ => false,
        });
        self.frames = 0;
        self.bytes = 0;
        unreported
    }

    /// The peer has cancelled the question with this id.
    pub(super) fn cancel(&mut self, id: &str) {
        for pending in &mut self.events {
            if let Event::Message(frame) = &mut pending.event
                && frame.id() == id
            {
                frame.cancel();
            }
        }
    }

    /// Whether the peer has to wait for the application.
    pub(super) fn is_full(&self, frames: usize, bytes: usize) -> bool {
        // The third limit is for gaps between drops and restores, which are not messages and are never merged.
        self.frames >= frames
            || self.bytes >= bytes
            || self.events.len() >= frames.saturating_add(2 * MANY_EVENTS)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::DropReason;

    #[test]
    fn joins_consecutive_gaps() {
        let mut events = EventQueue::default();
        events.push(Event::Gap(Gap::new(1, 2)));
        events.push(Event::Gap(Gap::new(3, 3)));
        assert_eq!(events.pop(), Some(Event::Gap(Gap::new(1, 3))));
        assert!(events.is_empty());
    }

    #[test]
    fn events_that_are_never_merged_fill_the_queue() {
        let (frames, mut events) = (3, EventQueue::default());
        for n in 0..u64::try_from(frames + 2 * MANY_EVENTS).unwrap() {
            assert!(!events.is_full(frames, 1000), "{n} events");
            events.push(Event::Gap(Gap::new(2 * n + 1, 2 * n + 1)));
        }
        assert!(events.is_full(frames, 1000));
    }

    #[test]
    fn keeps_nonconsecutive_gaps_apart() {
        let mut events = EventQueue::default();
        events.push(Event::Gap(Gap::new(5, 6)));
        events.push(Event::Gap(Gap::new(1, 2)));
        let gaps = [Gap::new(5, 6), Gap::new(1, 2)];
        assert_eq!([events.pop(), events.pop()], gaps.map(|gap| Some(Event::Gap(gap))));
    }

    #[test]
    fn stays_bounded_over_many_unread_drops() {
        let mut events = EventQueue::default();
        for _ in 0..10_000 {
            events.push(Event::Dropped(DropReason::TakenOver));
            events.push(Event::Restored);
        }
        assert!(events.events.len() <= MANY_EVENTS + 1);
        assert!(matches!(events.events.back(), Some(PendingEvent { event: Event::Restored, .. })));
        let pairs: Vec<_> = std::iter::from_fn(|| events.pop()).collect();
        assert!(pairs.chunks(2).all(|pair| matches!(pair, [Event::Dropped(_), Event::Restored])));
    }

    #[test]
    fn is_full_by_frames_or_by_bytes() {
        let mut events = EventQueue::default();
        events.push_message(Frame::default(), 10);
        assert!(events.is_full(1, 100) && events.is_full(5, 10) && !events.is_full(2, 11));
        events.pop();
        assert!(!events.is_full(1, 1));
    }

    #[test]
    fn stays_bounded_over_many_unread_losses() {
        let mut events = EventQueue::default();
        for _ in 0..10_000 {
            events.push(Event::Dropped(DropReason::TakenOver));
            events.push(Event::Lost { reason: None, unacknowledged: vec![Bytes::new()], dropped: 1 });
            events.push(Event::Restored);
        }
        assert!(events.events.len() <= MANY_EVENTS + 3);
        let mut missing = 0;
        while let Some(event) = events.pop() {
            if let Event::Lost { unacknowledged, dropped, .. } = event {
                missing += unacknowledged.len() as u64 + dropped;
            }
        }
        assert_eq!(missing, 20_000, "all are counted");
    }

    #[test]
    fn a_loss_stays_before_its_restore() {
        let mut events = EventQueue::default();
        let drop_and_restore = |events: &mut EventQueue, loses: bool| {
            events.push(Event::Dropped(DropReason::TakenOver));
            if loses {
                events.push(Event::Lost { reason: None, unacknowledged: vec![Bytes::new()], dropped: 0 });
            }
            events.push(Event::Restored);
        };
        drop_and_restore(&mut events, true);
        for _ in 0..200 {
            drop_and_restore(&mut events, false);
            events.push_message(Frame::default(), 1);
        }
        for _ in 0..3 {
            drop_and_restore(&mut events, true);
        }
        let mut last: Vec<_> = std::iter::from_fn(|| events.pop()).collect();
        assert_eq!(last.pop(), Some(Event::Restored));
        assert_eq!(last.pop(), Some(Event::Lost { reason: None, unacknowledged: vec![], dropped: 3 }));
        assert_eq!(last.pop(), Some(Event::Dropped(DropReason::TakenOver)));
    }

    #[test]
    fn taken_and_discarded_events_do_not_count() {
        let takes: [fn(&mut EventQueue); 2] = [|events| drop(events.pop()), |events| drop(events.discard())];
        for take in takes {
            let mut events = EventQueue::default();
            events.push_message(Frame::event_only("e"), 10);
            assert!(events.is_full(1, 100) && events.is_full(100, 10));
            take(&mut events);
            assert!(events.is_empty() && !events.is_full(1, 100) && !events.is_full(100, 1));
        }
    }

    #[test]
    fn an_empty_queue_holds_no_buffer() {
        let mut queue = EventQueue::default();
        (0..3).for_each(|_| queue.push_message(Frame::default(), 1));
        while queue.pop().is_some() {}
        assert_eq!(queue.events.capacity(), 0);
    }
}
