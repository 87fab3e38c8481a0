//! Requests that change nothing, repeated until the store answers.

use std::time::Duration;

use rejoin_store::{Limit, Page, Position, ReadError, Record, StoreError, WriterKey};

use super::log::DurableLog;

/// How long a failed request waits before it is repeated.
const PAUSE: Duration = Duration::from_millis(50);

/// The number of records that are read at once.
const RECORDS: usize = 1024;

async fn pause(error: &StoreError) {
    tracing::warn!(%error, "the store has failed");
    tokio::time::sleep(PAUSE).await;
}

impl DurableLog {
    /// The positions before the first entry that is kept, and of the last one.
    pub(super) async fn bounds(&self) -> (Position, Position) {
        loop {
            match self.store.bounds(self.log).await {
                Ok(bounds) => return bounds,
                Err(error) => pause(&error).await,
            }
        }
    }

    /// The entries behind a position.
    ///
    /// # Errors
    /// Fails if the log has them no more.
    pub(super) async fn read(&self, after: Position) -> Result<Page, ReadError> {
        loop {
            match self.store.read(self.log, after, Limit::default()).await {
                Err(ReadError::Unsure(error)) => pause(&error).await,
                other => return other,
            }
        }
    }

    /// The next records after a key; none at the end.
    pub(super) async fn records(&self, after: Option<WriterKey>) -> Vec<Record> {
        loop {
            match self.store.records(self.log, after, RECORDS).await {
                Ok(records) => return records,
                Err(error) => pause(&error).await,
            }
        }
    }
}
