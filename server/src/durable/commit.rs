//! The committer: passes what is said to the store, in order.

use std::sync::Arc;

use bytes::Bytes;
use rejoin_store::{Commit, Touch, WriterKey};

use super::act::{self, Act};
use super::health::MaybeUnsure as _;
use super::log::DurableLog;
use super::queue::{Then, Work};
use super::writer::Writer;

/// The most acts of one entry that the server itself says.
const MAX_ACTS: usize = 256;

/// Commits what is queued until the queue is closed. While the store works on one batch, the next one gathers: the batches grow with
/// the load by themselves.
pub(super) async fn run(log: Arc<DurableLog>, own: Writer) {
    while let Some(work) = log.queue.take().await {
        let mut batch = Batch::default();
        for work in work {
            batch.add(work, &log, &own);
        }
        batch.close(&log, &own);
        batch.write(&log).await;
    }
}

#[derive(Default)]
struct Batch {
    commits: Vec<Commit>,
    then: Vec<Option<Then>>,
    touches: Vec<Touch>,
    /// What the server itself says next.
    own: Vec<Act>,
    /// The sessions that end with it.
    ends: Vec<WriterKey>,
    ticket: u64,
}

impl Batch {
    fn add(&mut self, work: Work, log: &DurableLog, own: &Writer) {
        match work {
            Work::Server { act, ticket } => {
                if let Act::Replaced(key) = act {
                    self.ends.push(key.into());
                }
                self.own.push(act);
                self.ticket = ticket;
                if ticket != 0 || self.own.len() == MAX_ACTS {
                    self.close(log, own);
                }
            }
            Work::Session { writer, acts, received, state, ends, then } => {
                self.close(log, own);
                let ends = if ends { vec![writer.key.into()] } else { Vec::new() };
                let body = Self::encode(0, acts, log);
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

    /// Encodes an entry, and keeps what it says for the follower.
    fn encode(ticket: u64, acts: Vec<Act>, log: &DurableLog) -> Bytes {
        if acts.is_empty() {
            return Bytes::new();
        }
        let body = act::encode(ticket, &acts);
        log.queue.keep(body.clone(), ticket, acts);
        body
    }

    /// Makes one commit of what the server itself has said.
    fn close(&mut self, log: &DurableLog, own: &Writer) {
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
            // Repeated as it was: what has been applied is answered by `Already`.
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
            // May be lost: a later one says as much.
            if let Err(error) = log.health.ask_once(log.store.touch(self.touches)).await {
                tracing::warn!(%error, "the store has failed");
            }
        }
    }
}
