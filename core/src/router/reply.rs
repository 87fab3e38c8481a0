//! [`IntoReply`]: the return types of handlers, and their conversion to answers.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::BoxError;
use crate::Frame;

/// A return type of handlers: `()` or `None` for no answer, a [`Frame`] as the answer, [`Streamed`] for several answers, or a
/// `Result` of one of them.
///
/// Answers are sent as by `send_wait`. An answer to a question, which is a frame with an id, refers to that id ([`Frame::re`]). If
/// the handler fails, the answer to a question reports the error: the one of an [`ErrorAnswer`](crate::ErrorAnswer), or else the code `internal`
/// without the error's text. Nothing is sent once the peer has [cancelled](crate::Cancelled) the question.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "handlers return `()`, `Frame`, `Option<Frame>`, `Streamed`, or a `Result` of one of them whose error is `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait IntoReply {
    /// Converts to the reply.
    ///
    /// # Errors
    /// Fails if the handler returned an error.
    fn into_reply(self) -> Result<Reply, BoxError>;
}

/// The answer of a handler: none, a frame, or a stream of frames.
pub struct Reply(pub(super) ReplyKind);

pub(super) enum ReplyKind {
    None,
    Frame(Frame),
    Answers(AnswerStream),
}

/// Several answers: the items of a stream, which are [`Frame`]s or `Result`s of them.
///
/// All answers but the last tell the peer that more follow ([`Frame::more`]). An answer is therefore sent when the stream's
/// [`size_hint`](Stream::size_hint) promises another item, or when the next item or the end has come. An item that is an error is
/// the last answer. A stream without items answers with the error `no_answer`.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "handlers construct it")]
pub struct Streamed<S>(pub S);

/// An item of [`Streamed`]: a [`Frame`], or a `Result` of one.
pub trait IntoAnswer {
    /// Converts to the answer.
    ///
    /// # Errors
    /// Fails if the item is an error.
    fn into_answer(self) -> Result<Frame, BoxError>;
}

impl IntoAnswer for Frame {
    fn into_answer(self) -> Result<Frame, BoxError> {
        Ok(self)
    }
}

impl<E: Into<BoxError>> IntoAnswer for Result<Frame, E> {
    fn into_answer(self) -> Result<Frame, BoxError> {
        self.map_err(Into::into)
    }
}

impl IntoReply for () {
    fn into_reply(self) -> Result<Reply, BoxError> {
        Ok(Reply(ReplyKind::None))
    }
}

impl IntoReply for Frame {
    fn into_reply(self) -> Result<Reply, BoxError> {
        Ok(Reply(ReplyKind::Frame(self)))
    }
}

impl IntoReply for Option<Frame> {
    fn into_reply(self) -> Result<Reply, BoxError> {
        Ok(Reply(self.map_or(ReplyKind::None, ReplyKind::Frame)))
    }
}

impl<S: Stream<Item: IntoAnswer> + Send + 'static> IntoReply for Streamed<S> {
    fn into_reply(self) -> Result<Reply, BoxError> {
        Ok(Reply(ReplyKind::Answers(AnswerStream(Box::pin(self.0)))))
    }
}

impl<T: IntoReply, E: Into<BoxError>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<Reply, BoxError> {
        self.map_err(Into::into)?.into_reply()
    }
}

impl IntoReply for Reply {
    fn into_reply(self) -> Result<Reply, BoxError> {
        Ok(self)
    }
}

/// The dyn-compatible form of a stream of answers.
trait DynAnswers: Send {
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>>;

    /// Whether another answer is sure to come.
    fn has_more(&self) -> bool;
}

impl<S: Stream<Item: IntoAnswer> + Send> DynAnswers for S {
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BoxError>>> {
        self.poll_next(cx).map(|item| item.map(IntoAnswer::into_answer))
    }

    fn has_more(&self) -> bool {
        self.size_hint().0 > 0
    }
}

/// Several answers, not sent yet.
pub(super) struct AnswerStream(Pin<Box<dyn DynAnswers>>);

impl AnswerStream {
    pub(super) async fn next(&mut self) -> Option<Result<Frame, BoxError>> {
        poll_fn(|cx| self.0.as_mut().poll_answer(cx)).await
    }

    /// Whether another answer is sure to come.
    pub(super) fn has_more(&self) -> bool {
        self.0.has_more()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ReplyKind::None => "Reply(none)",
            ReplyKind::Frame(_) => "Reply(frame)",
            ReplyKind::Answers(_) => "Reply(answers)",
        })
    }
}
