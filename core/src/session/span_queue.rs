//! [`SpanQueue`]: the spans of a log or a send buffer, in the order of their numbers.

use std::collections::VecDeque;

use super::span::Span;

/// Spans in ascending order of their numbers; numbers may be missing. Usually there is at most one span, so the first is stored
/// inline: reading it touches no other cache line.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpanQueue {
    first: Option<Span>,
    /// All spans after the first; `None` if there are none.
    #[allow(clippy::box_collection, reason = "usually there are none, and each session has this field")]
    rest: Option<Box<VecDeque<Span>>>,
}

impl SpanQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn front(&self) -> Option<&Span> {
        self.first.as_ref()
    }

    pub(crate) fn back(&self) -> Option<&Span> {
        match &self.rest {
            Some(rest) => rest.back(),
            None => self.first.as_ref(),
        }
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut Span> {
        match &mut self.rest {
            Some(rest) => rest.back_mut(),
            None => self.first.as_mut(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Span> {
        match index.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.rest.as_ref()?.get(index),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Span> {
        match index.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => self.rest.as_mut()?.get_mut(index),
        }
    }

    /// Appends the messages of a span except the first `skip`, numbered from `first` on. If they continue the last span, extends
    /// it, which does not touch the segment's reference count.
    pub(crate) fn append(&mut self, span: &Span, skip: u32, first: u64) {
        match self.back_mut() {
            Some(last) if last.is_continued_by(span, skip, first) => last.len += span.len - skip,
            _ => {
                if let Some(span) = span.without(skip, first) {
                    self.push_back(span);
                }
            }
        }
    }

    pub(crate) fn push_back(&mut self, span: Span) {
        if self.first.is_none() {
            self.first = Some(span);
        } else {
            self.rest.get_or_insert_default().push_back(span);
        }
    }

    /// Inserts a span at this index.
    pub(super) fn insert(&mut self, index: usize, span: Span) {
        match index.checked_sub(1) {
            None => {
                let second = self.first.replace(span);
                if let Some(second) = second {
                    self.rest.get_or_insert_default().push_front(second);
                }
            }
            Some(index) => self.rest.get_or_insert_default().insert(index, span),
        }
    }

    pub(crate) fn pop_front(&mut self) {
        self.remove(0);
    }

    /// Removes the first message.
    pub(super) fn pop_message(&mut self) {
        if !self.first.as_mut().is_some_and(Span::drop_first) {
            self.pop_front();
        }
    }

    /// Removes the message at this offset of the span at this index; those after it become a separate span.
    pub(super) fn remove_message(&mut self, index: usize, offset: u32) {
        let Some(span) = self.get_mut(index) else { return };
        if offset > 0 {
            let rest = span.split_off(offset + 1);
            span.len = offset;
            if let Some(rest) = rest {
                self.insert(index + 1, rest);
            }
        } else if !span.drop_first() {
            self.remove(index);
        }
    }

    /// The spans from this index on.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = &Span> {
        let first = self.first.iter().skip(index);
        first.chain(
            self.rest.iter().flat_map(move |rest| rest.range(index.saturating_sub(1).min(rest.len())..)),
        )
    }

    pub(crate) fn remove(&mut self, index: usize) {
        let rest = self.rest.as_deref_mut();
        match index.checked_sub(1) {
            None => self.first = rest.and_then(VecDeque::pop_front),
            Some(index) => drop(rest.and_then(|rest| rest.remove(index))),
        }
        // Free the allocation, so that an idle session holds none.
        self.rest = self.rest.take().filter(|rest| !rest.is_empty());
    }

    /// The index of the first span for which `holds` returns `false`; it returns `true` for all spans before that.
    pub(crate) fn partition_point(&self, mut holds: impl FnMut(&Span) -> bool) -> usize {
        match &self.first {
            Some(first) if holds(first) => {
                1 + self.rest.as_ref().map_or(0, |rest| rest.partition_point(holds))
            }
            _ => 0,
        }
    }
}

impl IntoIterator for SpanQueue {
    type Item = Span;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<Span>, std::collections::vec_deque::IntoIter<Span>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest.map(|rest| *rest).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn span(number: u64) -> Span {
        Span::direct(Bytes::new()).numbered(number)
    }

    #[test]
    fn behaves_like_a_deque() {
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let (mut spans, mut deque) = (SpanQueue::default(), VecDeque::new());
        for step in 0..10_000_u64 {
            // Alternately grows and shrinks, so that it is empty at times.
            match random(if step % 200 < 100 { 4 } else { 8 }) {
                0 | 1 => {
                    spans.push_back(span(step));
                    deque.push_back(step);
                }
                2 => {
                    let index = random(deque.len() + 1);
                    spans.insert(index, span(step));
                    deque.insert(index, step);
                }
                3 => {
                    let index = random(deque.len() + 2);
                    spans.remove(index);
                    deque.remove(index);
                }
                _ => {
                    spans.pop_front();
                    deque.pop_front();
                }
            }
            let number = Span::first;
            assert_eq!(spans.clone().into_iter().map(|span| span.first).collect::<VecDeque<_>>(), deque);
            assert_eq!(spans.is_empty(), deque.is_empty());
            assert_eq!(spans.front().map(number), deque.front().copied());
            assert_eq!(spans.back().map(number), deque.back().copied());
            assert_eq!(spans.back_mut().map(|span| span.first), deque.back().copied());
            let index = random(deque.len() + 1);
            assert_eq!(spans.get(index).map(number), deque.get(index).copied());
            assert_eq!(spans.get_mut(index).map(|span| span.first), deque.get(index).copied());
            assert_eq!(spans.rest.is_some(), deque.len() > 1, "a single span needs no allocation");
        }
    }

    #[test]
    fn finds_a_number() {
        for count in 0..5 {
            let mut kept = SpanQueue::default();
            (0..count).for_each(|number| kept.push_back(span(number)));
            for number in 0..=count {
                assert_eq!(kept.partition_point(|span| span.first < number), number as usize);
            }
        }
    }
}
