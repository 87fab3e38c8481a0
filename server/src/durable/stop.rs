//! The shutdown of a server whose sessions live on.

use std::time::Duration;

use futures_util::future::join_all;
use rejoin_core::SessionState;
use rejoin_core::drive::now;

use crate::connection::Connection;
use crate::inner::ServerCore;

use super::node::StoreNode;

/// The shortest delay after which a client is asked to return.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// The number of sockets that are closed before other tasks run.
const CHUNK: usize = 256;

/// How often the sessions are checked.
const PAUSE: Duration = Duration::from_millis(10);

/// So much later than the client before each client is asked to come back.
const SPREAD: Duration = Duration::from_millis(1);

/// Suspends all sessions of the store, and waits until everything that they have caused is committed. From then on nothing that
/// becomes of them here reaches the store.
pub(crate) async fn leave_all(core: &ServerCore, node: &StoreNode, patience: Duration) {
    let logs = || core.views().into_iter().filter_map(|view| view.durable.clone());
    if node.hands_over {
        node.stop();
        if tokio::time::timeout(patience.mul_f32(0.8), dismiss_all(core, false)).await.is_err() {
            dismiss_all(core, true).await;
        }
    } else {
        dismiss_all(core, false).await;
    }
    let running: Vec<_> = logs().filter(|log| log.is_running()).collect();
    join_all(running.iter().map(|log| log.barrier())).await;
}

/// Suspends all sessions of the store, and waits until their handlers are through, or without them if it `interrupts`.
async fn dismiss_all(shared: &ServerCore, interrupts: bool) {
    let mut waits = tokio::time::interval(PAUSE);
    let mut dismissed = 0;
    loop {
        // Repeat this: a request may have been about to attach a socket.
        let mut is_busy = false;
        for (index, connection) in shared.registry.running_in_order().into_iter().enumerate() {
            if connection.handle().writer().is_none() {
                continue;
            }
            let retry = RETRY + SPREAD * dismissed;
            let (left, is_attached, runs, asks) = connection.session().command(|session| {
                let left = session.dismiss(retry, now());
                // A running handler gets its commit. A handler that awaits an answer of its own client would wait in vain: it runs
                // again, with its frame, where the client resumes.
                let (state, asks) = (session.state(), session.has_open_questions());
                let runs = state == SessionState::Suspended && session.uncommitted() > 0 && !asks;
                (left, state == SessionState::Connected, runs, asks)
            });
            dismissed += u32::from(left);
            is_busy |= is_attached || runs || is_on_its_way(&connection, interrupts || asks);
            if index % CHUNK == CHUNK - 1 {
                tokio::task::yield_now().await;
            }
        }
        if !is_busy {
            break;
        }
        waits.tick().await;
    }
    let left =
        shared.registry.running().iter().filter(|connection| connection.handle().writer().is_some()).count();
    tracing::info!(sessions = left, sockets = dismissed, "sessions are left to the store");
}

/// Whether a session with [`Durability::Handover`](super::Durability::Handover) waits for a socket, and the store does not have it yet.
/// If so and `interrupts`, drops its running callback.
fn is_on_its_way(connection: &Connection, interrupts: bool) -> bool {
    let Some(handed) = connection.handle().writer().and_then(|writer| writer.handed()) else { return false };
    let waits = connection.session().drive(|session| session.state()) == SessionState::Suspended;
    if !waits || handed.is_exported() {
        return false;
    }
    if interrupts {
        // Its task is woken by the next look at it.
        handed.interrupt();
    }
    true
}

/// Ends the tasks of all logs. What becomes of the sessions in this process from now on is nothing to the store.
pub(crate) async fn close(core: &ServerCore, node: &StoreNode, patience: Duration) {
    node.leave();
    core.views().iter().filter_map(|view| view.durable.as_ref()).for_each(|log| log.queue.close());
    node.close();
    if node.has_begun() {
        tokio::time::timeout(patience, node.over.cancelled()).await.ok();
        node.gone.cancel();
    }
}
