//! [`SegmentWriter`]: writes messages into segments.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::segment::Segment;
use super::span::Span;

/// A segment holds at most this many messages: all of them stay in memory while one of them is in use.
const MAX_MESSAGES: usize = 64;

/// A segment of several messages holds at most this many bytes, for the same reason.
const MAX_BYTES: usize = 16 * 1024;

/// Writes messages into segments, and begins the next one when a segment is full.
///
/// The writer keeps no segment alive: a segment lives as long as a [`Span`] of it does.
#[derive(Debug, Default)]
pub struct SegmentWriter {
    segment: Weak<Segment>,
    /// Number of messages in the current segment.
    len: usize,
    /// Bytes of these messages.
    bytes: usize,
}

impl SegmentWriter {
    /// Stores a message, encoded in the form that the transports of all its receivers take. The span has number 0: see
    /// [`Span::numbered`].
    pub fn push(&mut self, message: Bytes) -> Span {
        let segment = self
            .segment
            .upgrade()
            .filter(|segment| self.len < segment.capacity() && self.bytes + message.len() <= MAX_BYTES);
        let segment = segment.unwrap_or_else(|| self.begin_segment());
        let index = self.len;
        self.len += 1;
        self.bytes += message.len();
        let end = u32::try_from(self.bytes).expect("a message is shorter than 4 GiB");
        segment.fill(index, message, end);
        Span::shared(segment, u32::try_from(index).expect("a segment is short"))
    }

    fn begin_segment(&mut self) -> Arc<Segment> {
        // Double the length while the previous segment is still in use: it was too short. Otherwise keep the length.
        let in_use = self.segment.strong_count() > 0;
        let len = if in_use { 2 * self.len } else { self.len };
        let segment = Arc::new(Segment::new(len.clamp(1, MAX_MESSAGES)));
        self.segment = Arc::downgrade(&segment);
        (self.len, self.bytes) = (0, 0);
        segment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::span::Source;
    use crate::session::transmit::Transmit;

    fn message(n: usize) -> Bytes {
        n.to_string().into()
    }

    fn segment(span: &Span) -> &Arc<Segment> {
        match &span.source {
            Source::Shared(segment) => segment,
            Source::Direct(_) => panic!("a writer's spans are shared"),
        }
    }

    #[test]
    fn segments_grow_while_older_ones_are_in_use() {
        let mut writer = SegmentWriter::default();
        let spans: Vec<_> = (0..200).map(|n| writer.push(message(n))).collect();
        let segments: Vec<_> = spans.chunk_by(|a, b| Arc::ptr_eq(segment(a), segment(b))).collect();
        let lengths: Vec<_> = segments.iter().map(|spans| spans.len()).collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 64, 9]);
    }

    #[test]
    fn consecutive_messages_are_joined() {
        let mut writer = SegmentWriter::default();
        let spans: Vec<_> = (0..200).map(|n| writer.push(message(n))).collect();
        let last = segment(&spans[199]);
        let Transmit::Batch(batch) = last.transmit(2, 3) else { panic!("three messages are a batch") };
        assert_eq!((&batch.bytes[..], &batch.ends[..]), (&b"193194195"[..], &[3, 6, 9][..]));
        assert_eq!(batch.frames().collect::<Vec<_>>(), [message(193), message(194), message(195)]);
        assert_eq!(last.transmit(8, 1), Transmit::Data(message(199)));
        assert_eq!((last.bytes(0, 9), last.bytes(2, 3), last.bytes(8, 1)), (27, 9, 3));
    }

    #[test]
    fn a_batch_for_several_sessions_is_joined_once() {
        let mut writer = SegmentWriter::default();
        let spans = [0, 1, 2].map(|n| writer.push(message(n)));
        let [Transmit::Batch(a), Transmit::Batch(b)] = [(); 2].map(|()| segment(&spans[2]).transmit(0, 2))
        else {
            panic!("two messages are a batch")
        };
        assert_eq!(a.bytes.as_ptr(), b.bytes.as_ptr());
    }

    #[test]
    fn a_writer_keeps_no_segment_alive() {
        let mut writer = SegmentWriter::default();
        let first = writer.push(message(1));
        let weak = Arc::downgrade(segment(&first));
        drop(first);
        assert_eq!(weak.strong_count(), 0);
        assert_eq!(writer.push(message(2)).index, 0);
    }

    #[test]
    fn big_messages_do_not_keep_each_other_alive() {
        let mut writer = SegmentWriter::default();
        let spans = [0, 1, 2].map(|_| writer.push(Bytes::from(vec![0; MAX_BYTES])));
        assert!(spans.iter().all(|span| span.index == 0));
    }
}
