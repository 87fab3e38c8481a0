//! The end of a server whose sessions live on.

use std::time::Duration;

use rejoin_core::drive::now;
use rejoin_core::{Mode, SessionState};

use crate::inner::ServerInner;

use super::act::Act;
use super::log::DurableLog;

/// The shortest delay after which a client is asked to come back.
const RETRY: Duration = Duration::from_millis(500);

/// The number of sockets that are closed before other tasks run.
const CHUNK: usize = 256;

/// Over this time the clients' return is spread, for each thousand of them.
const SPREAD: Duration = Duration::from_secs(1);

/// Suspends all sessions of the store, and waits until everything that they have caused is committed. From then on nothing that
/// becomes of them here reaches the store.
pub(crate) async fn leave_all(shared: &ServerInner, log: &DurableLog) {
    let sessions: Vec<_> = shared
        .registry
        .running_in_order()
        .into_iter()
        .filter(|connection| connection.mode() == Mode::Session && connection.handle().writer().is_some())
        .collect();
    for (index, connection) in sessions.iter().enumerate() {
        let retry = RETRY + SPREAD * u32::try_from(index).unwrap_or(u32::MAX) / 1000;
        connection.session().command(|session| session.dismiss(retry, now()));
        if index % CHUNK == CHUNK - 1 {
            tokio::task::yield_now().await;
        }
    }
    // A handler that runs has its commit.
    let mut waits = tokio::time::interval(Duration::from_millis(5));
    let is_busy = || {
        sessions.iter().any(|connection| {
            connection.session().drive(|session| session.state() != SessionState::Closed && session.uncommitted() > 0)
        })
    };
    while shared.sockets.count() > 0 && sessions.iter().any(|connection| connection.is_attached()) || is_busy() {
        waits.tick().await;
    }
    if log.has_begun() {
        log.queue.push_and_wait(Act::Nothing).await.ok();
    }
}

/// Ends the tasks of the log. What becomes of the sessions in this process from now on is nothing to the store.
pub(crate) async fn close(log: &DurableLog, patience: Duration) {
    log.leave();
    log.queue.close();
    if log.has_begun() {
        let mut ready = log.ready.subscribe();
        let closed = ready.wait_for(|ready| *ready == super::log::Ready::Never);
        tokio::time::timeout(patience, closed).await.ok();
    }
}
