//! [`IntoReply`]: what a handler can return.

use super::BoxError;
use crate::Frame;

/// What a handler can return: `()` or `None` for no reply, a [`Frame`] as the reply, or a `Result` of one of them.
///
/// A reply is sent as by `send_wait`. Where it has no id, it gets the one of the frame that it replies to.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "handlers return `()`, `Frame`, `Option<Frame>`, or a `Result` of one of them whose error is `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait IntoReply {
    /// The reply, if there is one.
    ///
    /// # Errors
    /// Fails when the handler has failed.
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
