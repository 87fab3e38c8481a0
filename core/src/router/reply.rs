//! [`IntoReply`]: return types of handlers.

use super::BoxError;
use crate::Frame;

/// A return type of handlers: `()` or `None` for no reply, a [`Frame`] as the reply, or a `Result` of one of them.
///
/// Replies are sent as by `send_wait`. A reply without an id gets that of the received frame.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "handlers return `()`, `Frame`, `Option<Frame>`, or a `Result` of one of them whose error is `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait IntoReply {
    /// Converts to the reply, if any.
    ///
    /// # Errors
    /// Fails if the handler returned an error.
    fn into_reply(self) -> Result<Option<Frame>, BoxError>;
}

impl IntoReply for () {
    fn into_reply(self) -> Result<Option<Frame>, BoxError> {
        Ok(None)
    }
}

impl IntoReply for Frame {
    fn into_reply(self) -> Result<Option<Frame>, BoxError> {
        Ok(Some(self))
    }
}

impl IntoReply for Option<Frame> {
    fn into_reply(self) -> Result<Option<Frame>, BoxError> {
        Ok(self)
    }
}

impl<T: IntoReply, E: Into<BoxError>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<Option<Frame>, BoxError> {
        self.map_err(Into::into)?.into_reply()
    }
}
