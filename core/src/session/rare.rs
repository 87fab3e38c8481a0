//! [`RareState`]: state that most sessions do not have.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::discarded::Discards;
use super::held::Held;
use super::questions::Questions;
use super::volatile_queue::VolatileQueue;

/// State that most sessions do not have, in one allocation, so that the others pay one word for it.
#[derive(Debug, Clone, Default)]
pub(super) struct RareState {
    /// Payloads of `$pong`s that wait to be written, oldest first.
    pub(super) pongs: VecDeque<Option<Bytes>>,
    pub(super) questions: Questions,
    /// When the credentials expire with which the attached socket was opened.
    pub(super) expires: Option<Instant>,
    /// Volatile frames that wait to be written; `None` if there are none.
    pub(super) volatile: Option<Box<VolatileQueue>>,
    /// Number of volatile frames that were dropped, in both directions.
    pub(super) volatile_dropped: u64,
    pub(super) discards: Discards,
    /// The unacknowledged messages of a session whose window has passed.
    pub(super) expired: Vec<Bytes>,
    /// Received frames that are not committed; `None` if there are none.
    pub(super) held: Option<Box<Held>>,
}

impl RareState {
    /// The rare state of a session that got this number of answers without an asker, and dropped this number of volatile frames;
    /// `None` if both are 0.
    pub(super) fn of_counts(strays: u64, volatile_dropped: u64) -> Option<Box<Self>> {
        let questions = Questions::with_strays(strays);
        let rare = Self { questions, volatile_dropped, ..Self::default() };
        (!rare.is_empty()).then(|| Box::new(rare))
    }

    /// Whether something in it waits to be written.
    pub(super) fn is_pending(&self) -> bool {
        !self.pongs.is_empty() || self.questions.has_cancels() || self.volatile.is_some()
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        let Self { pongs, questions, volatile, volatile_dropped, expires, discards, expired, held } = self;
        pongs.is_empty()
            && questions.is_empty()
            && volatile.is_none()
            && *volatile_dropped == 0
            && expires.is_none()
            && discards.is_empty()
            && expired.is_empty()
            && held.is_none()
    }

    /// Drops what belongs to one socket.
    pub(super) fn drop_socket(&mut self) {
        self.pongs.clear();
        self.drop_volatile();
        self.expires = None;
    }

    /// Drops the waiting volatile frames.
    pub(super) fn drop_volatile(&mut self) {
        if let Some(volatile) = self.volatile.take() {
            self.volatile_dropped += volatile.len() as u64;
        }
    }
}
