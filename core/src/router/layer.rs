//! [`Layer`]: middleware around the handlers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Context, Failure, Peer, Routes};

/// Middleware around the handlers: sees each frame before they do, and the outcome afterwards.
///
/// An `async fn(Context<C>, Next<C>) -> Result<(), Failure>` is a layer. It can change the frame, insert values for inner layers
/// and the handler ([`Context::insert`]), and pass the context on ([`Next::run`]). If it does not, the frame stops there: with
/// an error, or with `Ok` if nothing is wrong. `?` accepts any error. Layers run for every frame, even if no handler matches.
/// ```
/// # use rejoin_core::router::{Context, Failure, Next, Peer};
/// async fn timed<C: Peer>(context: Context<C>, next: Next<C>) -> Result<(), Failure> {
///     let (event, start) = (context.frame().event().to_owned(), std::time::Instant::now());
///     let outcome = next.run(context).await;
///     println!("{event} took {:?}, and {}", start.elapsed(), if outcome.is_ok() { "succeeded" } else { "failed" });
///     outcome
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a layer of a router for `{C}`",
    note = "pass an `async fn(Context<C>, Next<C>) -> Result<(), Failure>`, or implement `Layer`"
)]
pub trait Layer<C: Peer>: Send + Sync + 'static {
    /// Handles the frame, itself or by calling `next`.
    ///
    /// # Errors
    /// Fails as inner layers and the handler do, and for the layer's own reasons.
    fn call(&self, context: Context<C>, next: Next<C>) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<C, F, Fut> Layer<C> for F
where
    C: Peer,
    F: Fn(Context<C>, Next<C>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    fn call(&self, context: Context<C>, next: Next<C>) -> impl Future<Output = Result<(), Failure>> + Send {
        self(context, next)
    }
}

pub(super) type Routing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// The dyn-compatible form of a [`Layer`], which routers store.
pub(super) trait DynLayer<C>: Send + Sync {
    fn call(&self, context: Context<C>, next: Next<C>) -> Routing<'_>;
}

impl<C: Peer, L: Layer<C>> DynLayer<C> for L {
    fn call(&self, context: Context<C>, next: Next<C>) -> Routing<'_> {
        Box::pin(Layer::call(self, context, next))
    }
}

pub(super) fn erase<C: Peer>(layer: impl Layer<C>) -> Box<dyn DynLayer<C>> {
    Box::new(layer)
}

/// The rest of the path after a [`Layer`]: the next layer, or the handler.
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
