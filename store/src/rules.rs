//! The rules of each call, written once for stores that keep their rows in different ways.
//!
//! A [`Table`] is a store's access to its rows. Each function here is one step: it reads, decides, and changes the table, and the store
//! makes the changes of a step visible and durable together.

use bytes::Bytes;

use crate::{
    Attach, AttachError, Attached, Commit, CommitError, Committed, Fence, LogId, NodeId, OpenError,
    OpenWriter, Position, Record, StoreError, Touch, WriterKey,
};

/// The part of a record that the rules need, without its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Row {
    /// See [`Record::log`].
    pub log: LogId,
    /// See [`Record::epoch`].
    pub epoch: u64,
    /// See [`Record::attachment`].
    pub attachment: u64,
    /// See [`Record::owner`].
    pub owner: NodeId,
    /// The nonce of the last request that changed the owner or attached a socket.
    pub nonce: u64,
    /// The kind of that request, so that a repetition gets the same answer.
    pub given: Given,
    /// The position at which the writer was begun.
    pub opened: Position,
    /// See [`Record::w`].
    pub w: u64,
    /// See [`Record::received`].
    pub received: Option<u64>,
    /// Position of the checkpoint.
    pub position: Position,
    /// Number of the checkpoint.
    pub number: u64,
    /// See [`Record::proof`].
    pub proof: [u8; 32],
    /// See [`Record::deadline`].
    pub deadline: Option<u64>,
}

/// The effect of the last request with a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // stores write it down
pub enum Given {
    /// It began the writer.
    Opened,
    /// It attached a socket to a writer that the caller owned.
    Kept,
    /// It took the writer over.
    Taken,
}

/// The remains of an ended writer, for [`ENDED_KEPT`](crate::ENDED_KEPT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // stores build it
pub struct Ended {
    /// The commit by which the writer has ended itself, so that a repetition of it does not look like a lost session.
    pub by: Option<Fence>,
}

/// A store's access to its rows and entries. Its methods see the changes of earlier calls in the same step.
pub trait Table {
    /// The time of the store's clock.
    fn now(&self) -> u64;
    /// Whether a node's lease has not expired.
    fn is_leased(&self, node: NodeId) -> bool;
    /// Records that another node has acted on the expiry of this node's lease: it can no longer be renewed.
    fn bury(&mut self, node: NodeId);
    /// The row of a writer.
    fn row(&mut self, key: WriterKey) -> Result<Option<Row>, StoreError>;
    /// The end of the writer, if it has ended recently.
    fn ended(&self, key: WriterKey) -> Option<Ended>;
    /// Whether a connection ID is taken in a log.
    fn is_claimed(&mut self, log: LogId, id: &str) -> Result<bool, StoreError>;
    /// Adds a writer, and claims its ID unless that is empty.
    fn begin(&mut self, row: Row, open: &OpenWriter) -> Result<(), StoreError>;
    /// Changes a row.
    fn change(&mut self, key: WriterKey, before: &Row, after: Row) -> Result<(), StoreError>;
    /// Sets [`Record::state`].
    fn set_state(&mut self, key: WriterKey, state: Bytes) -> Result<(), StoreError>;
    /// Sets the state of the checkpoint.
    fn set_fold(&mut self, key: WriterKey, fold: Bytes) -> Result<(), StoreError>;
    /// Removes a writer, releases its ID, and records the end.
    fn end(&mut self, key: WriterKey, row: &Row, ended: Ended) -> Result<(), StoreError>;
    /// Assembles the whole record of a row.
    fn record(&mut self, key: WriterKey, row: &Row) -> Result<Record, StoreError>;
    /// The last position of a log.
    fn last(&mut self, log: LogId) -> Result<Position, StoreError>;
    /// Appends an entry. `by` is the writer's row after the step.
    fn append(&mut self, writer: WriterKey, by: &Row, body: Bytes) -> Result<Position, StoreError>;
}

/// [`Store::open`](crate::Store::open).
pub fn open(table: &mut dyn Table, open: &OpenWriter) -> Result<Position, OpenError> {
    if let Some(row) = table.row(open.key)? {
        let repeated = row.given == Given::Opened && row.nonce == open.nonce && row.owner == open.owner;
        return if repeated { Ok(row.opened) } else { Err(OpenError::KeyTaken) };
    }
    if !table.is_leased(open.owner) {
        return Err(OpenError::NoLease);
    }
    if table.ended(open.key).is_some() {
        return Err(OpenError::KeyTaken);
    }
    if !open.id.is_empty() && table.is_claimed(open.log, &open.id)? {
        return Err(OpenError::IdTaken);
    }
    let mut row = Row {
        log: open.log,
        epoch: 1,
        attachment: 1,
        owner: open.owner,
        nonce: open.nonce,
        given: Given::Opened,
        opened: Position::default(),
        w: 0,
        received: None,
        position: Position::default(),
        number: 0,
        proof: open.proof,
        deadline: None,
    };
    row.opened = match open.body.is_empty() {
        true => table.last(open.log)?,
        false => table.append(open.key, &row, open.body.clone())?,
    };
    row.position = row.opened;
    let opened = row.opened;
    table.begin(row, open)?;
    Ok(opened)
}

/// Compares two proofs in constant time.
fn same_proof(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// [`Store::attach`](crate::Store::attach).
pub fn attach(table: &mut dyn Table, attach: &Attach) -> Result<Attached, AttachError> {
    let row = table.row(attach.key)?.ok_or(AttachError::Unknown)?;
    if !same_proof(&row.proof, &attach.proof) {
        return Err(AttachError::Secret);
    }
    if let Some(answer) = repeated(table, attach, &row)? {
        return Ok(answer);
    }
    if row.owner == attach.to && attach.mine == Some(row.epoch) {
        let attachment = row.attachment + 1;
        let kept = Row { attachment, deadline: None, nonce: attach.nonce, given: Given::Kept, ..row.clone() };
        table.change(attach.key, &row, kept)?;
        return Ok(Attached::StillYours { attachment });
    }
    take(table, attach, &row, (row.attachment + 1, None))
}

/// [`Store::adopt`](crate::Store::adopt).
pub fn adopt(table: &mut dyn Table, attach: &Attach) -> Result<Attached, AttachError> {
    let row = table.row(attach.key)?.ok_or(AttachError::Unknown)?;
    if row.owner == attach.to && attach.mine == Some(row.epoch) {
        return Ok(Attached::StillYours { attachment: row.attachment });
    }
    if let Some(answer) = repeated(table, attach, &row)? {
        return Ok(answer);
    }
    let is_over = row.deadline.is_some_and(|deadline| deadline <= table.now());
    if row.owner != attach.to && !is_over && table.is_leased(row.owner) {
        return Err(AttachError::Owned);
    }
    if row.owner != attach.to && !table.is_leased(row.owner) {
        table.bury(row.owner);
    }
    take(table, attach, &row, (row.attachment, row.deadline))
}

/// The answer to a repeated request; refuses late ones, and those of a node without a lease.
fn repeated(table: &mut dyn Table, attach: &Attach, row: &Row) -> Result<Option<Attached>, AttachError> {
    if row.owner == attach.to && row.nonce == attach.nonce {
        return match row.given {
            Given::Kept => Ok(Some(Attached::StillYours { attachment: row.attachment })),
            Given::Taken => Ok(Some(Attached::Taken(Box::new(table.record(attach.key, row)?)))),
            Given::Opened => Err(AttachError::Late),
        };
    }
    if row.owner == attach.to && attach.nonce < row.nonce {
        return Err(AttachError::Late);
    }
    if !table.is_leased(attach.to) {
        return Err(AttachError::NoLease);
    }
    Ok(None)
}

/// Gives the writer to another owner, with this attachment and deadline.
fn take(
    table: &mut dyn Table,
    attach: &Attach,
    before: &Row,
    (attachment, deadline): (u64, Option<u64>),
) -> Result<Attached, AttachError> {
    let taken = Row {
        epoch: before.epoch + 1,
        attachment,
        w: 0,
        owner: attach.to,
        nonce: attach.nonce,
        given: Given::Taken,
        deadline,
        ..before.clone()
    };
    if !attach.moved.is_empty() {
        table.append(attach.key, &taken, attach.moved.clone())?;
    }
    table.change(attach.key, before, taken.clone())?;
    Ok(Attached::Taken(Box::new(table.record(attach.key, &taken)?)))
}

/// Applies one commit of [`Store::commit`](crate::Store::commit).
pub fn commit(table: &mut dyn Table, commit: &Commit) -> Result<Committed, CommitError> {
    let Commit { log, writer, fence, received, state, ends, body } = commit;
    let Some(row) = table.row(*writer)? else {
        let by = table.ended(*writer).and_then(|ended| ended.by);
        let repeated = by.is_some_and(|by| by.epoch == fence.epoch && fence.w <= by.w);
        return if repeated { Ok(Committed::Already) } else { Err(CommitError::Fenced) };
    };
    if row.epoch != fence.epoch || row.log != *log {
        return Err(CommitError::Fenced);
    }
    if fence.w <= row.w {
        return Ok(Committed::Already);
    }
    if fence.w != row.w + 1 {
        return Err(CommitError::OutOfOrder);
    }
    // The count never decreases, because the server has acknowledged it to the client.
    let after = Row { w: fence.w, received: row.received.max(*received), ..row.clone() };
    let position = match body.is_empty() {
        true => None,
        false => Some(table.append(*writer, &after, body.clone())?),
    };
    table.change(*writer, &row, after)?;
    if let Some(state) = state {
        table.set_state(*writer, state.clone())?;
    }
    for key in ends {
        if let Some(row) = table.row(*key)?.filter(|row| row.log == *log) {
            table.end(*key, &row, Ended { by: (key == writer).then_some(*fence) })?;
        }
    }
    Ok(position.map_or(Committed::Recorded, Committed::At))
}

/// Applies one touch of [`Store::touch`](crate::Store::touch). Returns whether it was current.
pub fn touch(table: &mut dyn Table, touch: &Touch) -> Result<bool, StoreError> {
    let Some(row) = table.row(touch.key)? else { return Ok(false) };
    if row.epoch != touch.epoch || row.attachment != touch.attachment {
        return Ok(false);
    }
    let mut after = row.clone();
    if let Some(checkpoint) = &touch.checkpoint {
        let last = table.last(row.log)?;
        let is_there =
            checkpoint.position.generation == last.generation && checkpoint.position.offset <= last.offset;
        if is_there && checkpoint.position > row.position && checkpoint.number >= row.number {
            (after.position, after.number) = (checkpoint.position, checkpoint.number);
            table.set_fold(touch.key, checkpoint.state.clone())?;
        }
    }
    if let Some(window) = touch.ends_in {
        after.deadline = Some(table.now().saturating_add(millis(window)));
    }
    if after != row {
        table.change(touch.key, &row, after)?;
    }
    Ok(true)
}

/// Converts a duration to milliseconds of a store's clock.
pub fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
