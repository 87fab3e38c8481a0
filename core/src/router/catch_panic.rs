//! [`CatchPanic`]: converts panics to errors.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use super::{Context, Failure, Layer, Next, Peer};

/// A [`Layer`] that converts a panic of inner layers or the handler to [`Failure::Panicked`], so that the connection continues.
///
/// Add it first, so that it also covers the other layers. Without it, a panic unwinds through
/// [`Router::handle`](super::Router::handle), and the server ends the connection with 1011. State that a handler was changing
/// when it panicked remains half changed, so shared state must tolerate this, as a `Mutex` does with poisoning. Programs built
/// with `panic = "abort"` abort as usual.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing to choose")]
pub struct CatchPanic;

impl<C: Peer> Layer<C> for CatchPanic {
    async fn call(&self, context: Context<C>, next: Next<C>) -> Result<(), Failure> {
        let mut routing = pin!(next.run(context));
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| routing.as_mut().poll(cx))) {
            Ok(poll) => poll,
            // The future returns `Ready` here, so it is not polled again after the panic.
            Err(panic) => Poll::Ready(Err(Failure::Panicked(text_of(&*panic)))),
        })
        .await
    }
}

fn text_of(panic: &(dyn Any + Send)) -> Option<Box<str>> {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => Some((*text).into()),
        (_, Some(text)) => Some(text.as_str().into()),
        _ => None,
    }
}
