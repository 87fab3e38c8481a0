//! [`Rare`]: state that most sessions do not have.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::questions::Questions;

/// State that most sessions do not have, in one allocation, so that the others pay one word for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Rare {
    /// Payloads of `$pong`s that wait to be written, oldest first.
    pub(super) pongs: VecDeque<Option<Bytes>>,
    pub(super) questions: Questions,
    /// When the credentials expire with which the attached socket was opened.
    pub(super) expires: Option<Instant>,
}

impl Rare {
    /// The rare state of a session that got this number of answers without an asker.
    pub(super) fn with_strays(strays: u64) -> Self {
        Self { questions: Questions::with_strays(strays), ..Self::default() }
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        let Self { pongs, questions, expires } = self;
        pongs.is_empty() && questions.is_empty() && expires.is_none()
    }

    /// Drops what belongs to one socket.
    pub(super) fn drop_socket(&mut self) {
        self.pongs.clear();
        self.expires = None;
    }
}
