//! [`LocalStoreOptions`]: the options of a [`LocalStoreBuilder`](crate::LocalStoreBuilder).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::LocalError;

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sync {
    /// When the operating system has received it. It survives `kill -9` and a crash of the process, but not a loss of power. The
    /// default.
    #[default]
    Buffer,
    /// When the disk has received it. It survives a loss of power if the disk honours `fdatasync`. Costs one `fdatasync`, which takes
    /// some milliseconds, per batch of concurrent commits.
    Data,
}

/// The options of a store.
#[derive(Clone)]
pub(crate) struct LocalStoreOptions {
    pub(crate) directory: PathBuf,
    pub(crate) sync: Sync,
    pub(crate) log_bytes: u64,
    pub(crate) log_age: Option<Duration>,
    pub(crate) journal_bytes: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) accept_loss: bool,
    pub(crate) clock: Option<Arc<dyn Fn() -> u64 + Send + std::marker::Sync>>,
}

impl LocalStoreOptions {
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

    pub(crate) fn check(&self) -> Result<(), LocalError> {
        let least = |name: &str, value: u64, least: u64| match value < least {
            true => Err(LocalError::Option(format!(
                "invalid `{name}`: {value} (expected at least {least} bytes)"
            ))),
            false => Ok(()),
        };
        least("log_bytes", self.log_bytes, 64 << 10)?;
        least("journal_bytes", self.journal_bytes, 64 << 20)
    }
}
