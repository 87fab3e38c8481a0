//! The rows and logs of a [`MemoryStore`](crate::MemoryStore), and a way to undo its last steps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::rules::{Ended, Row, Table, millis};
use crate::{
    Checkpoint, ENDED_KEPT, Entry, LogId, NodeId, OpenWriter, Page, Position, ReadError, ReadLimit, Record,
    StoreError, Tail, WriterKey,
};

#[derive(Debug, Clone)]
struct MemoryWriter {
    row: Row,
    id: Box<str>,
    identity: Bytes,
    fold: Bytes,
    state: Bytes,
}

#[derive(Debug, Default)]
struct Log {
    generation: u32,
    /// The offset before the first remaining entry.
    trimmed: u64,
    entries: VecDeque<Entry>,
}

impl Log {
    fn last(&self) -> Position {
        Position { generation: self.generation, offset: self.trimmed + self.entries.len() as u64 }
    }
}

/// Reverses one change of a step.
#[derive(Debug)]
enum Undo {
    Writer(WriterKey, Option<Box<MemoryWriter>>),
    Ended(WriterKey),
    Append(LogId),
}

#[derive(Debug, Default)]
pub(super) struct MemoryRows {
    pub(super) now: u64,
    logs: BTreeMap<LogId, Log>,
    writers: BTreeMap<WriterKey, MemoryWriter>,
    ids: BTreeSet<(LogId, Box<str>)>,
    ended: BTreeMap<WriterKey, (u64, Ended)>,
    leases: BTreeMap<NodeId, u64>,
    /// Nodes whose lease has ended for good.
    buried: BTreeSet<NodeId>,
    /// The entries that the last steps have appended, for the followers.
    appended: Vec<(LogId, Tail)>,
    step: Vec<Undo>,
    /// The last steps, at most `kept_steps`.
    steps: VecDeque<Vec<Undo>>,
    pub(super) kept_steps: usize,
}

impl MemoryRows {
    /// Ends a step, which [`Self::fail_over`] can undo.
    pub(super) fn end_step(&mut self) {
        let step = std::mem::take(&mut self.step);
        if self.kept_steps > 0 && !step.is_empty() {
            self.steps.push_back(step);
            while self.steps.len() > self.kept_steps {
                self.steps.pop_front();
            }
        }
    }

    /// Takes the entries that were appended since the last call, for the followers.
    pub(super) fn take_appended(&mut self) -> Vec<(LogId, Tail)> {
        std::mem::take(&mut self.appended)
    }

    pub(super) fn lease(&mut self, node: NodeId, ttl: Duration) -> bool {
        if self.buried.contains(&node) {
            return false;
        }
        self.leases.insert(node, self.now.saturating_add(millis(ttl)));
        if ttl.is_zero() {
            self.bury(node);
        }
        true
    }

    pub(super) fn logs(&self) -> Vec<LogId> {
        self.logs.keys().copied().collect()
    }

    pub(super) fn bounds(&self, log: LogId) -> (Position, Position) {
        self.logs.get(&log).map_or_else(Default::default, |log| {
            (Position { generation: log.generation, offset: log.trimmed }, log.last())
        })
    }

    pub(super) fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError> {
        let (first, last) = self.bounds(log);
        if after.generation != last.generation || after.offset > last.offset {
            return Err(ReadError::Generation);
        }
        let Some(skipped) = after.offset.checked_sub(first.offset) else { return Err(ReadError::Trimmed) };
        let mut page = Page { entries: Vec::new(), is_end: true };
        let mut bytes = 0;
        for entry in self.logs.get(&log).into_iter().flat_map(|log| log.entries.iter().skip(skipped as usize))
        {
            bytes += entry.body.len();
            if !page.entries.is_empty() && (page.entries.len() >= limit.entries || bytes > limit.bytes) {
                page.is_end = false;
                break;
            }
            let position = Position { generation: last.generation, ..entry.position };
            page.entries.push(Entry { position, ..entry.clone() });
        }
        Ok(page)
    }

    pub(super) fn records(&self, log: LogId, after: Option<WriterKey>, most: usize) -> Vec<Record> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = self.writers.range((after.map_or(Unbounded, Excluded), Unbounded));
        let found = range.filter(|(_, writer)| writer.row.log == log).take(most);
        found.map(|(key, writer)| record(*key, &writer.row, writer)).collect()
    }

    pub(super) fn expired(&self, log: LogId, window: Duration, most: usize) -> Vec<WriterKey> {
        let is_over = |row: &Row| {
            let until = row.deadline.unwrap_or_else(|| {
                let lease = self.leases.get(&row.owner).copied().unwrap_or(0);
                lease.saturating_add(millis(window))
            });
            row.log == log && until <= self.now
        };
        self.writers
            .iter()
            .filter(|(_, writer)| is_over(&writer.row))
            .map(|(key, _)| *key)
            .take(most)
            .collect()
    }

    pub(super) fn trim(&mut self, log: LogId, age: Duration) {
        // A server's own writer is never folded.
        let needed = self.writers.values().filter(|writer| writer.row.log == log && !writer.id.is_empty());
        let needed = needed.map(|writer| writer.row.position.offset).min().unwrap_or(u64::MAX);
        let oldest = self.now.saturating_sub(millis(age));
        let Some(log) = self.logs.get_mut(&log) else { return };
        while log.entries.front().is_some_and(|entry| entry.time < oldest && entry.position.offset <= needed)
        {
            log.entries.pop_front();
            log.trimmed += 1;
        }
        let kept = self.now.saturating_sub(millis(ENDED_KEPT));
        self.ended.retain(|_, (time, _)| *time >= kept);
    }

    /// Undoes the last steps, like a failover to a replica that lacks them, and begins a new generation. Returns their number.
    pub(super) fn fail_over(&mut self, steps: usize) -> usize {
        let mut undone = 0;
        while undone < steps {
            let Some(step) = self.steps.pop_back() else { break };
            step.into_iter().rev().for_each(|undo| self.undo(undo));
            undone += 1;
        }
        self.logs.values_mut().for_each(|log| log.generation += 1);
        let ids = self.writers.values().filter(|writer| !writer.id.is_empty());
        self.ids = ids.map(|writer| (writer.row.log, writer.id.clone())).collect();
        // Steps before a failover belong to another generation.
        self.steps.clear();
        undone
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Writer(key, Some(writer)) => drop(self.writers.insert(key, *writer)),
            Undo::Writer(key, None) => drop(self.writers.remove(&key)),
            Undo::Ended(key) => drop(self.ended.remove(&key)),
            Undo::Append(log) => {
                if let Some(log) = self.logs.get_mut(&log) {
                    log.entries.pop_back();
                }
            }
        }
    }

    /// The writer, for a change; records its previous state.
    fn writer(&mut self, key: WriterKey) -> Result<&mut MemoryWriter, StoreError> {
        let writer = self.writers.get_mut(&key).ok_or_else(|| StoreError::new("no such writer"))?;
        if self.kept_steps > 0 {
            self.step.push(Undo::Writer(key, Some(Box::new(writer.clone()))));
        }
        Ok(writer)
    }
}

fn record(key: WriterKey, row: &Row, writer: &MemoryWriter) -> Record {
    Record {
        key,
        log: row.log,
        epoch: row.epoch,
        attachment: row.attachment,
        owner: row.owner,
        w: row.w,
        received: row.received,
        checkpoint: Checkpoint { position: row.position, number: row.number, state: writer.fold.clone() },
        proof: row.proof,
        id: writer.id.clone(),
        identity: writer.identity.clone(),
        state: writer.state.clone(),
        deadline: row.deadline,
    }
}

impl Table for MemoryRows {
    fn now(&self) -> u64 {
        self.now
    }

    fn is_leased(&self, node: NodeId) -> bool {
        self.leases.get(&node).is_some_and(|until| *until > self.now)
    }

    fn bury(&mut self, node: NodeId) {
        self.buried.insert(node);
    }

    fn row(&mut self, key: WriterKey) -> Result<Option<Row>, StoreError> {
        Ok(self.writers.get(&key).map(|writer| writer.row.clone()))
    }

    fn ended(&self, key: WriterKey) -> Option<Ended> {
        let (time, ended) = self.ended.get(&key)?;
        (self.now.saturating_sub(*time) < millis(ENDED_KEPT)).then_some(*ended)
    }

    fn is_claimed(&mut self, log: LogId, id: &str) -> Result<bool, StoreError> {
        Ok(self.ids.contains(&(log, id.into())))
    }

    fn begin(&mut self, row: Row, open: &OpenWriter) -> Result<(), StoreError> {
        if !open.id.is_empty() {
            self.ids.insert((open.log, open.id.clone()));
        }
        let writer = MemoryWriter {
            row,
            id: open.id.clone(),
            identity: open.identity.clone(),
            fold: open.checkpoint.clone(),
            state: Bytes::new(),
        };
        self.writers.insert(open.key, writer);
        self.step.push(Undo::Writer(open.key, None));
        Ok(())
    }

    fn change(&mut self, key: WriterKey, _before: &Row, after: Row) -> Result<(), StoreError> {
        self.writer(key)?.row = after;
        Ok(())
    }

    fn set_state(&mut self, key: WriterKey, state: Bytes) -> Result<(), StoreError> {
        self.writer(key)?.state = state;
        Ok(())
    }

    fn set_fold(&mut self, key: WriterKey, fold: Bytes) -> Result<(), StoreError> {
        self.writer(key)?.fold = fold;
        Ok(())
    }

    fn end(&mut self, key: WriterKey, row: &Row, ended: Ended) -> Result<(), StoreError> {
        if let Some(writer) = self.writers.remove(&key) {
            self.ids.remove(&(row.log, writer.id.clone()));
            self.step.push(Undo::Writer(key, Some(Box::new(writer))));
            self.ended.insert(key, (self.now, ended));
            self.step.push(Undo::Ended(key));
        }
        Ok(())
    }

    fn record(&mut self, key: WriterKey, row: &Row) -> Result<Record, StoreError> {
        let writer = self.writers.get(&key).ok_or_else(|| StoreError::new("no such writer"))?;
        Ok(record(key, row, writer))
    }

    fn last(&mut self, log: LogId) -> Result<Position, StoreError> {
        Ok(self.bounds(log).1)
    }

    fn append(&mut self, writer: WriterKey, by: &Row, body: Bytes) -> Result<Position, StoreError> {
        let time = self.now;
        let log = self.logs.entry(by.log).or_default();
        let prev = log.last();
        let position = Position { offset: prev.offset + 1, ..prev };
        let entry = Entry { position, writer, epoch: by.epoch, time, body };
        log.entries.push_back(entry.clone());
        self.appended.push((by.log, Tail::Entry { prev: prev.offset, entry }));
        self.step.push(Undo::Append(by.log));
        Ok(position)
    }
}
