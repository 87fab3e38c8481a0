//! [`prefetch`], [`PrefetchHint`]: what will be looked at soon is fetched while something else is done.
//!
//! Who goes through thousands of connections waits for memory more than for anything else: none of them is in the processor's
//! caches when its turn comes. Looking at the next ones early does not help, for that waits, too; a prefetch does not.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What the processor fetches at once.
const LINE: usize = 64;

/// Has the processor fetch the beginning of something. Does nothing where we do not know how to: on all but x86-64.
pub fn prefetch<T: ?Sized>(what: &T, bytes: usize) {
    fetch(ptr::from_ref(what).cast(), bytes);
}

/// Where something is, for who cannot reach it yet: what is behind a lock, say. It may be gone or elsewhere by now: then
/// something else is fetched, or nothing, and no harm is done.
#[derive(Debug, Default)]
pub struct PrefetchHint(AtomicPtr<u8>);

impl PrefetchHint {
    /// Here it is.
    pub fn set<T: ?Sized>(&self, what: &T) {
        self.0.store(ptr::from_ref(what).cast::<u8>().cast_mut(), Ordering::Relaxed);
    }

    /// Has the processor fetch the beginning of it.
    pub fn prefetch(&self, bytes: usize) {
        fetch(self.0.load(Ordering::Relaxed), bytes);
    }
}

fn fetch(from: *const u8, bytes: usize) {
    let into_line = from.addr() % LINE;
    if !from.is_null() {
        (0..into_line + bytes).step_by(LINE).for_each(|offset| fetch_line(from.wrapping_add(offset)));
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "the hint of the standard library is not stable yet, core::hint::prefetch_read"
)]
fn fetch_line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: PREFETCHh reads nothing that can be seen and faults for no address (Intel SDM, volume 2).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch_line(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_where_nothing_is_any_more() {
        let prefetch_hint = PrefetchHint::default();
        prefetch_hint.prefetch(512);
        let gone = vec![1_u8; 100_000];
        prefetch_hint.set(&*gone);
        drop(gone);
        prefetch_hint.prefetch(512);
        prefetch(&prefetch_hint, size_of_val(&prefetch_hint));
    }
}
