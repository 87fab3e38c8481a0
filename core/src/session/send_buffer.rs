//! [`SendBuffer`]: the data frames of one direction that the peer may still need.

use bytes::Bytes;

use crate::{Control, Gap};

use super::config::Mode;
use super::delivery::{Deliveries, Delivery};
use super::span::Span;
use super::span_queue::SpanQueue;
use super::transmit::Transmit;

mod evicted;
pub use evicted::EvictedInFlight;

mod eviction;

mod rewinding;

mod rewound;
pub use rewound::RewoundFrames;

mod snapshot;

#[cfg(test)]
mod tests;

/// Numbers data frames and keeps them until the peer acknowledges them (session mode) or until they are written (plain mode).
///
/// A number that is unsent and no longer kept is a gap by definition: eviction only removes the frame, and [`Self::next`] finds
/// that its number is missing.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct SendBuffer {
    mode: Mode,
    /// Number of frames in `kept`.
    frames: u32,
    /// Number of leading frames in `kept` that were sent to the attached socket: those up to `cursor`.
    in_flight: u32,
    /// Bytes of all frames in `kept`.
    bytes: usize,
    /// Number of the last frame that was accepted.
    accepted: u64,
    /// Number of the last frame that was sent to the attached socket, as a frame or in a gap.
    cursor: u64,
    /// Number of the last frame that was sent to any socket: the highest count that the peer can have.
    sent: u64,
    /// Unacknowledged frames in ascending order; numbers may be missing.
    kept: SpanQueue,
    /// The peer has acknowledged all frames up to this number.
    acked: u64,
    /// Number of frames that were evicted before they were sent, or that a resume found missing.
    dropped: u64,
    /// Frames that were evicted after they were sent. They are missing only if a resume asks for them.
    evicted_in_flight: Option<Box<EvictedInFlight>>,
    /// Frames whose delivery outcome is awaited; usually `None`.
    deliveries: Option<Box<Deliveries>>,
    /// Frames of a room's history that the peer may still need; usually `None`.
    rewound: Option<Box<RewoundFrames>>,
    /// Plain mode: number of frames that were undelivered when the session ended and freed them.
    abandoned: u64,
}

/// Why an acknowledged count is impossible (PROTOCOL.md §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadAck {
    /// It exceeds the number of frames that were sent.
    Beyond,
    /// It is below an earlier count.
    Backwards,
}

impl SendBuffer {
    /// Length in bytes of the leading fields that every broadcast delivery reads, for prefetching.
    #[cfg(feature = "drive")]
    pub(super) const HOT: usize = std::mem::offset_of!(Self, acked);

    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            kept: SpanQueue::default(),
            frames: 0,
            in_flight: 0,
            bytes: 0,
            accepted: 0,
            cursor: 0,
            sent: 0,
            acked: 0,
            dropped: 0,
            evicted_in_flight: None,
            deliveries: None,
            rewound: None,
            abandoned: 0,
        }
    }

    /// Whether the buffer consists of counts only: it keeps no frame, and no delivery is awaited.
    pub(super) fn has_only_counts(&self) -> bool {
        self.kept.is_empty()
            && self.evicted_in_flight.is_none()
            && self.deliveries.is_none()
            && self.abandoned == 0
    }

    /// Numbers a frame and keeps it.
    pub(super) fn push(&mut self, message: Bytes) -> u64 {
        let first = self.assign_numbers(1, message.len());
        self.kept.push_back(Span::direct(message).numbered(first));
        self.accepted
    }

    /// Numbers and keeps the frames of a span except the first `skip`; `bytes` is their total size. Frames that continue the
    /// last span take no extra memory.
    pub(super) fn append(&mut self, span: &Span, skip: u32, bytes: usize) -> u64 {
        let first = self.assign_numbers(span.len() - skip, bytes);
        self.kept.append(span, skip, first);
        self.accepted
    }

    /// Assigns the next numbers to new frames, and returns the first of them.
    fn assign_numbers(&mut self, frames: u32, bytes: usize) -> u64 {
        let first = self.accepted + 1;
        self.accepted += u64::from(frames);
        self.bytes += bytes;
        self.frames += frames;
        first
    }

    /// Numbers a frame that cannot be delivered. In session mode, the peer receives a gap in its place.
    pub(super) fn push_missing(&mut self) -> u64 {
        self.accepted += 1;
        self.dropped += 1;
        if self.mode == Mode::Plain && self.kept.is_empty() {
            // A plain peer does not count frames, so it needs no gap.
            self.cursor = self.accepted;
        }
        self.accepted
    }

    /// The position of the first kept frame after this number: the index of its span, and its offset in that span.
    fn first_after(&self, number: u64) -> (usize, u32) {
        let index = self.kept.partition_point(|span| span.end() <= number + 1);
        let offset = self.kept.get(index).map_or(0, |span| (number + 1).saturating_sub(span.first()));
        (index, u32::try_from(offset).expect("the number is in the span"))
    }

    /// Number of the first kept frame that was not sent to the attached socket.
    pub(super) fn first_unsent(&self) -> Option<u64> {
        let (index, offset) = self.first_after(self.cursor);
        self.kept.get(index).map(|span| span.first() + u64::from(offset))
    }

    /// Number of the last frame that was sent to the attached socket, as a frame or in a gap.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Watches the delivery of the frame that was accepted last.
    pub(super) fn watch_last(&mut self) {
        self.deliveries.get_or_insert_default().watch(self.accepted);
    }

    /// Whether any delivery is awaited, or its outcome was not taken yet.
    pub(super) fn has_deliveries(&self) -> bool {
        self.deliveries.is_some()
    }

    /// Whether the peer has not acknowledged everything that was sent to the attached socket.
    pub(super) fn awaits_ack(&self) -> bool {
        self.cursor > self.acked
    }

    /// Returns the number and the outcome of a watched frame.
    pub(super) fn poll_delivery(&mut self) -> Option<(u64, Delivery)> {
        let deliveries = self.deliveries.as_mut()?;
        let decided = deliveries.poll();
        if deliveries.is_empty() {
            self.deliveries = None;
        }
        decided
    }

    /// Reports all awaited deliveries as [`Delivery::Ended`], because the session has ended.
    pub(super) fn end_deliveries(&mut self) {
        if let Some(deliveries) = &mut self.deliveries {
            deliveries.end();
        }
    }

    /// Takes the kept frames. The counts stay as they are.
    pub(super) fn abandon(&mut self) -> SpanQueue {
        self.abandoned = self.unacknowledged();
        self.rewound = None;
        self.frames = 0;
        self.in_flight = 0;
        self.bytes = 0;
        std::mem::take(&mut self.kept)
    }

    /// Returns the next frame, batch or gap for the attached socket, and marks it as sent. A batch has at most `limit` frames.
    pub(super) fn next(&mut self, limit: u32) -> Option<Transmit> {
        let from = self.cursor + 1;
        let (index, offset) = self.first_after(self.cursor);
        match self.kept.get(index) {
            Some(span) if span.first() + u64::from(offset) == from || self.mode == Mode::Plain => {
                let count = (span.len() - offset).min(limit.max(1));
                let transmit = span.transmit(offset, count);
                let last = span.first() + u64::from(offset + count) - 1;
                self.in_flight += count;
                self.advance(last);
                Some(transmit)
            }
            Some(span) => {
                let to = span.first() - 1;
                Some(self.transmit_gap(from, to))
            }
            None if self.mode == Mode::Session && from <= self.accepted => {
                Some(self.transmit_gap(from, self.accepted))
            }
            None => None,
        }
    }

    /// Fast path of [`Self::next`]: if exactly one frame is unsent and no gap is due, marks it as sent and returns a reference.
    /// Otherwise changes nothing.
    pub(super) fn next_lone(&mut self) -> Option<&Bytes> {
        if self.unsent() != 1 || self.cursor + 1 != self.accepted {
            return None;
        }
        if self.kept.back()?.end() != self.accepted + 1 {
            return None;
        }
        self.in_flight += 1;
        self.advance(self.accepted);
        let span = self.kept.back()?;
        Some(span.message(span.len() - 1))
    }

    fn transmit_gap(&mut self, from: u64, to: u64) -> Transmit {
        self.advance(to);
        Transmit::Control(Control::Gap(Gap::new(from, to)))
    }

    /// Marks everything up to `number` as sent to the attached socket.
    fn advance(&mut self, number: u64) {
        self.cursor = number;
        self.sent = self.sent.max(number);
    }

    /// Whether the next frame must wait for an acknowledgement: the peer reads ahead at most `buffer` frames. Gaps never wait,
    /// and nothing waits in a buffer that never keeps more than `buffer` frames.
    pub(super) fn must_wait_for_ack(&self, buffer: u32) -> bool {
        self.send_credit(buffer) == 0 && { self.first_unsent() == Some(self.cursor + 1) }
    }

    /// Number of frames that may be sent before the next acknowledgement arrives.
    pub(super) fn send_credit(&self, buffer: u32) -> u32 {
        match self.mode {
            Mode::Plain => u32::MAX,
            Mode::Session => buffer.saturating_sub(self.in_flight),
        }
    }

    /// Handles an acknowledgement of all frames up to `number`. Returns whether it acknowledged anything new.
    pub(super) fn acknowledge(&mut self, number: u64) -> Result<bool, BadAck> {
        self.check_ack(number)?;
        let new = number > self.acked;
        self.acked = number;
        if let Some(deliveries) = &mut self.deliveries {
            deliveries.acknowledged(number);
        }
        // Acknowledged frames are never missing in a resume.
        self.evicted_in_flight =
            self.evicted_in_flight.take().filter(|evicted_in_flight| evicted_in_flight.range.to > number);
        // After a rewind, the count can exceed the cursor, because an older socket had sent more. Frames up to it arrived there
        // and must not be reported as a gap.
        self.cursor = self.cursor.max(number);
        while self.kept.front().is_some_and(|span| span.first() <= number) {
            self.pop_front();
        }
        Ok(new)
    }

    /// Checks that the peer can have received all frames up to `number` and none after it.
    pub(super) fn check_ack(&self, number: u64) -> Result<(), BadAck> {
        if number > self.sent {
            Err(BadAck::Beyond)
        } else if number < self.acked {
            Err(BadAck::Backwards)
        } else {
            Ok(())
        }
    }

    /// Records that the socket took `frames` more frames. In plain mode they are delivered as far as the session can know.
    pub(super) fn written(&mut self, frames: usize) {
        if self.mode == Mode::Plain {
            for _ in 0..frames.min(self.in_flight as usize) {
                self.pop_front();
            }
        }
    }

    /// Handles the loss of the socket, after its last write was recorded. In plain mode, frames that were not written completely
    /// become unsent again. In session mode, only the count of the next resume can decide that.
    pub(super) fn detach(&mut self) {
        if self.mode == Mode::Plain {
            self.rewind(0);
        }
    }

    /// Prepares for the next socket. Frames become unsent again: in plain mode those that were not written completely, in session
    /// mode those after the peer's count, `received`.
    pub(super) fn rewind(&mut self, received: u64) {
        self.in_flight = 0;
        match self.mode {
            Mode::Plain => self.cursor = self.before_kept(),
            Mode::Session => {
                self.cursor = received;
                if let Some(evicted_in_flight) = self.evicted_in_flight.take() {
                    self.dropped += evicted_in_flight.after(received);
                    if let Some(deliveries) = &mut self.deliveries {
                        // Frames that the peer has are acknowledged already. Evicted frames are older than all kept ones.
                        deliveries.dropped_below(self.kept.front().map_or(self.accepted + 1, Span::first));
                    }
                }
            }
        }
    }

    /// The number before the first kept frame.
    fn before_kept(&self) -> u64 {
        self.kept.front().map_or(self.accepted, |span| span.first() - 1)
    }

    fn pop_front(&mut self) {
        if let Some(span) = self.kept.front() {
            let bytes = span.message(0).len();
            if let Some(rewound) = &mut self.rewound {
                rewound.note_freed(span.first(), bytes);
                self.rewound.take_if(|rewound| rewound.is_over());
            }
            self.bytes -= bytes;
            self.frames -= 1;
            self.in_flight = self.in_flight.saturating_sub(1);
            self.kept.pop_message();
        }
    }

    /// Number of kept frames that were not sent to the attached socket.
    pub(super) fn unsent(&self) -> usize {
        (self.frames - self.in_flight) as usize
    }

    /// Bytes of all kept frames.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the last frame that was accepted.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Number of the last frame that was sent to any socket.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The peer has acknowledged all frames up to this number.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Number of dropped frames: each was or will be reported to the peer in a gap.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Number of accepted frames that are not known to have arrived.
    pub(super) fn unacknowledged(&self) -> u64 {
        match self.mode {
            Mode::Session => self.accepted - self.acked,
            Mode::Plain => u64::from(self.frames) + self.abandoned,
        }
    }

    /// Takes all kept frames and restarts the numbers.
    pub(super) fn take_all(&mut self) -> Vec<Bytes> {
        self.end_deliveries();
        let mut old = std::mem::replace(self, Self::new(self.mode));
        self.dropped = old.dropped;
        self.deliveries = old.deliveries.take();
        old.kept.into_iter().flat_map(Span::into_messages).collect()
    }
}
