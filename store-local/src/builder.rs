//! [`LocalStoreBuilder`]: the options of a [`LocalStore`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{LocalError, LocalStore};

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sync {
    /// When the operating system has it: survives `kill -9` and a crash of the process, but not the loss of power. The default.
    #[default]
    Buffer,
    /// When the disk has it: survives the loss of power, as far as the disk is honest. Costs one `fdatasync`, some milliseconds, for
    /// each group of commits that wait at the same time.
    Data,
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
    pub(crate) directory: PathBuf,
    pub(crate) sync: Sync,
    pub(crate) log_bytes: u64,
    pub(crate) log_age: Option<Duration>,
    pub(crate) journal_bytes: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) accept_loss: bool,
    pub(crate) clock: Option<Arc<dyn Fn() -> u64 + Send + std::marker::Sync>>,
}

impl std::fmt::Debug for LocalStoreBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalStoreBuilder").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl LocalStoreBuilder {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            sync: Sync::default(),
            log_bytes: 1 << 30,
            log_age: None,
            journal_bytes: 64 << 20,
            cache_bytes: 32 << 20,
            accept_loss: false,
            clock: None,
        }
    }

    /// When a commit is acknowledged. Default: [`Sync::Buffer`].
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }

    /// The maximum size of one log, in bytes of its entries. Default: 1 GiB; at least 64 KiB. Beyond it the oldest entries are
    /// forgotten, also those that a session still needs: such a session is lost, and its client gets a report of the loss.
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }

    /// The maximum age of an entry, also of those that a session still needs. Default: none, so that entries stay as long as a
    /// session needs them. Entries are only ever forgotten when the server trims.
    pub fn log_age(mut self, age: Duration) -> Self {
        self.log_age = Some(age);
        self
    }

    /// The size at which the journal is folded into the trees, in bytes. Default: 64 MiB, which is the least. The directory needs up to
    /// twice this beside its logs and records, and opening reads as much: a larger one makes opening slower.
    pub fn journal_bytes(mut self, bytes: u64) -> Self {
        self.journal_bytes = bytes;
        self
    }

    /// Memory for parts of files that were read, in bytes. Default: 32 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Opens a directory that has lost acknowledged commits, instead of answering [`LocalError::Lost`]. All its logs begin a new
    /// generation then, so that sessions whose entries may be missing end, and their clients get a report of the loss. Default: `false`.
    pub fn accept_loss(mut self, accept: bool) -> Self {
        self.accept_loss = accept;
        self
    }

    /// Another clock for tests, in milliseconds.
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + std::marker::Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    fn check(&self) -> Result<(), LocalError> {
        let least = |name: &str, value: u64, least: u64| match value < least {
            true => Err(LocalError::Option(format!(
                "invalid `{name}`: {value} (expected at least {least} bytes)"
            ))),
            false => Ok(()),
        };
        least("log_bytes", self.log_bytes, 64 << 10)?;
        least("journal_bytes", self.journal_bytes, 64 << 20)
    }

    /// Opens the directory, or makes it. Blocks while it reads the journal: up to a second, on a busy machine longer.
    ///
    /// # Errors
    ///
    /// [`LocalError`] says what is wrong with the directory.
    pub fn open(&self) -> Result<LocalStore, LocalError> {
        self.check()?;
        LocalStore::start(self)
    }
}
