//! The committer: commits the queue to the store, in order.

use std::sync::Arc;

use bytes::Bytes;
use rejoin_store::{Commit, Touch, WriterKey};

use super::act::{self, Act};
use super::health::MaybeUnsure as _;
use super::log::DurableLog;
use super::queue::{AfterCommit, Work};
use super::writer::LogWriter;

/// The maximum number of the server's own acts per entry.
const MAX_ACTS: usize = 256;

/// Commits the queue until it is closed. While the store processes one batch, the next one accumulates, so that batches grow with the
/// load.
pub(super) async fn run(log: Arc<DurableLog>, own: LogWriter) {
    while let Some(work) = log.queue.take().await {
        let mut batch = CommitBatch::default();
        for work in work {
            batch.add(work, &log, &own);
        }
        batch.close(&log, &own);
        batch.write(&log).await;
    }
}

#[derive(Default)]
struct CommitBatch {
    commits: Vec<Commit>,
    then: Vec<Option<AfterCommit>>,
    touches: Vec<Touch>,
    /// The server's own acts for the next entry.
    own: Vec<Act>,
    /// The sessions that end with this commit.
    ends: Vec<WriterKey>,
    ticket: u64,
}

impl CommitBatch {
    fn add(&mut self, work: Work, log: &DurableLog, own: &LogWriter) {
        match work {
            Work::Server { act, ticket } => {
                if let Act::Replaced(key) = act {
                    self.ends.push(key.into());
                }
                self.own.push(act);
                self.ticket = ticket;
                if ticket != act::NOBODY || self.own.len() == MAX_ACTS {
                    self.close(log, own);
                }
            }
            Work::Session { writer, acts, received, state, ends, then } => {
                self.close(log, own);
                let ends = if ends { vec![writer.key.into()] } else { Vec::new() };
                let body = Self::encode(act::NOBODY, acts, log);
                self.commits.push(Commit {
                    log: log.log,
                    writer: writer.key.into(),
                    fence: writer.next(),
                    received,
                    state,
                    ends,
                    body,
                });
                self.then.push(then);
            }
            Work::Touch(touch) => self.touches.push(touch),
        }
    }

    /// Encodes an entry, and keeps its acts for the follower.
    fn encode(ticket: u64, acts: Vec<Act>, log: &DurableLog) -> Bytes {
        if acts.is_empty() {
            return Bytes::new();
        }
        let body = act::encode(ticket, &acts);
        log.queue.keep(body.clone(), ticket, acts);
        body
    }

    /// Turns the server's own acts into one commit.
    fn close(&mut self, log: &DurableLog, own: &LogWriter) {
        if self.own.is_empty() {
            return;
        }
        let body = Self::encode(std::mem::take(&mut self.ticket), std::mem::take(&mut self.own), log);
        self.commits.push(Commit {
            log: log.log,
            writer: own.key.into(),
            fence: own.next(),
            received: None,
            state: None,
            ends: std::mem::take(&mut self.ends),
            body,
        });
        self.then.push(None);
    }

    async fn write(self, log: &DurableLog) {
        if !self.commits.is_empty() {
            // A repeated request is identical: the store answers `Already` for commits that it has applied.
            let commit = async || {
                let answers = log.store.commit(self.commits.clone()).await;
                let failed = answers.iter().find_map(|answer| answer.as_ref().err()?.unsure().cloned());
                failed.map_or(Ok(answers), Err)
            };
            let Ok(answers) = log.ask(commit).await else { return };
            for ((answer, then), commit) in answers.into_iter().zip(self.then).zip(&self.commits) {
                if let Err(error) = &answer {
                    tracing::debug!(writer = ?commit.writer, %error, "not committed");
                }
                if let Some(then) = then {
                    then(answer.is_ok());
                }
            }
        }
        if !self.touches.is_empty() {
            // A lost touch does no harm: a later one makes up for it.
            if let Err(error) = log.health.ask_once(log.store.touch(self.touches)).await {
                tracing::warn!(%error, "the store has failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_store::MemoryStore;

    use super::super::act::Key;
    use super::super::node::StoreNode;
    use super::*;

    fn log() -> (Arc<DurableLog>, LogWriter) {
        let node = StoreNode::new(Arc::new(MemoryStore::new()), 1, 1, false);
        let log = Arc::new(DurableLog::new(node, &"".into(), None));
        let own = LogWriter::new(Key::new(log.own_key().0), 1, 0, 0);
        (log, own)
    }

    /// A queued act of the server itself.
    fn said(ticket: u64) -> Work {
        Work::Server { act: Act::Nothing, ticket }
    }

    fn handled(writer: &Arc<LogWriter>, ends: bool) -> Work {
        let writer = writer.clone();
        Work::Session { writer, acts: vec![Act::Nothing], received: Some(1), state: None, ends, then: None }
    }

    /// Builds the commits of these works.
    fn batch(log: &DurableLog, own: &LogWriter, works: Vec<Work>) -> CommitBatch {
        let mut batch = CommitBatch::default();
        for work in works {
            batch.add(work, log, own);
        }
        batch.close(log, own);
        assert_eq!(batch.commits.len(), batch.then.len());
        batch
    }

    #[test]
    fn commits_keep_the_order_in_which_it_was_said() {
        let (log, own) = log();
        let ada = Arc::new(LogWriter::new(Key::new([7; 16]), 1, 0, 1));
        let works = [
            said(0),
            said(0),
            handled(&ada, false),
            handled(&ada, false),
            said(1),
            said(0),
            said(2),
            said(0),
        ];
        let commits = batch(&log, &own, works.into()).commits;
        let parts = commits.iter().map(|commit| {
            let (ticket, acts) = act::decode(&commit.body).unwrap();
            (commit.writer == own.key.into(), commit.fence.w, ticket, acts.len())
        });
        let expected = [
            (true, 1, 0, 2),
            (false, 1, 0, 1),
            (false, 2, 0, 1),
            (true, 2, 1, 1),
            (true, 3, 2, 2),
            (true, 4, 0, 1),
        ];
        assert_eq!(parts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_entry_has_a_bounded_number_of_acts() {
        let (log, own) = log();
        let works = (0..2 * MAX_ACTS + 1).map(|_| said(0)).collect();
        let commits = batch(&log, &own, works).commits;
        let lengths = commits.iter().map(|commit| act::decode(&commit.body).unwrap().1.len());
        assert_eq!(lengths.collect::<Vec<_>>(), [MAX_ACTS, MAX_ACTS, 1]);
    }

    #[test]
    fn a_session_ends_with_the_commit_that_says_so() {
        let (log, own) = log();
        let [ada, ben] = [7, 8].map(|byte| Arc::new(LogWriter::new(Key::new([byte; 16]), 1, 0, 1)));
        let replaced = Work::Server { act: Act::Replaced(ben.key), ticket: act::NOBODY };
        let works = vec![handled(&ada, false), replaced, handled(&ada, true), said(0)];
        let ends = batch(&log, &own, works).commits.into_iter().map(|commit| commit.ends);
        assert_eq!(ends.collect::<Vec<_>>(), [vec![], vec![ben.key.into()], vec![ada.key.into()], vec![]]);
    }
}
