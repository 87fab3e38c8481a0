//! Commits per second beside bare fjall in the same run, and the time to open and to read many sessions.
//!
//! `cargo bench -p rejoin-store-local [-- SECONDS]`: each commit counts one input of a client and has one output of 200 bytes.

#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use rejoin_store::{Commit, Fence, LogId, NodeId, OpenWriter, Position, ReadLimit, Store, Touch, WriterKey};
use rejoin_store_local::{LocalStore, Sync};

const LOG: LogId = LogId(1);
const NODE: NodeId = NodeId { name: 1, incarnation: 1 };
const HOUR: Duration = Duration::from_secs(3600);

fn key(number: u64) -> WriterKey {
    let mut key = [0; 16];
    key[8..].copy_from_slice(&number.to_be_bytes());
    WriterKey(key)
}

fn open(number: u64) -> OpenWriter {
    OpenWriter {
        log: LOG,
        key: key(number),
        owner: NODE,
        nonce: number,
        proof: [7; 32],
        id: format!("user-{number}").into(),
        identity: Bytes::from(vec![1; 60]),
        checkpoint: Bytes::from(vec![2; 20]),
        body: Bytes::from(vec![3; 60]),
    }
}

fn commit(writer: u64, w: u64, body: &Bytes) -> Commit {
    Commit {
        log: LOG,
        writer: key(writer),
        fence: Fence { epoch: 1, w },
        received: Some(w),
        state: None,
        ends: Vec::new(),
        body: body.clone(),
    }
}

fn report(name: &str, number: u64, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    println!("{name:<58} {:>9.0}/s {:>8.2} us", number as f64 / seconds, seconds * 1e6 / number as f64);
}

/// Bare fjall: a record of 100 bytes and an entry of 232 for each commit, in batches of this size.
fn bare(size: u64, mode: PersistMode, time: Duration) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::builder(directory.path()).manual_journal_persist(true).open().unwrap();
    let records = database.keyspace("records", KeyspaceCreateOptions::default).unwrap();
    let entries = database.keyspace("entries", KeyspaceCreateOptions::default).unwrap();
    let (begin, mut number) = (Instant::now(), 0);
    while begin.elapsed() < time {
        let mut batch = database.batch().durability(Some(mode));
        for _ in 0..size {
            batch.insert(&records, key(number % 64).0, [1; 100]);
            batch.insert(&entries, number.to_be_bytes(), [2; 232]);
            number += 1;
        }
        batch.commit().unwrap();
    }
    report(&format!("bare fjall, {mode:?}, batches of {size}"), number, begin);
}

fn store(sync: Sync) -> (tempfile::TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::builder(directory.path()).sync(sync).open().unwrap();
    (directory, store)
}

async fn opened(store: &LocalStore, writers: u64) {
    store.lease(NODE, HOUR).await.unwrap();
    for number in 0..writers {
        store.open(open(number)).await.unwrap();
    }
}

/// `writers` tasks, each of which commits `size` at a time and waits for the answer.
async fn commits(sync: Sync, writers: u64, size: u64, time: Duration) {
    let (_directory, store) = store(sync);
    opened(&store, writers).await;
    let body = Bytes::from(vec![7; 200]);
    let begin = Instant::now();
    let one = |writer| {
        let (store, body) = (store.clone(), body.clone());
        async move {
            let mut w = 0;
            while begin.elapsed() < time {
                let commits = (1..=size).map(|next| commit(writer, w + next, &body)).collect();
                assert!(store.commit(commits).await.iter().all(Result::is_ok));
                w += size;
            }
            w
        }
    };
    let mut number = 0;
    if writers == 1 {
        number = one(0).await;
    } else {
        let tasks: Vec<_> = (0..writers).map(|writer| tokio::spawn(one(writer))).collect();
        for task in tasks {
            number += task.await.unwrap();
        }
    }
    report(&format!("LocalStore, {sync:?}, {writers} writers, {size} at a time"), number, begin);
    store.close().await;
}

/// Restart: many suspended sessions, and a log of some broadcasts.
async fn restart(sessions: u64, broadcasts: u64) {
    let (directory, store) = store(Sync::Buffer);
    let begin = Instant::now();
    opened(&store, sessions).await;
    report("open a session, one by one", sessions, begin);
    let body = Bytes::from(vec![7; 200]);
    for w in 1..=broadcasts {
        store.commit(vec![commit(0, w, &body)]).await[0].as_ref().unwrap();
    }
    let touch =
        |number| Touch { key: key(number), epoch: 1, attachment: 1, checkpoint: None, ends_in: Some(HOUR) };
    store.touch((0..sessions).map(touch).collect()).await.unwrap();
    store.close().await;
    drop(store);
    let bytes: u64 = sizes(directory.path());
    println!("{sessions} sessions and {broadcasts} broadcasts take {bytes} bytes on disk");

    let begin = Instant::now();
    let store = LocalStore::open(directory.path()).unwrap();
    println!("open the directory: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    let begin = Instant::now();
    let (mut after, mut found) = (None, 0);
    loop {
        let page = store.records(LOG, after, 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        found += page.len() as u64;
    }
    assert_eq!(found, sessions);
    report("read records, 1000 in a page", found, begin);
    let begin = Instant::now();
    let (mut position, mut found) = (Position::default(), 0);
    loop {
        let page = store.read(LOG, position, ReadLimit::default()).await.unwrap();
        position = page.entries.last().map_or(position, |entry| entry.position);
        found += page.entries.len() as u64;
        if page.is_end {
            break;
        }
    }
    report("read entries, 256 in a page", found, begin);
    let next = NodeId { incarnation: 2, ..NODE };
    store.lease(next, HOUR).await.unwrap();
    let begin = Instant::now();
    for number in 0..sessions {
        let attach = rejoin_store::Attach {
            key: key(number),
            proof: [7; 32],
            to: next,
            mine: None,
            nonce: number,
            moved: body.slice(..40),
        };
        store.attach(attach).await.unwrap();
    }
    report("attach, one by one", sessions, begin);
    let begin = Instant::now();
    for _ in 0..100 {
        assert!(store.expired(LOG, HOUR, 64).await.unwrap().is_empty());
    }
    report("ask for expired sessions", 100, begin);
}

fn sizes(path: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    let size = |file: std::fs::DirEntry| match file.file_type().unwrap().is_dir() {
        true => sizes(&file.path()),
        false => file.metadata().unwrap().len(),
    };
    files.map(size).sum()
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2);
    let time = Duration::from_secs(seconds);
    for size in [1, 16, 256] {
        bare(size, PersistMode::Buffer, time);
    }
    bare(256, PersistMode::SyncData, time);
    for (writers, size) in [(1, 1), (64, 1), (1000, 1), (64, 16), (1, 256), (8, 256)] {
        commits(Sync::Buffer, writers, size, time).await;
    }
    for (writers, size) in [(1, 1), (64, 1), (1000, 1)] {
        commits(Sync::Data, writers, size, time).await;
    }
    restart(10_000, 25_600).await;
}
