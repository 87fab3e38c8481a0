//! Logs: pages, tails, bounds and trimming.

use std::time::Duration;

use super::subject::{LOG, Subject, at, checkpoint, commit, key, opening, touching};
use crate::{
    Commit, CommitError, Committed, Entry, LogId, OpenWriter, Position, ReadError, ReadLimit, Tail,
    TailStream, Touch,
};

/// A commit without a body appends no entry, but counts.
pub async fn empty_body_appends_nothing(subject: &Subject) {
    subject.lease().await;
    let before = subject.last().await;
    let opened = subject.store.open(OpenWriter { body: "".into(), ..opening(1) }).await.unwrap();
    assert_eq!(opened, before, "the log's end");
    let silent = Commit { received: Some(4), ..commit(1, 1, 1, "") };
    assert_eq!(subject.one(silent.clone()).await, Ok(Committed::Recorded));
    assert_eq!(subject.one(silent).await, Ok(Committed::Already));
    assert_eq!(subject.last().await, before);
    assert_eq!(subject.record(1).await.unwrap().received, Some(4));
    assert_eq!(subject.commit(1, 2, "a").await, Ok(Committed::At(at(before, 1))));
}

/// Commits of one call are separate steps, in order, and so are their answers.
pub async fn commits_of_one_call_keep_their_order(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let opened = subject.open(2).await;
    let commits = vec![
        commit(1, 1, 1, "a"),
        commit(2, 1, 2, "ahead"),
        commit(1, 1, 2, "b"),
        commit(1, 1, 2, "b"),
        commit(2, 1, 1, "c"),
        commit(9, 1, 1, "nobody's"),
        commit(1, 1, 3, ""),
    ];
    let answers = subject.store.commit(commits).await;
    let expected = [
        Ok(Committed::At(at(opened, 1))),
        Err(CommitError::OutOfOrder),
        Ok(Committed::At(at(opened, 2))),
        Ok(Committed::Already),
        Ok(Committed::At(at(opened, 3))),
        Err(CommitError::Fenced),
        Ok(Committed::Recorded),
    ];
    assert_eq!(answers, expected);
    assert_eq!(subject.bodies().await, ["open", "open", "a", "b", "c"]);
    assert!(subject.store.commit(Vec::new()).await.is_empty());
    // Openings, commits and ends of one writer, in close succession.
    let end = Commit { ends: vec![key(1)], ..commit(1, 1, 5, "e") };
    let answers = subject.store.commit(vec![commit(1, 1, 4, "d"), end, commit(1, 1, 6, "f")]).await;
    assert!(matches!(answers[..], [Ok(Committed::At(_)), Ok(Committed::At(_)), Err(CommitError::Fenced)]));
}

async fn numbered(subject: &Subject, number: u64) -> Position {
    subject.lease().await;
    let opened = subject.open(1).await;
    for w in 1..=number {
        subject.commit(1, w, "0123456789").await.unwrap();
    }
    opened
}

/// Pages are limited by number and bytes, contain at least one entry, and skip none.
pub async fn pages_have_limits_and_no_hole(subject: &Subject) {
    let opened = numbered(subject, 20).await;
    let read = |after, entries, bytes| subject.store.read(LOG, after, ReadLimit { entries, bytes });
    let mut after = opened;
    for (entries, bytes, expected) in [(3, 1000, 3), (100, 25, 2), (100, 30, 3), (100, 3, 1), (0, 1000, 1)] {
        let page = read(after, entries, bytes).await.unwrap();
        assert_eq!((page.entries.len(), page.is_end), (expected, false));
        for entry in page.entries {
            after = at(after, 1);
            assert_eq!((entry.position, entry.writer, entry.epoch), (after, key(1), 1));
            assert_eq!(entry.body, "0123456789");
            assert!(entry.time <= subject.store.now() && entry.time + 600_000 > subject.store.now());
        }
    }
    let page = read(after, 100, 10_000).await.unwrap();
    assert_eq!((page.entries.len(), page.is_end), (10, true));
    let page = read(after, 10, 100).await.unwrap();
    assert_eq!((page.entries.len(), page.is_end), (10, true), "both bounds exactly");
    let page = read(at(after, 10), 10, 100).await.unwrap();
    assert_eq!((page.entries.len(), page.is_end), (0, true), "the end of the log");
}

/// Positions outside of the log are refused.
pub async fn positions_outside_log_are_refused(subject: &Subject) {
    let (first, last) = subject.store.bounds(LOG).await.unwrap();
    assert_eq!((first.offset, last.offset), (0, 0), "nobody has written to it");
    let page = subject.store.read(LOG, last, ReadLimit::default()).await.unwrap();
    assert_eq!((page.entries.len(), page.is_end), (0, true));
    let opened = numbered(subject, 2).await;
    let (first, last) = subject.store.bounds(LOG).await.unwrap();
    assert_eq!((first.offset, last), (0, at(opened, 2)));
    let read = |after| subject.store.read(LOG, after, ReadLimit::default());
    assert_eq!(read(at(last, 1)).await, Err(ReadError::Generation), "it must have had more");
    let other = Position { generation: last.generation + 1, ..opened };
    assert_eq!(read(other).await, Err(ReadError::Generation));
}

/// Logs do not affect each other.
pub async fn logs_are_independent(subject: &Subject) {
    numbered(subject, 2).await;
    let other = LogId(LOG.0 + 1);
    let opened = subject.store.open(OpenWriter { log: other, ..opening(2) }).await.unwrap();
    assert_eq!(opened.offset, 1);
    subject.one(Commit { log: other, ..commit(2, 1, 1, "other") }).await.unwrap();
    assert_eq!(subject.last().await.offset, 3);
    let start = Position { offset: 0, ..opened };
    let page = subject.store.read(other, start, ReadLimit::default()).await.unwrap();
    assert_eq!(
        page.entries.iter().map(|entry| &entry.body[..]).collect::<Vec<_>>(),
        [&b"open"[..], b"other"]
    );
    assert!(page.is_end);
}

async fn next(tail: &mut TailStream) -> (u64, Entry) {
    match tokio::time::timeout(Duration::from_secs(60), tail.next()).await {
        Ok(Some(Tail::Entry { prev, entry })) => (prev, entry),
        other => panic!("no entry: {other:?}"),
    }
}

/// A tail delivers everything that is appended after its call, each with the offset before it; and its entries equal the log's.
pub async fn tail_brings_entries_in_order(subject: &Subject) {
    let opened = numbered(subject, 1).await;
    let mut tails = [subject.store.tail(LOG), subject.store.tail(LOG)];
    let mut other = subject.store.tail(LogId(5));
    subject.commit(1, 2, "a").await.unwrap();
    subject.commit(1, 3, "").await.unwrap();
    subject.store.commit(vec![commit(1, 1, 4, "b"), commit(1, 1, 4, "b"), commit(1, 1, 5, "c")]).await;
    subject.take(super::subject::B, 1).await;
    let log = subject.store.read(LOG, at(opened, 1), ReadLimit::default()).await.unwrap().entries;
    assert_eq!(log.len(), 4);
    for tail in &mut tails {
        for entry in &log {
            assert_eq!(next(tail).await, (entry.position.offset - 1, entry.clone()));
        }
    }
    subject.store.open(OpenWriter { log: LogId(5), ..opening(2) }).await.unwrap();
    assert_eq!(next(&mut other).await.0, 0);
    drop(tails);
    subject.commit(2, 1, "nobody listens").await.unwrap();
}

/// Entries that a record's checkpoint needs stay, however old; others are removed.
pub async fn trim_keeps_what_checkpoint_needs(subject: &Subject) {
    let opened = numbered(subject, 10).await;
    subject.open(2).await;
    subject.advance(Duration::from_secs(100));
    let age = Duration::from_secs(50);
    subject.store.trim(LOG, age).await.unwrap();
    let (first, last) = subject.store.bounds(LOG).await.unwrap();
    assert_eq!(first, opened, "what writer 1 needs begins behind its opening");
    subject.touch(Touch { checkpoint: checkpoint(at(opened, 6), 6), ..touching(1, 1) }).await;
    subject.store.trim(LOG, age).await.unwrap();
    assert_eq!(subject.store.bounds(LOG).await.unwrap(), (at(opened, 6), last));
    let read = |after| subject.store.read(LOG, after, ReadLimit::default());
    assert_eq!(read(at(opened, 5)).await, Err(ReadError::Trimmed));
    let page = read(at(opened, 6)).await.unwrap();
    assert_eq!((page.entries.len(), page.entries[0].position), (5, at(opened, 7)));
    // The end of a record frees its entries; the newest checkpoint is that of writer 2.
    subject.one(Commit { ends: vec![key(1)], ..commit(1, 1, 11, "") }).await.unwrap();
    subject.store.trim(LOG, age).await.unwrap();
    assert_eq!(subject.store.bounds(LOG).await.unwrap(), (last, last));
}

/// A server's own writer is never folded, so it needs no entry, wherever its checkpoint is.
pub async fn trim_goes_beyond_a_servers_own_writer(subject: &Subject) {
    subject.lease().await;
    let own = OpenWriter { id: "".into(), ..opening(1) };
    let opened = subject.store.open(own).await.unwrap();
    for w in 1..=3 {
        subject.commit(1, w, "said").await.unwrap();
    }
    subject.advance(Duration::from_secs(100));
    subject.store.trim(LOG, Duration::from_secs(50)).await.unwrap();
    assert_eq!(subject.store.bounds(LOG).await.unwrap(), (at(opened, 3), at(opened, 3)));
    subject.touch(Touch { checkpoint: checkpoint(at(opened, 1), 0), ..touching(1, 1) }).await;
    subject.commit(1, 4, "said").await.unwrap();
    subject.advance(Duration::from_secs(100));
    subject.store.trim(LOG, Duration::from_secs(50)).await.unwrap();
    assert_eq!(subject.store.bounds(LOG).await.unwrap().0, at(opened, 4));
    subject.one(Commit { ends: vec![key(1)], ..commit(1, 1, 5, "end") }).await.unwrap();
}

/// Entries younger than the age stay.
pub async fn trim_keeps_what_is_young(subject: &Subject) {
    numbered(subject, 5).await;
    let old = subject.last().await;
    subject.advance(Duration::from_secs(100));
    subject.commit(1, 6, "young").await.unwrap();
    let last = subject.last().await;
    subject.touch(Touch { checkpoint: checkpoint(last, 6), ..touching(1, 1) }).await;
    subject.store.trim(LOG, Duration::from_secs(200)).await.unwrap();
    assert_eq!(subject.store.bounds(LOG).await.unwrap().0.offset, 0);
    subject.store.trim(LOG, Duration::from_secs(50)).await.unwrap();
    assert_eq!(subject.store.bounds(LOG).await.unwrap(), (old, last));
    assert_eq!(subject.bodies().await, ["young"]);
}

/// A log without entries keeps its position.
pub async fn trimmed_log_goes_on(subject: &Subject) {
    numbered(subject, 5).await;
    subject.one(Commit { ends: vec![key(1)], ..commit(1, 1, 6, "end") }).await.unwrap();
    subject.advance(Duration::from_secs(100));
    subject.store.trim(LOG, Duration::from_secs(1)).await.unwrap();
    let (first, last) = subject.store.bounds(LOG).await.unwrap();
    assert_eq!((first, last.offset), (last, 7));
    let mut tail = subject.store.tail(LOG);
    assert_eq!(subject.open(2).await, at(last, 1));
    assert_eq!(next(&mut tail).await.0, 7);
    assert_eq!(subject.bodies().await, ["open"]);
    subject.store.trim(LogId(5), Duration::ZERO).await.unwrap();
}
