//! The writer: one thread, which combines all waiting requests into one batch.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::task::Waker;
use std::time::Duration;

use rejoin_store::{StoreError, Tails};

use crate::clock::Clock;
use crate::files::FormatMark;
use crate::rows::Rows;

/// Answers a request when its batch is durable or has failed.
pub(crate) type CommitReply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Changes the rows, and returns the function that answers the request.
pub(crate) type WriterStep = Box<dyn FnOnce(&mut Rows) -> CommitReply + Send>;

pub(crate) enum WriterRequest {
    Step(WriterStep),
    Stop,
}

/// The maximum number of requests in one batch. A larger batch would delay the first of them.
const MOST_REQUESTS: usize = 1024;

/// How often an idle writer records the time, so that the clock never goes back by more than this, even if the machine's does.
const IDLE: Duration = Duration::from_secs(10);

/// The number of entries to remove per batch. It takes some milliseconds, for which commits wait.
pub(crate) const TRIM_STEP: usize = 2048;

pub(crate) struct Writer {
    pub(crate) rows: Rows,
    pub(crate) mark: FormatMark,
    pub(crate) clock: Clock,
    pub(crate) tails: Arc<Tails>,
    pub(crate) log_bytes: u64,
    /// The error after which nothing is written any more.
    pub(crate) failed: Option<StoreError>,
}

impl Writer {
    pub(crate) fn run(mut self, requests: &Receiver<WriterRequest>) {
        loop {
            let mut stops = false;
            let mut steps = Vec::new();
            match requests.recv_timeout(IDLE) {
                Ok(WriterRequest::Step(step)) => steps.push(step),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(WriterRequest::Stop) | Err(RecvTimeoutError::Disconnected) => stops = true,
            }
            while !stops && !steps.is_empty() && steps.len() < MOST_REQUESTS {
                match requests.try_recv() {
                    Ok(WriterRequest::Step(step)) => steps.push(step),
                    Ok(WriterRequest::Stop) => stops = true,
                    Err(_) => break,
                }
            }
            self.batch(steps);
            self.bound_logs();
            if stops {
                break;
            }
        }
        self.tails.end();
    }

    fn batch(&mut self, steps: Vec<WriterStep>) {
        if let Some(failed) = &self.failed {
            // Dropped without a reply: a reply would report a step that was not applied.
            drop(steps);
            tracing::debug!(%failed, "a store that has failed was asked");
            return;
        }
        self.rows.now = self.clock.now();
        let replies: Vec<_> = steps.into_iter().map(|step| step(&mut self.rows)).collect();
        let (outcome, wakers) = self.finish();
        // Who asks may be who follows: the answers wake it, and then it finds the entries, too.
        replies.into_iter().for_each(|reply| reply(outcome.clone()));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Commits the batch, and sends its entries to the followers. Returns the wakers of those.
    fn finish(&mut self) -> (Result<(), StoreError>, Vec<Waker>) {
        let committed = self.rows.commit().and_then(|batch| match batch {
            // After the batch, so that the mark is never ahead of the journal.
            Some(batch) => self.mark.set(batch).map_err(|error: io::Error| crate::open::failed(error)),
            None => Ok(()),
        });
        let appended = self.rows.take_appended();
        if let Err(error) = &committed {
            tracing::error!(%error, "the store has failed; nothing is committed until it is opened again");
            self.failed = Some(error.clone());
            return (committed, Vec::new());
        }
        let wakers = appended.into_iter().flat_map(|(log, pieces)| self.tails.send(log, &pieces)).collect();
        (Ok(()), wakers)
    }

    /// Removes the oldest entries of logs that are too large.
    fn bound_logs(&mut self) {
        for log in self.rows.oversized(self.log_bytes) {
            while self.failed.is_none() {
                let trimmed = self.rows.trim(log, 0, 0, self.log_bytes, TRIM_STEP);
                let is_done = trimmed.is_ok_and(|more| !more);
                // It has appended nothing, so there is nobody to wake.
                if self.finish().0.is_err() || is_done {
                    break;
                }
            }
        }
    }
}
