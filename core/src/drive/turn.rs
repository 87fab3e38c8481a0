//! [`yield_now`]: the end of a task's turn.

use std::pin::pin;
use std::task::{Context, Poll};

/// Ends the turn of a task that has more to do: it is polled again once other tasks, sockets and timers have had theirs.
///
/// A task that woke itself by its waker instead would be polled up to 61 times (tokio's `event_interval`) before the runtime looks
/// at sockets and timers.
pub fn yield_now<T>(cx: &mut Context<'_>) -> Poll<T> {
    // It hands the waker to the runtime, which keeps it when this future is dropped.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    #[cfg(unix)]
    async fn sockets_and_timers_have_their_turn_after_each() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        let mut turns = 0;
        // A task of its own: the runtime polls what it blocks on differently.
        let busy = tokio::spawn(poll_fn(move |cx| {
            turns += 1;
            if turns == 3 {
                std::io::Write::write_all(&mut ours, b"x").unwrap();
            }
            if theirs.try_read(&mut [0]).is_ok() { Poll::Ready(turns) } else { yield_now(cx) }
        }));
        let turns = busy.await.unwrap();
        assert!(turns < 10, "after {turns} turns");
    }
}
