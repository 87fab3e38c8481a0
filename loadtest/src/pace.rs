//! [`pace`]: an open-loop schedule. It does not wait for the server, so that delays show in the measurement.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use crate::latency;

/// How well a schedule was kept.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// The lateness of each step, in nanoseconds.
    pub(crate) late: Histogram<u64>,
}

/// The longest sleep between two checks of `stop`.
const NAP: Duration = Duration::from_millis(20);

/// Calls `work` `rate` times a second until `stop`: call `k`, from 0, is due at `start + k / rate`. Passes `k` and the due time.
/// Runs on its own thread, because a runtime's timers have a resolution of a millisecond.
pub(crate) fn pace(
    start: Instant,
    rate: f64,
    stop: CancellationToken,
    mut work: impl FnMut(u64, Instant) + Send + 'static,
) -> tokio::task::JoinHandle<Pace> {
    tokio::task::spawn_blocking(move || {
        let mut late = latency::empty();
        let mut k = 0;
        while !stop.is_cancelled() {
            let intended = start + Duration::from_secs_f64(k as f64 / rate);
            let now = Instant::now();
            if let Some(early) = intended.checked_duration_since(now).filter(|early| !early.is_zero()) {
                thread::sleep(early.min(NAP));
                continue;
            }
            late.record(u64::try_from((now - intended).as_nanos()).unwrap_or(u64::MAX))
                .expect(latency::GROWS);
            work(k, intended);
            k += 1;
        }
        Pace { late }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn delayed_sends_keep_their_intended_times() {
        let (sender, receiver) = mpsc::channel();
        let (start, stop) = (Instant::now(), CancellationToken::new());
        let ends = stop.clone();
        let paced = pace(start, 1000.0, stop, move |k, intended| {
            if k == 3 {
                thread::sleep(Duration::from_millis(5));
            }
            sender.send((k, intended - start)).ok();
            if k == 9 {
                ends.cancel();
            }
        });
        let pace = paced.await.unwrap();
        let times: Vec<_> = receiver.iter().collect();
        assert_eq!(times.len(), 10);
        for (k, time) in times {
            assert_eq!(time, Duration::from_secs_f64(k as f64 / 1000.0));
        }
        assert!(pace.late.max() >= 3_000_000, "the one after the pause was late: {}", pace.late.max());
    }
}
