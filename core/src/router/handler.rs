//! [`HandlerFn`]: functions that handle frames of an event.

use std::future::Future;
use std::marker::PhantomData;

use super::routes::{DynHandler, Routing};
use super::{Context, Failure, FromContext, IntoReply, Peer};

/// A function that handles frames of an event: an `async fn` with up to six parameters that implement [`FromContext`], in any
/// order, which returns an [`IntoReply`].
///
/// The parameters are extracted in order; if one fails, the handler is not called. `Args` is the tuple of their types. It
/// distinguishes handlers with different parameters, and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle frames of `{C}`",
    note = "pass an `async fn` with up to six parameters, each the connection, `Frame`, `Decoded<T>`, `Extension<T>` or another `FromContext`",
    note = "it returns `()`, `Frame`, `Option<Frame>`, `Streamed`, or a `Result` of one of them, and its future has to be `Send`"
)]
pub trait HandlerFn<C: Peer, Args>: Send + Sync + 'static {
    /// Handles a frame, and sends the reply, if any.
    ///
    /// # Errors
    /// Fails if a parameter cannot be extracted, if the handler fails, or if the reply is not accepted.
    fn call(&self, context: Context<C>) -> impl Future<Output = Result<(), Failure>> + Send;
}

macro_rules! handlers {
    ($(($($arg:ident)*),)*) => {$(
        impl<C, F, Fut, $($arg,)*> HandlerFn<C, ($($arg,)*)> for F
        where
            C: Peer,
            F: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoReply> + Send,
            $($arg: FromContext<C>,)*
        {
            async fn call(&self, context: Context<C>) -> Result<(), Failure> {
                $(
                    #[allow(non_snake_case, reason = "a parameter has the name of its type")]
                    let $arg = $arg::from_context(&context).await?;
                )*
                let reply = self($($arg),*).await.into_reply().map_err(Failure::of_handler)?;
                context.answer(reply).await
            }
        }
    )*};
}

handlers! {
    (),
    (A1),
    (A1 A2),
    (A1 A2 A3),
    (A1 A2 A3 A4),
    (A1 A2 A3 A4 A5),
    (A1 A2 A3 A4 A5 A6),
}

/// A handler whose `Args` are erased; the type of the handler alone does not determine them.
struct Erased<H, Args>(H, PhantomData<fn() -> Args>);

impl<C: Peer, H: HandlerFn<C, Args>, Args> DynHandler<C> for Erased<H, Args> {
    fn call(&self, context: Context<C>) -> Routing<'_> {
        Box::pin(self.0.call(context))
    }
}

pub(super) fn erase<C: Peer, Args: 'static>(handler: impl HandlerFn<C, Args>) -> Box<dyn DynHandler<C>> {
    Box::new(Erased(handler, PhantomData))
}
