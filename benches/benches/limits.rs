//! The cost of a rate limit for each message: taking from a bucket, for frames alone and for all four rates.

use std::time::Instant;

use divan::{Bencher, black_box};
use rejoin_core::drive::{TokenBucket, UnitsPerSecond};

fn main() {
    divan::main();
}

fn rate(units: u64) -> UnitsPerSecond {
    UnitsPerSecond::new(units).expect("a rate is at least 1")
}

/// Frames of one connection. The clock is read once for all frames of one read.
#[divan::bench]
fn take_a_frame(bencher: Bencher<'_, '_>) {
    let (bucket, rate) = (TokenBucket::default(), rate(1_000_000));
    let mut now = 0;
    bencher.bench_local(|| {
        now += 2000;
        black_box(bucket.take(rate, 1, now))
    });
}

/// Frames and bytes, of a connection and of its user.
#[divan::bench]
fn take_from_four(bencher: Bencher<'_, '_>) {
    let buckets = [(); 4].map(|()| TokenBucket::default());
    let rates = [1_000_000, 100_000_000, 1_000_000, 100_000_000].map(rate);
    let mut now = 0;
    bencher.bench_local(|| {
        now += 2000;
        let mut wait = 0;
        for (index, (bucket, rate)) in buckets.iter().zip(rates).enumerate() {
            wait = wait.max(bucket.take(rate, if index % 2 == 0 { 1 } else { 128 }, black_box(now)));
        }
        wait
    });
}

/// A frame beyond the rate.
#[divan::bench]
fn refuse_a_frame(bencher: Bencher<'_, '_>) {
    let (bucket, rate) = (TokenBucket::default(), rate(1));
    assert!(bucket.try_take(rate, 1, 0));
    bencher.bench_local(|| black_box(bucket.try_take(rate, 1, black_box(1))));
}

/// For comparison: reading the clock.
#[divan::bench]
fn read_the_clock(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| black_box(Instant::now()));
}
