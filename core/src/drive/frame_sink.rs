//! [`FrameSink`]: sends frames as a `Sink`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use crate::{Frame, Overflow};

use super::{EncodedFrame, SendError, SharedSession};

/// A handle that a [`FrameSink`] sends through.
pub trait FrameTarget: Clone + Send + Sync + 'static {
    /// Returns the handle's session.
    fn session(&self) -> &SharedSession;

    /// Encodes a frame for the peer.
    ///
    /// # Errors
    /// Fails for a frame that the application may not send, or that the codec cannot represent.
    fn encode(&self, frame: &Frame) -> Result<EncodedFrame, SendError>;

    /// Sends a frame, which is encoded as `message`, by another way than the session, which gets it later. `None`, the default, if
    /// there is none.
    fn divert(
        &self,
        frame: &Frame,
        message: &EncodedFrame,
        is_question: bool,
    ) -> Option<Result<(), SendError>> {
        let _ = (frame, message, is_question);
        None
    }
}

/// Sends the frames of one connection, as a [`Sink`]: for `forward`, and for libraries that write to sinks.
///
/// A frame is sent when the send buffer has accepted it, as by `send_wait`. The connection's overflow policy does not apply.
///
/// - *Ready* means that the send buffer has capacity. If other tasks take it before the frame comes, the sink keeps that one
///   frame, and offers it again.
/// - *Flush* completes when every frame has been accepted, not when the peer has acknowledged it: a flush takes no round trip, and
///   completes without a socket while there is capacity. `send_acked` waits for the acknowledgement of a frame.
/// - *Close* flushes, and closes this sink alone, as for a sender of a channel. The connection stays open.
///
/// The sink waits without a limit; while the peer is away, that can take until the session ends. Wrap a call with a timeout to
/// wait for less. Dropping the sink drops the frame that it keeps, so flush it first.
///
/// Ready, send and flush fail with [`SendError::Closed`] once the connection has ended or is closing. Any other error concerns one
/// frame, which was not queued, and the sink can be used further.
pub struct FrameSink<T> {
    target: T,
    waiting: Option<SinkWait>,
    is_closed: bool,
}

/// The event that a sink waits for.
enum SinkWait {
    /// Capacity for any frame.
    Capacity(Acceptance),
    /// The acceptance of a frame that is sent already.
    Frame(Acceptance),
}

type Acceptance = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

impl<T: FrameTarget> FrameSink<T> {
    /// Makes a sink that sends through `target`.
    pub fn new(target: T) -> Self {
        Self { target, waiting: None, is_closed: false }
    }

    /// Waits until the kept frame is accepted, if there is one.
    fn poll_accepted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(SinkWait::Frame(accepted)) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let result = ready!(accepted.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(result)
    }

    /// Waits until the send buffer has capacity.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if !matches!(self.waiting, Some(SinkWait::Capacity(_))) {
            // Usually there is capacity: then nothing is allocated.
            match self.target.session().check_capacity() {
                Err(SendError::Full) => {}
                result => return Poll::Ready(result),
            }
            let target = self.target.clone();
            let capacity = Box::pin(async move { target.session().wait_for_capacity().await });
            self.waiting = Some(SinkWait::Capacity(capacity));
        }
        let Some(SinkWait::Capacity(capacity)) = &mut self.waiting else { unreachable!("set above") };
        let result = ready!(capacity.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(result)
    }
}

// Nothing in it is pinned but the boxed future.
impl<T> Unpin for FrameSink<T> {}

impl<T: FrameTarget> Sink<Frame> for FrameSink<T> {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.is_closed {
            return Poll::Ready(Err(SendError::Closed));
        }
        ready!(self.poll_accepted(cx))?;
        self.poll_capacity(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), SendError> {
        if self.is_closed {
            return Err(SendError::Closed);
        }
        if let Some(SinkWait::Frame(_)) = self.waiting {
            // The caller did not wait for `poll_ready`.
            return Err(SendError::Full);
        }
        let message = self.target.encode(&frame)?;
        if let Some(diverted) = self.target.divert(&frame, &message, false) {
            return diverted;
        }
        match self.target.session().send(message.clone(), Overflow::Reject) {
            Err(SendError::Full) => {
                let target = self.target.clone();
                let accepted = Box::pin(async move { target.session().send_when_accepted(message).await });
                self.waiting = Some(SinkWait::Frame(accepted));
                Ok(())
            }
            result => result.map(drop),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_accepted(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        ready!(self.poll_accepted(cx))?;
        self.waiting = None;
        self.is_closed = true;
        Poll::Ready(Ok(()))
    }
}

impl<T> fmt::Debug for FrameSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keeps_frame = matches!(self.waiting, Some(SinkWait::Frame(_)));
        f.debug_struct("FrameSink")
            .field("keeps_frame", &keeps_frame)
            .field("is_closed", &self.is_closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
