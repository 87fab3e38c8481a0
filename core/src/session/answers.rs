//! Questions and their answers, in both directions (PROTOCOL.md §11), and the rare state that holds them.

use std::task::{Poll, Waker};

use crate::{Control, Frame};

use super::{Answer, Cancelled, Mode, Session, Transmit};

impl Session {
    /// Opens a question: the data frame with this id that the application is about to send. Returns `false` if another open
    /// question has this id.
    //= PROTOCOL.md#R11.2: MUST have an `id` that no other open question
    #[must_use = "a question with the id of another would get its answers"]
    pub fn open_question(&mut self, id: &str) -> bool {
        self.rare.get_or_insert_default().questions.open(id)
    }

    /// Takes the next answer of an open question. If there is nothing yet, the task of `cx` is among those that
    /// [`Self::take_wakers`] returns when there is.
    ///
    /// As with [`Self::poll_event`], an acknowledgement may be due afterwards.
    pub fn poll_answer(&mut self, id: &str) -> Poll<Answer> {
        let Some(rare) = &mut self.rare else { return Poll::Ready(Answer::Ended) };
        let answer = rare.questions.poll(id);
        if answer.is_ready() {
            self.free_rare();
            self.count_ahead(self.config.inbox_frames, self.config.inbox_bytes);
        }
        answer
    }

    /// The place for the waker of the task that waits for an answer to this question; `None` unless it is open.
    pub fn asker(&mut self, id: &str) -> Option<&mut Option<Waker>> {
        self.rare.as_mut()?.questions.asker(id)
    }

    /// Closes an open question: the application no longer wants an answer. In session mode the peer is notified with `$cancel`,
    /// unless the question was not sent. Returns the waker of the task that has waited.
    pub fn close_question(&mut self, id: &str, was_sent: bool) -> Option<Waker> {
        let notifies = was_sent && self.config.mode == Mode::Session && self.is_open();
        let rare = self.rare.as_mut()?;
        let closed = rare.questions.close(id)?;
        if !closed.is_complete && notifies {
            rare.questions.push_cancel(id, self.send_buffer.accepted());
        }
        self.free_rare();
        self.count_ahead(self.config.inbox_frames, self.config.inbox_bytes);
        closed.asker
    }

    /// Notes that the application is answering a question of the peer, until [`Self::end_answer`].
    pub fn begin_answer(&mut self, id: &str) -> Cancelled {
        self.rare.get_or_insert_default().questions.begin_answer(id)
    }

    /// Notes that the application is no longer answering this question.
    pub fn end_answer(&mut self, cancelled: &Cancelled) {
        if let Some(rare) = &mut self.rare {
            rare.questions.end_answer(cancelled);
            self.free_rare();
        }
    }

    /// Whether the application waits for an answer of the peer.
    pub fn has_open_questions(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.questions.has_open())
    }

    /// Whether a question is open, or being answered.
    pub(super) fn has_questions(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.questions.is_busy())
    }

    /// Takes the tasks whose questions got something, or were cancelled.
    pub fn take_wakers(&mut self) -> Vec<Waker> {
        self.rare.as_mut().map(|rare| rare.questions.take_wakers()).unwrap_or_default()
    }

    /// Whether tasks have to be woken for their questions.
    pub fn has_wakers(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.questions.has_wakers())
    }

    /// Passes a counted answer to its question.
    //= PROTOCOL.md#R11.11: MUST count an answer without an asker, and drop it
    pub(super) fn pass_answer(&mut self, frame: Frame, size: usize) {
        let questions = &mut self.rare.get_or_insert_default().questions;
        if !questions.answer(frame, size) {
            questions.strays += 1;
        }
    }

    /// Handles a `$cancel`: our application is notified, whether it is answering the question or has not taken it yet.
    pub(super) fn handle_cancel(&mut self, id: &str) {
        self.events.cancel(id);
        if let Some(ahead) = &mut self.ahead {
            ahead.cancel(id);
        }
        if let Some(rare) = &mut self.rare {
            rare.questions.cancel_answer(id);
        }
    }

    /// Returns the next `$cancel` whose question was written to the attached socket. It comes before later data frames: a later
    /// question may have the same id.
    pub(super) fn transmit_cancel(&mut self) -> Option<Transmit> {
        let id = self.rare.as_mut()?.questions.pop_cancel(self.send_buffer.cursor())?;
        self.free_rare();
        Some(Transmit::Control(Control::Cancel(id)))
    }

    /// Ends all open questions, because no more answers can arrive.
    pub(super) fn end_questions(&mut self, end: &Answer) {
        if let Some(rare) = &mut self.rare {
            rare.questions.end_all(end);
            rare.questions.drop_cancels();
        }
    }

    /// Number of answers without an asker.
    pub(super) fn stray_answers(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.questions.strays)
    }

    /// Drops the rare state that belongs to one socket, such as the answers to its `$ping`s and volatile frames.
    pub(super) fn drop_socket_state(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.drop_socket();
            self.free_rare();
        }
    }

    /// Frees the rare state if nothing is in it.
    pub(super) fn free_rare(&mut self) {
        self.rare.take_if(|rare| rare.is_empty());
    }
}
