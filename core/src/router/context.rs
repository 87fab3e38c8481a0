//! [`Context`]: a frame on its way through the layers.

use std::any::Any;
use std::fmt;

use crate::Frame;

/// A frame on its way through the layers: the connection that it came from, and what the layers so far have put in.
pub struct Context<C> {
    peer: C,
    frame: Frame,
    /// One of each type. They are few: looking through them costs less than a hash.
    extensions: Vec<Box<dyn Any + Send + Sync>>,
}

impl<C> Context<C> {
    pub(super) fn new(peer: C, frame: Frame) -> Self {
        Self { peer, frame, extensions: Vec::new() }
    }

    /// Puts a value in for the layers further in and the handler, who take it as [`Extension`](super::Extension). Returns
    /// the value of this type that was there before.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) -> Option<T> {
        match self.extensions.iter_mut().find_map(|old| old.downcast_mut::<T>()) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.extensions.push(Box::new(value));
                None
            }
        }
    }

    /// The frame, for a layer that changes it. Its event decides, when all layers have seen it, which handler it goes to;
    /// its id is the one that a reply gets.
    pub fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }

    /// The connection that the frame came from.
    pub fn peer(&self) -> &C {
        &self.peer
    }

    /// The frame, as the layers so far have left it.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The value of this type that a layer has put in.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extensions.iter().find_map(|value| value.downcast_ref())
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
