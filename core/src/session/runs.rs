//! [`Runs`]: what an outbox keeps, in runs of frames that follow each other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::tape::{Piece, Segment};

/// Frames that follow each other, in their numbers and where they are kept.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// The number of the first of them.
    pub(super) number: u64,
    /// How many they are: one at least.
    pub(super) frames: u32,
    /// Of shared ones: the place of the first in its segment.
    pub(super) index: u32,
    pub(super) source: Source,
}

/// Where frames are kept.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// One, here.
    Own(Bytes),
    /// With those of other sessions.
    Shared(Arc<Segment>),
}

impl Run {
    pub(super) fn last(&self) -> u64 {
        self.number + u64::from(self.frames) - 1
    }

    /// The bytes of the frame at this place.
    pub(super) fn len_of(&self, offset: u32) -> usize {
        self.message(offset).len()
    }

    /// Drops the first frame, if it is not the only one.
    pub(super) fn drop_first(&mut self) -> bool {
        if self.frames == 1 {
            return false;
        }
        self.number += 1;
        self.index += 1;
        self.frames -= 1;
        true
    }

    /// The frame at this place.
    pub(super) fn message(&self, offset: u32) -> &Bytes {
        match &self.source {
            Source::Own(message) => message,
            Source::Shared(segment) => segment.frame(self.index + offset),
        }
    }

    pub(super) fn piece(&self, offset: u32, count: u32) -> Piece {
        match &self.source {
            Source::Own(message) => Piece::One(message.clone()),
            Source::Shared(segment) => segment.piece(self.index + offset, count),
        }
    }

    pub(super) fn into_messages(self) -> impl Iterator<Item = Bytes> {
        (0..self.frames).map(move |offset| self.message(offset).clone())
    }
}

/// Runs in the order of their numbers. Mostly there is one, or none: that one is found without another look into memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    first: Option<Run>,
    /// Those behind the first, where there are any.
    #[allow(clippy::box_collection, reason = "mostly there are none, and each session has this")]
    rest: Option<Box<VecDeque<Run>>>,
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn front(&self) -> Option<&Run> {
        self.first.as_ref()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Run> {
        self.first.as_mut()
    }

    pub(super) fn back(&self) -> Option<&Run> {
        match &self.rest {
            Some(rest) => rest.back(),
            None => self.first.as_ref(),
        }
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut Run> {
        match &mut self.rest {
            Some(rest) => rest.back_mut(),
            None => self.first.as_mut(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Run> {
        match index.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.rest.as_ref()?.get(index),
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Run> {
        match index.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => self.rest.as_mut()?.get_mut(index),
        }
    }

    pub(super) fn push_back(&mut self, run: Run) {
        if self.first.is_none() {
            self.first = Some(run);
        } else {
            self.rest.get_or_insert_default().push_back(run);
        }
    }

    /// Puts a run behind the one before this index.
    pub(super) fn insert(&mut self, index: usize, run: Run) {
        match index.checked_sub(1) {
            None => {
                let second = self.first.replace(run);
                if let Some(second) = second {
                    self.rest.get_or_insert_default().push_front(second);
                }
            }
            Some(index) => self.rest.get_or_insert_default().insert(index, run),
        }
    }

    pub(super) fn pop_front(&mut self) {
        self.remove(0);
    }

    pub(super) fn remove(&mut self, index: usize) {
        let rest = self.rest.as_deref_mut();
        match index.checked_sub(1) {
            None => self.first = rest.and_then(VecDeque::pop_front),
            Some(index) => drop(rest.and_then(|rest| rest.remove(index))),
        }
        // An idle session costs no buffers.
        self.rest = self.rest.take().filter(|rest| !rest.is_empty());
    }

    /// The place of the first run for which this does not hold; for those before it, it does.
    pub(super) fn partition_point(&self, mut holds: impl FnMut(&Run) -> bool) -> usize {
        match &self.first {
            Some(first) if holds(first) => {
                1 + self.rest.as_ref().map_or(0, |rest| rest.partition_point(holds))
            }
            _ => 0,
        }
    }
}

impl IntoIterator for Runs {
    type Item = Run;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Run>, std::collections::vec_deque::IntoIter<Run>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest.map(|rest| *rest).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64) -> Run {
        Run { number, frames: 1, index: 0, source: Source::Own(Bytes::new()) }
    }

    #[test]
    fn is_a_deque_like_any_other() {
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let (mut runs, mut deque) = (Runs::default(), VecDeque::new());
        for step in 0..10_000_u64 {
            // Up and down: empty now and then.
            match random(if step % 200 < 100 { 4 } else { 8 }) {
                0 | 1 => {
                    runs.push_back(run(step));
                    deque.push_back(step);
                }
                2 => {
                    let index = random(deque.len() + 1);
                    runs.insert(index, run(step));
                    deque.insert(index, step);
                }
                3 => {
                    let index = random(deque.len() + 2);
                    runs.remove(index);
                    deque.remove(index);
                }
                _ => {
                    runs.pop_front();
                    deque.pop_front();
                }
            }
            let number = |run: &Run| run.number;
            assert_eq!(runs.clone().into_iter().map(|run| run.number).collect::<VecDeque<_>>(), deque);
            assert_eq!(runs.is_empty(), deque.is_empty());
            assert_eq!(runs.front().map(number), deque.front().copied());
            assert_eq!(runs.back().map(number), deque.back().copied());
            assert_eq!(runs.back_mut().map(|run| run.number), deque.back().copied());
            let index = random(deque.len() + 1);
            assert_eq!(runs.get(index).map(number), deque.get(index).copied());
            assert_eq!(runs.get_mut(index).map(|run| run.number), deque.get(index).copied());
            assert_eq!(runs.rest.is_some(), deque.len() > 1, "no buffer where none is needed");
        }
    }

    #[test]
    fn finds_the_place_of_a_number() {
        for runs in 0..5 {
            let mut kept = Runs::default();
            (0..runs).for_each(|number| kept.push_back(run(number)));
            for number in 0..=runs {
                assert_eq!(kept.partition_point(|run| run.number < number), number as usize);
            }
        }
    }
}
