//! [`RouterBuilder`]: collects the layers and handlers of a router.

use std::any::{Any, type_name};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::context::States;
use super::routes::Routes;
use super::{HandlerFn, Layer, Peer, RouteError, Router, error, handler, layer};

impl<C: Peer> Router<C> {
    /// Creates a builder without layers, handlers or fallback.
    pub fn builder() -> RouterBuilder<C> {
        RouterBuilder::new()
    }
}

/// Collects the layers, handlers and fallback of a router. Create one with [`Router::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct RouterBuilder<C> {
    routes: Routes<C>,
    states: States,
    mistake: Option<RouterError>,
}

impl<C: Peer> RouterBuilder<C> {
    pub(super) fn new() -> Self {
        let routes = Routes {
            handlers: HashMap::new(),
            fallback: None,
            layers: Vec::new(),
            on_error: None,
            states: None,
        };
        Self { routes, states: Vec::new(), mistake: None }
    }

    /// Adds a layer around all handlers and the fallback, including handlers that are added later. The first layer added is the
    /// outermost: it sees a frame first, and the outcome last.
    pub fn layer(mut self, layer: impl Layer<C>) -> Self {
        self.routes.layers.push(layer::erase(layer));
        self
    }

    /// Adds shared state, which handlers take as [`State`](super::State) and layers get from
    /// [`Context::state`](super::Context::state). Several values can be added, one of each type; two of the same type are an
    /// error of [`Self::build`]. Each handler that takes it gets a clone, so wrap values that are expensive to clone in an `Arc`.
    pub fn with_state<T: Any + Clone + Send + Sync>(mut self, state: T) -> Self {
        if self.states.iter().any(|other| other.is::<T>()) {
            self.mistake.get_or_insert_with(|| RouterError::DuplicateState { type_name: type_name::<T>() });
        }
        self.states.push(Box::new(state));
        self
    }

    /// Adds a handler for frames with exactly this event. The empty event matches frames without one.
    ///
    /// Events that begin with `$` are accepted, because plain mode leaves them to the application. In session mode, such frames
    /// never reach a handler (PROTOCOL.md §3).
    pub fn on<Args: 'static>(mut self, event: impl Into<Box<str>>, handler: impl HandlerFn<C, Args>) -> Self {
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

    /// Sets the handler for frames of all other events. Default: none; such a frame fails with
    /// [`Failure::NoHandler`](super::Failure::NoHandler). A second call replaces the first.
    pub fn fallback<Args: 'static>(mut self, handler: impl HandlerFn<C, Args>) -> Self {
        self.routes.fallback = Some(handler::erase(handler));
        self
    }

    /// Sets the function that is called for every error, with the connection, which stays open unless the function closes it.
    /// Default: a warning through `tracing`, which never quotes payloads. A second call replaces the first.
    ///
    /// The text of an error may quote a part of the payload. A reply that contains the text thus echoes the peer's own data.
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
    /// Fails if an event has more than one handler, or a type more than one state, and names it.
    pub fn build(mut self) -> Result<Router<C>, RouterError> {
        self.routes.states = (!self.states.is_empty()).then(|| Arc::new(self.states));
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
    /// More than one handler was added for an event. Reports the first such event.
    #[non_exhaustive]
    DuplicateEvent {
        /// The event.
        event: Box<str>,
    },
    /// More than one state of a type was added. Reports the first such type.
    #[non_exhaustive]
    DuplicateState {
        /// The name of the type.
        type_name: &'static str,
    },
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateEvent { event } => write!(f, "event {event:?} has two handlers"),
            Self::DuplicateState { type_name } => write!(f, "two states have the type {type_name}"),
        }
    }
}

impl std::error::Error for RouterError {}
