//! Returns sessions from the store to memory, with [`Durability::Handover`](super::Durability::Handover).

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::accept::reject::Reject;
use crate::connection::Connection;

use super::admit::{PATIENCE, unavailable};
use super::handover::Resuming;
use super::log::DurableLog;
use super::queue::Work;
use super::windows::moved;

/// Prepares for a request to attach a socket: from now on the store does not have the session, until it is suspended again.
pub(crate) async fn resume(log: &DurableLog, connection: &Connection) -> Result<Option<Resuming>, Reject> {
    let Some(writer) = connection.handle().writer() else { return Ok(None) };
    let Some(handed) = writer.handed() else { return Ok(None) };
    handed.begin_resume();
    let (of, its_writer) = (connection.downgrade(), writer.clone());
    let resuming = Resuming::new(move || {
        its_writer.handed().into_iter().for_each(|handed| handed.end_resume());
        if let Some(connection) = of.upgrade() {
            // If no socket was attached, the session's task requests the next export.
            connection.session().wake_driver();
        }
    });
    // Checked after `begin_resume`: a shutdown that begins later waits for this request.
    if log.is_stopping() {
        return Err(unavailable());
    }
    let (done, voided) = oneshot::channel();
    let is_exported = handed.void(|| {
        log.queue.push(Work::Session {
            writer: writer.clone(),
            acts: Vec::new(),
            received: None,
            state: Some(Bytes::new()),
            ends: false,
            then: Some(Box::new(move |committed| {
                done.send(committed).ok();
            })),
        });
    });
    if !is_exported {
        return Ok(Some(resuming));
    }
    match timeout(PATIENCE, voided).await {
        Ok(Ok(true)) => return Ok(Some(resuming)),
        Ok(Ok(false)) => moved(connection),
        _ => {}
    }
    Err(unavailable())
}
