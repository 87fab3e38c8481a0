//! The resume window in the store: how it begins, and how a session ends there.

use std::sync::Arc;
use std::time::Duration;

use rejoin_core::CloseReason;
use rejoin_store::Touch;
use tokio::sync::oneshot;

use crate::connection::Connection;

use super::act::{self, Act};
use super::log::DurableLog;
use super::queue::Work;
use super::writer::LogWriter;

/// Ends a session in the store, together with the acts of its last handlers.
pub(crate) fn end(log: &DurableLog, writer: &Arc<LogWriter>, last_words: Vec<Act>) {
    if log.is_left() {
        return;
    }
    if writer.end() {
        log.queue.push(Work::Session {
            writer: writer.clone(),
            acts: last_words,
            received: None,
            state: None,
            ends: true,
            then: None,
        });
    } else {
        last_words.into_iter().for_each(|act| log.queue.push(Work::Server { act, ticket: act::NOBODY }));
    }
}

/// Ends the local copy of a session that another server owns, or that the store has lost.
pub(crate) fn moved(connection: &Connection) {
    let ended = connection.session().drive(|session| session.ended().cloned());
    if ended == Some(CloseReason::Duplicate) {
        // It has ended in the store.
        return;
    }
    if let Some(writer) = connection.handle().writer() {
        writer.set_moved();
    }
    connection.end(CloseReason::Moved);
}

/// Ends the local copy of a session that a newcomer at another server has ended in the store.
pub(super) fn replaced(connection: &Connection) {
    if let Some(writer) = connection.handle().writer() {
        // The acts of its last callbacks are committed by the server, because the session's record is gone.
        writer.end();
    }
    connection.end(CloseReason::Duplicate);
}

/// Commits that a session's window has passed, and waits for the store: from then on it can no longer be resumed. If another server
/// owns the session, it has moved instead.
pub(crate) fn claim(log: &DurableLog, writer: &Arc<LogWriter>) -> impl Future<Output = ()> + Send + 'static {
    let (done, claimed) = oneshot::channel();
    log.queue.push(Work::Session {
        writer: writer.clone(),
        acts: vec![Act::Over(writer.key)],
        received: None,
        state: None,
        ends: false,
        then: Some(Box::new(move |committed| {
            done.send(committed).ok();
        })),
    });
    let writer = writer.clone();
    async move {
        match claimed.await {
            Ok(true) => {}
            Ok(false) => writer.set_moved(),
            // The server has left its sessions to the store, so this task is about to end.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Reports to the store that a session has lost its socket, and that its window ends after this time.
pub(crate) fn suspended(log: &DurableLog, writer: &LogWriter, window: Duration) {
    log.queue.push(Work::Touch(Touch {
        key: writer.key.into(),
        epoch: writer.epoch,
        attachment: writer.attachment(),
        checkpoint: None,
        ends_in: Some(window),
    }));
}
