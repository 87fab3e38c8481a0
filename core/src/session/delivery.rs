//! [`Deliveries`]: the frames of which somebody wants to know what became of them.

use std::collections::VecDeque;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// The peer has received it.
    Delivered,
    /// It was given up, and the peer is told that it misses it.
    Dropped,
    /// The session ended first: the peer may have received it, or not.
    Ended,
}

/// Numbers of frames, each until it is known what became of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Deliveries {
    /// Ascending.
    waiting: VecDeque<u64>,
    decided: VecDeque<(u64, Delivery)>,
}

impl Deliveries {
    /// Waits for the frame that was accepted last.
    pub(super) fn watch(&mut self, number: u64) {
        debug_assert!(self.waiting.back().is_none_or(|&last| last < number), "numbers ascend");
        self.waiting.push_back(number);
    }

    /// The peer has received everything up to `number` that was not given up.
    pub(super) fn acknowledged(&mut self, number: u64) {
        while let Some(&first) = self.waiting.front().filter(|first| **first <= number) {
            self.waiting.pop_front();
            self.decided.push_back((first, Delivery::Delivered));
        }
    }

    /// The peer will never get this frame.
    pub(super) fn dropped(&mut self, number: u64) {
        if let Ok(index) = self.waiting.binary_search(&number) {
            self.waiting.remove(index);
            self.decided.push_back((number, Delivery::Dropped));
        }
    }

    /// The peer will never get any frame below `number` that is still waited for.
    pub(super) fn dropped_below(&mut self, number: u64) {
        while let Some(&first) = self.waiting.front().filter(|first| **first < number) {
            self.waiting.pop_front();
            self.decided.push_back((first, Delivery::Dropped));
        }
    }

    /// Nothing more will be known.
    pub(super) fn end(&mut self) {
        self.decided.extend(self.waiting.drain(..).map(|number| (number, Delivery::Ended)));
    }

    /// What has become known, in the order in which it did.
    pub(super) fn poll(&mut self) -> Option<(u64, Delivery)> {
        self.decided.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.decided.is_empty()
    }
}
