//! Directories: reopened, locked, foreign, of another format, damaged, and too small.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rejoin_store::{
    Attach, AttachError, Attached, Checkpoint, Commit, CommitError, Committed, Fence, LeaseError, LogId,
    NodeId, OpenError, OpenWriter, Position, ReadError, ReadLimit, Store, Touch, WriterKey,
};
use rejoin_store_local::{LocalError, LocalStore, LocalStoreBuilder};

const LOG: LogId = LogId(5);
const NODE: NodeId = NodeId { name: 1, incarnation: 1 };
const WINDOW: Duration = Duration::from_secs(30);

fn key(number: u8) -> WriterKey {
    WriterKey([number; 16])
}

fn opening(number: u8) -> OpenWriter {
    OpenWriter {
        log: LOG,
        key: key(number),
        owner: NODE,
        nonce: u64::from(number),
        proof: [9; 32],
        id: format!("id {number}").into(),
        identity: "identity".into(),
        checkpoint: "fold".into(),
        body: "open".into(),
    }
}

fn commit(number: u8, w: u64, body: impl Into<Bytes>) -> Commit {
    Commit {
        log: LOG,
        writer: key(number),
        fence: Fence { epoch: 1, w },
        received: Some(w),
        state: Some(format!("state {w}").into()),
        ends: Vec::new(),
        body: body.into(),
    }
}

async fn one(store: &LocalStore, commit: Commit) -> Result<Committed, CommitError> {
    store.commit(vec![commit]).await.remove(0)
}

fn at_time(directory: &Path, time: u64) -> LocalStoreBuilder {
    LocalStore::builder(directory).clock(move || time)
}

/// Two sessions, the second suspended for a window, and ten commits of the first.
async fn fill(store: &LocalStore) {
    store.lease(NODE, Duration::from_secs(3600)).await.unwrap();
    store.open(opening(1)).await.unwrap();
    store.open(opening(2)).await.unwrap();
    for w in 1..=10 {
        one(store, commit(1, w, format!("body {w}"))).await.unwrap();
    }
    let checkpoint =
        Checkpoint { position: Position { generation: 0, offset: 4 }, number: 2, state: "later".into() };
    let touch =
        Touch { key: key(2), epoch: 1, attachment: 1, checkpoint: Some(checkpoint), ends_in: Some(WINDOW) };
    store.touch(vec![touch]).await.unwrap();
}

async fn everything(store: &LocalStore) -> String {
    let records = store.records(LOG, None, 100).await.unwrap();
    let page = store.read(LOG, Position::default(), ReadLimit::default()).await.unwrap();
    format!("{records:?} {page:?}")
}

#[tokio::test]
async fn reopened_directory_is_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = at_time(directory.path(), 1000).open().unwrap();
    fill(&store).await;
    let before = everything(&store).await;
    drop(store);
    let store = at_time(directory.path(), 2000).open().unwrap();
    assert_eq!(everything(&store).await, before);
    assert_eq!(one(&store, commit(1, 10, "again")).await, Ok(Committed::Already));
    let position = Position { generation: 0, offset: 13 };
    assert_eq!(one(&store, commit(1, 11, "next")).await, Ok(Committed::At(position)));
    // The ID is taken, and the lease of the earlier process is gone.
    assert_eq!(store.open(opening(3)).await, Err(OpenError::NoLease));
    let node = NodeId { incarnation: 2, ..NODE };
    store.lease(node, WINDOW).await.unwrap();
    let taken = OpenWriter { id: "id 1".into(), owner: node, ..opening(3) };
    assert_eq!(store.open(taken).await, Err(OpenError::IdTaken));
}

#[tokio::test]
async fn owners_of_earlier_processes_are_gone_since_the_first_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = at_time(directory.path(), 1000).open().unwrap();
    fill(&store).await;
    drop(store);
    // A loop of crashes does not begin the window anew.
    drop(at_time(directory.path(), 2000).open().unwrap());
    drop(at_time(directory.path(), 20_000).open().unwrap());
    let expired = async |time| {
        let store = at_time(directory.path(), time).open().unwrap();
        let mut expired = store.expired(LOG, WINDOW, 9).await.unwrap();
        expired.sort();
        expired
    };
    assert_eq!(expired(30_999).await, []);
    assert_eq!(expired(31_000).await, [key(2)], "its deadline");
    assert_eq!(expired(32_000).await, [key(1), key(2)], "its owner is gone for a window");
    let store = at_time(directory.path(), 32_000).open().unwrap();
    let node = NodeId { incarnation: 2, ..NODE };
    store.lease(node, WINDOW).await.unwrap();
    let adopt = Attach { key: key(1), proof: [0; 32], to: node, mine: None, nonce: 1, moved: "moved".into() };
    let Ok(Attached::Taken(record)) = store.adopt(adopt).await else { panic!("not adopted") };
    assert_eq!((record.epoch, record.received, &record.state[..]), (2, Some(10), &b"state 10"[..]));
    assert_eq!(store.expired(LOG, WINDOW, 9).await.unwrap(), [key(2)]);
}

#[tokio::test]
async fn clock_goes_on_when_that_of_the_machine_went_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = at_time(directory.path(), 900_000).open().unwrap();
    fill(&store).await;
    drop(store);
    let store = at_time(directory.path(), 5).open().unwrap();
    assert_eq!(store.now(), 900_000);
    one(&store, commit(1, 11, "next")).await.unwrap();
    let page = store.read(LOG, Position { generation: 0, offset: 12 }, ReadLimit::default()).await.unwrap();
    assert_eq!(page.entries[0].time, 900_000);
}

#[tokio::test]
async fn second_store_is_refused_until_the_first_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    let error = LocalStore::open(directory.path()).unwrap_err();
    let LocalError::Locked { process, .. } = &error else { panic!("{error:?}") };
    // A locked file cannot be read on Windows.
    assert_eq!(*process, cfg!(unix).then(std::process::id));
    assert!(error.to_string().contains(directory.path().to_str().unwrap()), "{error}");
    let clone = store.clone();
    drop(store);
    assert!(LocalStore::open(directory.path()).is_err(), "a clone has it");
    let mut tail = clone.tail(LOG);
    clone.close().await;
    assert!(tail.next().await.is_none());
    let store = LocalStore::open(directory.path()).unwrap();
    store.lease(NODE, WINDOW).await.unwrap();
    // The closed one answers errors.
    assert!(matches!(clone.open(opening(1)).await, Err(OpenError::Unsure(_))));
    assert!(matches!(clone.lease(NODE, WINDOW).await, Err(LeaseError::Unsure(_))));
    assert!(clone.bounds(LOG).await.is_err());
    assert!(clone.tail(LOG).next().await.is_none());
    clone.close().await;
    store.open(opening(1)).await.unwrap();
}

#[tokio::test]
async fn foreign_directory_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    let error = LocalStore::open(directory.path()).unwrap_err();
    assert!(matches!(error, LocalError::NotAStore { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(directory.path().join("letter.txt")).unwrap(), "dear");
    let file = directory.path().join("letter.txt");
    assert!(matches!(LocalStore::open(file), Err(LocalError::Io { .. })));
}

#[tokio::test]
async fn other_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(LocalStore::open(directory.path()).unwrap());
    for format in ["rejoin-store-local 3\n", "rejoin-store-local 0\n", "", "\u{fffd}"] {
        fs::write(directory.path().join("format"), format).unwrap();
        let error = LocalStore::open(directory.path()).unwrap_err();
        assert!(matches!(error, LocalError::Format { .. }), "{error:?}");
        assert!(error.to_string().contains("rejoin-store-local 2"), "{error}");
    }
    fs::write(directory.path().join("format"), "rejoin-store-local 2\n").unwrap();
    LocalStore::open(directory.path()).unwrap();
}

#[tokio::test]
async fn making_that_was_interrupted_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    drop(LocalStore::open(directory.path()).unwrap());
    fs::write(directory.path().join("format"), "rejoin-store-local begun\n").unwrap();
    fs::remove_file(directory.path().join("mark")).unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    fill(&store).await;
}

#[tokio::test]
async fn lost_commits_are_an_error_or_a_new_generation() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    fill(&store).await;
    store.close().await;
    let copy = tempfile::tempdir().unwrap();
    write_files(&files(directory.path()), directory.path(), copy.path());
    drop(store);
    let store = LocalStore::open(directory.path()).unwrap();
    one(&store, commit(1, 11, "acknowledged")).await.unwrap();
    one(&store, commit(1, 12, "acknowledged")).await.unwrap();
    store.close().await;
    // The older copy is put back, but for the mark.
    fs::copy(directory.path().join("mark"), copy.path().join("mark")).unwrap();
    let error = LocalStore::open(copy.path()).unwrap_err();
    assert!(matches!(error, LocalError::Lost { batches: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("accept_loss"), "{error}");

    let store = LocalStore::builder(copy.path()).accept_loss(true).open().unwrap();
    let (_, last) = store.bounds(LOG).await.unwrap();
    assert_eq!(last, Position { generation: 1, offset: 12 });
    assert_eq!(store.read(LOG, Position::default(), ReadLimit::default()).await, Err(ReadError::Generation));
    assert_eq!(store.records(LOG, None, 9).await.unwrap().len(), 2);
    drop(store);
    LocalStore::open(copy.path()).unwrap();
}

/// The files below a directory, without the zeros at their ends: journals have mebibytes of them.
fn files(of: &Path) -> Vec<(PathBuf, Vec<u8>, u64)> {
    let mut found = Vec::new();
    for file in fs::read_dir(of).unwrap().map(Result::unwrap) {
        match file.file_type().unwrap().is_dir() {
            true => found.extend(files(&file.path())),
            false => {
                let mut bytes = fs::read(file.path()).unwrap();
                let length = bytes.len() as u64;
                bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
                found.push((file.path(), bytes, length));
            }
        }
    }
    found.sort();
    found
}

fn write_files(files: &[(PathBuf, Vec<u8>, u64)], from: &Path, to: &Path) {
    for (path, bytes, length) in files {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(*length).unwrap();
    }
}

/// Opens a damaged copy, and reads all of it.
async fn try_everything(directory: &Path) -> Result<String, String> {
    let store = at_time(directory, 1000).open().map_err(|error| error.to_string())?;
    let records = store.records(LOG, None, 100).await.map_err(|error| error.to_string())?;
    let page = store.read(LOG, Position::default(), ReadLimit { entries: 1000, bytes: usize::MAX });
    let page = page.await.map_err(|error| error.to_string())?;
    Ok(format!("{records:?} {page:?}"))
}

/// Damages each file at some places, and removes it: the rest is either refused, or complete. Returns how many were refused.
async fn damage_each(directory: &Path, before: &str) -> usize {
    let all = files(directory);
    assert!(all.len() >= 10, "{all:?}");
    let mut refused = 0;
    for damaged in 0..all.len() {
        let length = all[damaged].1.len();
        let flips = (0..10).map(|step| Some(length * step / 10)).filter(|_| length > 0);
        for damage in flips.chain([None]) {
            let mut all = all.clone();
            match damage {
                Some(place) => all[damaged].1[place] ^= 0x10,
                None => drop(all.remove(damaged)),
            }
            let copy = tempfile::tempdir().unwrap();
            write_files(&all, directory, copy.path());
            match try_everything(copy.path()).await {
                Err(_) => refused += 1,
                Ok(found) => {
                    assert_eq!(found, before, "file {damaged} of {all:?}, {damage:?}: lost silently");
                }
            }
        }
    }
    refused
}

#[tokio::test]
async fn damaged_or_missing_file_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let store = at_time(directory.path(), 1000).open().unwrap();
    fill(&store).await;
    let before = everything(&store).await;
    store.close().await;
    drop(store);
    // All is in the journal.
    let refused = damage_each(directory.path(), &before).await;
    assert!(refused > 20, "{refused}");
}

#[tokio::test]
async fn damaged_or_missing_table_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let store = at_time(directory.path(), 1000).open().unwrap();
    fill(&store).await;
    let before = everything(&store).await;
    store.close().await;
    drop(store);
    let database = fjall::Database::builder(directory.path().join("trees")).open().unwrap();
    for name in ["entries", "records", "texts", "index"] {
        let tree = database.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap();
        tree.rotate_memtable_and_wait().unwrap();
    }
    drop(database);
    assert_eq!(try_everything(directory.path()).await.unwrap(), before);
    let refused = damage_each(directory.path(), &before).await;
    assert!(refused > 40, "{refused}");
}

#[tokio::test]
async fn large_log_forgets_its_oldest_entries() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::builder(directory.path()).log_bytes(64 << 10).open().unwrap();
    fill(&store).await;
    for w in 11..=200 {
        one(&store, commit(1, w, vec![7; 1000])).await.unwrap();
    }
    let trimmed = async || {
        // An answered request shows that the writer has trimmed after the commits before.
        store.trim(LOG, Duration::from_secs(3600)).await.unwrap();
        store.bounds(LOG).await.unwrap()
    };
    let (first, last) = trimmed().await;
    assert_eq!(last.offset, 202);
    assert_eq!(last.offset - first.offset, (64 << 10) / 1081);
    assert_eq!(store.read(LOG, Position::default(), ReadLimit::default()).await, Err(ReadError::Trimmed));
    drop(store);
    let store = LocalStore::open(directory.path()).unwrap();
    assert_eq!(store.bounds(LOG).await.unwrap(), (first, last));
}

#[tokio::test]
async fn old_entries_go_even_if_a_checkpoint_needs_them() {
    let directory = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicU64::new(1000));
    let read = time.clone();
    let builder = LocalStore::builder(directory.path()).clock(move || read.load(Ordering::Relaxed));
    let store = builder.log_age(Duration::from_secs(60)).open().unwrap();
    fill(&store).await;
    store.trim(LOG, Duration::ZERO).await.unwrap();
    assert_eq!(store.bounds(LOG).await.unwrap().0.offset, 0);
    time.store(62_000, Ordering::Relaxed);
    store.trim(LOG, Duration::ZERO).await.unwrap();
    assert_eq!(store.bounds(LOG).await.unwrap().0.offset, 12);
}

#[test]
fn options_are_checked() {
    for builder in [LocalStore::builder("/").log_bytes(1), LocalStore::builder("/").journal_bytes(1 << 20)] {
        let error = builder.open().unwrap_err();
        assert!(error.to_string().starts_with("invalid `"), "{error}");
    }
}

#[tokio::test]
async fn ended_sessions_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    fill(&store).await;
    let end = Commit { ends: vec![key(1), key(2)], ..commit(1, 11, "end") };
    one(&store, end).await.unwrap();
    drop(store);
    let store = LocalStore::open(directory.path()).unwrap();
    assert!(store.records(LOG, None, 9).await.unwrap().is_empty());
    assert!(store.expired(LOG, Duration::ZERO, 9).await.unwrap().is_empty());
    let attach = Attach { key: key(1), proof: [9; 32], to: NODE, mine: None, nonce: 1, moved: Bytes::new() };
    assert_eq!(store.attach(attach).await.unwrap_err(), AttachError::Unknown);
    store.trim(LOG, Duration::ZERO).await.unwrap();
    let node = NodeId { incarnation: 2, ..NODE };
    store.lease(node, WINDOW).await.unwrap();
    store.open(OpenWriter { owner: node, ..opening(1) }).await.unwrap();
}
