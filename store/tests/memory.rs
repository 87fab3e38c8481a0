//! `MemoryStore` against what every store has to do.

#![allow(clippy::unwrap_used, reason = "tests")]

use rejoin_store::conformance::Subject;
use rejoin_store::conformance::random::random;
use rejoin_store::conformance_tests;

conformance_tests!(async || Subject::memory());

#[tokio::test]
async fn random_calls_do_what_the_model_does() {
    for seed in 0..60 {
        random(&Subject::memory(), seed, 400).await;
    }
}
