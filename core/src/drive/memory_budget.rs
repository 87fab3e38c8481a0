//! [`MemoryBudget`]: a bound on the bytes that all sessions of a process keep for their peers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A bound on the bytes that all sessions that share it keep for their peers together.
///
/// [`Self::charge`] counts a message by its memory: a broadcast counts once, however many sessions keep it, and stops counting
/// when the last session and the last socket drop it. There is no other bookkeeping, so that a codec that unwinds and a task that
/// is dropped half-way cannot leave a wrong count behind.
///
/// Checking and charging are two steps: messages that several threads accept at the same moment may exceed the bound by their
/// size. Making it one step would take one lock for all sessions.
///
/// All counters are atomics, so that they can be changed under the lock of a session. All are accessed with `SeqCst`, for the
/// handshake between [`Self::evict_to_fit`] and [`Ledger::note_freed`]; the counters themselves would do with less.
pub struct MemoryBudget {
    limit: usize,
    ledger: Arc<Ledger>,
    /// The bytes that suspended sessions count for, in addition to their messages.
    sessions: AtomicUsize,
    /// The bytes that evicting every suspended session would free at most. Messages that several sessions share count for each.
    ///
    /// Signed, since threads apply their changes in any order: a decrease may come before the increase that it belongs to.
    reclaimable: AtomicIsize,
    /// Evicts the oldest suspended session, and returns the bytes that it counted for in addition to its messages; `None` if
    /// there is none.
    evict: Box<dyn Fn() -> Option<usize> + Send + Sync>,
}

/// The counters. Charged messages share them, and may outlive the budget.
#[derive(Debug, Default)]
struct Ledger {
    messages: Line<AtomicUsize>,
    /// A message was refused since `freed` was notified last. Without a refusal, freeing bytes notifies nothing.
    refused: AtomicBool,
    /// Bytes were freed after a refusal, and [`MemoryBudget::settle`] has not notified `freed` yet.
    has_freed: AtomicBool,
    freed: Notify,
}

/// A value in a separate cache line. Every message writes `messages`, and every access to a session reads `has_freed`: in one
/// line the reads would miss the cache whenever another core has charged a message.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line<T>(T);

/// A message that counts for as long as it lives.
struct Charged {
    message: Bytes,
    ledger: Arc<Ledger>,
}

impl MemoryBudget {
    /// A bound of `limit` bytes. `evict` is called while the bound is exceeded and evicting can help, without any lock of ours:
    /// it ends the oldest suspended session, and returns the bytes that this session counted for in addition to its messages.
    pub fn new(limit: usize, evict: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        let evict = Box::new(evict);
        Self {
            limit,
            ledger: Arc::default(),
            sessions: AtomicUsize::new(0),
            reclaimable: AtomicIsize::new(0),
            evict,
        }
    }

    /// The bytes that count against the bound.
    pub fn used(&self) -> usize {
        self.messages() + self.sessions.load(Ordering::SeqCst)
    }

    /// The bytes of charged messages, each message once.
    pub fn messages(&self) -> usize {
        self.ledger.messages.0.load(Ordering::SeqCst)
    }

    /// Counts a message until its last copy is dropped. Only the returned message counts: keep that one. Costs an allocation of
    /// 64 bytes.
    #[must_use = "only the returned message counts"]
    pub fn charge(&self, message: Bytes) -> Bytes {
        self.ledger.messages.0.fetch_add(message.len(), Ordering::SeqCst);
        Bytes::from_owner(Charged { message, ledger: self.ledger.clone() })
    }

    /// Whether this number of further bytes is within the bound.
    pub fn fits(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.limit
    }

    /// Whether this number of further bytes is within the bound, or would be after evicting suspended sessions.
    pub fn can_fit(&self, bytes: usize) -> bool {
        let reclaimable = usize::try_from(self.reclaimable.load(Ordering::SeqCst)).unwrap_or(0);
        self.used().saturating_add(bytes) <= self.limit.saturating_add(reclaimable)
    }

    /// Evicts suspended sessions until this number of further bytes fits, and returns whether it fits. Evicts nothing if that
    /// cannot help. The caller must hold no lock: an eviction locks another session, and wakes its driver.
    pub fn evict_to_fit(&self, bytes: usize) -> bool {
        while !self.fits(bytes) {
            let evicted = if self.can_fit(bytes) { (self.evict)() } else { None };
            let Some(cost) = evicted else {
                // First note the refusal, then check again. A thread that frees bytes does the reverse: it subtracts them, then
                // reads `refused`. Both pairs are `SeqCst`, so at least one side sees the other: either the bytes are seen here,
                // or that thread notifies. With weaker orderings both could miss, and a waiting sender would sleep to its
                // deadline although its frame fits.
                self.ledger.refused.store(true, Ordering::SeqCst);
                return self.fits(bytes);
            };
            self.resume(cost);
        }
        true
    }

    /// Counts a session that is suspended: `cost` bytes in addition to its messages, until [`Self::resume`].
    pub fn suspend(&self, cost: usize) {
        // `reclaimable` grows last, and in `resume` it shrinks first: in between `can_fit` refuses rather than promising bytes
        // that no eviction frees.
        self.sessions.fetch_add(cost, Ordering::SeqCst);
        self.change_reclaimable(0, cost);
    }

    /// Stops counting a session that has a socket again, or has ended.
    pub fn resume(&self, cost: usize) {
        self.change_reclaimable(cost, 0);
        self.sessions.fetch_sub(cost, Ordering::SeqCst);
        self.ledger.note_freed();
        self.settle();
    }

    /// Notes that evicting a session would free `after` bytes where it would have freed `before`.
    pub(super) fn change_reclaimable(&self, before: usize, after: usize) {
        if before != after {
            let by = after.cast_signed().wrapping_sub(before.cast_signed());
            self.reclaimable.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// Wakes the senders that wait for freed bytes, if any were freed. Called after a lock is released: messages are dropped
    /// under locks, and waking a task may run foreign code.
    pub fn settle(&self) {
        let Ledger { refused, has_freed, freed, .. } = &*self.ledger;
        // The relaxed load keeps the common case to one read. It cannot miss a flag that this thread has set, and each thread
        // that frees bytes settles afterwards. The swap lets one of several threads notify.
        if has_freed.load(Ordering::Relaxed) && has_freed.swap(false, Ordering::SeqCst) {
            // Before the notification: a sender that is woken and refused again sets it anew, and clearing it later would lose
            // that. A refusal that is cleared here belongs to a sender that the notification reaches: it was enabled before the
            // refusal.
            refused.store(false, Ordering::SeqCst);
            freed.notify_waiters();
        }
    }

    /// Ready when bytes are freed after a message was refused. Enable it before the attempt that may be refused.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.ledger.freed.notified()
    }
}

impl Ledger {
    /// Called after bytes were subtracted, possibly under a lock: so it only sets a flag, for [`MemoryBudget::settle`].
    fn note_freed(&self) {
        if self.refused.load(Ordering::SeqCst) {
            self.has_freed.store(true, Ordering::SeqCst);
        }
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        // In this order: see `evict_to_fit`.
        self.ledger.messages.0.fetch_sub(self.message.len(), Ordering::SeqCst);
        self.ledger.note_freed();
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit", &self.limit)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::drive::{SendError, SharedSession};
    use crate::{Mode, Overflow, Session, SessionConfig, Side};

    /// A session in plain mode, without a socket: it keeps the frames that it is sent.
    fn session(budget: &Arc<MemoryBudget>) -> SharedSession {
        let config = SessionConfig::new(Side::Client, Mode::Plain);
        let session = Session::new(Arc::new(config), crate::drive::now());
        SharedSession::new(session).with_budget(budget.clone())
    }

    fn message(len: usize) -> Bytes {
        vec![b'x'; len].into()
    }

    #[test]
    fn counts_a_message_once_until_its_last_copy_is_dropped() {
        let budget = MemoryBudget::new(1000, || None);
        let kept = budget.charge(message(300));
        assert_eq!((budget.used(), kept.len()), (300, 300));
        let [copy, slice] = [kept.clone(), kept.slice(10..20)];
        drop((kept, copy));
        assert_eq!(budget.used(), 300);
        assert!(budget.fits(700) && !budget.fits(701));
        drop(slice);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn counts_what_cells_keep_until_they_are_dropped() {
        let budget = Arc::new(MemoryBudget::new(1000, || None));
        let [a, b] = [session(&budget), session(&budget)];
        a.send(message(300), Overflow::Reject).unwrap();
        b.send(message(200), Overflow::Reject).unwrap();
        assert_eq!(budget.used(), 500);
        drop(a);
        assert_eq!(budget.used(), 200);
        b.command(Session::take_unacknowledged);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_refused_message_does_not_count() {
        let budget = Arc::new(MemoryBudget::new(1000, || None));
        let a = session(&budget);
        for _ in 0..2 {
            assert_eq!(a.send(message(500), Overflow::Reject), Ok(true));
        }
        assert_eq!(a.send(message(1), Overflow::Reject), Err(SendError::Full));
        assert_eq!(a.send(message(1), Overflow::DropNewest), Ok(false));
        assert_eq!(budget.used(), 1000);
    }

    #[test]
    fn evicts_until_the_bytes_fit() {
        let evicted = Arc::new(AtomicUsize::new(0));
        let counter = evicted.clone();
        let budget = MemoryBudget::new(1000, move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Some(100)
        });
        for _ in 0..5 {
            budget.suspend(100);
        }
        let kept = budget.charge(message(450));
        assert!(budget.evict_to_fit(200));
        assert_eq!((budget.used(), evicted.load(Ordering::Relaxed)), (750, 2));
        drop(kept);
        assert_eq!(budget.used(), 300);
    }

    #[test]
    fn evicts_nothing_where_that_cannot_help() {
        let budget = MemoryBudget::new(1000, || panic!("evicted in vain"));
        budget.suspend(100);
        let _kept = budget.charge(message(800));
        assert!(!budget.evict_to_fit(300) && budget.can_fit(200) && !budget.can_fit(201));
        budget.change_reclaimable(0, 50);
        assert!(budget.can_fit(250) && !budget.evict_to_fit(251));
    }

    #[test]
    fn without_capacity_a_frame_replaces_older_ones_or_is_refused() {
        let budget = Arc::new(MemoryBudget::new(1000, || None));
        let [a, b] = [session(&budget), session(&budget)];
        for _ in 0..2 {
            assert_eq!(a.send(message(500), Overflow::Reject), Ok(true));
        }
        assert_eq!(b.send(message(1), Overflow::Reject), Err(SendError::Full));
        assert_eq!(b.send(message(1), Overflow::DropOldest), Ok(false), "it has none to evict");
        assert_eq!(a.send(message(400), Overflow::DropOldest), Ok(true));
        assert_eq!(budget.used(), 900);
        let counts = |session: &SharedSession| {
            session.drive(|session| (session.counts().accepted, session.counts().dropped))
        };
        assert_eq!((counts(&a), counts(&b)), ((3, 1), (1, 1)));
    }

    #[test]
    fn what_a_suspended_session_keeps_can_be_reclaimed() {
        let budget = Arc::new(MemoryBudget::new(1000, || None));
        let config = SessionConfig::new(Side::Server, Mode::Plain);
        let mut session = Session::new(Arc::new(config), crate::drive::now());
        let epoch = session.reserve();
        session.attach(epoch, None, crate::drive::now()).unwrap();
        let session = SharedSession::new(session).with_budget(budget.clone());
        let reclaimable = || budget.reclaimable.load(Ordering::SeqCst);
        session.send(message(300), Overflow::Reject).unwrap();
        assert_eq!(reclaimable(), 0, "its socket may take it at any moment");
        session.command(|session| session.cut(crate::drive::now()));
        session.send(message(200), Overflow::Reject).unwrap();
        assert_eq!(reclaimable(), 500);
        session
            .command(|session| {
                let epoch = session.reserve();
                session.attach(epoch, None, crate::drive::now())
            })
            .unwrap();
        assert_eq!(reclaimable(), 0);
        session.command(|session| session.cut(crate::drive::now()));
        assert_eq!(reclaimable(), 500);
        drop(session);
        assert_eq!((reclaimable(), budget.used()), (0, 0));
    }

    #[test]
    fn a_plain_socket_that_keeps_up_takes_a_message_without_any_eviction() {
        let budget = Arc::new(MemoryBudget::new(1000, || panic!("evicted for nothing")));
        budget.suspend(600);
        let config = SessionConfig::new(Side::Server, Mode::Plain);
        let mut session = Session::new(Arc::new(config), crate::drive::now());
        let epoch = session.reserve();
        session.attach(epoch, None, crate::drive::now()).unwrap();
        let session = SharedSession::new(session).with_budget(budget.clone());
        assert_eq!(session.send(message(500), Overflow::Reject), Ok(true));
    }

    #[test]
    fn a_shared_frame_that_does_not_fit_goes_to_sockets_that_keep_up() {
        let config = SessionConfig::new(Side::Server, Mode::Session);
        let mut session = Session::new(Arc::new(config.clone()), crate::drive::now());
        let epoch = session.reserve();
        session.attach(epoch, None, crate::drive::now()).unwrap();
        let session = SharedSession::new(session);
        let mut tape = crate::Tape::default();
        let mut queue = |session: &SharedSession, fits| {
            let (queued, effects) = session.queue(&tape.push(message(10)), Overflow::Reject, fits);
            session.apply(effects);
            queued.map(|queued| queued.is_dropped)
        };
        assert_eq!(queue(&session, false), Ok(false));
        for _ in 1..config.buffer_frames / 2 {
            queue(&session, true).unwrap();
        }
        assert_eq!(queue(&session, false), Err(SendError::Full), "half the buffer waits");
        session.command(|session| session.cut(crate::drive::now()));
        assert_eq!((queue(&session, false), queue(&session, true)), (Err(SendError::Full), Ok(false)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_sender_is_woken_when_another_session_frees_bytes() {
        let budget = Arc::new(MemoryBudget::new(1000, || None));
        let [a, b] = [session(&budget), session(&budget)];
        a.send(message(1000), Overflow::Reject).unwrap();
        let waits = b.send_wait(message(10), Duration::from_secs(10));
        let frees = async {
            tokio::task::yield_now().await;
            a.command(|session| drop(session.take_unacknowledged()));
        };
        let since = tokio::time::Instant::now();
        assert_eq!(tokio::join!(waits, frees).0, Ok(()));
        assert_eq!(since.elapsed(), Duration::ZERO);
    }

    #[test]
    fn settling_wakes_once_for_bytes_freed_after_a_refusal() {
        let budget = MemoryBudget::new(1000, || None);
        let wakes = |change: &dyn Fn()| {
            let mut freed = std::pin::pin!(budget.freed());
            freed.as_mut().enable();
            change();
            budget.settle();
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            freed.poll(&mut cx).is_ready()
        };
        let free = || drop(budget.charge(message(10)));
        assert!(!wakes(&free), "nobody was refused");
        let _kept = budget.charge(message(1000));
        assert!(!budget.evict_to_fit(1));
        assert!(!wakes(&|| ()), "nothing was freed");
        assert!(wakes(&free));
        assert!(!wakes(&|| ()), "that was told");
        assert!(!wakes(&free), "nobody was refused since");
        assert!(!budget.evict_to_fit(1));
        budget.suspend(100);
        assert!(wakes(&|| budget.resume(100)), "a session that is gone frees bytes, too");
    }
}
