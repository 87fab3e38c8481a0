//! [`Sender`]: a cloneable handle of a connection.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use rejoin_core::drive::{DeliveryError, EncodedFrame, FrameSink, FrameTarget, SendError, SharedSession};
use rejoin_core::{CloseFrame, Frame, InvalidClose, Overflow, SessionState};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::event::Closed;
use crate::shared::Shared;
use crate::state::ConnectionState;

/// A handle of a [`Connection`](crate::Connection) for other tasks: it sends, closes and watches, but does not receive.
///
/// Made by [`Connection::sender`](crate::Connection::sender). Cheap to clone. It does not keep the connection alive: once the
/// `Connection` is dropped or has ended, sends fail with [`SendError::Closed`].
///
/// Its methods are those of the same names of `Connection`, where they are described in full.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
    abort: AbortHandle,
    ended: SharedFuture<BoxFuture<'static, ()>>,
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>, task: JoinHandle<()>) -> Self {
        let abort = task.abort_handle();
        // A task that was cancelled or panicked has ended, too.
        let ended = task.map(|_| ()).boxed().shared();
        Self { shared, abort, ended }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Accepts a frame for the server, without waiting. See [`Connection::send`](crate::Connection::send).
    ///
    /// # Errors
    /// As [`Connection::send`](crate::Connection::send).
    pub fn send(&self, frame: &Frame) -> Result<(), SendError> {
        self.send_with(frame, self.shared.overflow)
    }

    /// Like [`Self::send`], with a policy of its own for a full send buffer. See
    /// [`Connection::send_with`](crate::Connection::send_with).
    ///
    /// # Errors
    /// As [`Connection::send_with`](crate::Connection::send_with).
    pub fn send_with(&self, frame: &Frame, overflow: Overflow) -> Result<(), SendError> {
        let message = self.shared.encode(frame)?;
        self.shared.session.send(message, overflow)?;
        Ok(())
    }

    /// Like [`Self::send`], but waits for capacity in the send buffer. See
    /// [`Connection::send_wait`](crate::Connection::send_wait).
    ///
    /// # Errors
    /// As [`Connection::send_wait`](crate::Connection::send_wait).
    pub async fn send_wait(&self, frame: &Frame) -> Result<(), SendError> {
        let message = self.shared.encode(frame)?;
        self.shared.session.send_wait(message, self.shared.write_timeout).await?;
        Ok(())
    }

    /// Like [`Self::send_wait`], then waits until the server has acknowledged the frame. See
    /// [`Connection::send_acked`](crate::Connection::send_acked).
    ///
    /// # Errors
    /// As [`Connection::send_acked`](crate::Connection::send_acked).
    pub async fn send_acked(&self, frame: &Frame) -> Result<(), DeliveryError> {
        let message = self.shared.encode(frame)?;
        self.shared.session.send_acked(message, self.shared.write_timeout).await
    }

    /// Returns a sink that sends through this handle. See [`Connection::sink`](crate::Connection::sink).
    pub fn sink(&self) -> FrameSink<Self> {
        FrameSink::new(self.clone())
    }

    /// The connection ID that the server assigned; `None` in plain mode. See [`Connection::id`](crate::Connection::id).
    pub fn id(&self) -> Option<String> {
        self.shared.id()
    }

    /// The room that the server assigned; `None` if it assigned none, and in plain mode.
    pub fn room(&self) -> Option<String> {
        let room = self.shared.session.drive(|session| Some(session.identity()?.room.to_string()));
        room.filter(|room| !room.is_empty())
    }

    /// The state of the connection at this moment. See [`Connection::state`](crate::Connection::state).
    pub fn state(&self) -> ConnectionState {
        self.shared.session.drive(|session| match session.state() {
            SessionState::Closed => ConnectionState::Closed,
            SessionState::Connected if session.is_opened() => ConnectionState::Connected,
            _ => ConnectionState::Reconnecting,
        })
    }

    /// Watches [`Self::state`]. See [`Connection::state_changes`](crate::Connection::state_changes).
    pub fn state_changes(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.subscribe()
    }

    /// Closes the connection with 1000, after the accepted frames are delivered. See
    /// [`Connection::close`](crate::Connection::close).
    pub async fn close(&self) -> Closed {
        self.close_by(CloseFrame::from_static(1000, "")).await
    }

    /// Like [`Self::close`], with a close code and a reason. See [`Connection::close_with`](crate::Connection::close_with).
    ///
    /// # Errors
    /// As [`Connection::close_with`](crate::Connection::close_with).
    pub async fn close_with(
        &self,
        code: u16,
        reason: impl Into<Cow<'static, str>>,
    ) -> Result<Closed, InvalidClose> {
        Ok(self.close_by(CloseFrame::new(code, reason)?).await)
    }

    async fn close_by(&self, frame: CloseFrame) -> Closed {
        self.shared.close(frame);
        self.closed().await
    }

    /// Ends the connection at once and without a word to the server. See [`Connection::abort`](crate::Connection::abort).
    pub fn abort(&self) {
        // Aborted first, so that the task cannot write a close frame.
        self.abort.abort();
        self.shared.end_locally();
        self.shared.stop_listening();
    }

    /// Waits until the connection and its task have ended. See [`Connection::closed`](crate::Connection::closed).
    pub async fn closed(&self) -> Closed {
        self.ended.clone().await;
        self.shared.outcome()
    }
}

impl FrameTarget for Sender {
    fn session(&self) -> &SharedSession {
        &self.shared.session
    }

    fn encode(&self, frame: &Frame) -> Result<EncodedFrame, SendError> {
        self.shared.encode(frame)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.state()).finish_non_exhaustive()
    }
}
