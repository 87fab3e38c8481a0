//! [`SendBuffer`]: the data frames of one direction that the peer may still need.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Control, Gap};

use super::config::Mode;
use super::delivery::{Deliveries, Delivery};
use super::span::Span;
use super::span_queue::SpanQueue;
use super::transmit::Transmit;

mod snapshot;

/// Data frames that are numbered and kept until the peer has acknowledged them (session mode) or until they are written
/// (plain mode).
///
/// A number that is not kept any more and was never handed to the socket is a gap by definition: giving a frame up needs no
/// further note, the next [`Self::next`] finds that it is missing.
#[derive(Debug, Clone)]
#[repr(C)]
pub(super) struct SendBuffer {
    mode: Mode,
    /// How many frames are in `kept`.
    frames: u32,
    /// How many of them, from the front, were handed to the attached socket: those up to `cursor`.
    handed: u32,
    /// Bytes of all in `kept`.
    bytes: usize,
    /// The number of the last frame that was accepted.
    accepted: u64,
    /// The last number that was handed, as a frame or in a gap, to the attached socket.
    cursor: u64,
    /// The last number that was ever handed to any socket: what the peer can have received at most.
    sent: u64,
    /// Ascending numbers; not necessarily without holes.
    kept: SpanQueue,
    /// The peer has received all frames up to this one.
    acked: u64,
    /// Frames given up before they were handed, or found missing by a resume.
    dropped: u64,
    /// What was given up after it was handed: missed only if a resume asks for it.
    evicted_in_flight: Option<Box<EvictedInFlight>>,
    /// Frames of which somebody wants to know what becomes of them; mostly none.
    deliveries: Option<Box<Deliveries>>,
    /// What was not delivered when the session ended and its frames were thrown away, in plain mode.
    abandoned: u64,
}

/// Frames that were evicted after they had been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EvictedInFlight {
    /// They are among these frames.
    pub range: Gap,
    /// Their number. The others in the range were evicted before they were sent.
    pub frames: u64,
}

impl EvictedInFlight {
    /// How many of them come after `received`. At most: which numbers in the range are others is not kept.
    fn after(&self, received: u64) -> u64 {
        self.frames.min(self.range.to.saturating_sub(received))
    }
}

/// An acknowledgement that cannot be (PROTOCOL.md §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadAck {
    Beyond,
    Backwards,
}

impl SendBuffer {
    /// So many bytes of it, from its beginning, are looked at for each delivery.
    #[cfg(feature = "drive")]
    pub(super) const HOT: usize = std::mem::offset_of!(Self, acked);

    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            kept: SpanQueue::default(),
            frames: 0,
            handed: 0,
            bytes: 0,
            accepted: 0,
            cursor: 0,
            sent: 0,
            acked: 0,
            dropped: 0,
            evicted_in_flight: None,
            deliveries: None,
            abandoned: 0,
        }
    }

    /// Whether nothing is kept, and nothing waits for a frame: the counts are all that there is.
    pub(super) fn is_numbers(&self) -> bool {
        self.kept.is_empty()
            && self.evicted_in_flight.is_none()
            && self.deliveries.is_none()
            && self.abandoned == 0
    }

    /// Numbers a frame and keeps it.
    pub(super) fn push(&mut self, message: Bytes) -> u64 {
        let first = self.count_in(1, message.len());
        self.kept.push_back(Span::direct(message).numbered(first));
        self.accepted
    }

    /// Numbers and keeps the frames of a span but the first `skip`, `bytes` in all. Frames that continue the last span cost
    /// nothing.
    pub(super) fn append(&mut self, span: &Span, skip: u32, bytes: usize) -> u64 {
        let first = self.count_in(span.len() - skip, bytes);
        self.kept.append(span, skip, first);
        self.accepted
    }

    /// Returns the number of the first of these frames.
    fn count_in(&mut self, frames: u32, bytes: usize) -> u64 {
        let first = self.accepted + 1;
        self.accepted += u64::from(frames);
        self.bytes += bytes;
        self.frames += frames;
        first
    }

    /// Numbers a frame that cannot be delivered: the peer is told of a gap.
    pub(super) fn push_missing(&mut self) -> u64 {
        self.accepted += 1;
        self.dropped += 1;
        if self.mode == Mode::Plain && self.kept.is_empty() {
            // Nobody counts in plain mode: nothing is left to tell.
            self.cursor = self.accepted;
        }
        self.accepted
    }

    /// Gives up the oldest frame that may be given up; `false` when there is none.
    ///
    /// In plain mode a frame that is being written is not one: its bytes are under way, it no longer counts against the buffer.
    pub(super) fn evict_oldest(&mut self) -> bool {
        // In session mode the first of all, in plain mode the first that is not handed.
        let (index, offset) = match self.mode {
            Mode::Session => (0, 0),
            Mode::Plain => self.first_after(self.cursor),
        };
        let Some(span) = self.kept.get(index) else {
            return false;
        };
        let number = span.first() + u64::from(offset);
        self.bytes -= span.message(offset).len();
        self.frames -= 1;
        self.kept.remove_message(index, offset);
        if number <= self.cursor {
            self.handed -= 1;
            let (from, frames) =
                self.evicted_in_flight.as_ref().map_or((number, 0), |old| (old.range.from, old.frames));
            self.evicted_in_flight =
                Some(Box::new(EvictedInFlight { range: Gap::new(from, number), frames: frames + 1 }));
        } else {
            self.dropped += 1;
            if let Some(deliveries) = &mut self.deliveries {
                deliveries.dropped(number);
            }
        }
        true
    }

    /// The index of the span that has the first frame after this number, and the frame's offset in it.
    fn first_after(&self, number: u64) -> (usize, u32) {
        let index = self.kept.partition_point(|span| span.end() <= number + 1);
        let offset = self.kept.get(index).map_or(0, |span| (number + 1).saturating_sub(span.first()));
        (index, u32::try_from(offset).expect("the number is in the span"))
    }

    /// Wants to know what becomes of the frame that was accepted last.
    pub(super) fn watch_last(&mut self) {
        self.deliveries.get_or_insert_default().watch(self.accepted);
    }

    /// Whether somebody waits for what becomes of a frame.
    pub(super) fn has_deliveries(&self) -> bool {
        self.deliveries.is_some()
    }

    /// Whether there is something of what was handed that the peer has not acknowledged.
    pub(super) fn awaits_ack(&self) -> bool {
        self.cursor > self.acked
    }

    /// What became of a frame that was watched.
    pub(super) fn poll_delivery(&mut self) -> Option<(u64, Delivery)> {
        let deliveries = self.deliveries.as_mut()?;
        let decided = deliveries.poll();
        if deliveries.is_empty() {
            self.deliveries = None;
        }
        decided
    }

    /// The session has ended: nothing more will be known of any frame.
    pub(super) fn end_deliveries(&mut self) {
        if let Some(deliveries) = &mut self.deliveries {
            deliveries.end();
        }
    }

    /// Throws away what is kept; the counts stay as they are.
    pub(super) fn abandon(&mut self) {
        self.abandoned = self.unacknowledged();
        self.kept = SpanQueue::default();
        self.frames = 0;
        self.handed = 0;
        self.bytes = 0;
    }

    /// Returns the next frame, frames or gap for the attached socket, at most `limit` frames, and counts them as sent.
    pub(super) fn next(&mut self, limit: u32) -> Option<Transmit> {
        let from = self.cursor + 1;
        let (index, offset) = self.first_after(self.cursor);
        match self.kept.get(index) {
            Some(span) if span.first() + u64::from(offset) == from || self.mode == Mode::Plain => {
                let count = (span.len() - offset).min(limit.max(1));
                let transmit = span.transmit(offset, count);
                let last = span.first() + u64::from(offset + count) - 1;
                self.handed += count;
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

    /// Fast path of [`Self::next`]: if exactly one frame is unsent and no gap is due, counts it as sent and returns a reference.
    /// Otherwise changes nothing.
    pub(super) fn next_lone(&mut self) -> Option<&Bytes> {
        if self.waiting() != 1 || self.cursor + 1 != self.accepted {
            return None;
        }
        if self.kept.back()?.end() != self.accepted + 1 {
            return None;
        }
        self.handed += 1;
        self.advance(self.accepted);
        let span = self.kept.back()?;
        Some(span.message(span.len() - 1))
    }

    fn transmit_gap(&mut self, from: u64, to: u64) -> Transmit {
        self.advance(to);
        Transmit::Control(Control::Gap(Gap::new(from, to)))
    }

    /// Everything up to `number` was given to the attached socket.
    fn advance(&mut self, number: u64) {
        self.cursor = number;
        self.sent = self.sent.max(number);
    }

    /// Whether the next frame has to wait for an acknowledgement: what the peer reads ahead is measured by `buffer`. Where no
    /// more is ever kept, none has to.
    pub(super) fn has_to_wait(&self, buffer: u32) -> bool {
        self.may_hand(buffer) == 0 && {
            let (index, offset) = self.first_after(self.cursor);
            let next = self.kept.get(index);
            next.is_some_and(|span| span.first() + u64::from(offset) == self.cursor + 1)
        }
    }

    /// How many frames may be handed before an acknowledgement has to come.
    pub(super) fn may_hand(&self, buffer: u32) -> u32 {
        match self.mode {
            Mode::Plain => u32::MAX,
            Mode::Session => buffer.saturating_sub(self.handed),
        }
    }

    /// The peer has received everything up to `number`. Returns whether that was new.
    pub(super) fn acknowledge(&mut self, number: u64) -> Result<bool, BadAck> {
        self.check_ack(number)?;
        let new = number > self.acked;
        self.acked = number;
        if let Some(deliveries) = &mut self.deliveries {
            deliveries.acknowledged(number);
        }
        // What has arrived is not missed by any resume.
        self.evicted_in_flight =
            self.evicted_in_flight.take().filter(|evicted_in_flight| evicted_in_flight.range.to > number);
        // A count that is possible only because an older socket came further: nothing up to it is told as a gap.
        self.cursor = self.cursor.max(number);
        while self.kept.front().is_some_and(|span| span.first() <= number) {
            self.pop_front();
        }
        Ok(new)
    }

    /// Whether the peer can have received exactly the frames up to `number`.
    pub(super) fn check_ack(&self, number: u64) -> Result<(), BadAck> {
        if number > self.sent {
            Err(BadAck::Beyond)
        } else if number < self.acked {
            Err(BadAck::Backwards)
        } else {
            Ok(())
        }
    }

    /// So many of the handed frames are in the socket. In plain mode that is the last we know of them.
    pub(super) fn written(&mut self, frames: usize) {
        if self.mode == Mode::Plain {
            for _ in 0..frames.min(self.handed as usize) {
                self.pop_front();
            }
        }
    }

    /// The socket is gone, and nothing more is heard of its writing: in plain mode what was not wholly written is to be written
    /// again. In session mode only the peer can tell what has not arrived.
    pub(super) fn detach(&mut self) {
        if self.mode == Mode::Plain {
            self.rewind(0);
        }
    }

    /// Another socket is there: in plain mode what was not wholly written is to be written again, in session mode what
    /// comes after the peer's count, `received`.
    pub(super) fn rewind(&mut self, received: u64) {
        self.handed = 0;
        match self.mode {
            Mode::Plain => self.cursor = self.before_kept(),
            Mode::Session => {
                self.cursor = received;
                if let Some(evicted_in_flight) = self.evicted_in_flight.take() {
                    self.dropped += evicted_in_flight.after(received);
                    if let Some(deliveries) = &mut self.deliveries {
                        // What the peer has is acknowledged; what is gone is older than anything that is kept.
                        deliveries.dropped_below(self.kept.front().map_or(self.accepted + 1, Span::first));
                    }
                }
            }
        }
    }

    /// The number before the first frame that is kept.
    fn before_kept(&self) -> u64 {
        self.kept.front().map_or(self.accepted, |span| span.first() - 1)
    }

    fn pop_front(&mut self) {
        if let Some(span) = self.kept.front() {
            self.bytes -= span.message(0).len();
            self.frames -= 1;
            self.handed = self.handed.saturating_sub(1);
            self.kept.pop_message();
        }
    }

    /// How many frames count against the buffer's bound.
    pub(super) fn occupied(&self) -> usize {
        match self.mode {
            Mode::Session => self.frames as usize,
            Mode::Plain => self.waiting(),
        }
    }

    /// How many frames the attached socket was not handed.
    pub(super) fn waiting(&self) -> usize {
        (self.frames - self.handed) as usize
    }

    /// Bytes of all frames that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the last frame that was accepted.
    pub(super) fn last(&self) -> u64 {
        self.accepted
    }

    /// The last number that was ever handed to any socket.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The number up to which the peer has acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Frames that the peer was told, or will be told, that it will never get.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Frames accepted of which it is not known that they arrived.
    pub(super) fn unacknowledged(&self) -> u64 {
        match self.mode {
            Mode::Session => self.accepted - self.acked,
            Mode::Plain => u64::from(self.frames) + self.abandoned,
        }
    }

    /// Takes out what is kept and starts to count anew.
    pub(super) fn take_all(&mut self) -> Vec<Bytes> {
        self.end_deliveries();
        let mut old = std::mem::replace(self, Self::new(self.mode));
        self.dropped = old.dropped;
        self.deliveries = old.deliveries.take();
        old.kept.into_iter().flat_map(Span::into_messages).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SegmentWriter;

    fn send_buffer(mode: Mode, frames: u64) -> SendBuffer {
        let mut send_buffer = SendBuffer::new(mode);
        for n in 1..=frames {
            assert_eq!(send_buffer.push(Bytes::from(n.to_string())), n);
        }
        send_buffer
    }

    const ALL: u32 = u32::MAX;

    fn data(n: u64) -> Option<Transmit> {
        Some(Transmit::Data(Bytes::from(n.to_string())))
    }

    fn gap(from: u64, to: u64) -> Option<Transmit> {
        Some(Transmit::Control(Control::Gap(Gap::new(from, to))))
    }

    #[test]
    fn hands_out_in_order_and_keeps_until_acknowledged() {
        let mut send_buffer = send_buffer(Mode::Session, 3);
        assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(1), data(2)]);
        assert_eq!(send_buffer.acknowledge(1), Ok(true));
        assert_eq!(send_buffer.next(ALL), data(3));
        assert_eq!(send_buffer.next(ALL), None);
        assert_eq!((send_buffer.occupied(), send_buffer.bytes(), send_buffer.unacknowledged()), (2, 2, 2));
    }

    /// Frames that others get, too, in runs of 1, 2, 4 and 8; `own` of them stand alone.
    fn shared(mode: Mode, frames: u64, own: &[u64]) -> SendBuffer {
        let mut writer = SegmentWriter::default();
        let mut send_buffer = SendBuffer::new(mode);
        for n in 1..=frames {
            let frame = writer.push(Bytes::from(n.to_string()));
            let number = if own.contains(&n) {
                send_buffer.push(frame.message(0).clone())
            } else {
                send_buffer.append(&frame, 0, frame.bytes(0))
            };
            assert_eq!(number, n);
        }
        send_buffer
    }

    /// Everything that is handed next.
    fn handed(send_buffer: &mut SendBuffer, most: u32) -> Vec<String> {
        let next = std::iter::from_fn(|| send_buffer.next(most));
        next.map(|next| match next {
            Transmit::Data(message) => String::from_utf8_lossy(&message).into_owned(),
            Transmit::Batch(batch) => String::from_utf8_lossy(&batch.bytes).into_owned() + "/",
            Transmit::Control(Control::Gap(gap)) => format!("gap {}-{}", gap.from, gap.to),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn frames_of_others_that_follow_each_other_are_one_entry_and_leave_together() {
        let mut send_buffer = shared(Mode::Session, 15, &[]);
        assert_eq!(
            (send_buffer.kept.clone().into_iter().count(), send_buffer.occupied(), send_buffer.bytes()),
            (4, 15, 9 + 6 * 2)
        );
        assert_eq!(handed(&mut send_buffer, ALL), ["1", "23/", "4567/", "89101112131415/"]);
        send_buffer.acknowledge(5).unwrap();
        send_buffer.rewind(5);
        assert_eq!((send_buffer.occupied(), send_buffer.bytes()), (10, 4 + 6 * 2));
        assert_eq!(handed(&mut send_buffer, 3), ["67/", "8910/", "111213/", "1415/"]);
        send_buffer.acknowledge(15).unwrap();
        assert_eq!((send_buffer.occupied(), send_buffer.bytes()), (0, 0));
    }

    #[test]
    fn what_stands_between_them_begins_another() {
        let mut send_buffer = shared(Mode::Session, 9, &[5]);
        send_buffer.push_missing();
        assert_eq!(handed(&mut send_buffer, ALL), ["1", "23/", "4", "5", "67/", "89/", "gap 10-10"]);

        let mut writer = SegmentWriter::default();
        let neighbours: Vec<_> = (1..=7).map(|n| writer.push(Bytes::from(n.to_string()))).collect();
        let mut send_buffer = SendBuffer::new(Mode::Session);
        send_buffer.append(&neighbours[4], 0, 1);
        send_buffer.push_missing();
        send_buffer.append(&neighbours[5], 0, 1);
        assert_eq!(
            handed(&mut send_buffer, ALL),
            ["5", "gap 2-2", "6"],
            "they are neighbours in the segment alone"
        );
    }

    #[test]
    fn the_oldest_of_a_run_is_given_up_alone() {
        let mut send_buffer = shared(Mode::Session, 7, &[]);
        for _ in 0..4 {
            assert!(send_buffer.evict_oldest());
        }
        assert_eq!((send_buffer.occupied(), send_buffer.bytes(), send_buffer.dropped()), (3, 3, 4));
        assert_eq!(handed(&mut send_buffer, 2), ["gap 1-4", "56/", "7"]);
        send_buffer.evict_oldest();
        send_buffer.rewind(4);
        assert_eq!(handed(&mut send_buffer, ALL), ["gap 5-5", "67/"]);
    }

    #[test]
    fn in_plain_mode_the_oldest_that_is_not_being_written_may_stand_inside_a_run() {
        let mut send_buffer = shared(Mode::Plain, 7, &[]);
        for _ in 0..3 {
            send_buffer.next(2);
        }
        assert_eq!((send_buffer.cursor, send_buffer.occupied()), (5, 2));
        assert!(send_buffer.evict_oldest());
        send_buffer.written(4);
        assert_eq!((send_buffer.occupied(), send_buffer.bytes()), (1, 2), "the fifth is being written");
        send_buffer.detach();
        assert_eq!(handed(&mut send_buffer, ALL), ["5", "7"]);
        send_buffer.written(2);
        assert_eq!((send_buffer.occupied(), send_buffer.bytes(), send_buffer.kept.is_empty()), (0, 0, true));
    }

    #[test]
    fn a_frame_beyond_the_buffer_waits_and_a_gap_does_not() {
        let mut send_buffer = send_buffer(Mode::Session, 3);
        assert!(!send_buffer.has_to_wait(2));
        assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(1), data(2)]);
        assert!(send_buffer.has_to_wait(2) && !send_buffer.has_to_wait(3));
        send_buffer.acknowledge(1).unwrap();
        assert!(!send_buffer.has_to_wait(2));
        assert_eq!(send_buffer.next(ALL), data(3));
        send_buffer.push_missing();
        assert!(!send_buffer.has_to_wait(2));
    }

    #[test]
    fn replays_after_the_count_of_the_peer() {
        let mut send_buffer = send_buffer(Mode::Session, 4);
        while send_buffer.next(ALL).is_some() {}
        send_buffer.acknowledge(2).unwrap();
        send_buffer.rewind(2);
        assert_eq!(
            [send_buffer.next(ALL), send_buffer.next(ALL), send_buffer.next(ALL)],
            [data(3), data(4), None]
        );
    }

    #[test]
    fn tells_a_gap_for_what_was_given_up_before_it_was_handed() {
        let mut send_buffer = send_buffer(Mode::Session, 5);
        assert_eq!(send_buffer.next(ALL), data(1));
        for _ in 0..3 {
            assert!(send_buffer.evict_oldest());
        }
        assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [gap(2, 3), data(4)]);
        assert_eq!(send_buffer.dropped(), 2, "the first was handed, and nobody has asked for it");
    }

    #[test]
    fn tells_a_gap_for_what_was_given_up_after_it_was_handed_only_when_a_resume_asks() {
        let mut send_buffer = send_buffer(Mode::Session, 3);
        while send_buffer.next(ALL).is_some() {}
        send_buffer.evict_oldest();
        send_buffer.evict_oldest();
        assert_eq!(send_buffer.next(ALL), None);
        send_buffer.rewind(1);
        assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [gap(2, 2), data(3)]);
        assert_eq!(send_buffer.dropped(), 1);
    }

    #[test]
    fn tells_a_gap_at_the_end_too() {
        let mut send_buffer = send_buffer(Mode::Session, 1);
        send_buffer.push_missing();
        send_buffer.push_missing();
        assert_eq!(
            [send_buffer.next(ALL), send_buffer.next(ALL), send_buffer.next(ALL)],
            [data(1), gap(2, 3), None]
        );
        assert_eq!(send_buffer.acknowledge(3), Ok(true));
    }

    #[test]
    fn refuses_counts_that_cannot_be() {
        let mut send_buffer = send_buffer(Mode::Session, 3);
        send_buffer.next(ALL);
        send_buffer.next(ALL);
        assert_eq!(send_buffer.acknowledge(3), Err(BadAck::Beyond), "accepted, but never sent");
        assert_eq!(send_buffer.acknowledge(2), Ok(true));
        assert_eq!(send_buffer.acknowledge(2), Ok(false));
        assert_eq!(send_buffer.acknowledge(1), Err(BadAck::Backwards));
    }

    #[test]
    fn a_count_from_an_older_socket_stays_possible_after_a_rewind() {
        let mut send_buffer = send_buffer(Mode::Session, 3);
        while send_buffer.next(ALL).is_some() {}
        send_buffer.rewind(1);
        assert_eq!(send_buffer.check_ack(3), Ok(()));
    }

    #[test]
    fn plain_mode_forgets_what_is_written_and_repeats_what_is_not() {
        let mut send_buffer = send_buffer(Mode::Plain, 3);
        assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(1), data(2)]);
        send_buffer.written(1);
        send_buffer.rewind(0);
        assert_eq!(
            [send_buffer.next(ALL), send_buffer.next(ALL), send_buffer.next(ALL)],
            [data(2), data(3), None]
        );
    }

    #[test]
    fn plain_mode_gives_up_the_oldest_that_is_not_being_written() {
        let mut send_buffer = send_buffer(Mode::Plain, 3);
        send_buffer.next(ALL);
        assert_eq!(send_buffer.occupied(), 2);
        assert!(send_buffer.evict_oldest());
        assert_eq!([send_buffer.next(ALL), send_buffer.next(ALL)], [data(3), None]);
        send_buffer.written(2);
        assert!(!send_buffer.evict_oldest());
        assert_eq!(send_buffer.bytes(), 0);
    }

    fn fates(send_buffer: &mut SendBuffer) -> Vec<(u64, Delivery)> {
        std::iter::from_fn(|| send_buffer.poll_delivery()).collect()
    }

    fn watched(frames: u64) -> SendBuffer {
        let mut send_buffer = SendBuffer::new(Mode::Session);
        for n in 1..=frames {
            send_buffer.push(Bytes::from(n.to_string()));
            send_buffer.watch_last();
        }
        send_buffer
    }

    #[test]
    fn an_acknowledgement_is_a_receipt() {
        let mut send_buffer = watched(3);
        while send_buffer.next(ALL).is_some() {}
        assert_eq!(fates(&mut send_buffer), []);
        send_buffer.acknowledge(2).unwrap();
        assert_eq!(fates(&mut send_buffer), [(1, Delivery::Delivered), (2, Delivery::Delivered)]);
        send_buffer.end_deliveries();
        assert_eq!(fates(&mut send_buffer), [(3, Delivery::Ended)]);
        assert!(send_buffer.deliveries.is_none());
    }

    #[test]
    fn what_is_given_up_before_it_was_handed_has_no_receipt_whatever_is_acknowledged() {
        let mut send_buffer = watched(3);
        send_buffer.evict_oldest();
        assert_eq!(fates(&mut send_buffer), [(1, Delivery::Dropped)]);
        while send_buffer.next(ALL).is_some() {}
        send_buffer.acknowledge(3).unwrap();
        assert_eq!(fates(&mut send_buffer), [(2, Delivery::Delivered), (3, Delivery::Delivered)]);
    }

    #[test]
    fn what_is_given_up_after_it_was_handed_may_have_arrived() {
        let mut send_buffer = watched(3);
        while send_buffer.next(ALL).is_some() {}
        send_buffer.evict_oldest();
        send_buffer.evict_oldest();
        assert_eq!(fates(&mut send_buffer), []);
        send_buffer.acknowledge(1).unwrap();
        assert_eq!(fates(&mut send_buffer), [(1, Delivery::Delivered)]);
        send_buffer.rewind(1);
        assert_eq!(fates(&mut send_buffer), [(2, Delivery::Dropped)]);
        while send_buffer.next(ALL).is_some() {}
        send_buffer.acknowledge(3).unwrap();
        assert_eq!(fates(&mut send_buffer), [(3, Delivery::Delivered)]);
    }

    #[test]
    fn what_is_given_up_with_nothing_kept_after_it_has_no_receipt() {
        let mut send_buffer = watched(2);
        while send_buffer.next(ALL).is_some() {}
        while send_buffer.evict_oldest() {}
        assert_eq!(fates(&mut send_buffer), []);
        send_buffer.rewind(0);
        assert_eq!(fates(&mut send_buffer), [(1, Delivery::Dropped), (2, Delivery::Dropped)]);
    }

    #[test]
    fn a_session_that_begins_anew_owes_no_receipts_of_the_old_one() {
        let mut send_buffer = watched(2);
        send_buffer.take_all();
        send_buffer.push(Bytes::from_static(b"1"));
        send_buffer.watch_last();
        assert_eq!(fates(&mut send_buffer), [(1, Delivery::Ended), (2, Delivery::Ended)]);
        send_buffer.next(ALL);
        send_buffer.acknowledge(1).unwrap();
        assert_eq!(fates(&mut send_buffer), [(1, Delivery::Delivered)]);
    }

    #[test]
    fn counts_each_dropped_frame_once() {
        let mut send_buffer = send_buffer(Mode::Session, 3);
        while send_buffer.next(ALL).is_some() {}
        send_buffer.evict_oldest();
        send_buffer.acknowledge(3).unwrap();
        for _ in 4..=6 {
            send_buffer.push(Bytes::from_static(b"x"));
        }
        send_buffer.evict_oldest();
        send_buffer.evict_oldest();
        while send_buffer.next(ALL).is_some() {}
        send_buffer.evict_oldest();
        send_buffer.rewind(3);
        assert_eq!(send_buffer.dropped(), 3, "4 and 5 before they were handed, 6 after; 1 has arrived");
    }
}
