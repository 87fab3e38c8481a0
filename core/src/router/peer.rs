//! [`Peer`]: what a router routes for.

use std::future::Future;

use crate::Frame;

/// An error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a router routes for: a cheap handle of a connection, by which a reply goes back.
///
/// `Connection` is one on the server, `Sender` on the client.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a router can route for",
    note = "a router is for the server's `Connection` or the client's `Sender`; implement `Peer` for handles of your own"
)]
pub trait Peer: Clone + Send + Sync + 'static {
    /// Sends what a handler has returned, and waits for room where there is none.
    ///
    /// # Errors
    /// Fails when the connection does not accept the frame; the error is told as
    /// [`Failure::Reply`](super::Failure::Reply).
    fn reply(&self, frame: &Frame) -> impl Future<Output = Result<(), BoxError>> + Send;
}
