//! [`Deliveries`]: frames whose delivery outcome is awaited.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The outcome of a sent frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// The peer has received the frame.
    Delivered,
    /// The frame was dropped, and the peer is notified of a gap.
    Dropped,
    /// The session ended first; the peer may or may not have received the frame.
    Ended,
}

/// Numbers of watched frames, each until its outcome is reported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deliveries {
    /// Frames without an outcome, in ascending order.
    pub waiting: VecDeque<u64>,
    /// Frames whose outcome has become known, and was not taken by [`Session::poll_delivery`](super::Session::poll_delivery).
    pub decided: VecDeque<(u64, Delivery)>,
}

impl Deliveries {
    /// Watches the frame that was accepted last.
    pub(super) fn watch(&mut self, number: u64) {
        debug_assert!(self.waiting.back().is_none_or(|&last| last < number), "numbers ascend");
        self.waiting.push_back(number);
    }

    /// Records that the peer has received all frames up to `number` that were not dropped.
    pub(super) fn acknowledged(&mut self, number: u64) {
        while let Some(&first) = self.waiting.front().filter(|first| **first <= number) {
            self.waiting.pop_front();
            self.decided.push_back((first, Delivery::Delivered));
        }
    }

    /// Records that a frame will never be delivered.
    pub(super) fn dropped(&mut self, number: u64) {
        if let Ok(index) = self.waiting.binary_search(&number) {
            self.waiting.remove(index);
            self.decided.push_back((number, Delivery::Dropped));
        }
    }

    /// Records that no frame below `number` that is still watched will be delivered.
    pub(super) fn dropped_below(&mut self, number: u64) {
        while let Some(&first) = self.waiting.front().filter(|first| **first < number) {
            self.waiting.pop_front();
            self.decided.push_back((first, Delivery::Dropped));
        }
    }

    /// Records that no further outcome will become known.
    pub(super) fn end(&mut self) {
        self.decided.extend(self.waiting.drain(..).map(|number| (number, Delivery::Ended)));
    }

    /// Returns the next outcome, in the order in which they became known.
    pub(super) fn poll(&mut self) -> Option<(u64, Delivery)> {
        self.decided.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.decided.is_empty()
    }
}
