//! [`CatchPanic`]: a panic becomes an error.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use super::{Context, Failure, Layer, Next, Peer};

/// A [`Layer`] that makes an error of a panic further in, [`Failure::Panicked`], so that the connection goes on.
///
/// Add it first: then it is around the other layers, too. Without it a panic goes through
/// [`Router::handle`](super::Router::handle); the server then ends the connection with 1011. What a handler had changed half
/// way when it panicked stays so: state that handlers share has to bear it, as a `Mutex` does by its poison. Where the
/// program is built with `panic = "abort"` there is nothing to recover.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::exhaustive_structs, reason = "there is nothing to choose")]
pub struct CatchPanic;

impl<C: Peer> Layer<C> for CatchPanic {
    async fn call(&self, context: Context<C>, next: Next<C>) -> Result<(), Failure> {
        let mut routing = pin!(next.run(context));
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| routing.as_mut().poll(cx))) {
            Ok(poll) => poll,
            // It is ready now, and so not polled again.
            Err(panic) => Poll::Ready(Err(Failure::Panicked(text_of(&*panic)))),
        })
        .await
    }
}

fn text_of(panic: &(dyn Any + Send)) -> Box<str> {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).into(),
        (_, Some(text)) => text.as_str().into(),
        _ => Box::default(),
    }
}
