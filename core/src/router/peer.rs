//! [`Peer`]: the connection that a router handles frames of.

use std::future::Future;

use crate::{Cancelled, Frame};

/// An error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection that a router handles frames of: a cheap handle, through which replies are sent.
///
/// Implemented by `Connection` on the server and `Sender` on the client.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a router can route for",
    note = "routers work with the server's `Connection` and the client's `Sender`; implement `Peer` for your own handles"
)]
pub trait Peer: Clone + Send + Sync + 'static {
    /// Sends a handler's reply; waits while the send buffer is full.
    ///
    /// # Errors
    /// Fails if the connection does not accept the frame. The router reports this as
    /// [`Failure::Reply`](super::Failure::Reply).
    fn reply(&self, frame: &Frame) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Begins to answer the peer's question with this id. Returns whether the peer has cancelled it, which may become true later.
    /// Default: the peer never does.
    fn begin_answer(&self, id: &str) -> Cancelled {
        let _ = id;
        Cancelled::default()
    }

    /// Ends what [`Self::begin_answer`] began, whether the question was answered or not. Default: does nothing.
    fn end_answer(&self, cancelled: &Cancelled) {
        let _ = cancelled;
    }
}
