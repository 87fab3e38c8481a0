//! [`Questions`]: the questions that the application waits for answers to, and those that it answers.

use std::collections::{HashMap, VecDeque};
use std::task::{Poll, Waker};

use crate::Frame;

use super::Cancelled;

/// Maximum number of `$cancel`s that wait to be written. More are dropped: a cancellation is best effort.
const MAX_CANCELS: usize = 64;

/// A result of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "an asker has to handle each")]
pub enum Answer {
    /// An answer. If [`Frame::more`] is not set, it is the last one.
    Frame(Frame),
    /// Client: the session was lost, and with it the question or its answers. The peer may or may not have handled the question.
    SessionLost,
    /// The session ended, or is closing. The peer may or may not have handled the question.
    Ended,
}

/// The questions of a session, in both directions. Most sessions have none, and no `Questions`.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions {
    /// Questions of our application that are not over, by their ids.
    open: HashMap<Box<str>, Question>,
    /// Number of questions that were opened.
    opened: u64,
    /// Number of answers that the application has not taken, and of their bytes.
    unread: usize,
    unread_bytes: usize,
    /// The ids of cancelled questions, which the peer gets by `$cancel`, each with the number of the last frame that was accepted
    /// before: the question or a later one.
    cancels: VecDeque<(u64, Box<str>)>,
    /// The peer's questions that our application is answering.
    answering: Vec<(Box<str>, Cancelled)>,
    /// The tasks to wake.
    wakers: Vec<Waker>,
    /// Number of answers without an asker.
    pub(super) strays: u64,
}

/// A question of our application.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    /// The order in which the questions were asked.
    number: u64,
    /// Answers that the application has not taken, with their sizes on the wire, in bytes.
    answers: VecDeque<(Frame, usize)>,
    /// The result after them, once no more answers can arrive; never `Answer::Frame`. `None` after a last answer.
    end: Option<Answer>,
    /// No more answers are accepted.
    pub(super) is_complete: bool,
    /// The task that waits.
    pub(super) asker: Option<Waker>,
}

impl Questions {
    /// No questions, but this number of answers without an asker.
    pub(super) fn with_strays(strays: u64) -> Self {
        Self { strays, ..Self::default() }
    }

    /// Opens a question. Returns `false` if another question with this id is open.
    pub(super) fn open(&mut self, id: &str) -> bool {
        if self.open.contains_key(id) {
            return false;
        }
        self.opened += 1;
        self.open.insert(id.into(), Question { number: self.opened, ..Question::default() });
        true
    }

    /// Passes an answer of `size` bytes to the question that it answers. Returns whether there was one.
    pub(super) fn answer(&mut self, frame: Frame, size: usize) -> bool {
        let question = self.open.get_mut(frame.re()).filter(|question| !question.is_complete);
        let Some(question) = question else { return false };
        question.is_complete = !frame.more();
        question.answers.push_back((frame, size));
        self.unread += 1;
        self.unread_bytes += size;
        self.wakers.extend(question.asker.take());
        true
    }

    /// Takes the next result of a question. A question that is not open has ended.
    pub(super) fn poll(&mut self, id: &str) -> Poll<Answer> {
        let Some(question) = self.open.get_mut(id) else { return Poll::Ready(Answer::Ended) };
        if let Some((frame, size)) = question.answers.pop_front() {
            self.unread -= 1;
            self.unread_bytes -= size;
            if !frame.more() {
                self.open.remove(id);
            }
            return Poll::Ready(Answer::Frame(frame));
        }
        if let Some(end) = question.end.take() {
            self.open.remove(id);
            return Poll::Ready(end);
        }
        Poll::Pending
    }

    /// The place for the waker of the task that waits for this question; `None` unless it is open.
    pub(super) fn asker(&mut self, id: &str) -> Option<&mut Option<Waker>> {
        self.open.get_mut(id).map(|question| &mut question.asker)
    }

    /// Closes a question whose further answers are not needed.
    pub(super) fn close(&mut self, id: &str) -> Option<Question> {
        let question = self.open.remove(id)?;
        self.unread -= question.answers.len();
        self.unread_bytes -= question.answers.iter().map(|(_, size)| size).sum::<usize>();
        Some(question)
    }

    /// Bytes of answers that the application has not taken.
    pub(super) fn unread_bytes(&self) -> usize {
        self.unread_bytes
    }

    /// Completes every question with `end`.
    pub(super) fn end_all(&mut self, end: &Answer) {
        let mut questions: Vec<_> = self.open.values_mut().filter(|question| !question.is_complete).collect();
        // Wake the tasks in the order of their questions.
        questions.sort_unstable_by_key(|question| question.number);
        for question in questions {
            question.is_complete = true;
            question.end = Some(end.clone());
            self.wakers.extend(question.asker.take());
        }
    }

    /// Whether the peer has to wait for the application to take answers.
    pub(super) fn is_full(&self, frames: usize, bytes: usize) -> bool {
        self.unread >= frames || self.unread_bytes >= bytes
    }

    /// Queues a `$cancel`, to be written behind the data frame `number`.
    pub(super) fn push_cancel(&mut self, id: &str, number: u64) {
        if self.cancels.len() < MAX_CANCELS {
            self.cancels.push_back((number, id.into()));
        }
    }

    /// Takes the id of the next `$cancel` to write, when the data frames up to `number` are written.
    pub(super) fn pop_cancel(&mut self, number: u64) -> Option<Box<str>> {
        // `VecDeque::pop_front_if` needs Rust 1.93, and our oldest is 1.88.
        self.cancels.front().filter(|(after, _)| *after <= number)?;
        self.cancels.pop_front().map(|(_, id)| id)
    }

    pub(super) fn has_cancels(&self) -> bool {
        !self.cancels.is_empty()
    }

    pub(super) fn drop_cancels(&mut self) {
        self.cancels.clear();
    }

    /// Notes that our application is answering a question of the peer.
    pub(super) fn begin_answer(&mut self, id: &str) -> Cancelled {
        let cancelled = Cancelled::default();
        self.answering.push((id.into(), cancelled.clone()));
        cancelled
    }

    /// Notes that our application is not answering this question any more.
    pub(super) fn end_answer(&mut self, cancelled: &Cancelled) {
        self.answering.retain(|(_, other)| !other.is(cancelled));
    }

    /// The peer no longer wants an answer to this question of its.
    pub(super) fn cancel_answer(&mut self, id: &str) {
        for (_, cancelled) in self.answering.iter().filter(|(answering, _)| **answering == *id) {
            self.wakers.append(&mut cancelled.cancel());
        }
    }

    pub(super) fn has_wakers(&self) -> bool {
        !self.wakers.is_empty()
    }

    /// Takes the tasks to wake.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    /// Whether a question is open.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether a question is open, or being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.has_open() || !self.answering.is_empty()
    }

    /// Whether nothing in it is worth keeping.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_busy() && self.cancels.is_empty() && self.wakers.is_empty() && self.strays == 0
    }
}
