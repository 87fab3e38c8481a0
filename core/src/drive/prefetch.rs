//! [`prefetch`], [`PrefetchHint`]: fetch memory into the processor's caches before it is needed.
//!
//! A loop over thousands of connections spends most of its time waiting for memory, because none of them is in a cache. Reading
//! the next ones early does not help, because the read waits, too; a prefetch does not wait.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The size of a cache line, in bytes.
const LINE: usize = 64;

/// Prefetches the first `bytes` bytes of a value. Does nothing on processors other than x86-64.
pub fn prefetch<T: ?Sized>(value: &T, bytes: usize) {
    prefetch_at(ptr::from_ref(value).cast(), bytes);
}

/// The address of a value that the caller cannot reach yet, for example because it is behind a lock.
///
/// The value may have moved or been dropped: then something else is prefetched, or nothing. That is harmless, because the address
/// is never dereferenced. For the same reason all accesses are `Relaxed`: the address publishes no data.
#[derive(Debug, Default)]
pub struct PrefetchHint(AtomicPtr<u8>);

impl PrefetchHint {
    /// Stores the address of the value.
    pub fn set<T: ?Sized>(&self, value: &T) {
        self.0.store(ptr::from_ref(value).cast::<u8>().cast_mut(), Ordering::Relaxed);
    }

    /// Prefetches the first `bytes` bytes of the value.
    pub fn prefetch(&self, bytes: usize) {
        prefetch_at(self.0.load(Ordering::Relaxed), bytes);
    }
}

fn prefetch_at(from: *const u8, bytes: usize) {
    let into_line = from.addr() % LINE;
    if !from.is_null() {
        (0..into_line + bytes).step_by(LINE).for_each(|offset| prefetch_line(from.wrapping_add(offset)));
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "the hint of the standard library is not stable yet, core::hint::prefetch_read"
)]
fn prefetch_line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: PREFETCHh has no observable effect and faults for no address (Intel SDM, volume 2).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch_line(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetching_a_dropped_value_is_harmless() {
        let prefetch_hint = PrefetchHint::default();
        prefetch_hint.prefetch(512);
        let gone = vec![1_u8; 100_000];
        prefetch_hint.set(&*gone);
        drop(gone);
        prefetch_hint.prefetch(512);
        prefetch(&prefetch_hint, size_of_val(&prefetch_hint));
    }
}
