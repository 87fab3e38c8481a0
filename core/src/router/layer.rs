//! [`Layer`]: middleware around the handlers.

use std::future::Future;

use super::routes::{DynLayer, Routing};
use super::{Context, Failure, Next, Peer};

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

impl<C: Peer, L: Layer<C>> DynLayer<C> for L {
    fn call(&self, context: Context<C>, next: Next<C>) -> Routing<'_> {
        Box::pin(Layer::call(self, context, next))
    }
}

pub(super) fn erase<C: Peer>(layer: impl Layer<C>) -> Box<dyn DynLayer<C>> {
    Box::new(layer)
}
