//! Values of the trees.

use bytes::{BufMut, Bytes};
use rejoin_store::rules::{Given, Row};
use rejoin_store::{Entry, LogId, NodeId, Position, StoreError, WriterKey};

/// The bounds of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogBounds {
    pub(crate) generation: u32,
    /// The offset before the first remaining entry.
    pub(crate) trimmed: u64,
    pub(crate) last: u64,
    /// Bytes of the remaining entries.
    pub(crate) bytes: u64,
    /// The offset up to which the records have the progress of the entries' writers.
    pub(crate) settled: u64,
}

/// Bytes of an entry before its body.
pub(crate) const ENTRY_HEADER: usize = 49;

/// The overhead of an entry beside its value: its key, and the tree's own.
const TREE_OVERHEAD: usize = 32;

/// Set in the epoch of an entry that has the progress of its writer. Entries of [format 1](crate::keys::FORMAT_1) have none.
const HAS_PROGRESS: u64 = 1 << 63;

/// The progress of an entry's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryProgress {
    pub(crate) writer: WriterKey,
    pub(crate) epoch: u64,
    pub(crate) w: u64,
    pub(crate) received: Option<u64>,
}

/// The last batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) batch: u64,
    pub(crate) time: u64,
}

/// The part of a record that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) opened: Position,
    pub(crate) proof: [u8; 32],
    pub(crate) id: Box<str>,
    pub(crate) identity: Bytes,
}

/// Reads a value from its start.
struct ValueReader<'a>(&'a [u8]);

impl<'a> ValueReader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn option(&mut self) -> Option<Option<u64>> {
        let [is_some] = self.take()?;
        let value = self.u64()?;
        match is_some {
            0 => Some(None),
            1 => Some(Some(value)),
            _ => None,
        }
    }

    fn position(&mut self) -> Option<Position> {
        Some(Position { generation: self.u32()?, offset: self.u64()? })
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    /// The value, if all bytes were read.
    fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    out.put_u8(value.is_some().into());
    out.put_u64_le(value.unwrap_or(0));
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    out.put_u32_le(position.generation);
    out.put_u64_le(position.offset);
}

pub(crate) fn damaged(what: &str) -> StoreError {
    StoreError::new(format!("the store is damaged: {what}"))
}

/// `by` is the writer's row, as the entry leaves it.
pub(crate) fn put_entry(writer: WriterKey, by: &Row, time: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENTRY_HEADER + body.len());
    out.put_slice(&writer.0);
    out.put_u64_le(by.epoch | HAS_PROGRESS);
    out.put_u64_le(time);
    out.put_u64_le(by.w);
    put_option(&mut out, by.received);
    out.put_slice(body);
    out
}

/// The header of an entry.
struct EntryHeader {
    writer: WriterKey,
    epoch: u64,
    time: u64,
    /// The last commit of the writer and its count; `None` in entries of [format 1](crate::keys::FORMAT_1).
    progress: Option<(u64, Option<u64>)>,
}

/// Reads the header of an entry. Returns the body, too.
fn header(value: &[u8]) -> Result<(EntryHeader, &[u8]), StoreError> {
    let mut reader = ValueReader(value);
    let mut read = || {
        let (writer, epoch, time) = (WriterKey(reader.take()?), reader.u64()?, reader.u64()?);
        let progress = match epoch & HAS_PROGRESS {
            0 => None,
            _ => Some((reader.u64()?, reader.option()?)),
        };
        Some(EntryHeader { writer, epoch: epoch & !HAS_PROGRESS, time, progress })
    };
    let header = read().ok_or_else(|| damaged("an entry"))?;
    Ok((header, reader.0))
}

pub(crate) fn entry(position: Position, value: &[u8]) -> Result<Entry, StoreError> {
    let (EntryHeader { writer, epoch, time, .. }, body) = header(value)?;
    Ok(Entry { position, writer, epoch, time, body: Bytes::copy_from_slice(body) })
}

/// Reads the progress of an entry's writer. Returns `None` for an entry of [format 1](crate::keys::FORMAT_1): the record has it.
pub(crate) fn progress(value: &[u8]) -> Result<Option<EntryProgress>, StoreError> {
    let EntryHeader { writer, epoch, progress, .. } = header(value)?.0;
    Ok(progress.map(|(w, received)| EntryProgress { writer, epoch, w, received }))
}

/// The bytes that an entry counts for in its log.
pub(crate) fn entry_bytes(value: &[u8]) -> u64 {
    (value.len() + TREE_OVERHEAD) as u64
}

/// The time of an entry.
pub(crate) fn entry_time(value: &[u8]) -> Option<u64> {
    let mut reader = ValueReader(value.get(24..)?);
    reader.u64()
}

/// The part of a row that commits change.
pub(crate) fn put_row(row: &Row) -> Vec<u8> {
    let mut out = Vec::with_capacity(104);
    out.put_u64_le(row.log.0);
    out.put_u64_le(row.epoch);
    out.put_u64_le(row.attachment);
    out.put_u64_le(row.owner.name);
    out.put_u64_le(row.owner.incarnation);
    out.put_u64_le(row.nonce);
    out.put_u8(match row.given {
        Given::Opened => 0,
        Given::Kept => 1,
        Given::Taken => 2,
    });
    out.put_u64_le(row.w);
    put_option(&mut out, row.received);
    put_position(&mut out, row.position);
    out.put_u64_le(row.number);
    put_option(&mut out, row.deadline);
    out
}

pub(crate) fn row(value: &[u8], base: &Base) -> Result<Row, StoreError> {
    let mut reader = ValueReader(value);
    let mut read = || {
        let row = Row {
            log: LogId(reader.u64()?),
            epoch: reader.u64()?,
            attachment: reader.u64()?,
            owner: NodeId { name: reader.u64()?, incarnation: reader.u64()? },
            nonce: reader.u64()?,
            given: match reader.take()? {
                [0] => Given::Opened,
                [1] => Given::Kept,
                [2] => Given::Taken,
                _ => return None,
            },
            w: reader.u64()?,
            received: reader.option()?,
            position: reader.position()?,
            number: reader.u64()?,
            deadline: reader.option()?,
            opened: base.opened,
            proof: base.proof,
        };
        reader.end(row)
    };
    read().ok_or_else(|| damaged("a record"))
}

pub(crate) fn put_base(base: &Base) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + base.id.len() + base.identity.len());
    put_position(&mut out, base.opened);
    out.put_slice(&base.proof);
    // No frame has a length of 4 GiB or more; it would be refused when it is read.
    out.put_u32_le(u32::try_from(base.id.len()).unwrap_or(u32::MAX));
    out.put_slice(base.id.as_bytes());
    out.put_slice(&base.identity);
    out
}

pub(crate) fn base(value: &[u8]) -> Result<Base, StoreError> {
    let mut reader = ValueReader(value);
    let mut read = || {
        let (opened, proof) = (reader.position()?, reader.take()?);
        let id = std::str::from_utf8(reader.bytes()?).ok()?.into();
        Some(Base { opened, proof, id, identity: Bytes::copy_from_slice(reader.0) })
    };
    read().ok_or_else(|| damaged("the base of a record"))
}

pub(crate) fn put_bounds(bounds: LogBounds) -> Vec<u8> {
    let mut out = Vec::with_capacity(36);
    out.put_u32_le(bounds.generation);
    out.put_u64_le(bounds.trimmed);
    out.put_u64_le(bounds.last);
    out.put_u64_le(bounds.bytes);
    out.put_u64_le(bounds.settled);
    out
}

pub(crate) fn bounds(value: &[u8]) -> Result<LogBounds, StoreError> {
    let mut reader = ValueReader(value);
    let mut read = || {
        let (generation, trimmed, last, bytes) = (reader.u32()?, reader.u64()?, reader.u64()?, reader.u64()?);
        // Format 1 has no more: its records are up to date.
        let settled = if reader.0.is_empty() { last } else { reader.u64()? };
        reader.end(LogBounds { generation, trimmed, last, bytes, settled })
    };
    let is_sound = |bounds: &LogBounds| bounds.trimmed <= bounds.settled && bounds.settled <= bounds.last;
    read().filter(is_sound).ok_or_else(|| damaged("the bounds of a log"))
}

pub(crate) fn put_meta(meta: Meta) -> Vec<u8> {
    [meta.batch.to_le_bytes(), meta.time.to_le_bytes()].concat()
}

pub(crate) fn meta(value: &[u8]) -> Result<Meta, StoreError> {
    let mut reader = ValueReader(value);
    let mut read = || {
        let meta = Meta { batch: reader.u64()?, time: reader.u64()? };
        reader.end(meta)
    };
    read().ok_or_else(|| damaged("the number of the last batch"))
}

pub(crate) fn number(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_values_are_errors() {
        let base_value = Base {
            opened: Position { generation: 1, offset: 2 },
            proof: [3; 32],
            id: "ann".into(),
            identity: Bytes::from_static(b"x"),
        };
        let row_value = Row {
            log: LogId(1),
            epoch: 2,
            attachment: 3,
            owner: NodeId { name: 4, incarnation: 5 },
            nonce: 6,
            given: Given::Taken,
            opened: base_value.opened,
            w: 7,
            received: Some(8),
            position: Position { generation: 9, offset: 10 },
            number: 11,
            proof: base_value.proof,
            deadline: None,
        };
        let bytes = put_row(&row_value);
        assert_eq!(row(&bytes, &base_value), Ok(row_value.clone()));
        for length in 0..bytes.len() {
            assert!(row(&bytes[..length], &base_value).is_err());
        }
        assert!(row(&[&bytes[..], &[0]].concat(), &base_value).is_err());
        let bytes = put_base(&base_value);
        assert_eq!(base(&bytes), Ok(base_value));
        for length in 0..bytes.len() - 1 {
            assert!(base(&bytes[..length]).is_err());
        }
        let entry_value = put_entry(WriterKey([1; 16]), &row_value, 5, b"body");
        assert_eq!(entry(Position::default(), &entry_value).map(|entry| entry.body.len()), Ok(4));
        assert_eq!((entry_value.len(), entry_time(&entry_value)), (ENTRY_HEADER + 4, Some(5)));
        let expected = EntryProgress { writer: WriterKey([1; 16]), epoch: 2, w: 7, received: Some(8) };
        assert_eq!(progress(&entry_value), Ok(Some(expected)));
        assert!(progress(&entry_value[..ENTRY_HEADER - 1]).is_err());
        let expected = entry(Position::default(), &entry_value);
        let older = [&[1; 16][..], &2_u64.to_le_bytes(), &5_u64.to_le_bytes(), b"body"].concat();
        assert_eq!((entry(Position::default(), &older), progress(&older)), (expected, Ok(None)));
        let bytes = put_bounds(LogBounds { generation: 1, trimmed: 2, last: 3, bytes: 4, settled: 2 });
        assert!(bounds(&bytes).is_ok() && bounds(&bytes[1..]).is_err());
        let older = LogBounds { generation: 1, trimmed: 2, last: 3, bytes: 4, settled: 3 };
        assert_eq!(bounds(&bytes[..28]), Ok(older));
        assert!(meta(&put_meta(Meta { batch: 1, time: 2 })).is_ok() && meta(&[0; 15]).is_err());
        assert!(entry(Position::default(), &[0; 31]).is_err());
    }
}
