//! [`Span`]: consecutive messages under consecutive numbers.

use std::sync::Arc;

use bytes::Bytes;

use super::segment::Segment;
use super::transmit::Transmit;

/// Consecutive messages: at least one.
///
/// A room log numbers messages by their offset in the log, a session by their sequence number, so a span is renumbered when it
/// moves from the log to a session. A session keeps consecutive messages of one segment as a single span, which takes no more
/// memory than one message, and sends them in one write.
#[derive(Debug, Clone)]
pub struct Span {
    /// The number of the first message.
    pub(super) first: u64,
    /// The number of messages.
    pub(super) len: u32,
    /// The index of the first message in its segment.
    pub(super) index: u32,
    pub(super) source: Source,
}

/// Where the messages of a span are stored.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// One message that no other session uses.
    Direct(Bytes),
    /// A segment that several sessions use.
    Shared(Arc<Segment>),
}

impl Span {
    /// One message, with number 0.
    pub(super) fn direct(message: Bytes) -> Self {
        Self { first: 0, len: 1, index: 0, source: Source::Direct(message) }
    }

    /// One message of a segment, with number 0.
    pub(super) fn shared(segment: Arc<Segment>, index: u32) -> Self {
        Self { first: 0, len: 1, index, source: Source::Shared(segment) }
    }

    /// Renumbers the messages, from `first` on.
    #[must_use]
    pub fn numbered(self, first: u64) -> Self {
        Self { first, ..self }
    }

    /// The messages with numbers below `end`, which must be above the first number.
    #[must_use]
    pub fn before(&self, end: u64) -> Self {
        let len = u32::try_from(end - self.first).expect("the number is above the first");
        Self { len: len.min(self.len), ..self.clone() }
    }

    /// The number of the first message.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number after that of the last message.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.len)
    }

    /// The number of messages.
    #[allow(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// The message at this offset.
    pub fn message(&self, offset: u32) -> &Bytes {
        match &self.source {
            Source::Direct(message) => message,
            Source::Shared(segment) => segment.message(self.index + offset),
        }
    }

    /// The bytes of all messages except the first `skip`.
    pub fn bytes(&self, skip: u32) -> usize {
        match &self.source {
            Source::Direct(message) => message.len(),
            Source::Shared(segment) => segment.bytes(self.index + skip, self.len - skip),
        }
    }

    /// Each message except the first `skip`, as a span.
    pub fn singles(&self, skip: u32) -> impl Iterator<Item = Self> + '_ {
        let single = |offset| Self {
            first: self.first + u64::from(offset),
            len: 1,
            index: self.index + offset,
            source: self.source.clone(),
        };
        (skip..self.len).map(single)
    }

    /// Removes and returns the messages from `offset` on, which must not be 0; `None` if there are none.
    pub(super) fn split_off(&mut self, offset: u32) -> Option<Self> {
        let rest = self.without(offset, self.first + u64::from(offset));
        self.len = self.len.min(offset);
        rest
    }

    /// The messages except the first `skip`, numbered from `first` on; `None` if there are none.
    pub(super) fn without(&self, skip: u32, first: u64) -> Option<Self> {
        let len = self.len.checked_sub(skip).filter(|len| *len > 0)?;
        Some(Self { first, len, index: self.index + skip, source: self.source.clone() })
    }

    /// Whether the messages of `next` except the first `skip`, numbered from `first` on, continue this span.
    pub(super) fn is_continued_by(&self, next: &Self, skip: u32, first: u64) -> bool {
        let (Source::Shared(segment), Source::Shared(other)) = (&self.source, &next.source) else {
            return false;
        };
        self.end() == first && self.index + self.len == next.index + skip && Arc::ptr_eq(segment, other)
    }

    /// Removes the first message, unless it is the only one.
    pub(super) fn drop_first(&mut self) -> bool {
        if self.len == 1 {
            return false;
        }
        self.first += 1;
        self.index += 1;
        self.len -= 1;
        true
    }

    /// The `count` messages from `offset` on, as something to write.
    pub(super) fn transmit(&self, offset: u32, count: u32) -> Transmit {
        match &self.source {
            Source::Direct(message) => Transmit::Data(message.clone()),
            Source::Shared(segment) => segment.transmit(self.index + offset, count),
        }
    }

    pub(super) fn into_messages(self) -> impl Iterator<Item = Bytes> {
        (0..self.len).map(move |offset| self.message(offset).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SegmentWriter;

    /// Seven messages; the last four share a segment.
    fn seven() -> Vec<Span> {
        let mut writer = SegmentWriter::default();
        (0..7).map(|n: u64| writer.push(n.to_string().into()).numbered(n)).collect()
    }

    #[test]
    fn only_consecutive_messages_continue_a_span() {
        let (ours, others) = (seven(), seven());
        let span = &ours[3];
        assert!(span.is_continued_by(&ours[4], 0, 4));
        assert!(!span.is_continued_by(&ours[4], 0, 5), "a number is missing");
        assert!(!span.is_continued_by(&ours[5], 0, 4), "a message is missing");
        assert!(!span.is_continued_by(&others[4], 0, 4), "it is another segment");
        assert!(!Span::direct("a".into()).is_continued_by(&Span::direct("b".into()), 0, 1));
    }

    #[test]
    fn a_span_is_split_into_two() {
        let mut span = Span { len: 4, ..seven()[3].clone() };
        let texts = |span: &Span| -> Vec<_> {
            span.singles(0).map(|single| (single.first, single.message(0).clone())).collect()
        };
        assert_eq!(span.bytes(1), 3);
        let rest = span.split_off(3).unwrap();
        assert_eq!(texts(&span), [(3, "3".into()), (4, "4".into()), (5, "5".into())]);
        assert_eq!(texts(&rest), [(6, "6".into())]);
        assert!(span.split_off(3).is_none() && span.len() == 3);
        assert_eq!(span.singles(2).map(|single| single.end()).collect::<Vec<_>>(), [6]);
    }
}
