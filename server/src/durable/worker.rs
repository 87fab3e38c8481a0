//! The task that commits what is said, and follows the log.
//!
//! Both are in one task, because the answer of a store and what its tail brings come together: they wake it once. As two tasks they would
//! wake two threads, for every commit of a server that has little to do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use rejoin_store::ReadError;

use super::commit;
use super::log::DurableLog;
use super::writer::LogWriter;

/// Commits and follows, until everything is committed.
///
/// # Errors
/// Fails if the log has what comes next no more.
pub(super) async fn run(
    log: Arc<DurableLog>,
    own: LogWriter,
    following: impl Future<Output = Result<(), ReadError>>,
) -> Result<(), ReadError> {
    let committing = commit::run(log, own);
    // After a panic of the follower what is queued is still committed.
    let following = AssertUnwindSafe(following).catch_unwind();
    tokio::pin!(committing, following);
    tokio::select! {
        // The next batch first: the store works on it while the entries of the last one are applied.
        biased;
        () = &mut committing => Ok(()),
        followed = &mut following => match followed {
            Ok(Err(error)) => Err(error),
            // The server or the store is gone.
            _ => {
                committing.await;
                Ok(())
            }
        },
    }
}
