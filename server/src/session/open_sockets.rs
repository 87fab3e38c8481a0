//! [`OpenSockets`]: the number of sockets that sessions have, or are closing.

use std::sync::Arc;

use rejoin_core::drive::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// The number of sockets that are attached to sessions, or were and are being closed.
#[derive(Debug, Default)]
pub(crate) struct OpenSockets {
    count: AtomicUsize,
    changed: Notify,
}

/// A socket that has been detached, and counts until its close is over.
#[derive(Debug)]
pub(crate) struct ClosingSocket(Arc<OpenSockets>);

impl OpenSockets {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Counts a socket that was attached.
    pub(crate) fn opened(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Stops counting a socket that is dropped.
    pub(crate) fn closed(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.changed.notify_waiters();
        }
    }

    /// Takes over the count of an attached socket, until the returned value is dropped.
    pub(crate) fn closing(self: &Arc<Self>) -> ClosingSocket {
        ClosingSocket(self.clone())
    }

    /// Waits until `is_met` holds for the number of sockets.
    pub(crate) async fn until(&self, is_met: impl Fn(usize) -> bool) {
        loop {
            // It receives every notification from here on, even before it is first polled.
            let changed = self.changed.notified();
            if is_met(self.count()) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for ClosingSocket {
    fn drop(&mut self) {
        self.0.closed();
    }
}
