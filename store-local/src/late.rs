//! [`LateRows`]: rows that are not written with every commit, because the commit's entry has the progress of its writer.

use std::collections::{HashMap, VecDeque};

use rejoin_store::{LogId, WriterKey};

/// The rows whose last commits are in the entries alone. Opening a directory reads the progress from there.
#[derive(Debug, Default)]
pub(crate) struct LateRows {
    /// The offset of the first entry since the row was written.
    since: HashMap<WriterKey, u64>,
    /// The same by log, oldest first. An element that `since` does not have is obsolete.
    order: HashMap<LogId, VecDeque<(u64, WriterKey)>>,
}

impl LateRows {
    /// The entry at this offset has the row's progress.
    pub(crate) fn add(&mut self, log: LogId, offset: u64, key: WriterKey) {
        if self.since.contains_key(&key) {
            return;
        }
        self.since.insert(key, offset);
        self.order.entry(log).or_default().push_back((offset, key));
    }

    /// The row is written, or has ended.
    pub(crate) fn remove(&mut self, key: WriterKey) {
        self.since.remove(&key);
    }

    /// Takes all.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = WriterKey> {
        self.order.clear();
        std::mem::take(&mut self.since).into_keys()
    }

    /// Takes the oldest one of a log, if its entry is at this offset or before.
    pub(crate) fn older_than(&mut self, log: LogId, offset: u64) -> Option<WriterKey> {
        if self.oldest(log)? > offset {
            return None;
        }
        let (_, key) = self.order.get_mut(&log)?.pop_front()?;
        self.since.remove(&key);
        Some(key)
    }

    /// The first offset of a log that a row needs.
    pub(crate) fn oldest(&mut self, log: LogId) -> Option<u64> {
        let order = self.order.get_mut(&log)?;
        while let Some((offset, key)) = order.front() {
            if self.since.get(key) == Some(offset) {
                return Some(*offset);
            }
            order.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_row_comes_first_unless_it_was_written() {
        let (log, other) = (LogId(1), LogId(2));
        let [ada, ben, cid] = [1, 2, 3].map(|byte| WriterKey([byte; 16]));
        let mut late = LateRows::default();
        for (log, offset, key) in [(log, 5, ada), (other, 1, cid), (log, 6, ben), (log, 7, ada)] {
            late.add(log, offset, key);
        }
        assert_eq!((late.oldest(log), late.oldest(other), late.oldest(LogId(3))), (Some(5), Some(1), None));
        assert_eq!(late.older_than(log, 4), None);
        late.remove(ada);
        assert_eq!(late.oldest(log), Some(6));
        late.add(log, 8, ada);
        assert_eq!([5, 6, 7].map(|offset| late.older_than(log, offset)), [None, Some(ben), None]);
        assert_eq!((late.oldest(log), late.drain().count(), late.oldest(log)), (Some(8), 2, None));
    }
}
