//! Ends, windows, leases, and the list of records.

use std::time::Duration;

use super::subject::{
    A, B, LOG, SECRET, Subject, WINDOW, at, attaching, checkpoint, commit, key, opening, touching,
};
use crate::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, ENDED_KEPT, LeaseError, LogId, NodeId,
    OpenError, OpenWriter, Touch,
};

/// A connection ID is free again after the end of its session.
pub async fn id_is_free_after_end(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let next = OpenWriter { id: "id 1".into(), ..opening(2) };
    assert_eq!(subject.store.open(next.clone()).await, Err(OpenError::IdTaken));
    subject.one(Commit { ends: vec![key(1)], ..commit(1, 1, 1, "end") }).await.unwrap();
    subject.store.open(next.clone()).await.unwrap();
    assert_eq!(subject.store.open(OpenWriter { key: key(3), ..next }).await, Err(OpenError::IdTaken));
}

/// A commit's entry and the ends that it names are one step; the ends can be those of other records.
pub async fn ends_are_part_of_commit(subject: &Subject) {
    subject.lease().await;
    for number in [1, 2, 3] {
        subject.open(number).await;
    }
    subject.store.open(OpenWriter { log: LogId(5), ..opening(4) }).await.unwrap();
    let refused = Commit { ends: vec![key(2)], ..commit(1, 1, 2, "refused") };
    assert_eq!(subject.one(refused).await, Err(CommitError::OutOfOrder));
    assert!(subject.record(2).await.is_some());
    let ends = vec![key(2), key(3), key(9), key(3), key(4)];
    subject.one(Commit { ends, ..commit(1, 1, 1, "kick") }).await.unwrap();
    assert_eq!(subject.bodies().await.last().unwrap(), "kick");
    let left = subject.store.records(LOG, None, 9).await.unwrap();
    assert_eq!(left.iter().map(|record| record.key).collect::<Vec<_>>(), [key(1)]);
    assert_eq!(subject.store.records(LogId(5), None, 9).await.unwrap().len(), 1, "of another log");
    assert_eq!(subject.one(commit(2, 1, 1, "late")).await, Err(CommitError::Fenced));
    let attach = Attach { key: key(2), ..attaching(B, None, 1) };
    assert_eq!(subject.attach(attach).await.unwrap_err(), AttachError::Unknown);
}

/// A repeated end by the session itself is answered as such, not as fenced.
pub async fn repeated_end_is_already_done(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let end = Commit { ends: vec![key(1)], ..commit(1, 1, 1, "end") };
    assert!(matches!(subject.one(end.clone()).await, Ok(Committed::At(_))));
    assert_eq!(subject.one(end.clone()).await, Ok(Committed::Already));
    assert_eq!(subject.commit(1, 2, "after its end").await, Err(CommitError::Fenced));
    assert_eq!(subject.commit(2, 1, "of another life").await, Err(CommitError::Fenced));
    assert_eq!(subject.bodies().await, ["open", "end"]);
    // An end by another writer is not the session's own.
    subject.open(2).await;
    subject.open(3).await;
    subject.one(Commit { ends: vec![key(2)], ..commit(3, 1, 1, "kick") }).await.unwrap();
    assert_eq!(subject.one(commit(2, 1, 1, "late")).await, Err(CommitError::Fenced));
}

/// A late opening does not bring an ended session back.
pub async fn ended_key_stays_taken(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    subject.one(Commit { ends: vec![key(1)], ..commit(1, 1, 1, "end") }).await.unwrap();
    assert_eq!(subject.store.open(opening(1)).await, Err(OpenError::KeyTaken));
    subject.advance(ENDED_KEPT - Duration::from_secs(2));
    assert_eq!(subject.store.open(opening(1)).await, Err(OpenError::KeyTaken));
    assert_eq!(subject.bodies().await, ["open", "end"]);
}

/// A late touch of an earlier socket or an earlier owner changes nothing.
pub async fn touch_is_fenced(subject: &Subject) {
    subject.lease().await;
    let opened = subject.open(1).await;
    subject.commit(1, 1, "a").await.unwrap();
    subject.attach(attaching(A, Some(1), 2)).await.unwrap();
    let before = subject.record(1).await;
    let touch = |epoch, attachment| Touch {
        checkpoint: checkpoint(at(opened, 1), 1),
        ends_in: Some(WINDOW),
        ..touching(epoch, attachment)
    };
    for (epoch, attachment) in [(1, 1), (1, 3), (2, 2), (0, 2)] {
        subject.touch(touch(epoch, attachment)).await;
        assert_eq!(subject.record(1).await, before, "{epoch}, {attachment}");
    }
    subject.touch(Touch { key: key(9), ..touch(1, 2) }).await;
    // The touches of one call are independent.
    subject.store.touch(vec![touch(1, 1), touch(1, 2)]).await.unwrap();
    let record = subject.record(1).await.unwrap();
    assert_eq!(record.checkpoint.position, at(opened, 1));
    assert!(record.deadline.is_some());
}

/// A window begins with a touch, ends with an attach, and expires by the store's clock.
pub async fn deadline_follows_clock_of_store(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    subject.open(2).await;
    let before = subject.store.now();
    subject.touch(Touch { ends_in: Some(WINDOW), ..touching(1, 1) }).await;
    let deadline = subject.record(1).await.unwrap().deadline.unwrap();
    let window = crate::rules::millis(WINDOW);
    assert!((before + window..=subject.store.now() + window).contains(&deadline));
    subject.advance(WINDOW - Duration::from_secs(2));
    assert!(subject.store.now() >= before + window - 2_000);
    assert!(subject.expired().await.is_empty());
    // The socket returns, and is lost again: the window starts anew.
    assert!(matches!(
        subject.attach(attaching(A, Some(1), 2)).await,
        Ok(Attached::StillYours { attachment: 2 })
    ));
    assert_eq!(subject.record(1).await.unwrap().deadline, None);
    subject.advance(WINDOW * 2);
    assert!(subject.expired().await.is_empty(), "it has a socket, and its owner lives");
    subject.touch(Touch { ends_in: Some(WINDOW), ..touching(1, 2) }).await;
    subject.advance(WINDOW + Duration::from_millis(1));
    assert_eq!(subject.expired().await, [key(1)]);
    assert_eq!(subject.expired().await, [key(1)], "until a commit ends it");
    assert!(subject.store.expired(LogId(5), WINDOW, 9).await.unwrap().is_empty(), "of another log");
    // A client's attach removes it, and so does an end.
    subject.take(B, 1).await;
    assert!(subject.expired().await.is_empty());
    subject.touch(Touch { ends_in: Some(Duration::ZERO), ..touching(2, 3) }).await;
    assert_eq!(subject.expired().await, [key(1)]);
    subject.one(Commit { ends: vec![key(1)], ..commit(1, 2, 1, "end") }).await.unwrap();
    assert!(subject.expired().await.is_empty());
}

/// Sessions of a dead node expire one window after its lease, and those with a deadline at the deadline.
pub async fn dead_owner_expires_after_window(subject: &Subject) {
    subject.store.lease(A, Duration::from_secs(5)).await.unwrap();
    subject.open(1).await;
    subject.open(2).await;
    let suspended = Touch { key: key(2), ends_in: Some(Duration::from_secs(60)), ..touching(1, 1) };
    subject.touch(suspended).await;
    subject.advance(Duration::from_secs(5) + WINDOW - Duration::from_secs(2));
    assert!(subject.expired().await.is_empty());
    subject.advance(Duration::from_secs(3));
    assert_eq!(subject.expired().await, [key(1)]);
    subject.advance(Duration::from_secs(60));
    let mut expired = subject.expired().await;
    expired.sort();
    assert_eq!(expired, [key(1), key(2)]);
    assert_eq!(subject.store.expired(LOG, WINDOW, 1).await.unwrap().len(), 1, "at most as many as asked");
}

/// A node adopts sessions without a living owner, and a client that attaches in between wins.
pub async fn adoption_keeps_deadline_and_takes_nothing_from_living(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let adopt =
        |to, mine, nonce| subject.store.adopt(Attach { proof: [0; 32], ..attaching(to, mine, nonce) });
    assert_eq!(adopt(B, None, 1).await.unwrap_err(), AttachError::Owned);
    assert!(matches!(adopt(A, Some(1), 2).await, Ok(Attached::StillYours { attachment: 1 })));
    subject.touch(Touch { ends_in: Some(WINDOW), ..touching(1, 1) }).await;
    assert_eq!(adopt(B, None, 3).await.unwrap_err(), AttachError::Owned, "its window is not over");
    let before = subject.record(1).await.unwrap();
    assert!(matches!(adopt(A, Some(1), 3).await, Ok(Attached::StillYours { attachment: 1 })));
    assert_eq!(subject.record(1).await.unwrap(), before);

    subject.advance(WINDOW + Duration::from_millis(1));
    let Ok(Attached::Taken(taken)) = adopt(B, None, 4).await else { panic!("not adopted") };
    assert_eq!((taken.epoch, taken.owner, taken.attachment), (2, B, 1));
    assert_eq!(taken.deadline, before.deadline);
    let Ok(Attached::Taken(again)) = adopt(B, None, 4).await else { panic!("not repeated") };
    assert_eq!(again, taken);
    // A client attaches before the adopter ends the session.
    assert_eq!(subject.take(A, 5).await.epoch, 3);
    let end = Commit { ends: vec![key(1)], ..commit(1, 2, 1, "expired") };
    assert_eq!(subject.one(end).await, Err(CommitError::Fenced));
    assert_eq!(adopt(B, None, 6).await.unwrap_err(), AttachError::Owned, "an adoption that comes late");
    assert_eq!(subject.bodies().await, ["open", "moved", "moved"]);

    // A dead owner's sessions, with and without a deadline.
    let dead = NodeId { name: 3, incarnation: 3 };
    subject.store.lease(dead, Duration::from_secs(5)).await.unwrap();
    subject.store.open(OpenWriter { owner: dead, ..opening(2) }).await.unwrap();
    subject.advance(Duration::from_secs(6));
    let attach = Attach { key: key(2), ..attaching(B, None, 7) };
    let Ok(Attached::Taken(taken)) = subject.store.adopt(attach).await else { panic!("not adopted") };
    assert_eq!((taken.epoch, taken.deadline), (2, None));
}

/// The records of a log come in the order of their keys.
pub async fn records_come_in_pages(subject: &Subject) {
    subject.lease().await;
    for number in [5, 3, 9, 1, 7] {
        subject.open(number).await;
    }
    subject.store.open(OpenWriter { log: LogId(5), ..opening(4) }).await.unwrap();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = subject.store.records(LOG, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        seen.extend(page);
    }
    assert_eq!(seen.iter().map(|record| record.key).collect::<Vec<_>>(), [1, 3, 5, 7, 9].map(key));
    assert!(seen.iter().all(|record| record.proof == SECRET && record.log == LOG));
    assert_eq!(&*seen[1].id, "id 3");
    assert!(subject.store.records(LogId(6), None, 9).await.unwrap().is_empty());
}

/// An expired lease can be renewed until another node has acted on its expiry. A lease with no duration ends at once.
pub async fn lease_that_passed_is_over(subject: &Subject) {
    let five = Duration::from_secs(5);
    let lease = |node, ttl| subject.store.lease(node, ttl);
    lease(A, five).await.unwrap();
    subject.advance(Duration::from_secs(3));
    lease(A, five).await.unwrap();
    subject.advance(Duration::from_secs(3));
    lease(A, five).await.unwrap();
    subject.open(2).await;
    subject.advance(Duration::from_secs(6));
    assert_eq!(subject.store.open(opening(1)).await, Err(OpenError::NoLease));
    lease(A, five).await.unwrap();
    subject.open(1).await;
    subject.one(commit(1, 1, 1, "it goes on")).await.unwrap();

    subject.advance(Duration::from_secs(6));
    lease(B, five).await.unwrap();
    subject.store.adopt(Attach { key: key(2), ..attaching(B, None, 1) }).await.unwrap();
    assert_eq!(lease(A, five).await, Err(LeaseError::Passed));
    assert_eq!(subject.store.open(opening(3)).await, Err(OpenError::NoLease));
    lease(B, Duration::ZERO).await.unwrap();
    assert_eq!(lease(B, five).await, Err(LeaseError::Passed));
}
