//! [`Effects`]: what an access to a session leaves to do once its lock is released.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::{Notify, oneshot};

use crate::Delivery;

/// Those to wake after an access to a session. A waker may run foreign code, so none is called under a lock:
/// [`SharedSession::apply`](super::SharedSession::apply) calls them.
#[derive(Debug, Default)]
#[must_use = "somebody waits for this: call SharedSession::apply"]
pub struct Effects {
    /// Those who wait for capacity in the buffer, or for the end.
    pub(super) capacity: Option<Arc<Notify>>,
    /// The application waits for an event.
    pub(super) reader: Option<Waker>,
    /// Those who wait to hear what became of a frame. Usually `None`.
    pub(super) deliveries: Option<Box<Deliveries>>,
    /// The driver has something to do.
    pub(super) driver: Option<Waker>,
}

/// What became of frames, for those who wait to hear it.
pub(super) type Deliveries = Vec<(oneshot::Sender<Delivery>, Delivery)>;

impl Effects {
    /// Whether there is nobody to wake.
    pub fn is_empty(&self) -> bool {
        self.capacity.is_none() && self.reader.is_none() && self.deliveries.is_none() && self.driver.is_none()
    }
}
