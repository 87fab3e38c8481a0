//! [`Deadline`]: one timer that is set again without cost when its time only moves back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// The time as tokio sees it: paused in tests and simulations.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits for a deadline that changes with every poll.
///
/// Heartbeats move their deadline back with each byte that arrives. The timer underneath stays where it was, goes off too
/// early now and then, and is set again: that is cheaper than moving it each time.
#[derive(Debug, Default)]
pub struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Ready when `at` has come.
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
