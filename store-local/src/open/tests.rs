//! Directories of format 1 are opened as they are.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rejoin_store::{Commit, Fence, LogId, NodeId, OpenWriter, Position, ReadLimit, Store, WriterKey};

use super::open;
use crate::LocalStore;
use crate::keys::{self, FORMAT, FORMAT_1};
use crate::options::LocalStoreOptions;
use crate::values;

const LOG: LogId = LogId(1);
const KEY: WriterKey = WriterKey([7; 16]);
const NODE: NodeId = NodeId { name: 1, incarnation: 1 };

/// Commits one more frame.
async fn commit(store: &LocalStore, w: u64) {
    let commit = Commit {
        log: LOG,
        writer: KEY,
        fence: Fence { epoch: 1, w },
        received: Some(10 * w),
        state: None,
        ends: Vec::new(),
        body: Bytes::from(vec![w as u8; 4096]),
    };
    store.commit(vec![commit]).await.remove(0).unwrap();
}

/// The offsets, sizes and first bytes of the remaining entries, and the progress of the session.
async fn contents(store: &LocalStore) -> (Vec<(u64, usize, u8)>, u64, Option<u64>) {
    let first = store.bounds(LOG).await.unwrap().0;
    let page = store.read(LOG, first, ReadLimit { entries: 100, bytes: 1 << 20 }).await.unwrap();
    assert!(page.entries.iter().all(|entry| entry.epoch == 1 && entry.writer == KEY && entry.time > 0));
    let entries =
        page.entries.iter().map(|entry| (entry.position.offset, entry.body.len(), entry.body[0])).collect();
    let record = store.records(LOG, None, 1).await.unwrap().remove(0);
    (entries, record.w, record.received)
}

/// Rewrites a directory as format 1 has it. Its sessions have to be in the records, as a clean end leaves them.
fn make_format_1(directory: &Path) {
    let (trees, mark, _) = open(&LocalStoreOptions::new(directory)).unwrap();
    let mut batch = trees.database.batch().durability(Some(fjall::PersistMode::SyncAll));
    for (log, bounds) in trees.logs().unwrap() {
        let mut old = values::put_bounds(bounds);
        old.truncate(28);
        // Each entry had as many bytes as now, without the progress.
        let entries = bounds.last - bounds.trimmed;
        old[20..].copy_from_slice(&(bounds.bytes - 17 * entries).to_le_bytes());
        batch.insert(&trees.index, keys::log(log), old);
    }
    for guard in trees.entries.iter() {
        let (key, value) = guard.into_inner().unwrap();
        let entry = values::entry(Position::default(), &value).unwrap();
        let old = [&entry.writer.0[..], &entry.epoch.to_le_bytes(), &entry.time.to_le_bytes(), &entry.body];
        batch.insert(&trees.entries, key, old.concat());
    }
    batch.commit().unwrap();
    drop((trees, mark));
    fs::write(directory.join("format"), format!("{FORMAT_1}\n")).unwrap();
}

#[tokio::test]
async fn directory_of_format_1_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let opened = || LocalStore::builder(path).log_bytes(64 << 10).open().unwrap();
    let store = opened();
    store.lease(NODE, Duration::from_secs(60)).await.unwrap();
    let session = OpenWriter {
        log: LOG,
        key: KEY,
        owner: NODE,
        nonce: 1,
        proof: [9; 32],
        id: "id".into(),
        identity: Bytes::new(),
        checkpoint: Bytes::new(),
        body: "open".into(),
    };
    store.open(session).await.unwrap();
    for w in 1..=3 {
        commit(&store, w).await;
    }
    let expected = contents(&store).await;
    assert_eq!((expected.0.len(), expected.1, expected.2), (4, 3, Some(30)));
    store.close().await;
    make_format_1(path);

    let store = opened();
    assert_eq!(fs::read_to_string(path.join("format")).unwrap(), format!("{FORMAT}\n"));
    assert_eq!(contents(&store).await, expected);
    store.lease(NODE, Duration::from_secs(60)).await.unwrap();
    commit(&store, 4).await;
    store.close().await;

    // Entries of both formats, and the bounds of one log.
    let store = opened();
    let (entries, w, received) = contents(&store).await;
    assert_eq!((&entries[..4], entries[4]), (&expected.0[..], (5, 4096, 4)));
    assert_eq!((w, received), (4, Some(40)));
    store.lease(NODE, Duration::from_secs(60)).await.unwrap();
    for w in 5..=40 {
        commit(&store, w).await;
    }
    // Answered after the log was trimmed.
    assert_eq!(store.records(LOG, None, 1).await.unwrap()[0].w, 40);
    let (first, last) = store.bounds(LOG).await.unwrap();
    assert_eq!((last.offset, last.offset - first.offset), (41, (64 << 10) / (4096 + 81)));
}
