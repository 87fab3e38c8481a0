//! [`Rows`]: the table of the rules, on the trees, and the changes of the current batch.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{OwnedWriteBatch, PersistMode};
use rejoin_store::rules::{Ended, Row, Table, millis};
use rejoin_store::{
    Checkpoint, ENDED_KEPT, Entry, Fence, LogId, NodeId, OpenWriter, Position, Record, StoreError, Tail,
    WriterKey,
};

use crate::late::LateRows;
use crate::leases::Leases;
use crate::open::{Trees, failed};
use crate::values::{Base, LogBounds, Meta};
use crate::{keys, values};

mod settling;
mod trimming;

/// The maximum number of rows that a writer thread keeps in memory, of some 200 bytes each.
const MOST_ROWS: usize = 100_000;

/// The changes of the current batch, and the rows that commits need in memory.
pub(crate) struct Rows {
    trees: Arc<Trees>,
    leases: Arc<Leases>,
    pub(crate) now: u64,
    batch: OwnedWriteBatch,
    meta: Meta,
    durability: PersistMode,
    /// Rows of writers with a socket, so that their commits need no reads.
    rows: HashMap<WriterKey, Row>,
    /// Rows that the batch changes, each once.
    dirty: HashMap<WriterKey, Option<LogId>>,
    logs: HashMap<LogId, LogBounds>,
    dirty_logs: Vec<LogId>,
    /// Claimed IDs and texts of the batch, which are not in the trees yet.
    ids: HashMap<(LogId, Box<str>), bool>,
    texts: HashMap<(WriterKey, u8), Bytes>,
    ended: HashMap<WriterKey, (u64, Ended)>,
    /// The entries for followers, by log: most batches write to one.
    appended: Vec<(LogId, Vec<Tail>)>,
    /// Rows in memory whose last commits are in the entries alone.
    late: LateRows,
    /// The last entry: its writer and its commit.
    said: Option<(WriterKey, Fence)>,
    /// Rows to remove from memory after the batch: those of suspended sessions.
    cold: Vec<WriterKey>,
    /// The error that interrupted a step.
    broken: Option<StoreError>,
}

impl Rows {
    pub(crate) fn new(trees: Arc<Trees>, leases: Arc<Leases>, meta: Meta, durability: PersistMode) -> Self {
        let batch = trees.database.batch();
        Self {
            trees,
            leases,
            now: meta.time,
            batch,
            meta,
            durability,
            rows: HashMap::new(),
            dirty: HashMap::new(),
            logs: HashMap::new(),
            dirty_logs: Vec::new(),
            ids: HashMap::new(),
            texts: HashMap::new(),
            ended: HashMap::new(),
            appended: Vec::new(),
            late: LateRows::default(),
            said: None,
            cold: Vec::new(),
            broken: None,
        }
    }

    /// Records the error of an incomplete step, so that its batch is not committed.
    fn note<R>(&mut self, result: Result<R, StoreError>) -> Result<R, StoreError> {
        if let Err(error) = &result {
            self.broken = Some(error.clone());
        }
        result
    }

    /// Makes the batch durable and visible. Returns its number, or `None` if it was empty.
    pub(crate) fn commit(&mut self) -> Result<Option<u64>, StoreError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if self.rows.len() > MOST_ROWS {
            // The rows leave memory below.
            self.settle();
        }
        self.settle_oldest();
        for (key, ended) in self.dirty.drain() {
            match (ended, self.rows.get(&key)) {
                (None, Some(row)) => self.batch.insert(&self.trees.records, key.0, values::put_row(row)),
                _ => self.batch.remove(&self.trees.records, key.0),
            }
        }
        for log in self.dirty_logs.drain(..) {
            let bounds = self.logs.get(&log).copied().unwrap_or_default();
            self.batch.insert(&self.trees.index, keys::log(log), values::put_bounds(bounds));
        }
        if self.batch.is_empty() && self.meta.time.saturating_add(10_000) > self.now {
            return Ok(None);
        }
        self.meta = Meta { batch: self.meta.batch + 1, time: self.now };
        self.batch.insert(&self.trees.index, keys::META, values::put_meta(self.meta));
        let next = self.trees.database.batch().durability(Some(self.durability));
        let batch = std::mem::replace(&mut self.batch, next).durability(Some(self.durability));
        batch.commit().map_err(failed)?;
        self.ids.clear();
        self.texts.clear();
        if self.rows.len() > MOST_ROWS {
            self.rows.clear();
        }
        if self.ended.len() > 1000 {
            let kept = self.now.saturating_sub(millis(ENDED_KEPT));
            self.ended.retain(|_, (time, _)| *time >= kept);
        }
        for key in self.cold.drain(..) {
            if self.rows.get(&key).is_some_and(|row| row.deadline.is_some()) {
                self.rows.remove(&key);
            }
        }
        Ok(Some(self.meta.batch))
    }

    pub(crate) fn take_appended(&mut self) -> Vec<(LogId, Vec<Tail>)> {
        std::mem::take(&mut self.appended)
    }

    fn base(&mut self, key: WriterKey) -> Result<Base, StoreError> {
        let value = self.text(key, keys::BASE)?;
        self.note(values::base(&value))
    }

    fn text(&mut self, key: WriterKey, tag: u8) -> Result<Bytes, StoreError> {
        let text = self.find_text(key, tag);
        self.note(text)
    }

    fn find_text(&self, key: WriterKey, tag: u8) -> Result<Bytes, StoreError> {
        if let Some(text) = self.texts.get(&(key, tag)) {
            return Ok(text.clone());
        }
        let value = self.trees.texts.get(keys::text(key, tag)).map_err(failed)?;
        match value {
            Some(value) => Ok(Bytes::copy_from_slice(&value)),
            None => Err(values::damaged("a part of a record is missing")),
        }
    }

    fn set_text(&mut self, key: WriterKey, tag: u8, text: Bytes) {
        self.batch.insert(&self.trees.texts, keys::text(key, tag), &text[..]);
        self.texts.insert((key, tag), text);
    }

    fn bounds(&mut self, log: LogId) -> Result<LogBounds, StoreError> {
        if let Some(bounds) = self.logs.get(&log) {
            return Ok(*bounds);
        }
        let value = self.trees.index.get(keys::log(log)).map_err(failed);
        let bounds = value
            .and_then(|value| value.map_or_else(|| Ok(LogBounds::default()), |value| values::bounds(&value)));
        let bounds = self.note(bounds)?;
        self.logs.insert(log, bounds);
        Ok(bounds)
    }

    fn set_bounds(&mut self, log: LogId, bounds: LogBounds) {
        self.logs.insert(log, bounds);
        if !self.dirty_logs.contains(&log) {
            self.dirty_logs.push(log);
        }
    }

    /// The index key of a row: by its deadline, or by its owner if it has none.
    fn index_of(key: WriterKey, row: &Row) -> Vec<u8> {
        match row.deadline {
            Some(deadline) => keys::deadline(row.log, deadline, key),
            None => keys::attached(row.log, row.owner, key),
        }
    }
}

impl Table for Rows {
    fn now(&self) -> u64 {
        self.now
    }

    fn is_leased(&self, node: NodeId) -> bool {
        self.leases.lives(node, self.now)
    }

    fn bury(&mut self, node: NodeId) {
        self.leases.bury(node);
    }

    fn row(&mut self, key: WriterKey) -> Result<Option<Row>, StoreError> {
        if let Some(row) = self.rows.get(&key) {
            return Ok(Some(row.clone()));
        }
        if self.dirty.get(&key).is_some_and(Option::is_some) {
            return Ok(None);
        }
        let value = self.trees.records.get(key.0).map_err(failed);
        let Some(value) = self.note(value)? else { return Ok(None) };
        let base = self.base(key)?;
        let row = self.note(values::row(&value, &base))?;
        self.rows.insert(key, row.clone());
        Ok(Some(row))
    }

    fn ended(&self, key: WriterKey) -> Option<Ended> {
        let (time, ended) = self.ended.get(&key)?;
        (self.now.saturating_sub(*time) < millis(ENDED_KEPT)).then_some(*ended)
    }

    fn is_claimed(&mut self, log: LogId, id: &str) -> Result<bool, StoreError> {
        match self.ids.get(&(log, id.into())) {
            Some(is_claimed) => Ok(*is_claimed),
            None => {
                let is_claimed = self.trees.index.contains_key(keys::id(log, id)).map_err(failed);
                self.note(is_claimed)
            }
        }
    }

    fn begin(&mut self, row: Row, open: &OpenWriter) -> Result<(), StoreError> {
        let (key, log) = (open.key, open.log);
        let index = &self.trees.index;
        if !open.id.is_empty() {
            self.batch.insert(index, keys::id(log, &open.id), key.0);
            self.ids.insert((log, open.id.clone()), true);
            self.batch.insert(index, keys::checkpoint(log, row.position.offset, key), []);
        }
        self.batch.insert(index, keys::record(log, key), []);
        self.batch.insert(index, Self::index_of(key, &row), []);
        self.leases.add_owner(log, row.owner);
        // The last entry may be of an earlier record with this key.
        self.said = None;
        let base = Base {
            opened: row.opened,
            proof: row.proof,
            id: open.id.clone(),
            identity: open.identity.clone(),
        };
        self.set_text(key, keys::BASE, values::put_base(&base).into());
        self.set_text(key, keys::FOLD, open.checkpoint.clone());
        self.set_text(key, keys::STATE, Bytes::new());
        self.rows.insert(key, row);
        self.dirty.insert(key, None);
        Ok(())
    }

    fn change(&mut self, key: WriterKey, before: &Row, after: Row) -> Result<(), StoreError> {
        // A server's own writer is never folded, so it needs no entry.
        let moves = before.position.offset != after.position.offset && !self.base(key)?.id.is_empty();
        let index = &self.trees.index;
        if moves {
            self.batch.remove(index, keys::checkpoint(before.log, before.position.offset, key));
            self.batch.insert(index, keys::checkpoint(after.log, after.position.offset, key), []);
        }
        if (before.deadline, before.owner) != (after.deadline, after.owner) {
            self.batch.remove(index, Self::index_of(key, before));
            self.batch.insert(index, Self::index_of(key, &after), []);
            if after.deadline.is_none() {
                self.leases.add_owner(after.log, after.owner);
            }
        }
        if after.deadline.is_some() {
            self.cold.push(key);
        }
        let fence = Fence { epoch: after.epoch, w: after.w };
        let is_said = self.said == Some((key, fence)) && is_progress(before, &after);
        if is_said && !self.dirty.contains_key(&key) {
            // The entry has the progress.
            let last = self.logs.get(&after.log).map_or(0, |bounds| bounds.last);
            self.late.add(after.log, last, key);
        } else {
            self.late.remove(key);
            self.dirty.insert(key, None);
        }
        self.rows.insert(key, after);
        Ok(())
    }

    fn set_state(&mut self, key: WriterKey, state: Bytes) -> Result<(), StoreError> {
        self.set_text(key, keys::STATE, state);
        Ok(())
    }

    fn set_fold(&mut self, key: WriterKey, fold: Bytes) -> Result<(), StoreError> {
        self.set_text(key, keys::FOLD, fold);
        Ok(())
    }

    fn end(&mut self, key: WriterKey, row: &Row, ended: Ended) -> Result<(), StoreError> {
        let base = self.base(key)?;
        let index = &self.trees.index;
        if !base.id.is_empty() {
            self.batch.remove(index, keys::id(row.log, &base.id));
            self.ids.insert((row.log, base.id), false);
            self.batch.remove(index, keys::checkpoint(row.log, row.position.offset, key));
        }
        self.batch.remove(index, keys::record(row.log, key));
        self.batch.remove(index, Self::index_of(key, row));
        for tag in [keys::BASE, keys::FOLD, keys::STATE] {
            self.batch.remove(&self.trees.texts, keys::text(key, tag));
            self.texts.remove(&(key, tag));
        }
        self.rows.remove(&key);
        self.late.remove(key);
        self.dirty.insert(key, Some(row.log));
        self.ended.insert(key, (self.now, ended));
        Ok(())
    }

    fn record(&mut self, key: WriterKey, row: &Row) -> Result<Record, StoreError> {
        let (base, fold, state) =
            (self.base(key)?, self.text(key, keys::FOLD)?, self.text(key, keys::STATE)?);
        Ok(record(key, row, base, fold, state))
    }

    fn last(&mut self, log: LogId) -> Result<Position, StoreError> {
        let bounds = self.bounds(log)?;
        Ok(Position { generation: bounds.generation, offset: bounds.last })
    }

    fn append(&mut self, writer: WriterKey, by: &Row, body: Bytes) -> Result<Position, StoreError> {
        let mut bounds = self.bounds(by.log)?;
        let prev = bounds.last;
        bounds.last += 1;
        let value = values::put_entry(writer, by, self.now, &body);
        bounds.bytes += values::entry_bytes(&value);
        self.set_bounds(by.log, bounds);
        let position = Position { generation: bounds.generation, offset: bounds.last };
        self.batch.insert(&self.trees.entries, keys::entry(by.log, bounds.last), value);
        self.said = Some((writer, Fence { epoch: by.epoch, w: by.w }));
        let entry = Entry { position, writer, epoch: by.epoch, time: self.now, body };
        let piece = Tail::Entry { prev, entry };
        match self.appended.last_mut().filter(|(log, _)| *log == by.log) {
            Some((_, pieces)) => pieces.push(piece),
            None => self.appended.push((by.log, vec![piece])),
        }
        Ok(position)
    }
}

/// Whether a step changes only the progress of a session with a socket. Other rows may leave memory, so the trees need them.
fn is_progress(before: &Row, after: &Row) -> bool {
    after.deadline.is_none() && *before == Row { w: before.w, received: before.received, ..after.clone() }
}

/// Assembles a record.
pub(crate) fn record(key: WriterKey, row: &Row, base: Base, fold: Bytes, state: Bytes) -> Record {
    Record {
        key,
        log: row.log,
        epoch: row.epoch,
        attachment: row.attachment,
        owner: row.owner,
        w: row.w,
        received: row.received,
        checkpoint: Checkpoint { position: row.position, number: row.number, state: fold },
        proof: base.proof,
        id: base.id,
        identity: base.identity,
        state,
        deadline: row.deadline,
    }
}
