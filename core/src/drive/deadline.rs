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
/// Each byte that arrives defers the heartbeat. The underlying timer keeps its earlier deadline, and is reset only when it fires
/// too early, which is cheaper than resetting it with each byte.
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_ready_at_a_deadline_that_has_moved() {
        let secs = Duration::from_secs;
        let start = now();
        let mut deadline = Deadline::default();
        let mut is_ready = async |at: Option<u64>| {
            poll_fn(|cx| Poll::Ready(deadline.poll(cx, at.map(|at| start + secs(at))).is_ready())).await
        };
        assert!(!is_ready(Some(10)).await && !is_ready(None).await);
        assert!(!is_ready(Some(5)).await, "sooner");
        tokio::time::advance(secs(5)).await;
        assert!(is_ready(Some(5)).await);
        assert!(!is_ready(Some(20)).await, "later, although the timer has gone off");
        tokio::time::advance(secs(14)).await;
        assert!(!is_ready(Some(20)).await);
        for at in [10, 20] {
            let mut deadline = Deadline::default();
            poll_fn(|cx| deadline.poll(cx, Some(start + secs(at)))).await;
            assert_eq!(now() - start, secs(at.max(19)), "at once if the deadline has passed");
        }
    }
}
