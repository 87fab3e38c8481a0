//! Sends frames to sessions with a socket without the store, with [`Durability::Handover`](super::Durability::Handover).

use rejoin_core::Overflow;
use rejoin_core::drive::{Accepted, EncodedFrame, SendError};

use crate::connection::Connection;

use super::log::DurableLog;
use super::writer::LogWriter;

/// Whether a frame for the session has to go through the log, because it must not overtake frames that are still on their way there:
/// those for the session, and acts of the handler that this thread polls or of an earlier handler of the same session.
pub(super) fn has_to_wait(log: &DurableLog, writer: &LogWriter) -> bool {
    let last_said = log.speaker().and_then(|scope| Some(scope.writer.handed()?.last_said()));
    writer.has_said() || last_said.is_some_and(|number| !log.queue.is_applied(number))
}

/// Sends a frame directly to a session. Returns `None` if the frame has to go through the log.
pub(super) fn send(
    connection: &Connection,
    log: &DurableLog,
    writer: &LogWriter,
    message: &EncodedFrame,
    overflow: Overflow,
) -> Option<Result<(), SendError>> {
    if writer.handed().is_none() || has_to_wait(log, writer) {
        return None;
    }
    let sent = connection.session().send_unless_suspended(message.clone(), overflow, false);
    sent.map(|accepted| accepted.map(drop)).transpose()
}

/// Like [`send`], but waits for capacity for up to the write timeout.
pub(super) async fn send_wait(
    connection: &Connection,
    log: &DurableLog,
    writer: &LogWriter,
    message: &EncodedFrame,
    watches: bool,
) -> Result<Option<Accepted>, SendError> {
    if writer.handed().is_none() || has_to_wait(log, writer) {
        return Ok(None);
    }
    let timeout = connection.host().context().options.write_timeout;
    connection.session().send_wait_unless_suspended(message.clone(), timeout, watches).await
}
