//! Requests that are repeated until the store answers.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rejoin_store::{
    Attach, AttachError, Attached, LogId, Page, Position, ReadError, ReadLimit, Record, StoreError, WriterKey,
};

use super::health::{MaybeUnsure, PAUSE};
use super::log::DurableLog;
use super::node::{LEASE, StoreNode};

/// The number of records per read.
const RECORDS: usize = 1024;

/// The number of sessions that are adopted at once.
const ADOPTIONS: usize = 256;

impl StoreNode {
    /// [`StoreHealth::ask`](super::health::StoreHealth::ask).
    pub(super) async fn ask<T, E: MaybeUnsure, F>(&self, request: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.health.ask(request).await
    }

    /// Renews the lease, even if it has passed because this process was stopped for a while. Returns `false` if another node has
    /// adopted one of its sessions since.
    pub(super) async fn renewed(&self) -> bool {
        self.ask(|| self.store.lease(self.node, LEASE)).await.is_ok()
    }

    /// Takes over what an earlier life of this server has, or had. `None` if it has ended, or another server has it.
    ///
    /// # Errors
    /// Fails for an answer that should not be.
    pub(super) async fn adopt(&self, record: Record) -> Result<Option<Record>, AttachError> {
        loop {
            let attach = Attach {
                key: record.key,
                proof: record.proof,
                to: self.node,
                mine: None,
                nonce: self.nonce(),
                moved: Bytes::new(),
            };
            match self.ask(|| self.store.adopt(attach.clone())).await {
                Ok(Attached::Taken(record)) => return Ok(Some(*record)),
                Ok(Attached::StillYours { .. }) => return Ok(Some(record)),
                Err(AttachError::Unknown) => return Ok(None),
                Err(AttachError::Owned) => {
                    // The earlier process may still run, so wait for its lease to expire, or for another server to adopt the session.
                    tokio::time::sleep(PAUSE).await;
                    let owner = self.record(record.log, record.key).await.map(|record| record.owner.name);
                    if owner != Some(self.node.name) {
                        return Ok(None);
                    }
                }
                Err(AttachError::NoLease) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// The next records of a log after a key; none at the end.
    pub(super) async fn records_of(&self, log: LogId, after: Option<WriterKey>) -> Vec<Record> {
        sure(self.ask(|| self.store.records(log, after, RECORDS)).await)
    }

    /// The records of a log that this server has, or an earlier life of it, in the order of their keys, up to the first one for which
    /// `goes_on` is false.
    pub(super) async fn own_records(&self, log: LogId, goes_on: impl Fn(&Record) -> bool) -> Vec<Record> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.records_of(log, after).await;
            let Some(last) = page.last() else { return all };
            after = Some(last.key);
            for record in page.into_iter().filter(|record| record.owner.name == self.node.name) {
                let is_last = !goes_on(&record);
                all.push(record);
                if is_last {
                    return all;
                }
            }
        }
    }

    /// The record of a writer.
    async fn record(&self, log: LogId, key: WriterKey) -> Option<Record> {
        let before = u128::from_be_bytes(key.0).checked_sub(1).map(|before| WriterKey(before.to_be_bytes()));
        let found = sure(self.ask(|| self.store.records(log, before, 1)).await);
        found.into_iter().find(|record| record.key == key)
    }
}

impl DurableLog {
    /// The positions before the first entry that is kept, and of the last one.
    pub(super) async fn bounds(&self) -> (Position, Position) {
        sure(self.ask(|| self.store.bounds(self.log)).await)
    }

    /// The entries behind a position.
    ///
    /// # Errors
    /// Fails if the log has them no more.
    pub(super) async fn read(&self, after: Position) -> Result<Page, ReadError> {
        self.ask(|| self.store.read(self.log, after, ReadLimit::default())).await
    }

    /// Takes the sessions of this server's earlier lives over, many at a time, so that the store can do it in few steps.
    ///
    /// # Errors
    /// Fails for an answer that should not be.
    pub(super) async fn adopt_own(&self) -> Result<Vec<Record>, AttachError> {
        let mut own = self.own_records(self.log, |_| true).await;
        own.retain(is_session);
        // In the order of the log, not of the keys, which are random.
        own.sort_by_key(|record| record.checkpoint.position.offset);
        let adopted = own.into_iter().map(|record| self.adopt(record));
        let adopted = stream::iter(adopted).buffered(ADOPTIONS).try_collect::<Vec<_>>().await?;
        Ok(adopted.into_iter().flatten().collect())
    }

    /// The record that has a connection ID. Reads all records: for what is rare.
    pub(super) async fn record_of_id(&self, id: &str) -> Option<Record> {
        let mut after = None;
        loop {
            let page = self.records_of(self.log, after).await;
            after = Some(page.last()?.key);
            if let Some(found) = page.into_iter().find(|record| *record.id == *id) {
                return Some(found);
            }
        }
    }
}

/// Whether a record is that of a session.
pub(super) fn is_session(record: &Record) -> bool {
    !record.id.is_empty()
}

/// Unwraps the answer to a request whose only errors are those after which it is repeated.
fn sure<T>(answer: Result<T, StoreError>) -> T {
    answer.unwrap_or_else(|_| unreachable!("a failure is no answer"))
}
