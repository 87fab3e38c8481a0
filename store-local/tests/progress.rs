//! How far a writer has got stands in the entries of its commits, before its record is written: whatever is left of a process.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rejoin_store::{
    Attach, Commit, CommitError, Committed, ENDED_KEPT, Fence, LogId, NodeId, OpenWriter, Store, WriterKey,
};
use rejoin_store_local::LocalStore;

const LOG: LogId = LogId(1);
const NODE: NodeId = NodeId { name: 1, incarnation: 1 };
const HOUR: Duration = Duration::from_secs(3600);

fn key(number: u8) -> WriterKey {
    WriterKey([number; 16])
}

async fn open(store: &LocalStore, number: u8, nonce: u64) {
    let open = OpenWriter {
        log: LOG,
        key: key(number),
        owner: NODE,
        nonce,
        proof: [9; 32],
        id: format!("id {number}").into(),
        identity: "identity".into(),
        checkpoint: "fold".into(),
        body: "open".into(),
    };
    store.open(open).await.unwrap();
}

/// A commit of one more frame; without an entry if `body` is empty.
async fn commit(
    store: &LocalStore,
    number: u8,
    fence: (u64, u64),
    body: &[u8],
) -> Result<Committed, CommitError> {
    let commit = Commit {
        log: LOG,
        writer: key(number),
        fence: Fence { epoch: fence.0, w: fence.1 },
        received: Some(10 * fence.1),
        state: None,
        ends: Vec::new(),
        body: Bytes::copy_from_slice(body),
    };
    store.commit(vec![commit]).await.remove(0)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => copy(&file.path(), &to),
            false => drop(fs::copy(file.path(), to).unwrap()),
        }
    }
}

/// Epoch, last commit and count of a writer, as a process finds them that opens the directory after a kill at this moment.
async fn after_a_kill(store: &LocalStore, directory: &Path, number: u8) -> (u64, u64, Option<u64>) {
    // Answered after the writer has trimmed: a copy has to be of one moment.
    store.touch(Vec::new()).await.unwrap();
    let copied = tempfile::tempdir().unwrap();
    copy(directory, &copied.path().join("copy"));
    let store = LocalStore::open(copied.path().join("copy")).unwrap();
    let records = store.records(LOG, None, 10).await.unwrap();
    let record = records.into_iter().find(|record| record.key == key(number)).unwrap();
    store.close().await;
    (record.epoch, record.w, record.received)
}

async fn begun(directory: &Path) -> LocalStore {
    let store = LocalStore::builder(directory).log_bytes(64 << 10).open().unwrap();
    store.lease(NODE, HOUR).await.unwrap();
    open(&store, 1, 1).await;
    store
}

#[tokio::test]
async fn a_commit_is_there_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = begun(directory.path()).await;
    for w in 1..=9 {
        // The third ones have no entry, so the record says it.
        let body: &[u8] = if w % 3 == 0 { b"" } else { b"said" };
        commit(&store, 1, (1, w), body).await.unwrap();
        assert_eq!(after_a_kill(&store, directory.path(), 1).await, (1, w, Some(10 * w)), "{w}");
    }
    assert_eq!(store.records(LOG, None, 1).await.unwrap()[0].w, 9, "the same process");
}

#[tokio::test]
async fn what_a_trimmed_entry_has_said_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = begun(directory.path()).await;
    open(&store, 2, 2).await;
    for w in 1..=3 {
        commit(&store, 1, (1, w), b"said").await.unwrap();
    }
    for w in 1..=40 {
        commit(&store, 2, (1, w), &[7; 4096]).await.unwrap();
    }
    assert!(store.bounds(LOG).await.unwrap().0.offset > 5, "the entries of the first are gone");
    assert_eq!(after_a_kill(&store, directory.path(), 1).await, (1, 3, Some(30)));
    assert_eq!(after_a_kill(&store, directory.path(), 2).await, (1, 40, Some(400)));
}

#[tokio::test]
async fn an_entry_says_nothing_of_the_next_owner() {
    let directory = tempfile::tempdir().unwrap();
    let store = begun(directory.path()).await;
    for w in 1..=2 {
        commit(&store, 1, (1, w), b"said").await.unwrap();
    }
    let to = NodeId { name: 2, incarnation: 1 };
    store.lease(to, HOUR).await.unwrap();
    let attach = Attach { key: key(1), proof: [9; 32], to, mine: None, nonce: 1, moved: Bytes::new() };
    store.attach(attach).await.unwrap();
    assert_eq!(after_a_kill(&store, directory.path(), 1).await, (2, 0, Some(20)));
    for w in 1..=2 {
        // The last entry is that of the commit with the same number in the epoch before.
        commit(&store, 1, (2, w), b"").await.unwrap();
        assert_eq!(after_a_kill(&store, directory.path(), 1).await, (2, w, Some(20)));
    }
}

#[tokio::test]
async fn an_entry_says_nothing_of_the_next_life_of_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicU64::new(1000));
    let clock = time.clone();
    let store =
        LocalStore::builder(directory.path()).clock(move || clock.load(Ordering::SeqCst)).open().unwrap();
    store.lease(NODE, HOUR).await.unwrap();
    open(&store, 1, 1).await;
    for w in 1..=3 {
        commit(&store, 1, (1, w), b"said").await.unwrap();
    }
    let ends = Commit {
        log: LOG,
        writer: key(1),
        fence: Fence { epoch: 1, w: 4 },
        received: None,
        state: None,
        ends: vec![key(1)],
        body: Bytes::new(),
    };
    store.commit(vec![ends]).await.remove(0).unwrap();
    time.fetch_add(ENDED_KEPT.as_millis() as u64 + 1, Ordering::SeqCst);
    open(&store, 1, 2).await;
    assert_eq!(after_a_kill(&store, directory.path(), 1).await, (1, 0, None));
    assert_eq!(commit(&store, 1, (1, 1), b"").await, Ok(Committed::Recorded));
    assert_eq!(after_a_kill(&store, directory.path(), 1).await, (1, 1, Some(10)));
}
