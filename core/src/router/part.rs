//! [`Part`]: handlers that belong together.

use super::{Peer, RouterBuilder};

/// Handlers that belong together, which a library or another module of the application adds to a router:
/// [`RouterBuilder::part`].
///
/// ```
/// # use rejoin_core::router::{BoxError, Decoded, Part, Peer, Router, RouterBuilder};
/// # use rejoin_core::Frame;
/// # #[derive(Clone)] struct Connection;
/// # impl Peer for Connection { async fn reply(&self, _: &Frame) -> Result<(), BoxError> { Ok(()) } }
/// struct Arithmetic;
///
/// impl<C: Peer> Part<C> for Arithmetic {
///     fn add_to(self, router: RouterBuilder<C>) -> RouterBuilder<C> {
///         router
///             .on("add", |Decoded((a, b)): Decoded<(i64, i64)>| async move { Frame::new("sum", &(a + b)) })
///             .on("negate", |Decoded(a): Decoded<i64>| async move { Frame::new("negative", &-a) })
///     }
/// }
///
/// let router = Router::<Connection>::builder().part(Arithmetic).build()?;
/// # let _ = router;
/// # Ok::<(), rejoin_core::router::RouterError>(())
/// ```
pub trait Part<C: Peer> {
    /// Adds the handlers.
    fn add_to(self, router: RouterBuilder<C>) -> RouterBuilder<C>;
}

impl<C: Peer> RouterBuilder<C> {
    /// Adds the handlers of a [`Part`]. An event that has a handler already is an error of [`Self::build`].
    pub fn part(self, part: impl Part<C>) -> Self {
        part.add_to(self)
    }
}
