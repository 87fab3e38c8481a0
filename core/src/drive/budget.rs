//! [`Budget`]: what all sessions of a process may keep together.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A bound on the bytes that all cells which share it keep for their peers, together.
///
/// Each byte counts once for each cell that keeps it. The bound is passed by no more than what is being sent at the same moment
/// from several threads.
pub struct Budget {
    limit: usize,
    /// Below zero at times: what a [`Tally`] is still to tell of may have been freed already.
    used: AtomicIsize,
    /// Gives something up, and returns what it had counted for by itself; `None` when there is nothing to give up.
    reclaim: Box<dyn Fn() -> Option<usize> + Send + Sync>,
    /// Somebody was refused since the last time that something was freed.
    refused: AtomicBool,
    freed: Notify,
}

impl Budget {
    /// A bound of `limit` bytes. `reclaim` is called while it is passed: it gives something up, or says that there is nothing. It
    /// is called without any lock of ours, from whoever sends. What it returns counts as freed, beside what cells
    /// [change](Self::change).
    pub fn new(limit: usize, reclaim: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        Self {
            limit,
            used: AtomicIsize::new(0),
            reclaim: Box::new(reclaim),
            refused: AtomicBool::new(false),
            freed: Notify::new(),
        }
    }

    /// Bytes kept.
    pub fn used(&self) -> usize {
        usize::try_from(self.used.load(Ordering::SeqCst)).unwrap_or(0)
    }

    /// Whether so many bytes more may be kept. Has others give way where that helps.
    pub fn make_room(&self, bytes: usize) -> bool {
        while self.used().saturating_add(bytes) > self.limit {
            let Some(freed) = (self.reclaim)() else {
                // First told, then looked at again: what is freed meanwhile is either seen here or notified.
                self.refused.store(true, Ordering::SeqCst);
                return self.used().saturating_add(bytes) <= self.limit;
            };
            self.change(freed, 0);
        }
        true
    }

    /// Instead of `before` bytes, `after` are kept.
    pub fn change(&self, before: usize, after: usize) {
        if after > before {
            self.used.fetch_add((after - before).cast_signed(), Ordering::SeqCst);
        } else if before > after {
            self.used.fetch_sub((before - after).cast_signed(), Ordering::SeqCst);
            if self.refused.load(Ordering::SeqCst) && self.refused.swap(false, Ordering::SeqCst) {
                self.freed.notify_waiters();
            }
        }
    }

    /// Ready when bytes have been freed after somebody was refused.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}

/// What changes in many cells one after the other: told to their budget when this is dropped, and not for each.
#[derive(Debug)]
pub struct Tally<'a> {
    budget: Option<&'a Budget>,
    before: usize,
    after: usize,
}

impl<'a> Tally<'a> {
    /// A tally for cells that share this budget.
    pub fn new(budget: &'a Budget) -> Self {
        Self::of(Some(budget))
    }

    /// The same, for cells that may have none.
    pub(super) fn of(budget: Option<&'a Budget>) -> Self {
        Self { budget, before: 0, after: 0 }
    }

    /// Instead of `before` bytes, `after` are kept.
    pub(super) fn add(&mut self, before: usize, after: usize) {
        self.before += before;
        self.after += after;
    }

    /// Like [`Budget::make_room`], with what is not told yet.
    pub(super) fn make_room(&self, bytes: usize) -> bool {
        self.budget.is_none_or(|budget| budget.make_room(bytes + self.after.saturating_sub(self.before)))
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.budget {
            budget.change(self.before, self.after);
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.limit)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::drive::{Cell, SendError};
    use crate::{Mode, Overflow, Session, SessionConfig, Side};

    /// A cell in plain mode, without a socket: what it is sent it keeps.
    fn cell(budget: &Arc<Budget>) -> Cell {
        let config = SessionConfig::new(Side::Client, Mode::Plain);
        let session = Session::new(Arc::new(config), crate::drive::now());
        Cell::new(session).with_budget(budget.clone())
    }

    fn message(len: usize) -> Bytes {
        vec![b'x'; len].into()
    }

    #[test]
    fn what_is_freed_before_it_was_told_of_leaves_room_for_others() {
        let budget = Budget::new(1000, || None);
        let mut queueing = Tally::new(&budget);
        queueing.add(0, 300);
        let mut writing = Tally::new(&budget);
        writing.add(200, 0);
        drop(writing);
        assert_eq!(budget.used(), 0);
        assert!(budget.make_room(1000), "nothing is kept");
        drop(queueing);
        assert_eq!(budget.used(), 100);
        assert!(budget.make_room(900) && !budget.make_room(901));
    }

    #[test]
    fn counts_what_cells_keep_until_they_are_dropped() {
        let budget = Arc::new(Budget::new(1000, || None));
        let [a, b] = [cell(&budget), cell(&budget)];
        a.send(message(300), Overflow::Reject).unwrap();
        b.send(message(200), Overflow::Reject).unwrap();
        assert_eq!(budget.used(), 500);
        drop(a);
        assert_eq!(budget.used(), 200);
        b.command(Session::take_unacknowledged);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_tally_is_told_at_its_end_and_counts_before() {
        let budget = Arc::new(Budget::new(1000, || None));
        let [a, b] = [cell(&budget), cell(&budget)];
        let frame = crate::Tape::default().push(message(400));
        let mut tally = Tally::new(&budget);
        for cell in [&a, &b] {
            assert!(!cell.queue(&frame, Overflow::Reject, &mut tally).unwrap().is_dropped);
        }
        assert_eq!(budget.used(), 0);
        assert_eq!(b.queue(&frame, Overflow::Reject, &mut tally), Err(SendError::Full));
        drop(tally);
        assert_eq!(budget.used(), 800);
        drop((a, b));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn has_others_give_way_until_there_is_room() {
        let budget = Arc::new_cyclic(|budget: &std::sync::Weak<Budget>| {
            let budget = budget.clone();
            Budget::new(1000, move || (budget.upgrade()?.used() > 300).then_some(100))
        });
        budget.change(0, 950);
        assert!(budget.make_room(200));
        assert_eq!(budget.used(), 750);
        assert!(!budget.make_room(800), "some of it cannot give way");
        assert_eq!(budget.used(), 250);
    }

    #[test]
    fn where_nobody_gives_way_a_frame_takes_the_place_of_older_ones_or_is_refused() {
        let budget = Arc::new(Budget::new(1000, || None));
        let [a, b] = [cell(&budget), cell(&budget)];
        for _ in 0..2 {
            assert_eq!(a.send(message(500), Overflow::Reject), Ok(true));
        }
        assert_eq!(b.send(message(1), Overflow::Reject), Err(SendError::Full));
        assert_eq!(b.send(message(1), Overflow::DropOldest), Ok(false), "it has none to give");
        assert_eq!(a.send(message(400), Overflow::DropOldest), Ok(true));
        assert_eq!(budget.used(), 900);
        let counts =
            |cell: &Cell| cell.drive(|session| (session.counts().accepted, session.counts().dropped));
        assert_eq!((counts(&a), counts(&b)), ((3, 1), (1, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_is_woken_when_another_frees_it() {
        let budget = Arc::new(Budget::new(1000, || None));
        let [a, b] = [cell(&budget), cell(&budget)];
        a.send(message(1000), Overflow::Reject).unwrap();
        let waits = b.send_wait(message(10), Duration::from_secs(10));
        let frees = async {
            tokio::task::yield_now().await;
            a.command(Session::take_unacknowledged);
        };
        let since = tokio::time::Instant::now();
        assert_eq!(tokio::join!(waits, frees).0, Ok(()));
        assert_eq!(since.elapsed(), Duration::ZERO);
    }
}
