//! [`ExpiryTask`]: the one timer for the windows of all suspended sessions.

use std::sync::Arc;
use std::time::Instant;

use rejoin_core::drive::{MemoryBudget, now};
use rejoin_core::{CloseReason, SessionState};
use tokio::runtime::{Handle, Id};

use crate::connection::Connection;
use crate::runtimes::Runtimes;
use crate::session::expiry_slot::Loss;

use super::queue::{ExpiryQueue, free};

/// The number of sessions that are checked before other tasks run.
pub(super) const SESSIONS_PER_TURN: usize = 256;

/// Ends the sessions whose window has passed. There is one such task while the queue is not empty.
pub(super) struct ExpiryTask {
    queue: Arc<ExpiryQueue>,
    budget: Arc<MemoryBudget>,
    runtimes: Arc<Runtimes>,
    /// The runtime in which it runs.
    runtime: Option<Id>,
    /// Whether it has cleared `has_task`. It must then not touch the queue any more, because another task may exist already.
    over: bool,
}

/// The next step of the task.
enum ExpiryStep {
    /// Ends this session, whose window has passed.
    Ends(Connection),
    /// The oldest session has left the front of the queue, so check again.
    Left,
    /// Sleeps until the window of the oldest session ends. `None` if it never does.
    Sleep(Option<Instant>),
    /// The queue is empty.
    Over,
}

impl ExpiryTask {
    /// Starts a task, if there is none. The caller must hold no lock: a runtime that is ending drops the task at once, and the
    /// drop takes the locks of the queue and of the sessions.
    pub(super) fn begin(queue: &Arc<ExpiryQueue>, budget: &Arc<MemoryBudget>, runtimes: &Arc<Runtimes>) {
        if !queue.wants_task() {
            return;
        }
        let own = runtimes.own();
        let runtime = own.as_ref().map(Handle::id);
        let (queue, budget) = (queue.clone(), budget.clone());
        let expiry_task = Self { queue, budget, runtimes: runtimes.clone(), runtime, over: false };
        runtimes.spawn_on(own.as_ref(), expiry_task.run());
    }

    async fn run(mut self) {
        let mut seen = 0;
        loop {
            seen += 1;
            if seen % SESSIONS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
            match self.next() {
                // A command wakes the session's driver, which usually starts a task: that task reports the end.
                ExpiryStep::Ends(connection) => {
                    connection.session().command(|session| session.handle_timeout(now()))
                }
                ExpiryStep::Left => {}
                ExpiryStep::Sleep(at) => {
                    let due = async {
                        match at {
                            Some(at) => tokio::time::sleep_until(at.into()).await,
                            None => std::future::pending().await,
                        }
                    };
                    // A session that is added meanwhile is due later than the one at the front, so only the end of the queue has
                    // to interrupt the sleep. `notify_one` keeps a permit: the queue may have become empty since `next` looked.
                    tokio::select! {
                        () = due => {}
                        () = self.queue.empty.notified() => {}
                    }
                }
                ExpiryStep::Over => return,
            }
        }
    }

    fn next(&mut self) -> ExpiryStep {
        let queue = &self.queue;
        let (oldest, loss) = {
            let mut waiting = queue.lock();
            let Some(Some(oldest)) = waiting.list.front() else {
                // In the critical section that finds the queue empty. Cleared after it, a session that is added in between would
                // start no task, and its window would never end.
                waiting.has_task = false;
                self.over = true;
                return ExpiryStep::Over;
            };
            (oldest.clone(), oldest.expiry_slot().loss())
        };
        // The queue is unlocked: the session may leave it, or lose another socket, at any moment. Each step below that changes the
        // queue names the loss for which it was decided, and does nothing if the session was queued for a later one.
        let (state, due, last) =
            oldest.session().drive(|session| (session.state(), session.poll_timeout(), Loss::last(session)));
        match state {
            // It had a socket for a moment, and its task is about to move it: its window now ends after those of others. Waiting for
            // its task would delay theirs.
            SessionState::Suspended if last != loss => {
                queue.move_back(&oldest, loss, last);
                ExpiryStep::Left
            }
            SessionState::Suspended if due.is_none_or(|due| due > now()) => ExpiryStep::Sleep(due),
            // If it gets and loses a socket from now on, its task adds it again.
            SessionState::Suspended => {
                free(&self.budget, queue.remove_since(&oldest, loss));
                ExpiryStep::Ends(oldest)
            }
            // It has a socket again, or has ended.
            _ => {
                free(&self.budget, queue.remove_since(&oldest, loss));
                ExpiryStep::Left
            }
        }
    }
}

impl Drop for ExpiryTask {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // Dropped before its end: its runtime ends, or there was none. Another runtime of the server takes the task over. First
        // clear the flag, or `begin` would find a task; first remove the runtime, or it would be chosen again.
        self.queue.lock().has_task = false;
        if let Some(runtime) = self.runtime {
            self.runtimes.remove(runtime);
        }
        if self.runtimes.own().is_some() {
            return Self::begin(&self.queue, &self.budget, &self.runtimes);
        }
        // Without a runtime no window ends any more: end the sessions now. The list is copied, since each session leaves the
        // queue as it ends, and takes the lock for that.
        let list = self.queue.lock().list.clone();
        for connection in list.iter().flatten() {
            connection.end(CloseReason::ServerClosed);
        }
    }
}
