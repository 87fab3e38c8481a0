//! [`Routes`]: the layers and handlers of a router, and the path through them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::context::{Context, States};
use super::error::{DynOnError, Failure};
use super::peer::Peer;

/// The contents of a router.
pub(super) struct Routes<C> {
    pub(super) handlers: HashMap<Box<str>, Box<dyn DynHandler<C>>>,
    pub(super) fallback: Option<Box<dyn DynHandler<C>>>,
    /// Outermost first.
    pub(super) layers: Vec<Box<dyn DynLayer<C>>>,
    pub(super) on_error: Option<Box<dyn DynOnError<C>>>,
    pub(super) states: Option<Arc<States>>,
}

impl<C> Routes<C> {
    /// The handler for this event, inside all layers.
    fn find(&self, event: &str) -> Option<&dyn DynHandler<C>> {
        self.handlers.get(event).or(self.fallback.as_ref()).map(|handler| &**handler)
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

/// The outcome of a frame on its path.
pub(super) type Routing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// The dyn-compatible form of a [`Layer`](super::Layer), which routers store.
pub(super) trait DynLayer<C>: Send + Sync {
    fn call(&self, context: Context<C>, next: Next<C>) -> Routing<'_>;
}

/// The dyn-compatible form of a [`HandlerFn`](super::HandlerFn), which routers store.
pub(super) trait DynHandler<C>: Send + Sync {
    fn call(&self, context: Context<C>) -> Routing<'_>;
}

/// The rest of the path after a [`Layer`](super::Layer): the next layer, or the handler.
#[must_use = "the frame stops here unless `run` is called"]
pub struct Next<C> {
    routes: Arc<Routes<C>>,
    /// Index of the next layer; past the last one, the handler is next.
    index: usize,
}

impl<C: Peer> Next<C> {
    pub(super) fn first(routes: Arc<Routes<C>>) -> Self {
        Self { routes, index: 0 }
    }

    /// Passes the frame on. Completes when the handler has returned and the connection has accepted its reply.
    ///
    /// # Errors
    /// Fails as inner layers and the handler do.
    pub async fn run(self, context: Context<C>) -> Result<(), Failure> {
        if let Some(layer) = self.routes.layers.get(self.index) {
            let next = Self { routes: self.routes.clone(), index: self.index + 1 };
            return layer.call(context, next).await;
        }
        match self.routes.find(context.frame().event()) {
            Some(handler) => handler.call(context).await,
            None => Err(Failure::NoHandler),
        }
    }
}

impl<C> fmt::Debug for Next<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("layers", &(self.routes.layers.len() - self.index)).finish()
    }
}
