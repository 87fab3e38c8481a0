//! [`Trees`]: an open directory.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, Readable};
use rejoin_store::{LogId, NodeId, StoreError, WriterKey};

use crate::files::{self, DirectoryFormat, FormatMark, Lock};
use crate::options::LocalStoreOptions;
use crate::values::{EntryProgress, LogBounds, Meta};
use crate::{LocalError, keys, values};

/// The names of the trees. Each tree's files are in a folder of their own, numbered from 1 in this order.
const NAMES: [&str; 4] = ["entries", "records", "texts", "index"];

/// The trees of a directory, and its lock. Fields are dropped in this order, so that the lock is released last.
pub(crate) struct Trees {
    pub(crate) entries: Keyspace,
    pub(crate) records: Keyspace,
    pub(crate) texts: Keyspace,
    pub(crate) index: Keyspace,
    pub(crate) database: Database,
    pub(crate) directory: PathBuf,
    _lock: Lock,
}

impl std::fmt::Debug for Trees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trees").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// Converts an error of the trees for the callers of a store.
pub(crate) fn failed(error: impl std::fmt::Debug) -> StoreError {
    StoreError::new(format!("the store has failed: {error:?}"))
}

/// Opens the trees. fjall panics on some kinds of damage, which must not end the process.
fn open_database(options: &LocalStoreOptions) -> Result<(Database, Vec<Keyspace>), LocalError> {
    let directory = &options.directory;
    let open = || {
        let database = Database::builder(files::trees(directory))
            .manual_journal_persist(true)
            .max_journaling_size(options.journal_bytes)
            .cache_size(options.cache_bytes)
            .worker_threads(2)
            .open()?;
        let memory = |name: &str| if name == "entries" { 16 << 20 } else { 8 << 20 };
        let open = |name: &&str| {
            database.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(memory(name)))
        };
        let keyspaces = NAMES.iter().map(open).collect::<Result<_, _>>()?;
        Ok((database, keyspaces))
    };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(LocalError::fjall(directory)),
        Err(_) => Err(LocalError::damaged(directory, "a file is unreadable")),
    }
}

/// Whether the folder of each tree has its list of files. Without one, fjall takes the tree for a new one, and empties it.
fn check_folders(directory: &Path) -> Result<(), LocalError> {
    let trees = files::trees(directory);
    let journals = std::fs::read_dir(&trees).map_err(LocalError::io(directory))?;
    let is_journal = |file: std::io::Result<std::fs::DirEntry>| {
        file.is_ok_and(|file| file.path().extension().is_some_and(|extension| extension == "jnl"))
    };
    if !journals.into_iter().any(is_journal) {
        return Err(LocalError::damaged(directory, "the journal is missing"));
    }
    for number in 0..=NAMES.len() {
        let list = trees.join("keyspaces").join(number.to_string()).join("current");
        if !list.is_file() {
            return Err(LocalError::damaged(directory, format!("{} is missing", list.display())));
        }
    }
    Ok(())
}

/// Opens a directory, and creates it if necessary.
pub(crate) fn open(options: &LocalStoreOptions) -> Result<(Trees, FormatMark, Meta), LocalError> {
    let directory = &options.directory;
    std::fs::create_dir_all(directory).map_err(LocalError::io(directory))?;
    let lock = Lock::take(directory)?;
    let found = files::check_format(directory)?;
    match found {
        DirectoryFormat::Current | DirectoryFormat::Format1 => check_folders(directory)?,
        DirectoryFormat::Missing => files::begin(directory)?,
    }
    let mut mark = FormatMark::open(directory)?;
    let (database, keyspaces) = open_database(options)?;
    let Ok([entries, records, texts, index]) = <[Keyspace; 4]>::try_from(keyspaces) else {
        return Err(LocalError::damaged(directory, "a tree is missing"));
    };
    if found != DirectoryFormat::Current {
        // Before anything is written that an earlier version would misread.
        files::finish(directory)?;
    }
    let trees = Trees { entries, records, texts, index, database, directory: directory.clone(), _lock: lock };
    let mut meta = trees.meta().map_err(|error| LocalError::damaged(directory, error.to_string()))?;
    if meta.batch < mark.batch {
        let batches = mark.batch - meta.batch;
        if !options.accept_loss {
            return Err(LocalError::Lost { directory: directory.clone(), batches });
        }
        tracing::warn!(directory = %directory.display(), batches, "the store has lost commits, and begins new generations");
        meta.batch = mark.batch + 1;
        trees.begin_generations(meta).map_err(|error| LocalError::damaged(directory, error.to_string()))?;
        mark.set(meta.batch).map_err(LocalError::io(directory))?;
    }
    trees.settle().map_err(|error| LocalError::damaged(directory, error.to_string()))?;
    Ok((trees, mark, meta))
}

impl Trees {
    fn meta(&self) -> Result<Meta, StoreError> {
        match self.index.get(keys::META).map_err(failed)? {
            Some(value) => values::meta(&value),
            None => Ok(Meta::default()),
        }
    }

    /// All logs with their bounds.
    pub(crate) fn logs(&self) -> Result<Vec<(LogId, LogBounds)>, StoreError> {
        let read = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(failed)?;
            let log = keys::number(&key, 1).ok_or_else(|| values::damaged("the list of logs"))?;
            Ok((LogId(log), values::bounds(&value)?))
        };
        self.database.snapshot().prefix(&self.index, "l").map(read).collect()
    }

    /// Brings the records up to date with the last entries, which have the progress of their writers.
    fn settle(&self) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::Buffer));
        for (log, mut bounds) in self.logs()? {
            let mut last: HashMap<WriterKey, (u64, EntryProgress)> = HashMap::new();
            let range = keys::entry(log, bounds.settled + 1)..=keys::entry(log, bounds.last);
            if bounds.settled == bounds.last {
                continue;
            }
            for guard in self.entries.range(range) {
                let (key, value) = guard.into_inner().map_err(failed)?;
                let offset = keys::number(&key, 8).ok_or_else(|| values::damaged("an entry"))?;
                if let Some(progress) = values::progress(&value)? {
                    last.insert(progress.writer, (offset, progress));
                }
            }
            for (key, (offset, progress)) in last {
                let Some(head) = self.records.get(key.0).map_err(failed)? else { continue };
                let base = self.texts.get(keys::text(key, keys::BASE)).map_err(failed)?;
                let base = base.ok_or_else(|| values::damaged("a part of a record is missing"))?;
                let mut row = values::row(&head, &values::base(&base)?)?;
                // An entry before the begin of the record belongs to an earlier record with this key.
                let is_its = offset > row.opened.offset && row.epoch == progress.epoch;
                if row.log == log && is_its && progress.w > row.w {
                    (row.w, row.received) = (progress.w, row.received.max(progress.received));
                    batch.insert(&self.records, key.0, values::put_row(&row));
                }
            }
            bounds.settled = bounds.last;
            batch.insert(&self.index, keys::log(log), values::put_bounds(bounds));
        }
        batch.commit().map_err(failed)
    }

    /// Called after a loss: invalidates all earlier positions.
    fn begin_generations(&self, meta: Meta) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncAll));
        for (log, mut bounds) in self.logs()? {
            bounds.generation += 1;
            batch.insert(&self.index, keys::log(log), values::put_bounds(bounds));
        }
        batch.insert(&self.index, keys::META, values::put_meta(meta));
        batch.commit().map_err(failed)
    }

    /// Checks that each log ends with the entry that its bounds name, and records the time from which the owners of earlier processes
    /// count as dead: this process has the lock, so they are.
    ///
    /// Returns the owners of records without a deadline.
    pub(crate) fn take_over(&self, now: u64) -> Result<Vec<(LogId, NodeId)>, StoreError> {
        let snapshot = self.database.snapshot();
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::Buffer));
        let mut owners = std::collections::BTreeSet::new();
        let mut all = Vec::new();
        for (log, bounds) in self.logs()? {
            let has = |offset| snapshot.contains_key(&self.entries, keys::entry(log, offset)).map_err(failed);
            if has(bounds.last + 1)? || (bounds.last > bounds.trimmed && !has(bounds.last)?) {
                return Err(values::damaged("a log does not end where it should"));
            }
            for owner in self.owners(&snapshot, log)? {
                owners.insert(owner);
                all.push((log, owner));
            }
        }
        for guard in snapshot.prefix(&self.index, "n") {
            let key = guard.key().map_err(failed)?;
            let owner = keys::number(&key, 1).zip(keys::number(&key, 9));
            let (name, incarnation) = owner.ok_or_else(|| values::damaged("the list of owners"))?;
            if !owners.remove(&NodeId { name, incarnation }) {
                batch.remove(&self.index, key);
            }
        }
        for owner in owners {
            batch.insert(&self.index, keys::gone(owner), now.to_le_bytes());
        }
        batch.commit().map_err(failed)?;
        Ok(all)
    }

    /// The owners of the records of a log that have no deadline.
    fn owners(&self, snapshot: &fjall::Snapshot, log: LogId) -> Result<Vec<NodeId>, StoreError> {
        let end = keys::of_log(b'a' + 1, LogId(0));
        let (mut from, mut found) = (keys::attached_of(log), Vec::new());
        while let Some(guard) = snapshot.range(&self.index, from.clone()..end.clone()).next() {
            let key = guard.key().map_err(failed)?;
            if !key.starts_with(&keys::attached_of(log)) {
                break;
            }
            let owner = keys::owner(&key).ok_or_else(|| values::damaged("the list of owners"))?;
            found.push(owner);
            // After all keys of this owner: the largest key of a writer.
            from = keys::attached(log, owner, WriterKey([0xff; 16]));
            from.push(0);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
