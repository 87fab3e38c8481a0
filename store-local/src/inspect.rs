//! The contents of a directory, for an operator. Secrets are not shown: neither proofs, nor identities, nor states.

use std::path::Path;

use rejoin_store::{LogId, Position, ReadLimit, StoreError, WriterKey};

use crate::LocalError;
use crate::open::{self, Trees};
use crate::options::LocalStoreOptions;

/// The state of a directory when it was last closed or its process died.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The time of the last batch, in milliseconds since 1970.
    pub time: u64,
    /// The number of batches since the directory was made.
    pub batches: u64,
    /// The logs, in the order of their numbers.
    pub logs: Vec<LogSummary>,
}

/// A log.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogSummary {
    /// Its number.
    pub log: LogId,
    /// The position before the first remaining entry.
    pub first: Position,
    /// The position of the last entry.
    pub last: Position,
    /// Bytes of the remaining entries.
    pub bytes: u64,
    /// Its sessions and servers, in the order of their keys.
    pub records: Vec<RecordSummary>,
    /// Its last entries.
    pub entries: Vec<EntrySummary>,
}

/// A record without its secrets.
#[derive(Debug)]
#[non_exhaustive]
pub struct RecordSummary {
    /// The public half of its key, as in a token; other bytes than letters and digits as two hexadecimal digits.
    pub key: String,
    /// The connection ID; empty for a server.
    pub id: Box<str>,
    /// The writer's epoch.
    pub epoch: u64,
    /// How often a socket was attached.
    pub attachment: u64,
    /// The last commit of this epoch.
    pub w: u64,
    /// The last handled frame of the client.
    pub received: Option<u64>,
    /// The position at which a resume begins to read.
    pub checkpoint: Position,
    /// The number of the session's last frame before the checkpoint.
    pub number: u64,
    /// The owner: name and incarnation.
    pub owner: (u64, u64),
    /// When its window ends, in milliseconds since 1970; `None` if a socket is attached.
    pub deadline: Option<u64>,
}

/// An entry without its body.
#[derive(Debug)]
#[non_exhaustive]
pub struct EntrySummary {
    /// Its offset.
    pub offset: u64,
    /// The writer, as in [`RecordSummary::key`].
    pub writer: String,
    /// The writer's epoch.
    pub epoch: u64,
    /// The time of the commit, in milliseconds since 1970.
    pub time: u64,
    /// The size of its body, in bytes.
    pub bytes: usize,
}

fn name(key: WriterKey) -> String {
    if key.0.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return key.0.iter().map(|byte| char::from(*byte)).collect();
    }
    key.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a directory: every log, with this number of its last entries. It does not change the store's contents, but needs exclusive
/// access as a store does.
///
/// # Errors
///
/// [`LocalError::Locked`] while a server has the directory open, and the other errors of [`LocalStore::open`](crate::LocalStore::open).
pub fn inspect(directory: impl AsRef<Path>, entries: u64) -> Result<Inspection, LocalError> {
    let directory = directory.as_ref();
    if !directory.join("format").exists() {
        // Opening would create a store.
        return Err(LocalError::NotAStore { directory: directory.to_owned() });
    }
    let (trees, _, meta) = open::open(&LocalStoreOptions::new(directory))?;
    let damaged = |error: StoreError| LocalError::damaged(directory, error.to_string());
    let mut logs = Vec::new();
    for (log, bounds) in trees.logs().map_err(damaged)? {
        logs.push(LogSummary {
            log,
            first: Position { generation: bounds.generation, offset: bounds.trimmed },
            last: Position { generation: bounds.generation, offset: bounds.last },
            bytes: bounds.bytes,
            records: records(&trees, log).map_err(damaged)?,
            entries: last_entries(&trees, log, entries).map_err(damaged)?,
        });
    }
    Ok(Inspection { time: meta.time, batches: meta.batch, logs })
}

fn records(trees: &Trees, log: LogId) -> Result<Vec<RecordSummary>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = trees.records(log, after, 1000)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.key);
        found.extend(page.into_iter().map(|record| RecordSummary {
            key: name(record.key),
            id: record.id,
            epoch: record.epoch,
            attachment: record.attachment,
            w: record.w,
            received: record.received,
            checkpoint: record.checkpoint.position,
            number: record.checkpoint.number,
            owner: (record.owner.name, record.owner.incarnation),
            deadline: record.deadline,
        }));
    }
}

fn last_entries(trees: &Trees, log: LogId, most: u64) -> Result<Vec<EntrySummary>, StoreError> {
    let (first, last) = trees.bounds(log)?;
    let after = Position { offset: first.offset.max(last.offset.saturating_sub(most)), ..last };
    let number = last.offset - after.offset;
    if number == 0 {
        return Ok(Vec::new());
    }
    let limit = ReadLimit { entries: usize::try_from(number).unwrap_or(usize::MAX), bytes: usize::MAX };
    let page = trees.read(log, after, limit).map_err(|error| StoreError::new(error.to_string()))?;
    let summary = |entry: rejoin_store::Entry| EntrySummary {
        offset: entry.position.offset,
        writer: name(entry.writer),
        epoch: entry.epoch,
        time: entry.time,
        bytes: entry.body.len(),
    };
    Ok(page.entries.into_iter().map(summary).collect())
}

/// A time as `2026-11-30 05:21:02.000`, in UTC.
pub fn utc(millis: u64) -> String {
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Days since 0000-03-01 in eras of 400 years, each of 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{:03}", rest % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (millis, expected) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_399_999, "2000-02-28 23:59:59.999"),
            (951_782_400_000, "2000-02-29 00:00:00.000"),
            (1_796_016_062_123, "2026-11-30 05:21:02.123"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000"),
        ] {
            assert_eq!(utc(millis), expected);
        }
    }

    #[test]
    fn keys_are_shown_as_in_tokens() {
        assert_eq!(name(WriterKey(*b"abcDEF-_01234567")), "abcDEF-_01234567");
        assert_eq!(name(WriterKey([0xab; 16])), "ab".repeat(16));
    }
}
