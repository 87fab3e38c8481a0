//! How a session's window begins in the store, and how the session ends there.

use std::sync::Arc;
use std::time::Duration;

use rejoin_store::Touch;

use super::act::Act;
use super::log::DurableLog;
use super::queue::Work;
use super::writer::Writer;

/// Ends a session in the store, with what its last handlers have said.
pub(crate) fn end(log: &DurableLog, writer: &Arc<Writer>, last_words: Vec<Act>) {
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
        last_words.into_iter().for_each(|act| log.queue.push(Work::Server { act, ticket: 0 }));
    }
}

/// Says that a session has lost its socket: its window ends after this time.
pub(crate) fn suspended(log: &DurableLog, writer: &Writer, window: Duration) {
    log.queue.push(Work::Touch(Touch {
        key: writer.key.into(),
        epoch: writer.epoch,
        attachment: writer.attachment(),
        checkpoint: None,
        ends_in: Some(window),
    }));
}
