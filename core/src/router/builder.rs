//! [`RouterBuilder`]: a router before it is one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::{Handler, Layer, Peer, RouteError, Router, Routes, error, handler, layer};

/// A router before it is one: its layers, handlers and fallback. Made by [`Router::builder`].
#[must_use = "a builder does nothing before build()"]
pub struct RouterBuilder<C> {
    routes: Routes<C>,
    mistake: Option<RouterError>,
}

impl<C: Peer> RouterBuilder<C> {
    pub(super) fn new() -> Self {
        let routes = Routes { handlers: HashMap::new(), fallback: None, layers: Vec::new(), on_error: None };
        Self { routes, mistake: None }
    }

    /// Adds a layer around all handlers and the fallback, wherever in the chain of calls it stands. The first one added is
    /// the outermost: it sees a frame first, and its outcome last.
    pub fn layer(mut self, layer: impl Layer<C>) -> Self {
        self.routes.layers.push(layer::erase(layer));
        self
    }

    /// Handles the frames of this event, letter by letter; the empty one is that of frames without an event.
    ///
    /// An event that begins with `$` is not refused, since plain mode leaves it to the application; in session mode no such
    /// frame reaches one (PROTOCOL.md §3).
    pub fn on<Args: 'static>(mut self, event: impl Into<Box<str>>, handler: impl Handler<C, Args>) -> Self {
        match self.routes.handlers.entry(event.into()) {
            Entry::Vacant(place) => {
                place.insert(handler::erase(handler));
            }
            Entry::Occupied(place) => {
                let event = place.key().clone();
                self.mistake.get_or_insert(RouterError::DuplicateEvent { event });
            }
        }
        self
    }

    /// Handles the frames of all other events. Default: such a frame is an error,
    /// [`Failure::NoHandler`](super::Failure::NoHandler). Given twice, the last one holds.
    pub fn fallback<Args: 'static>(mut self, handler: impl Handler<C, Args>) -> Self {
        self.routes.fallback = Some(handler::erase(handler));
        self
    }

    /// The one place of what fails: called with the connection, which goes on afterwards unless you close it. Default: a
    /// warning through `tracing`, which never quotes payloads. Given twice, the last one holds.
    ///
    /// The text of an error may quote a piece of the payload: the peer's own words, if you answer with it.
    pub fn on_error<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(C, RouteError) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.routes.on_error = Some(error::erase(handler));
        self
    }

    /// Builds the router.
    ///
    /// # Errors
    /// Fails when an event was given two handlers, and names it.
    pub fn build(self) -> Result<Router<C>, RouterError> {
        match self.mistake {
            None => Ok(Router { routes: Arc::new(self.routes) }),
            Some(mistake) => Err(mistake),
        }
    }
}

impl<C> fmt::Debug for RouterBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterBuilder").field("routes", &self.routes).field("mistake", &self.mistake).finish()
    }
}

/// Why a router could not be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouterError {
    /// Two handlers were given for one event; the first such event.
    #[non_exhaustive]
    DuplicateEvent {
        /// The event.
        event: Box<str>,
    },
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateEvent { event } => write!(f, "event {event:?} has two handlers"),
        }
    }
}

impl std::error::Error for RouterError {}
