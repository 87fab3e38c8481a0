//! [`ExpiryTask`]: the one timer for the windows of all suspended sessions.

use std::time::Instant;

use rejoin_core::drive::now;
use rejoin_core::{CloseReason, State};
use tokio::runtime::{Handle, Id};

use crate::connection::{Connection, Loss};

use super::SuspendedSessions;

/// So many sessions are looked at before other tasks have their turn.
const SESSIONS_PER_TURN: usize = 256;

/// Ends the sessions whose window has passed. There is one while anybody waits.
pub(super) struct ExpiryTask {
    suspended: SuspendedSessions,
    /// Where it runs.
    runtime: Option<Id>,
    /// It has said that it ends.
    over: bool,
}

/// What a keeper does next.
enum Next {
    /// The window of somebody has passed.
    Ends(Connection),
    /// Somebody has a socket again, or has ended.
    Left,
    Sleep(Option<Instant>),
    Over,
}

impl ExpiryTask {
    /// Begins one, where there is none. No lock may be held: a runtime that is ending drops it at once.
    pub(super) fn begin(suspended: &SuspendedSessions) {
        if !suspended.queue.wants_task() {
            return;
        }
        let own = suspended.runtimes.own();
        let runtime = own.as_ref().map(Handle::id);
        let expiry_task = Self { suspended: suspended.clone(), runtime, over: false };
        suspended.runtimes.spawn_on(own.as_ref(), expiry_task.run());
    }

    async fn run(mut self) {
        let mut seen = 0;
        loop {
            seen += 1;
            if seen % SESSIONS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
            match self.next() {
                Next::Ends(connection) => {
                    connection.session().command(|session| session.handle_timeout(now()))
                }
                Next::Left => {}
                Next::Sleep(at) => {
                    let due = async {
                        match at {
                            Some(at) => tokio::time::sleep_until(at.into()).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = due => {}
                        () = self.suspended.queue.empty.notified() => {}
                    }
                }
                Next::Over => return,
            }
        }
    }

    fn next(&mut self) -> Next {
        let queue = &self.suspended.queue;
        let (oldest, loss) = {
            let mut waiting = queue.lock();
            let Some(Some(oldest)) = waiting.list.front() else {
                waiting.has_task = false;
                self.over = true;
                return Next::Over;
            };
            (oldest.clone(), oldest.suspended_by())
        };
        let (state, due, last) =
            oldest.session().drive(|session| (session.state(), session.poll_timeout(), Loss::last(session)));
        match state {
            // It has had a socket for a moment, and its task is about to say so: its window ends after those of others.
            State::Suspended if last != loss => {
                queue.move_back(&oldest, loss, last);
                Next::Left
            }
            State::Suspended if due.is_none_or(|due| due > now()) => Next::Sleep(due),
            // What it loses from now on its task says itself.
            State::Suspended => {
                self.suspended.free(queue.remove_since(&oldest, loss));
                Next::Ends(oldest)
            }
            _ => {
                self.suspended.free(queue.remove_since(&oldest, loss));
                Next::Left
            }
        }
    }
}

impl Drop for ExpiryTask {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.suspended.queue.lock().has_task = false;
        // Its runtime ends.
        if let Some(runtime) = self.runtime {
            self.suspended.runtimes.remove(runtime);
        }
        if self.suspended.runtimes.own().is_some() {
            return Self::begin(&self.suspended);
        }
        // Nobody is left to end them otherwise.
        let list = {
            let mut waiting = self.suspended.queue.lock();
            waiting.compact();
            waiting.list.clone()
        };
        for connection in list.iter().flatten() {
            connection.end(CloseReason::ServerClosed);
        }
    }
}
