//! [`LocalStoreBuilder`]: the options of a [`LocalStore`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::LocalError;
use crate::options::{LocalStoreOptions, Sync};
use crate::store::LocalStore;

impl LocalStore {
    /// Opens a directory with the default options, and creates it if necessary. See [`LocalStoreBuilder::open`].
    ///
    /// # Errors
    ///
    /// As [`LocalStoreBuilder::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, LocalError> {
        Self::builder(directory).open()
    }

    /// Options for opening a directory.
    pub fn builder(directory: impl AsRef<Path>) -> LocalStoreBuilder {
        LocalStoreBuilder { options: LocalStoreOptions::new(directory.as_ref()) }
    }
}

/// Options of a [`LocalStore`]; [`LocalStore::builder`] makes one.
///
/// ```
/// use rejoin_store_local::{LocalStore, Sync};
/// # let directory = tempfile::tempdir().unwrap();
/// # let directory = directory.path().join("data");
///
/// let store = LocalStore::builder(&directory).sync(Sync::Data).log_bytes(256 << 20).open()?;
/// # Ok::<_, rejoin_store_local::LocalError>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `open`"]
pub struct LocalStoreBuilder {
    options: LocalStoreOptions,
}

impl std::fmt::Debug for LocalStoreBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalStoreBuilder")
            .field("directory", &self.options.directory)
            .finish_non_exhaustive()
    }
}

impl LocalStoreBuilder {
    /// When a commit is acknowledged. Default: [`Sync::Buffer`].
    pub fn sync(mut self, sync: Sync) -> Self {
        self.options.sync = sync;
        self
    }

    /// The maximum size of one log, in bytes of its entries. Default: 1 GiB; at least 64 KiB. Beyond it the oldest entries are removed,
    /// even if a session still needs them: such a session is lost, and its client gets a report of the loss.
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.options.log_bytes = bytes;
        self
    }

    /// The maximum age of an entry, even if a session still needs it. Default: none, so that entries stay as long as a session needs
    /// them. Entries are only removed when the server trims.
    pub fn log_age(mut self, age: Duration) -> Self {
        self.options.log_age = Some(age);
        self
    }

    /// The size at which the journal is merged into the trees, in bytes. Default: 64 MiB, which is the minimum. The directory needs up
    /// to twice this in addition to its logs and records, and opening reads the whole journal, so a larger one makes opening slower.
    pub fn journal_bytes(mut self, bytes: u64) -> Self {
        self.options.journal_bytes = bytes;
        self
    }

    /// The size of the cache for file reads, in bytes. Default: 32 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.options.cache_bytes = bytes;
        self
    }

    /// Opens a directory that has lost acknowledged commits, instead of failing with [`LocalError::Lost`]. All its logs then begin a
    /// new generation, so that sessions whose entries may be missing end, and their clients get a report of the loss. Default: `false`.
    pub fn accept_loss(mut self, accept: bool) -> Self {
        self.options.accept_loss = accept;
        self
    }

    /// Another clock for tests, in milliseconds.
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + std::marker::Sync + 'static) -> Self {
        self.options.clock = Some(Arc::new(clock));
        self
    }

    /// Opens the directory, and creates it if necessary. Blocks while it reads the journal: up to a second, or longer on a busy
    /// machine.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be used; the [`LocalError`] gives the reason.
    pub fn open(&self) -> Result<LocalStore, LocalError> {
        self.options.check()?;
        LocalStore::start(&self.options)
    }
}
