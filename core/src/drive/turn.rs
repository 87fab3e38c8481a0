//! [`yield_now`]: lets other tasks run.

use std::pin::pin;
use std::task::{Context, Poll};

/// Yields from a task that has more to do: the runtime polls it again after other tasks, sockets and timers.
///
/// If the task called its own waker instead, the runtime could poll it up to 61 times (tokio's `event_interval`) before it looks
/// at sockets and timers.
pub fn yield_now<T>(cx: &mut Context<'_>) -> Poll<T> {
    // One poll suffices: it gives the waker to the runtime, which keeps it when this future is dropped.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

#[cfg(all(test, unix))] // a socket that a task can write to synchronously
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn sockets_and_timers_run_after_each_yield() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        let mut polls = 0;
        // In a separate task: the runtime polls the future of `block_on` by other rules.
        let busy = tokio::spawn(poll_fn(move |cx| {
            polls += 1;
            if polls == 3 {
                std::io::Write::write_all(&mut ours, b"x").unwrap();
            }
            if theirs.try_read(&mut [0]).is_ok() { Poll::Ready(polls) } else { yield_now(cx) }
        }));
        let polls = busy.await.unwrap();
        assert!(polls < 10, "after {polls} polls");
    }
}
