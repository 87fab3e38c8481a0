//! Rows that are written later than their commits: see [`LateRows`](crate::late::LateRows).

use super::Rows;

/// The maximum number of entries per log that opening reads.
const MOST_UNSETTLED: u64 = 16_384;

impl Rows {
    /// Writes all rows with the batch.
    pub(crate) fn settle(&mut self) {
        self.dirty.extend(self.late.drain().map(|key| (key, None)));
        let unsettled = self.logs.iter_mut().filter(|(_, bounds)| bounds.settled < bounds.last);
        for (log, bounds) in unsettled {
            bounds.settled = bounds.last;
            if !self.dirty_logs.contains(log) {
                self.dirty_logs.push(*log);
            }
        }
    }

    /// Writes rows with the batch whose progress is only in old entries, so that opening reads few entries.
    pub(super) fn settle_oldest(&mut self) {
        for log in &self.dirty_logs {
            let Some(bounds) = self.logs.get_mut(log) else { continue };
            while let Some(key) = self.late.older_than(*log, bounds.last.saturating_sub(MOST_UNSETTLED)) {
                self.dirty.insert(key, None);
            }
            bounds.settled = self.late.oldest(*log).map_or(bounds.last, |offset| offset - 1);
        }
    }
}
