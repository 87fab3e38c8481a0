//! Answers questions: sends the answers that a handler returns, until the peer cancels the question.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::reply::{AnswerStream, Reply, ReplyKind};
use super::{Context, Failure, Peer};
use crate::{Cancelled, ErrorAnswer, Frame};

/// The handling of one frame. If the frame is a question, its cancellation is noticed until this is dropped.
pub(super) struct Answering<'a, C: Peer> {
    peer: &'a C,
    /// The id of the question, and whether it was cancelled.
    question: Option<(Box<str>, Cancelled)>,
}

impl<'a, C: Peer> Answering<'a, C> {
    pub(super) fn begin(peer: &'a C, frame: &Frame) -> Self {
        let question = (!frame.id().is_empty()).then(|| {
            let cancelled = peer.begin_answer(frame.id());
            if frame.is_cancelled() {
                // Nothing waits for it yet.
                cancelled.cancel();
            }
            (Box::from(frame.id()), cancelled)
        });
        Self { peer, question }
    }

    pub(super) fn cancelled(&self) -> Option<Cancelled> {
        self.question.as_ref().map(|(_, cancelled)| cancelled.clone())
    }

    /// Answers the question, if the frame is one, with the error that the peer may know of this failure.
    pub(super) async fn refuse(&self, failure: &Failure) {
        let Some((id, cancelled)) = &self.question else { return };
        if let Some(error) = failure.to_answer() {
            let answer = error.to_frame().with_re(&**id);
            // A connection that does not accept the answer has ended, or reports what it lost.
            unless(cancelled, self.peer.reply(&answer)).await;
        }
    }
}

impl<C: Peer> Drop for Answering<'_, C> {
    fn drop(&mut self) {
        if let Some((_, cancelled)) = &self.question {
            self.peer.end_answer(cancelled);
        }
    }
}

impl<C: Peer> Context<C> {
    /// Sends the answers that the handler has returned.
    pub(super) async fn answer(&self, reply: Reply) -> Result<(), Failure> {
        match reply.0 {
            ReplyKind::None => Ok(()),
            ReplyKind::Frame(frame) => self.send(frame).await,
            ReplyKind::Answers(answers) => self.answer_all(answers).await,
        }
    }

    //= PROTOCOL.md#R11.4: MUST have `more` in every answer but the last
    async fn answer_all(&self, mut answers: AnswerStream) -> Result<(), Failure> {
        // The answer that is sent once it is known whether another one follows.
        let mut held: Option<Frame> = None;
        loop {
            if answers.has_more()
                && let Some(frame) = held.take()
            {
                self.send(frame.with_more(true)).await?;
            }
            let next = match self.cancellation() {
                Some(cancelled) => unless(cancelled, answers.next()).await,
                None => Some(answers.next().await),
            };
            match next {
                // Dropping the stream tells the handler.
                None => return Ok(()),
                Some(Some(next)) => {
                    if let Some(frame) = held.take() {
                        self.send(frame.with_more(true)).await?;
                    }
                    held = Some(next.map_err(Failure::of_handler)?);
                }
                Some(None) => {
                    let is_question = !self.frame().id().is_empty();
                    let none = || is_question.then(|| ErrorAnswer::new("no_answer", "").to_frame());
                    return match held.or_else(none) {
                        Some(last) => self.send(last.with_more(false)).await,
                        None => Ok(()),
                    };
                }
            }
        }
    }

    /// Sends one answer, unless the question was cancelled.
    //= PROTOCOL.md#R11.3: MUST have the `id` of its question as `re`
    async fn send(&self, answer: Frame) -> Result<(), Failure> {
        let answer = if answer.re().is_empty() { answer.with_re(self.frame().id()) } else { answer };
        let sent = match self.cancellation() {
            Some(cancelled) => unless(cancelled, self.peer().reply(&answer)).await,
            None => Some(self.peer().reply(&answer).await),
        };
        sent.unwrap_or(Ok(())).map_err(Failure::Reply)
    }
}

/// Does `work` unless the question is cancelled first.
//= PROTOCOL.md#R11.8: MUST NOT send an answer to a question whose `$cancel` it has read
async fn unless<T>(cancelled: &Cancelled, work: impl Future<Output = T>) -> Option<T> {
    let mut cancelled = pin!(cancelled.wait());
    let mut work = pin!(work);
    poll_fn(|cx| {
        if cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}
