//! [`Changes`]: joins and leaves that no callback has reported yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rejoin_core::drive::sync::atomic::AtomicBool;

use crate::session::sharded::{Keyed, Sharded, Shards};

/// The joins and leaves of all sessions that no callback has reported yet, by the session's number, in their order. They are kept
/// outside the sessions: few sessions have any at a time.
#[derive(Debug)]
pub(crate) struct Changes(Sharded<PendingChanges>);

/// A change of a session's memberships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Joined(Arc<str>),
    Left(Arc<str>),
    /// It left the room when it ended.
    LeftAtEnd(Arc<str>),
}

#[derive(Debug)]
struct PendingChanges {
    number: u64,
    changes: VecDeque<Change>,
}

impl Keyed for PendingChanges {
    type Key = u64;

    fn key(&self) -> &u64 {
        &self.number
    }
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self(Sharded::new(Shards::Usual))
    }

    /// Records a change. The caller holds the session's lock, so that the records have the order of the changes, and wakes the
    /// session's task afterwards. `flag` is the session's.
    pub(crate) fn note(&self, number: u64, change: Change, flag: &AtomicBool) {
        let mut place = self.0.lock(&number);
        let pending =
            place.get_or_insert_with(|| PendingChanges { number, changes: VecDeque::with_capacity(1) });
        pending.changes.push_back(change);
        flag.store(true, Ordering::Release);
    }

    /// The next change to report. Changes from the session's end are reported only when it `has_ended`, after messages that were
    /// received before.
    pub(crate) fn next(&self, number: u64, has_ended: bool, flag: &AtomicBool) -> Option<Change> {
        if !flag.load(Ordering::Acquire) {
            return None;
        }
        let mut place = self.0.lock(&number);
        let changes = &mut place.get_mut()?.changes;
        if !has_ended && matches!(changes.front(), Some(Change::LeftAtEnd(_))) {
            return None;
        }
        let next = changes.pop_front();
        if changes.is_empty() {
            // Cleared in the critical section that finds it empty: a change that is recorded from here on sets the flag again.
            flag.store(false, Ordering::Release);
            place.remove();
        }
        next
    }

    /// All changes that are to be reported, in their order.
    pub(crate) fn pending(&self, number: u64) -> Vec<Change> {
        let place = self.0.lock(&number);
        place.get().map_or_else(Vec::new, |pending| pending.changes.iter().cloned().collect())
    }

    /// Drops the changes of a session whose task has ended.
    pub(crate) fn forget(&self, number: u64) {
        self.0.lock(&number).remove();
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_reported_in_order_and_once() {
        let (changes, flag) = (Changes::new(), AtomicBool::new(false));
        assert_eq!(changes.next(1, true, &flag), None);
        changes.note(1, Change::Joined("a".into()), &flag);
        changes.note(2, Change::Joined("other".into()), &AtomicBool::new(false));
        changes.note(1, Change::Left("a".into()), &flag);
        assert_eq!(changes.pending(1), [Change::Joined("a".into()), Change::Left("a".into())]);
        assert_eq!(changes.next(1, false, &flag), Some(Change::Joined("a".into())));
        assert!(flag.load(Ordering::Relaxed));
        assert_eq!(changes.next(1, false, &flag), Some(Change::Left("a".into())));
        assert!(!flag.load(Ordering::Relaxed), "nothing is left");
        assert_eq!(changes.next(1, false, &flag), None);
        changes.forget(2);
        assert!(changes.is_empty());
    }

    #[test]
    fn leaves_of_an_end_wait_for_it() {
        let (changes, flag) = (Changes::new(), AtomicBool::new(false));
        changes.note(1, Change::LeftAtEnd("a".into()), &flag);
        assert_eq!(changes.next(1, false, &flag), None);
        assert_eq!(changes.next(1, true, &flag), Some(Change::LeftAtEnd("a".into())));
        assert!(changes.is_empty());
    }
}
