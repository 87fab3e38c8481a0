//! Requests that are repeated until the store answers.

use rejoin_store::{Limit, Page, Position, ReadError, Record, StoreError, WriterKey};

use super::health::MaybeUnsure;
use super::log::{DurableLog, LEASE};

/// The number of records that are read at once.
const RECORDS: usize = 1024;

impl DurableLog {
    /// [`Health::ask`](super::health::Health::ask).
    pub(super) async fn ask<T, E: MaybeUnsure, F>(&self, request: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.health.ask(request).await
    }

    /// Renews the lease, also one that has passed because this process was stopped for a while. Returns `false` if another node has
    /// adopted something of it meanwhile.
    pub(super) async fn renewed(&self) -> bool {
        self.ask(|| self.store.lease(self.node, LEASE)).await.is_ok()
    }

    /// The positions before the first entry that is kept, and of the last one.
    pub(super) async fn bounds(&self) -> (Position, Position) {
        sure(self.ask(|| self.store.bounds(self.log)).await)
    }

    /// The entries behind a position.
    ///
    /// # Errors
    /// Fails if the log has them no more.
    pub(super) async fn read(&self, after: Position) -> Result<Page, ReadError> {
        self.ask(|| self.store.read(self.log, after, Limit::default())).await
    }

    /// The next records after a key; none at the end.
    pub(super) async fn records(&self, after: Option<WriterKey>) -> Vec<Record> {
        sure(self.ask(|| self.store.records(self.log, after, RECORDS)).await)
    }
}

/// The answer to a request that fails in no other way than one after which it is repeated.
fn sure<T>(answer: Result<T, StoreError>) -> T {
    answer.unwrap_or_else(|_| unreachable!("a failure is no answer"))
}
