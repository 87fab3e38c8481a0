//! [`Effects`]: the wake-ups of an access to a session, which are performed once its lock is released.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::{Notify, oneshot};

use crate::Delivery;

/// The tasks to wake after an access to a session.
///
/// Waking a task may run foreign code: an executor may poll the task on the spot, and the task may call the same session again,
/// whose lock is not reentrant. So an access only collects the wake-ups, and
/// [`SharedSession::apply`](super::SharedSession::apply) performs them when no lock is held. An `Effects` that is dropped instead
/// is a lost wake-up.
#[derive(Debug, Default)]
#[must_use = "a task waits for this wake-up: call SharedSession::apply"]
pub struct Effects {
    /// Wakes the senders that wait for capacity in the send buffer, or for the end of the session.
    pub(super) capacity: Option<Arc<Notify>>,
    /// Wakes the application, which waits for an event.
    pub(super) reader: Option<Waker>,
    /// The frames whose [`Delivery`] is decided, with the callers that wait for it. Usually `None`.
    pub(super) deliveries: Option<Box<DecidedDeliveries>>,
    /// Wakes the tasks whose questions got an answer or a cancellation. Usually `None`.
    pub(super) askers: Option<Box<Askers>>,
    /// Wakes the driver.
    pub(super) driver: Option<Waker>,
}

/// Decided deliveries, each with the caller that waits for it.
pub(super) type DecidedDeliveries = Vec<(oneshot::Sender<Delivery>, Delivery)>;

/// Tasks whose questions got an answer or a cancellation.
pub(super) type Askers = Vec<Waker>;

impl Effects {
    /// Whether there is no task to wake.
    pub fn is_empty(&self) -> bool {
        self.capacity.is_none()
            && self.reader.is_none()
            && self.deliveries.is_none()
            && self.askers.is_none()
            && self.driver.is_none()
    }

    /// Wakes the tasks.
    #[inline(never)]
    pub(super) fn perform(self) {
        let Self { capacity, reader, deliveries, askers, driver } = self;
        if let Some(capacity) = capacity {
            capacity.notify_waiters();
        }
        for (caller, delivery) in deliveries.into_iter().flat_map(|deliveries| *deliveries) {
            // Fails when the caller has stopped waiting.
            caller.send(delivery).ok();
        }
        askers.into_iter().flat_map(|askers| *askers).for_each(Waker::wake);
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_with_a_task_to_wake_are_not_empty() {
        assert!(Effects::default().is_empty());
        let waker = || Some(Waker::noop().clone());
        for effects in [
            Effects { capacity: Some(Arc::default()), ..Effects::default() },
            Effects { reader: waker(), ..Effects::default() },
            Effects { deliveries: Some(Box::default()), ..Effects::default() },
            Effects { askers: Some(Box::default()), ..Effects::default() },
            Effects { driver: waker(), ..Effects::default() },
        ] {
            assert!(!effects.is_empty(), "{effects:?}");
        }
    }
}
