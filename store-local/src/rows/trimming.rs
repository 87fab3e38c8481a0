//! Trimming: removes entries that no checkpoint needs.

use rejoin_store::{LogId, StoreError};

use crate::open::failed;
use crate::{keys, values};

use super::Rows;

impl Rows {
    /// Removes up to `most` entries: those older than `oldest` that no checkpoint needs, and any that exceed `bytes` or are older than
    /// `limit`. Returns whether there may be more.
    pub(crate) fn trim(
        &mut self,
        log: LogId,
        oldest: u64,
        limit: u64,
        bytes: u64,
        most: usize,
    ) -> Result<bool, StoreError> {
        let mut bounds = self.bounds(log)?;
        let trees = self.trees.clone();
        let first = trees.index.prefix(keys::of_log(b'c', log)).next();
        let needed = match first {
            Some(guard) => {
                let key = guard.key().map_err(failed)?;
                keys::number(&key, 9).ok_or_else(|| values::damaged("the list of checkpoints"))?
            }
            None => u64::MAX,
        };
        let range = keys::entry(log, bounds.trimmed + 1)..=keys::entry(log, bounds.last);
        let before = bounds.trimmed;
        if bounds.trimmed < bounds.last {
            for guard in trees.entries.range(range).take(most) {
                let (key, value) = guard.into_inner().map_err(failed)?;
                let time = values::entry_time(&value).ok_or_else(|| values::damaged("an entry"))?;
                let offset = keys::number(&key, 8).ok_or_else(|| values::damaged("an entry"))?;
                if offset != bounds.trimmed + 1 {
                    return Err(values::damaged("an entry is missing"));
                }
                let may_go = time < oldest && offset <= needed;
                if !may_go && time >= limit && bounds.bytes <= bytes {
                    break;
                }
                if offset > bounds.settled {
                    // The record of its writer needs the progress before the entry is removed.
                    self.settle();
                    bounds.settled = bounds.last;
                }
                self.batch.remove(&self.trees.entries, key);
                bounds.trimmed = offset;
                bounds.bytes = bounds.bytes.saturating_sub(values::entry_bytes(&value));
            }
        }
        if bounds.trimmed > before {
            self.set_bounds(log, bounds);
        }
        Ok(bounds.trimmed == before + most as u64)
    }

    /// Logs of the current batch that have grown beyond this size.
    pub(crate) fn oversized(&self, bytes: u64) -> Vec<LogId> {
        self.logs.iter().filter(|(_, bounds)| bounds.bytes > bytes).map(|(log, _)| *log).collect()
    }
}
