//! `LocalStore` against what every store has to do.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin_store::conformance::Subject;
use rejoin_store::conformance::random::random;
use rejoin_store::conformance_tests;
use rejoin_store_local::LocalStore;

/// A store in a directory of its own, which lives as long as the subject.
fn subject() -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let read = clock.clone();
    let store =
        LocalStore::builder(directory.path()).clock(move || read.load(Ordering::Relaxed)).open().unwrap();
    Subject::new(Arc::new(store), move |by| {
        let _ = &directory;
        clock.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    })
}

conformance_tests!(async || subject());

#[tokio::test]
async fn random_calls_do_what_the_model_does() {
    for seed in 100..110 {
        random(&subject(), seed, 400).await;
    }
}
