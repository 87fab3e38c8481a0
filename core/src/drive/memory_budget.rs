//! [`MemoryBudget`]: a bound on the bytes that all sessions of a process keep for their peers.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

/// A bound on the total number of bytes that the sessions that share it keep for their peers.
///
/// [`Self::charge`] counts a message by its memory: a broadcast counts once, however many sessions keep it, and stops counting
/// when the last session and the last socket drop it. There is no other bookkeeping, so that a codec that unwinds and a task that
/// is dropped half-way cannot leave a wrong count behind.
///
/// Checking and charging are two steps: messages that several threads accept at the same moment may exceed the bound by their
/// size. Making it one step would take one lock for all sessions.
///
/// All counters are atomics, so that they can be changed under the lock of a session. All are accessed with `SeqCst`, for the
/// handshake between [`Self::evict_to_fit`] and a message that is dropped; the counters alone would need less.
pub struct MemoryBudget {
    limit: usize,
    ledger: Arc<Ledger>,
    /// The bytes that suspended sessions count for, in addition to their messages.
    sessions: AtomicUsize,
    /// The bound was exceeded, and no eviction could help at that time.
    exceeded: AtomicBool,
    /// The maximum of bytes that evicting every suspended session would free. Messages that several sessions share count for
    /// each.
    ///
    /// Signed, since threads apply their changes in any order: a decrease may come before the increase that it belongs to.
    reclaimable: AtomicIsize,
    /// Evicts the oldest suspended session, and returns the bytes that it counted for in addition to its messages; `None` if
    /// there is none.
    evict: Box<dyn Fn() -> Option<usize> + Send + Sync>,
    /// Frees messages that no session needs, and returns whether there were any. Set once.
    relieve: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// The counters. Charged messages share them, and may outlive the budget.
#[derive(Debug, Default)]
struct Ledger {
    messages: CacheLine<AtomicUsize>,
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
struct CacheLine<T>(T);

/// A message that counts for as long as it lives.
struct Charged {
    message: Bytes,
    ledger: Arc<Ledger>,
}

impl MemoryBudget {
    /// Creates a bound of `limit` bytes. `evict` is called while the bound is exceeded and evicting can help, without any lock
    /// held: it ends the oldest suspended session, and returns the bytes that this session counted for in addition to its
    /// messages.
    pub fn new(limit: usize, evict: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        let evict = Box::new(evict);
        Self {
            limit,
            ledger: Arc::default(),
            sessions: AtomicUsize::new(0),
            exceeded: AtomicBool::new(false),
            reclaimable: AtomicIsize::new(0),
            evict,
            relieve: OnceLock::new(),
        }
    }

    /// Sets what frees charged messages that no session needs, and returns whether there were any. It is called when the bound is
    /// exceeded, before any session is evicted, without any lock held. The first call takes effect.
    pub fn relieve_with(&self, relieve: impl Fn() -> bool + Send + Sync + 'static) {
        self.relieve.set(Box::new(relieve)).ok();
    }

    /// The bytes that count against the bound.
    pub fn used(&self) -> usize {
        self.messages() + self.sessions.load(Ordering::SeqCst)
    }

    /// The bytes of charged messages, each message once.
    pub fn messages(&self) -> usize {
        self.ledger.messages.0.load(Ordering::SeqCst)
    }

    /// The bytes that evictions could free.
    #[cfg(rejoin_model)]
    pub fn reclaimable(&self) -> isize {
        self.reclaimable.load(Ordering::SeqCst)
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
        self.used() + bytes <= self.limit
    }

    /// Whether this number of further bytes is within the bound, or would be after evicting suspended sessions.
    pub fn can_fit(&self, bytes: usize) -> bool {
        let reclaimable = usize::try_from(self.reclaimable.load(Ordering::SeqCst)).unwrap_or(0);
        self.used() + bytes <= self.limit.saturating_add(reclaimable)
    }

    /// Evicts suspended sessions until this number of further bytes fits, and returns whether it fits. Evicts nothing if that
    /// cannot help. Messages that no session needs go first ([`Self::relieve_with`]). With 0 bytes, it tries again when bytes have
    /// been freed ([`Self::settle`]): sockets may have taken messages until then, so that evicting the rest helps. The caller must
    /// hold no lock: an eviction locks another session, and wakes its driver.
    pub fn evict_to_fit(&self, bytes: usize) -> bool {
        while !self.fits(bytes) {
            if self.relieve.get().is_some_and(|relieve| relieve()) {
                continue;
            }
            let evicted = if self.can_fit(bytes) { (self.evict)() } else { None };
            let Some(cost) = evicted else {
                // First note the refusal, then check again. A thread that frees bytes does the reverse: it subtracts them, then
                // reads `refused`. Both pairs are `SeqCst`, so at least one side sees the other: either the bytes are seen here,
                // or that thread notifies. With weaker orderings both could miss, and a waiting sender would sleep to its
                // deadline although its frame fits.
                if bytes == 0 {
                    self.exceeded.store(true, Ordering::SeqCst);
                }
                self.ledger.refused.store(true, Ordering::SeqCst);
                return self.fits(bytes);
            };
            self.resume(cost);
        }
        true
    }

    /// Counts a session that is suspended and can be evicted: `cost` bytes in addition to its messages, until [`Self::resume`].
    ///
    /// Must come before an eviction can find the session, or the eviction would subtract the cost first, and the bytes of all
    /// sessions would wrap around. So it may be called under the lock of the queue, and wakes no task: call [`Self::settle`] once
    /// that lock is released.
    pub fn suspend(&self, cost: usize) {
        // `reclaimable` grows last, and in `resume` it shrinks first: in between `can_fit` refuses rather than promising bytes
        // that no eviction frees.
        self.sessions.fetch_add(cost, Ordering::SeqCst);
        self.change_reclaimable(0, cost);
        // A message that was refused may fit now, since this session can be evicted for it.
        self.ledger.note_freed();
    }

    /// Stops counting a session that has a socket again, or has ended.
    pub fn resume(&self, cost: usize) {
        self.change_reclaimable(cost, 0);
        self.sessions.fetch_sub(cost, Ordering::SeqCst);
        self.ledger.note_freed();
        self.settle();
    }

    /// Records that evicting a session would now free `after` bytes instead of `before`.
    pub(super) fn change_reclaimable(&self, before: usize, after: usize) {
        if before != after {
            let by = after.cast_signed().wrapping_sub(before.cast_signed());
            self.reclaimable.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// Wakes the senders that wait for freed bytes, if any were freed, and evicts sessions that exceed the bound if that helps now.
    /// Called after a lock is released: messages are dropped under locks, and waking a task may run foreign code.
    pub fn settle(&self) {
        let Ledger { refused, has_freed, freed, .. } = &*self.ledger;
        // The relaxed load keeps the common case to one read. It cannot miss a flag that this thread has set, and each thread
        // that frees bytes settles afterwards. The swap lets one of several threads notify.
        if has_freed.load(Ordering::Relaxed) && has_freed.swap(false, Ordering::SeqCst) {
            // Before the notification: a sender that is woken and refused again sets it again, and clearing it later would lose
            // that. A refusal that is cleared here belongs to a sender that the notification reaches: it was enabled before the
            // refusal.
            refused.store(false, Ordering::SeqCst);
            freed.notify_waiters();
            // A thread that exceeds the bound sets the flag before it looks for the last time, as above.
            if self.exceeded.swap(false, Ordering::SeqCst) {
                self.evict_to_fit(0);
            }
        }
    }

    /// Ready when bytes are freed, or can be, after a message was refused. Make it before the attempt that may be refused.
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
mod tests;
