//! Checks all executions that the orderings of the budget's flags allow.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::MemoryBudget;

/// The refusing side stores `refused` and reads the bytes; the freeing side subtracts the bytes and reads `refused`.
#[test]
fn refused_sender_fits_or_is_notified() {
    loom::model(|| {
        let budget = Arc::new(MemoryBudget::new(10, || None));
        let kept = budget.charge(Bytes::from_static(b"0123456789"));
        let freeing = budget.clone();
        let frees = loom::thread::spawn(move || {
            drop(kept);
            freeing.settle();
        });
        let mut freed = pin!(budget.freed());
        freed.as_mut().enable();
        let fits = budget.evict_to_fit(5);
        frees.join().unwrap();
        let is_notified = freed.poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(fits || is_notified, "the bytes are free, and the sender was not notified");
    });
}
