//! [`Latencies`]: times recorded by many tasks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times recorded by many tasks, with a precision of 0.1 %.
#[derive(Debug)]
pub(crate) struct Latencies(Vec<Mutex<Histogram<u64>>>);

/// Usually more than the number of cores, so that tasks seldom wait for each other.
const SHARDS: usize = 32;

impl Latencies {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::new(empty())).collect())
    }

    /// Records a time. `client` chooses the shard.
    pub(crate) fn record(&self, client: u32, nanos: u64) {
        let shard = &self.0[client as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner).record(nanos).expect(GROWS);
    }

    pub(crate) fn record_time(&self, client: u32, time: Duration) {
        self.record(client, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The number of recorded times.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut all = empty();
        for shard in &self.0 {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.add(&*shard).expect(GROWS);
        }
        Summary::of(&all)
    }
}

/// A histogram of nanoseconds without an upper bound.
pub(crate) fn empty() -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("3 digits are allowed");
    histogram.auto(true);
    histogram
}

/// Why recording in a histogram of [`empty`] cannot fail.
pub(crate) const GROWS: &str = "the histogram resizes itself";

/// A summary of many times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) max_us: f64,
}

impl Summary {
    /// Summarizes a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            count: histogram.len(),
            mean_us: (histogram.mean() / 10.0).round() / 100.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: histogram.max() as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_cover_all_shards() {
        let latencies = Latencies::new();
        for n in 1..=1000_u32 {
            latencies.record(n, u64::from(n) * 1_000_000);
        }
        let summary = latencies.summary();
        assert_eq!((summary.count, latencies.count()), (1000, 1000));
        let near = |value: f64, expected: f64| assert!((value / expected - 1.0).abs() < 0.002, "{value}");
        near(summary.p50_us, 500_000.0);
        near(summary.p99_us, 990_000.0);
        near(summary.p99_9_us, 999_000.0);
        near(summary.max_us, 1_000_000.0);
        near(summary.mean_us, 500_500.0);
    }
}
