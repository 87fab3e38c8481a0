//! [`Ask`] and [`Answers`]: a question to the peer, until it is answered.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::{Answer, ErrorAnswer, Frame, Overflow};

use super::deadline::{Deadline, now};
use super::encoded_frame::EncodedFrame;
use super::error::{AskError, SendError};
use super::frame_sink::FrameTarget;

/// A question to the peer: completes with the answer. Made by `ask`.
///
/// The question is sent when the future is first polled; while the send buffer is full, it waits. Dropping the future cancels the
/// question: in session mode the peer is notified with `$cancel`, and an answer that still comes is dropped. If the peer sends
/// several answers, the first one completes the future, and the others are cancelled.
///
/// An answer does not wait behind messages that a handler of this connection has not handled yet, so a handler may ask. Sockets
/// may be lost and replaced meanwhile: in session mode the question is answered once, or the future reports the end of the
/// session. Plain mode loses questions and answers with their socket, and the future ends by its timeout.
///
/// # Errors
/// See [`AskError`].
#[must_use = "nothing is sent unless the future is polled"]
pub struct Ask<T: FrameTarget>(Answers<T>);

/// A question to the peer that may have several answers, as a stream. Made by `ask_stream`.
///
/// The question is sent when the stream is first polled. The stream ends after the last answer, or after an error. Dropping it
/// earlier cancels the question, as for [`Ask`]. The peer waits while 64 answers or 1 MiB of a connection have not been taken,
/// and so do its messages: take the answers, or drop the stream.
#[must_use = "nothing is sent unless the stream is polled"]
pub struct Answers<T: FrameTarget> {
    target: T,
    id: Box<str>,
    state: AskState,
    timeout: Duration,
    /// When the next answer is overdue; `None` is never.
    due: Option<Instant>,
    deadline: Deadline,
}

enum AskState {
    /// Not polled yet. The question is encoded, unless that failed.
    New(Result<Box<(EncodedFrame, Frame)>, SendError>),
    /// The question is open, and waits for capacity in the send buffer.
    Sending(Sending),
    /// The question is open, and was sent.
    Sent,
    /// The question is not open.
    Over,
}

type Sending = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

impl<T: FrameTarget> Ask<T> {
    /// Asks through `target`. The question gets an id unless it has one, and is never volatile.
    pub fn new(target: T, question: &Frame, timeout: Duration) -> Self {
        Self(Answers::new(target, question, timeout))
    }

    /// Sets how long the answer may take, from the first poll on.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }
}

impl<T: FrameTarget> Future for Ask<T> {
    type Output = Result<Frame, AskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll_next(cx));
        // Cancel answers that follow now, not when the future is dropped.
        self.0.close();
        // Like any future, it must not be polled again: it would find the question over.
        Poll::Ready(answer.unwrap_or(Err(AskError::Ended)))
    }
}

impl<T: FrameTarget> Answers<T> {
    /// Asks through `target`. The question gets an id unless it has one, and is never volatile.
    pub fn new(target: T, question: &Frame, timeout: Duration) -> Self {
        let id = if question.id().is_empty() { next_id() } else { question.id().into() };
        // A volatile question could vanish without a word.
        let question = question.clone().with_id(&*id).with_volatile(false);
        let message = target.encode(&question).map(|message| Box::new((message, question)));
        Self { target, id, state: AskState::New(message), timeout, due: None, deadline: Deadline::default() }
    }

    /// Sets how long each answer may take, from the first poll or from the answer before it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the question. Ready when it is sent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AskError>> {
        loop {
            match &mut self.state {
                AskState::New(_) => {
                    let AskState::New(message) = std::mem::replace(&mut self.state, AskState::Over) else {
                        unreachable!("matched above")
                    };
                    let message = message?;
                    // Opened before it is sent: an answer that comes at once finds it.
                    if !self.target.session().open_question(&self.id) {
                        return Poll::Ready(Err(AskError::DuplicateId));
                    }
                    self.state = self.send(*message)?;
                }
                AskState::Sending(sending) => {
                    ready!(sending.as_mut().poll(cx))?;
                    self.state = AskState::Sent;
                }
                AskState::Sent | AskState::Over => return Poll::Ready(Ok(())),
            }
        }
    }

    fn send(&self, (message, question): (EncodedFrame, Frame)) -> Result<AskState, SendError> {
        if let Some(diverted) = self.target.divert(&question, &message, true) {
            if diverted.is_err() {
                self.target.session().close_question(&self.id, false);
            }
            return diverted.map(|()| AskState::Sent);
        }
        match self.target.session().send(message.clone(), Overflow::Reject) {
            Ok(_) => Ok(AskState::Sent),
            Err(SendError::Full) => {
                let target = self.target.clone();
                Ok(AskState::Sending(Box::pin(
                    async move { target.session().send_when_accepted(message).await },
                )))
            }
            Err(error) => {
                self.target.session().close_question(&self.id, false);
                Err(error)
            }
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, AskError>> {
        if matches!(self.state, AskState::New(_)) {
            self.due = now().checked_add(self.timeout);
        }
        if let Poll::Ready(sent) = self.poll_sent(cx) {
            sent?;
            if let Poll::Ready(answer) = self.target.session().poll_answer(&self.id, cx) {
                return Poll::Ready(match answer {
                    Answer::Frame(frame) => {
                        ErrorAnswer::from_frame(&frame).map_or(Ok(frame), |error| Err(error.into()))
                    }
                    Answer::SessionLost => Err(AskError::SessionLost),
                    Answer::Ended => Err(AskError::Ended),
                });
            }
        }
        ready!(self.deadline.poll(cx, self.due));
        Poll::Ready(Err(AskError::Timeout))
    }

    /// Closes the question, if it is open.
    fn close(&mut self) {
        let was_sent = match std::mem::replace(&mut self.state, AskState::Over) {
            AskState::New(_) | AskState::Over => return,
            AskState::Sending(_) => false,
            AskState::Sent => true,
        };
        self.target.session().close_question(&self.id, was_sent);
    }
}

// Nothing in them is pinned but boxed futures.
impl<T: FrameTarget> Unpin for Answers<T> {}

impl<T: FrameTarget> Stream for Answers<T> {
    type Item = Result<Frame, AskError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let AskState::Over = self.state {
            return Poll::Ready(None);
        }
        let answer = ready!(self.poll_answer(cx));
        match &answer {
            Ok(frame) if frame.more() => self.due = now().checked_add(self.timeout),
            // The session has closed the question.
            Ok(_) | Err(AskError::Ended | AskError::SessionLost) => self.state = AskState::Over,
            Err(_) => self.close(),
        }
        Poll::Ready(Some(answer))
    }
}

impl<T: FrameTarget> FusedStream for Answers<T> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, AskState::Over)
    }
}

impl<T: FrameTarget> Drop for Answers<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T: FrameTarget> fmt::Debug for Answers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("id", &self.id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<T: FrameTarget> fmt::Debug for Ask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("id", &self.0.id)
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}

/// An id that no other question has, not even one of an earlier process whose answer still comes. All ids have one length.
fn next_id() -> Box<str> {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| RandomState::new().build_hasher().finish().into());
    format!("{:016x}", NEXT.fetch_add(1, Ordering::Relaxed)).into()
}
