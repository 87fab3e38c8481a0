//! [`Router`]: handlers by event, with layers around them. Usable on both sides.
//!
//! `rejoin_server::router` and `rejoin_client::router` re-export this module for their connections, with examples. A frame
//! passes through the [layers](Layer), beginning with the first one added, to the handler for its event, or to the fallback. If
//! the handler returns an answer, it is sent. Every failure on this path becomes a [`RouteError`] and is passed to
//! [`RouterBuilder::on_error`].
//!
//! ```
//! # use rejoin_core::router::{BoxError, Peer};
//! # use rejoin_core::Frame;
//! # #[derive(Clone)] struct Connection;
//! # impl Peer for Connection { async fn reply(&self, _: &Frame) -> Result<(), BoxError> { Ok(()) } }
//! use rejoin_core::router::{Context, Decoded, Extension, Failure, Next, CatchPanic, Router};
//!
//! #[derive(Clone)]
//! struct User(String);
//!
//! /// A layer: identifies the sender, or refuses the frame.
//! async fn sign_in(mut context: Context<Connection>, next: Next<Connection>) -> Result<(), Failure> {
//!     if context.frame().id().is_empty() {
//!         return Err("a frame needs an id here".into());
//!     }
//!     context.insert(User("ada".into()));
//!     next.run(context).await
//! }
//!
//! /// A handler: takes parameters in any order, and returns the reply.
//! async fn add(Decoded(numbers): Decoded<Vec<i64>>, Extension(user): Extension<User>) -> Result<Frame, BoxError> {
//!     Ok(Frame::new("sum", &(user.0, numbers.iter().sum::<i64>()))?)
//! }
//!
//! # fn main() -> Result<(), rejoin_core::router::RouterError> {
//! let router = Router::<Connection>::builder()
//!     .layer(CatchPanic)
//!     .layer(sign_in)
//!     .on("add", add)
//!     .on("ping", |frame: Frame| async { frame })
//!     .fallback(|_: Connection, frame: Frame| async move { println!("what is {}?", frame.event()) })
//!     .on_error(|_, error| async move { eprintln!("{error}") })
//!     .build()?;
//! # let _ = router; Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::Arc;

use crate::Frame;

mod builder;
pub use builder::{RouterBuilder, RouterError};

mod part;
pub use part::Part;

mod peer;
pub use peer::{BoxError, Peer};

// --- the path of a frame

mod context;
pub use context::Context;

mod routes;
pub use routes::Next;
use routes::Routes;

mod layer;
pub use layer::Layer;

mod catch_panic;
pub use catch_panic::CatchPanic;

mod extract;
#[cfg(feature = "prost")]
pub use extract::Protobuf;
pub use extract::{Decoded, EventName, Extension, FrameId, FromContext, State};

mod handler;
pub use handler::HandlerFn;

mod reply;
pub use reply::{IntoAnswer, IntoReply, Reply, Streamed};

mod answering;
use answering::Answering;

// --- errors

mod error;
pub use error::{Failure, RouteError};

mod log;

#[cfg(test)]
mod tests;

/// Handlers by event, with layers around them, for one type of connection. Create one with [`Router::builder`].
///
/// Clones are cheap and share the same routes. Handling a frame costs one hash lookup, a copy of its event and id for errors,
/// and a box for the future of each layer and of the handler.
pub struct Router<C> {
    routes: Arc<Routes<C>>,
}

impl<C: Peer> Router<C> {
    /// Handles one frame of a connection. Completes when the handler has returned and its reply is in the connection's buffer.
    ///
    /// Errors are passed to [`on_error`](RouterBuilder::on_error), or logged without one. If the frame is a question, which is a
    /// frame with an id, the peer also gets an answer that reports the error ([`ErrorAnswer`](crate::ErrorAnswer)). Dropping the future cancels the
    /// handler at its current await point.
    ///
    /// # Panics
    /// Panics if a layer, a handler or `on_error` panics. [`CatchPanic`] converts panics of the first two to errors.
    pub async fn handle(&self, peer: &C, frame: Frame) {
        let (event, id) = (Box::from(frame.event()), Box::from(frame.id()));
        let answering = Answering::begin(peer, &frame);
        let context = Context::new(peer.clone(), frame, self.routes.states.clone(), answering.cancelled());
        let Err(failure) = Next::first(self.routes.clone()).run(context).await else { return };
        answering.refuse(&failure).await;
        drop(answering);
        let error = RouteError::new(event, id, failure);
        match &self.routes.on_error {
            Some(on_error) => on_error.call(peer.clone(), error).await,
            None => log::warn(&error),
        }
    }
}

impl<C> Clone for Router<C> {
    fn clone(&self) -> Self {
        Self { routes: self.routes.clone() }
    }
}

impl<C> fmt::Debug for Router<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router").field(&self.routes).finish()
    }
}
