//! Reads, in the caller's thread: one snapshot of the trees.

use bytes::Bytes;
use fjall::{Readable, Snapshot};
use rejoin_store::{LogId, Page, Position, ReadError, ReadLimit, Record, StoreError, WriterKey};

use crate::leases::Leases;
use crate::open::{Trees, failed};
use crate::values::LogBounds;
use crate::{keys, rows, values};

impl Trees {
    fn log_bounds(&self, snapshot: &Snapshot, log: LogId) -> Result<LogBounds, StoreError> {
        let value = snapshot.get(&self.index, keys::log(log)).map_err(failed)?;
        value.map_or_else(|| Ok(LogBounds::default()), |value| values::bounds(&value))
    }

    pub(crate) fn bounds(&self, log: LogId) -> Result<(Position, Position), StoreError> {
        let bounds = self.log_bounds(&self.database.snapshot(), log)?;
        let at = |offset| Position { generation: bounds.generation, offset };
        Ok((at(bounds.trimmed), at(bounds.last)))
    }

    pub(crate) fn read(&self, log: LogId, after: Position, limit: ReadLimit) -> Result<Page, ReadError> {
        let snapshot = self.database.snapshot();
        let bounds = self.log_bounds(&snapshot, log)?;
        if after.generation != bounds.generation || after.offset > bounds.last {
            return Err(ReadError::Generation);
        }
        if after.offset < bounds.trimmed {
            return Err(ReadError::Trimmed);
        }
        let mut page = Page { entries: Vec::new(), is_end: true };
        if after.offset == bounds.last {
            return Ok(page);
        }
        let (mut bytes, mut next) = (0, after.offset + 1);
        let range = keys::entry(log, next)..=keys::entry(log, bounds.last);
        for guard in snapshot.range(&self.entries, range) {
            let (key, value) = guard.into_inner().map_err(failed)?;
            if keys::number(&key, 8) != Some(next) {
                return Err(values::damaged("an entry is missing").into());
            }
            bytes += value.len().saturating_sub(values::ENTRY_HEADER);
            if !page.entries.is_empty() && (page.entries.len() >= limit.entries || bytes > limit.bytes) {
                page.is_end = false;
                return Ok(page);
            }
            let position = Position { generation: bounds.generation, offset: next };
            page.entries.push(values::entry(position, &value)?);
            next += 1;
        }
        if next != bounds.last + 1 {
            return Err(values::damaged("the last entry is missing").into());
        }
        Ok(page)
    }

    fn text(&self, snapshot: &Snapshot, key: WriterKey, tag: u8) -> Result<Bytes, StoreError> {
        let value = snapshot.get(&self.texts, keys::text(key, tag)).map_err(failed)?;
        let value = value.ok_or_else(|| values::damaged("a part of a record is missing"))?;
        Ok(Bytes::copy_from_slice(&value))
    }

    fn record(&self, snapshot: &Snapshot, key: WriterKey) -> Result<Record, StoreError> {
        let head = snapshot.get(&self.records, key.0).map_err(failed)?;
        let head = head.ok_or_else(|| values::damaged("a record is missing"))?;
        let base = values::base(&self.text(snapshot, key, keys::BASE)?)?;
        let row = values::row(&head, &base)?;
        let fold = self.text(snapshot, key, keys::FOLD)?;
        let state = self.text(snapshot, key, keys::STATE)?;
        Ok(rows::record(key, &row, base, fold, state))
    }

    pub(crate) fn records(
        &self,
        log: LogId,
        after: Option<WriterKey>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let snapshot = self.database.snapshot();
        let mut from = keys::of_log(b'r', log);
        if let Some(after) = after {
            from = keys::record(log, after);
            from.push(0);
        }
        let end = keys::of_log(b'r' + 1, LogId(0));
        let mut found = Vec::new();
        for guard in snapshot.range(&self.index, from..end).take(most) {
            let key = guard.key().map_err(failed)?;
            if !key.starts_with(&keys::of_log(b'r', log)) {
                break;
            }
            let key = keys::writer(&key).ok_or_else(|| values::damaged("the list of records"))?;
            found.push(self.record(&snapshot, key)?);
        }
        Ok(found)
    }

    pub(crate) fn expired(
        &self,
        log: LogId,
        (now, window): (u64, u64),
        leases: &Leases,
        most: usize,
    ) -> Result<Vec<WriterKey>, StoreError> {
        let snapshot = self.database.snapshot();
        let take = |keys: fjall::Iter, found: &mut Vec<WriterKey>| {
            for guard in keys.take(most - found.len()) {
                let key = guard.key().map_err(failed)?;
                found.push(keys::writer(&key).ok_or_else(|| values::damaged("the list of deadlines"))?);
            }
            Ok::<_, StoreError>(())
        };
        let mut found = Vec::new();
        let least = WriterKey([0; 16]);
        let range = keys::deadline(log, 0, least)..keys::deadline(log, now.saturating_add(1), least);
        take(snapshot.range(&self.index, range), &mut found)?;
        for owner in leases.owners(log) {
            let until = match leases.until(owner) {
                Some(until) => until,
                // The owner belongs to an earlier process.
                None => {
                    let gone = snapshot.get(&self.index, keys::gone(owner)).map_err(failed)?;
                    gone.and_then(|value| values::number(&value)).unwrap_or(0)
                }
            };
            if until.saturating_add(window) <= now {
                let before = found.len();
                take(snapshot.prefix(&self.index, keys::attached_to(log, owner)), &mut found)?;
                if found.len() == before && before < most && until.saturating_add(60_000) <= now {
                    // A dead owner gets no new records; a minute exceeds the time that its last batch can take.
                    leases.remove_owner(log, owner);
                }
            }
        }
        Ok(found)
    }
}
