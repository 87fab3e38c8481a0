//! Keys of the trees. Numbers are big-endian, so that the order of keys is the order of numbers.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `entries` | log, offset | an entry |
//! | `records` | key | the part of a record that commits change, without the progress that the entries after `settled` have |
//! | `texts` | key, `b`, `f` or `s` | the rest: base, state of the checkpoint, state |
//! | `index` | `r`, log, key | |
//! | | `c`, log, offset of the checkpoint, key | |
//! | | `d`, log, deadline, key | |
//! | | `a`, log, owner, key: those without a deadline | |
//! | | `i`, log, connection ID | key |
//! | | `l`, log | bounds of the log |
//! | | `m` | number of the last batch, and its time |
//! | | `n`, owner | when an owner of an earlier process was found dead |

use rejoin_store::{LogId, NodeId, WriterKey};

/// The contents of the file `format`. The number grows with each change that an earlier version would misread.
pub(crate) const FORMAT: &str = "rejoin-store-local 2";
/// The format before: its entries have no progress, and its records are up to date.
pub(crate) const FORMAT_1: &str = "rejoin-store-local 1";

pub(crate) const META: &[u8] = b"m";
pub(crate) const BASE: u8 = b'b';
pub(crate) const FOLD: u8 = b'f';
pub(crate) const STATE: u8 = b's';

fn tagged(tag: u8, log: LogId) -> Vec<u8> {
    let mut key = Vec::with_capacity(41);
    key.push(tag);
    key.extend(log.0.to_be_bytes());
    key
}

pub(crate) fn entry(log: LogId, offset: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&log.0.to_be_bytes());
    key[8..].copy_from_slice(&offset.to_be_bytes());
    key
}

pub(crate) fn text(key: WriterKey, tag: u8) -> [u8; 17] {
    let mut text = [tag; 17];
    text[..16].copy_from_slice(&key.0);
    text
}

pub(crate) fn record(log: LogId, key: WriterKey) -> Vec<u8> {
    [&tagged(b'r', log)[..], &key.0].concat()
}

pub(crate) fn checkpoint(log: LogId, offset: u64, key: WriterKey) -> Vec<u8> {
    [&tagged(b'c', log)[..], &offset.to_be_bytes(), &key.0].concat()
}

pub(crate) fn deadline(log: LogId, deadline: u64, key: WriterKey) -> Vec<u8> {
    [&tagged(b'd', log)[..], &deadline.to_be_bytes(), &key.0].concat()
}

fn node(node: NodeId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&node.name.to_be_bytes());
    bytes[8..].copy_from_slice(&node.incarnation.to_be_bytes());
    bytes
}

pub(crate) fn attached(log: LogId, owner: NodeId, key: WriterKey) -> Vec<u8> {
    [&tagged(b'a', log)[..], &node(owner), &key.0].concat()
}

/// Before the first owner of a log.
pub(crate) fn attached_of(log: LogId) -> Vec<u8> {
    tagged(b'a', log)
}

pub(crate) fn attached_to(log: LogId, owner: NodeId) -> Vec<u8> {
    [&tagged(b'a', log)[..], &node(owner)].concat()
}

pub(crate) fn id(log: LogId, id: &str) -> Vec<u8> {
    [&tagged(b'i', log)[..], id.as_bytes()].concat()
}

pub(crate) fn log(log: LogId) -> Vec<u8> {
    tagged(b'l', log)
}

pub(crate) fn of_log(tag: u8, log: LogId) -> Vec<u8> {
    tagged(tag, log)
}

pub(crate) fn gone(owner: NodeId) -> Vec<u8> {
    [&b"n"[..], &node(owner)].concat()
}

/// The eight bytes of a key at `at`, as a number.
pub(crate) fn number(key: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?))
}

/// The writer's key at the end of a key of the index.
pub(crate) fn writer(key: &[u8]) -> Option<WriterKey> {
    Some(WriterKey(key.get(key.len().checked_sub(16)?..)?.try_into().ok()?))
}

/// The owner in an index key of a record without a deadline.
pub(crate) fn owner(key: &[u8]) -> Option<NodeId> {
    Some(NodeId { name: number(key, 9)?, incarnation: number(key, 17)? })
}
