//! Fences, and repeated requests.

use std::time::Duration;

use super::subject::{A, B, LOG, SECRET, Subject, at, attaching, checkpoint, commit, key, opening, touching};
use crate::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, LogId, NodeId, OpenError, OpenWriter,
    Position, Touch,
};

/// An opened writer has a record with all values of its request.
pub async fn opened_writer_has_record(subject: &Subject) {
    subject.lease().await;
    let opened = subject.open(1).await;
    assert_eq!(opened.offset, 1);
    let record = subject.record(1).await.unwrap();
    assert_eq!((record.key, record.log, record.epoch, record.w), (key(1), LOG, 1, 0));
    assert_eq!((record.owner, record.received, record.deadline), (A, None, None));
    assert_eq!((record.proof, &*record.id, &record.identity[..]), (SECRET, "id 1", &b"identity"[..]));
    assert_eq!((record.checkpoint.position, record.checkpoint.number), (opened, 0));
    assert_eq!((&record.checkpoint.state[..], &record.state[..]), (&b"fold"[..], &b""[..]));
}

/// Commits of an earlier epoch are refused.
pub async fn old_epochs_are_fenced(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    subject.commit(1, 1, "a").await.unwrap();
    assert_eq!(subject.take(B, 1).await.epoch, 2);
    let late = Commit {
        received: Some(9),
        state: Some("late".into()),
        ends: vec![key(1)],
        ..commit(1, 1, 2, "late")
    };
    assert_eq!(subject.one(late).await, Err(CommitError::Fenced));
    assert_eq!(subject.commit(3, 1, "of a life to come").await, Err(CommitError::Fenced));
    assert!(matches!(subject.commit(2, 1, "b").await, Ok(Committed::At(_))));
    assert_eq!(subject.bodies().await, ["open", "a", "moved", "b"]);
    let record = subject.record(1).await.unwrap();
    assert_eq!((record.received, &record.state[..]), (None, &b""[..]));
    assert_eq!(subject.one(commit(2, 1, 1, "of nobody")).await, Err(CommitError::Fenced));
}

/// A repeated commit is recognized, and one that is ahead is refused.
pub async fn w_grows_by_one(subject: &Subject) {
    subject.lease().await;
    let opened = subject.open(1).await;
    assert_eq!(subject.commit(1, 2, "ahead").await, Err(CommitError::OutOfOrder));
    assert_eq!(subject.commit(1, 0, "zero").await, Ok(Committed::Already));
    assert_eq!(subject.commit(1, 1, "a").await, Ok(Committed::At(at(opened, 1))));
    assert_eq!(subject.commit(1, 1, "a").await, Ok(Committed::Already));
    assert_eq!(subject.commit(1, 2, "b").await, Ok(Committed::At(at(opened, 2))));
    assert_eq!(subject.commit(1, 1, "a").await, Ok(Committed::Already));
    assert_eq!(subject.commit(1, 4, "ahead").await, Err(CommitError::OutOfOrder));
    assert_eq!(subject.bodies().await, ["open", "a", "b"]);
    assert_eq!(subject.record(1).await.unwrap().w, 2);
}

/// Count, state and entry are set together, and a refused commit sets none.
pub async fn commit_is_one_step(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let first = Commit { received: Some(3), state: Some("state".into()), ..commit(1, 1, 1, "a") };
    subject.one(first.clone()).await.unwrap();
    for (fence, answer) in [((1, 1), Ok(Committed::Already)), ((1, 3), Err(CommitError::OutOfOrder))] {
        let refused = commit(1, fence.0, fence.1, "refused");
        assert_eq!(
            subject.one(Commit { received: Some(8), state: Some("x".into()), ..refused }).await,
            answer
        );
    }
    let record = subject.record(1).await.unwrap();
    assert_eq!((record.received, &record.state[..]), (Some(3), &b"state"[..]));
    // Values that a commit does not set stay, and the count never decreases.
    subject.commit(1, 2, "b").await.unwrap();
    subject.one(Commit { received: Some(2), ..commit(1, 1, 3, "c") }).await.unwrap();
    let record = subject.record(1).await.unwrap();
    assert_eq!((record.received, &record.state[..], record.w), (Some(3), &b"state"[..], 3));
    // And the next owner gets it.
    let taken = subject.take(B, 1).await;
    assert_eq!((taken.received, &taken.state[..], taken.w, taken.owner), (Some(3), &b"state"[..], 0, B));
}

/// A writer belongs to one log.
pub async fn writer_of_other_log_is_fenced(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let other = Commit { log: LogId(99), ..commit(1, 1, 1, "a") };
    assert_eq!(subject.one(other).await, Err(CommitError::Fenced));
    assert_eq!(subject.store.bounds(LogId(99)).await.unwrap().1.offset, 0);
}

/// A repeated opening gets the same answer, also after commits, and appends nothing.
pub async fn repeated_open_answers_the_same(subject: &Subject) {
    subject.lease().await;
    let opened = subject.open(1).await;
    assert_eq!(subject.open(1).await, opened);
    subject.commit(1, 1, "a").await.unwrap();
    assert_eq!(subject.open(1).await, opened);
    assert_eq!(subject.bodies().await, ["open", "a"]);
    assert_eq!(subject.record(1).await.unwrap().w, 1);
    // Not after another node owns it.
    subject.take(B, 1).await;
    assert_eq!(subject.store.open(opening(1)).await, Err(OpenError::KeyTaken));
}

/// A key has one writer, and an ID one of its log.
pub async fn taken_ids_and_keys_are_refused(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let same_key = OpenWriter { nonce: 9, id: "other".into(), ..opening(1) };
    assert_eq!(subject.store.open(same_key).await, Err(OpenError::KeyTaken));
    let same_id = OpenWriter { key: key(2), nonce: 9, ..opening(1) };
    assert_eq!(subject.store.open(same_id.clone()).await, Err(OpenError::IdTaken));
    subject.store.open(OpenWriter { log: LogId(5), ..same_id }).await.unwrap();
    for number in [3, 4] {
        let without_id = OpenWriter { id: "".into(), ..opening(number) };
        subject.store.open(without_id).await.unwrap();
    }
    assert_eq!(subject.bodies().await, ["open", "open", "open"]);
}

/// A late opening by a dead node cannot claim an ID.
pub async fn late_open_of_dead_node_is_refused(subject: &Subject) {
    assert_eq!(subject.store.open(opening(1)).await, Err(OpenError::NoLease), "it never had one");
    subject.store.lease(A, Duration::from_secs(5)).await.unwrap();
    subject.advance(Duration::from_secs(6));
    assert_eq!(subject.store.open(opening(1)).await, Err(OpenError::NoLease));
    assert_eq!(subject.last().await.offset, 0);
    let next = NodeId { incarnation: 12, ..A };
    subject.store.lease(next, Duration::from_secs(5)).await.unwrap();
    assert_eq!(subject.store.open(opening(1)).await, Err(OpenError::NoLease), "another life has one");
    subject.store.open(OpenWriter { owner: next, ..opening(1) }).await.unwrap();
}

/// An attach by the owner keeps the session; an attach by another node takes it over, in one step with an entry.
pub async fn attach_takes_over_or_keeps(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    subject.commit(1, 1, "a").await.unwrap();
    let answer = subject.attach(attaching(A, Some(1), 2)).await.unwrap();
    assert!(matches!(answer, Attached::StillYours { attachment: 2 }), "{answer:?}");
    let record = subject.record(1).await.unwrap();
    assert_eq!((record.epoch, record.w, record.attachment), (1, 1, 2));

    let taken = subject.take(B, 1).await;
    assert_eq!((taken.epoch, taken.w, taken.owner, taken.attachment), (2, 0, B, 3));
    assert_eq!(Some(taken), subject.record(1).await);
    // The former owner wrongly believes that it still owns the session.
    let answer = subject.attach(attaching(A, Some(1), 3)).await.unwrap();
    let Attached::Taken(taken) = answer else { panic!("{answer:?}") };
    assert_eq!((taken.epoch, taken.owner), (3, A));
    // An owner that does not claim its epoch gets a new one.
    assert_eq!(subject.take(A, 4).await.epoch, 4);
    // Without a body, no entry is appended.
    subject.attach(Attach { moved: Default::default(), ..attaching(B, None, 2) }).await.unwrap();
    assert_eq!(subject.bodies().await, ["open", "a", "moved", "moved", "moved"]);
    let page = subject.store.read(LOG, Position { offset: 2, ..subject.last().await }, Default::default());
    let epochs: Vec<_> = page.await.unwrap().entries.iter().map(|entry| entry.epoch).collect();
    assert_eq!(epochs, [2, 3, 4], "the entry is of the new life");
}

/// A takeover needs the secret, a writer, and a living node.
pub async fn attach_needs_secret_and_lease(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let before = subject.record(1).await;
    let wrong = Attach { proof: [8; 32], ..attaching(B, None, 1) };
    assert_eq!(subject.attach(wrong).await.unwrap_err(), AttachError::Secret);
    let unknown = Attach { key: key(2), ..attaching(B, None, 1) };
    assert_eq!(subject.attach(unknown.clone()).await.unwrap_err(), AttachError::Unknown);
    assert_eq!(subject.store.adopt(unknown).await.unwrap_err(), AttachError::Unknown);
    let dead = NodeId { name: 3, incarnation: 3 };
    assert_eq!(subject.attach(attaching(dead, None, 1)).await.unwrap_err(), AttachError::NoLease);
    assert_eq!(subject.record(1).await, before);
}

/// A repeated attach gets the same answer, and has no further effect.
pub async fn repeated_attach_answers_the_same(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    let taken = subject.take(B, 1).await;
    assert_eq!(subject.take(B, 1).await, taken);
    let kept = attaching(B, Some(2), 2);
    let first = subject.attach(kept.clone()).await.unwrap();
    let again = subject.attach(kept).await.unwrap();
    assert!(matches!(first, Attached::StillYours { attachment: 3 }), "{first:?}");
    assert!(matches!(again, Attached::StillYours { attachment: 3 }), "{again:?}");
    assert_eq!(subject.bodies().await, ["open", "moved"]);
    // The same nonce from another node is a different request.
    assert_eq!(subject.take(A, 2).await.epoch, 3);
}

/// A late attach cannot fence its own node, and does not end a window.
pub async fn late_attach_is_refused(subject: &Subject) {
    subject.lease().await;
    subject.open(1).await;
    assert_eq!(subject.take(B, 5).await.epoch, 2);
    assert_eq!(subject.attach(attaching(B, None, 4)).await.unwrap_err(), AttachError::Late);
    subject.attach(attaching(B, Some(2), 7)).await.unwrap();
    subject.touch(Touch { ends_in: Some(Duration::from_secs(5)), ..touching(2, 3) }).await;
    let before = subject.record(1).await;
    assert!(before.as_ref().unwrap().deadline.is_some());
    assert_eq!(subject.attach(attaching(B, Some(2), 6)).await.unwrap_err(), AttachError::Late);
    assert_eq!(subject.store.adopt(attaching(B, None, 6)).await.unwrap_err(), AttachError::Late);
    assert_eq!(subject.record(1).await, before);
}

/// A checkpoint only moves forward, within the log, and together with its state.
pub async fn checkpoints_never_go_back(subject: &Subject) {
    subject.lease().await;
    let opened = subject.open(1).await;
    for w in 1..=4 {
        subject.commit(1, w, "a").await.unwrap();
    }
    let set = async |position, number| {
        subject.touch(Touch { checkpoint: checkpoint(position, number), ..touching(1, 1) }).await;
        let checkpoint = subject.record(1).await.unwrap().checkpoint;
        (checkpoint.position.offset - opened.offset, checkpoint.number, checkpoint.state)
    };
    assert_eq!(set(at(opened, 3), 3).await, (3, 3, "fold 3".into()));
    assert_eq!(set(at(opened, 2), 2).await, (3, 3, "fold 3".into()), "an earlier position");
    assert_eq!(set(at(opened, 3), 9).await, (3, 3, "fold 3".into()), "the same position");
    assert_eq!(set(at(opened, 4), 2).await, (3, 3, "fold 3".into()), "an earlier number");
    assert_eq!(set(at(opened, 5), 5).await, (3, 3, "fold 3".into()), "behind the log's end");
    let other = Position { generation: opened.generation + 1, ..at(opened, 4) };
    assert_eq!(set(other, 4).await, (3, 3, "fold 3".into()), "another generation");
    assert_eq!(set(at(opened, 4), 3).await, (4, 3, "fold 3".into()));
}
