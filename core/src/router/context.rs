//! [`Context`]: a frame on its path through the layers.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{Cancelled, Frame};

/// A frame on its path through the layers, with its connection and the values that layers have inserted.
pub struct Context<C> {
    peer: C,
    frame: Frame,
    /// At most one of each type. A linear search is cheaper than hashing, because there are few.
    extensions: Vec<Box<dyn Any + Send + Sync>>,
    /// The router's, or `None` if it has none.
    states: Option<Arc<States>>,
    /// Whether the frame, which is a question, was cancelled. `None` for a frame that is no question.
    cancelled: Option<Cancelled>,
}

/// The shared state of a router: at most one value of each type.
pub(super) type States = Vec<Box<dyn Any + Send + Sync>>;

impl<C> Context<C> {
    pub(super) fn new(
        peer: C,
        frame: Frame,
        states: Option<Arc<States>>,
        cancelled: Option<Cancelled>,
    ) -> Self {
        Self { peer, frame, extensions: Vec::new(), states, cancelled }
    }

    /// Inserts a value for inner layers and the handler, which take it as [`Extension`](super::Extension). Returns the previous
    /// value of this type, if any.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) -> Option<T> {
        match self.extensions.iter_mut().find_map(|old| old.downcast_mut::<T>()) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.extensions.push(Box::new(value));
                None
            }
        }
    }

    /// The frame, for changes. After all layers, its event selects the handler, and answers refer to its id.
    pub fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }

    /// The connection that the frame came from.
    pub fn peer(&self) -> &C {
        &self.peer
    }

    /// The frame, including changes by outer layers.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The value of this type that a layer has inserted.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extensions.iter().find_map(|value| value.downcast_ref())
    }

    /// Whether the peer no longer wants an answer to the frame. `None` for a frame without an id, which is no question.
    pub(super) fn cancellation(&self) -> Option<&Cancelled> {
        self.cancelled.as_ref()
    }

    /// The router's shared state of this type ([`RouterBuilder::with_state`](super::RouterBuilder::with_state)).
    pub fn state<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.states.as_ref()?.iter().find_map(|value| value.downcast_ref())
    }
}

impl<C: fmt::Debug> fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("peer", &self.peer)
            .field("frame", &self.frame)
            .field("extensions", &self.extensions.len())
            .finish()
    }
}
