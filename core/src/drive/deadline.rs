//! [`Deadline`]: one timer, which costs nothing when its deadline moves to a later time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// The time of tokio's clock, which tests and simulations pause.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits for a deadline that changes with every poll.
///
/// Each byte that arrives defers the heartbeat. The timer underneath stays where it was, fires too early now and then, and is
/// reset then: that is cheaper than resetting it with each byte.
#[derive(Debug, Default)]
pub struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Ready once the time `at` has come; never for `None`.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if at <= tokio::time::Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}
