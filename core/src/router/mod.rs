//! [`Router`]: handlers by event, and layers around them. Usable on either side.
//!
//! `rejoin-server` and `rejoin-client` name it for their own connections, with examples: `rejoin_server::router` and
//! `rejoin_client::router`. A frame's way: the [layers](Layer), the first one added first; the handler of its event, or the
//! fallback; the reply, if the handler returned one. Whatever fails on this way is a [`RouteError`], and has one place:
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
//! /// A layer: whom the frame comes from, or an end to it.
//! async fn sign_in(mut context: Context<Connection>, next: Next<Connection>) -> Result<(), Failure> {
//!     if context.frame().id().is_empty() {
//!         return Err("a frame needs an id here".into());
//!     }
//!     context.insert(User("ada".into()));
//!     next.run(context).await
//! }
//!
//! /// A handler: takes what it needs, in any order; what it returns is the reply.
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

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::Frame;

mod builder;
pub use builder::{RouterBuilder, RouterError};

mod peer;
pub use peer::{BoxError, Peer};

// --- a frame's way

mod context;
pub use context::Context;

mod layer;
pub use layer::{Layer, Next};

mod catch_panic;
pub use catch_panic::CatchPanic;

mod extract;
#[cfg(feature = "prost")]
pub use extract::Protobuf;
pub use extract::{Decoded, EventName, Extension, FrameId, FromContext};

mod handler;
pub use handler::Handler;

mod reply;
pub use reply::IntoReply;

// --- and where it fails

mod error;
pub use error::{Failure, RouteError};

mod log;

#[cfg(test)]
mod tests;

/// Handlers by event, and layers around them, for connections of one kind. Made by [`Router::builder`].
///
/// Cheap to clone: all clones are the same router. Handling a frame costs one hash lookup, a copy of its event and id for
/// the errors, and a box for the future of each layer and of the handler.
pub struct Router<C> {
    routes: Arc<Routes<C>>,
}

/// What a router is made of.
struct Routes<C> {
    handlers: HashMap<Box<str>, Box<dyn handler::DynHandler<C>>>,
    fallback: Option<Box<dyn handler::DynHandler<C>>>,
    /// The outermost first.
    layers: Vec<Box<dyn layer::DynLayer<C>>>,
    on_error: Option<Box<dyn error::DynOnError<C>>>,
}

impl<C: Peer> Router<C> {
    /// A router without layers, handlers or fallback.
    pub fn builder() -> RouterBuilder<C> {
        RouterBuilder::new()
    }

    /// Handles one frame of this connection: when it returns, the handler has, and its reply is in the connection's buffer.
    ///
    /// Never fails: an error is handed to [`on_error`](RouterBuilder::on_error), or logged. Dropping the future abandons the
    /// handler where it waits.
    ///
    /// # Panics
    /// When a layer, a handler or `on_error` panics. [`CatchPanic`] makes errors of the panics of the first two.
    pub async fn handle(&self, peer: &C, frame: Frame) {
        let (event, id) = (Box::from(frame.event()), Box::from(frame.id()));
        let context = Context::new(peer.clone(), frame);
        let Err(failure) = Next::first(self.routes.clone()).run(context).await else { return };
        let error = RouteError::new(event, id, failure);
        match &self.routes.on_error {
            Some(on_error) => on_error.call(peer.clone(), error).await,
            None => log::warn(&error),
        }
    }
}

impl<C> Routes<C> {
    /// What handles this event, inside all layers.
    fn find(&self, event: &str) -> Option<&dyn handler::DynHandler<C>> {
        self.handlers.get(event).or(self.fallback.as_ref()).map(|handler| &**handler)
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

impl<C> fmt::Debug for Routes<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("events", &self.handlers.keys())
            .field("fallback", &self.fallback.is_some())
            .field("layers", &self.layers.len())
            .field("on_error", &self.on_error.is_some())
            .finish()
    }
}
