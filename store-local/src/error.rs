//! [`LocalError`]: why a directory cannot be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a directory was not opened. Each message names the directory.
#[derive(Debug)]
#[non_exhaustive]
pub enum LocalError {
    /// Another process has the directory open. Two stores in one directory would corrupt it.
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The ID of the process that has it open, if its lock file contains one.
        process: Option<u32>,
    },
    /// The directory contains other files than a store's.
    NotAStore {
        /// The directory.
        directory: PathBuf,
    },
    /// Another version of this crate has written it.
    Format {
        /// The directory.
        directory: PathBuf,
        /// The contents of its file `format`.
        found: String,
    },
    /// A file is damaged or missing.
    Damaged {
        /// The directory.
        directory: PathBuf,
        /// The damage.
        what: String,
    },
    /// Acknowledged commits are missing: the machine lost power without [`Sync::Data`](crate::Sync::Data), a file was damaged, or an
    /// older copy was restored. [`accept_loss`](crate::LocalStoreBuilder::accept_loss) opens the directory without them.
    Lost {
        /// The directory.
        directory: PathBuf,
        /// The number of batches, each of one or more commits.
        batches: u64,
    },
    /// A file operation failed.
    Io {
        /// The directory.
        directory: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// An option has an invalid value.
    Option(String),
}

impl LocalError {
    pub(crate) fn damaged(directory: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { directory: directory.to_owned(), what: what.into() }
    }

    pub(crate) fn io(directory: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self::Io { directory: directory.to_owned(), error }
    }

    pub(crate) fn fjall(directory: &Path) -> impl Fn(fjall::Error) -> Self + '_ {
        |error| match error {
            fjall::Error::Io(error) => Self::io(directory)(error),
            fjall::Error::Locked => Self::Locked { directory: directory.to_owned(), process: None },
            other => Self::damaged(directory, format!("{other:?}")),
        }
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { directory, process: Some(process) } => {
                write!(f, "{}: process {process} has this store open", directory.display())
            }
            Self::Locked { directory, process: None } => {
                write!(f, "{}: another process has this store open", directory.display())
            }
            Self::NotAStore { directory } => write!(
                f,
                "{}: neither empty nor a store: there is no file named `format` (expected an empty directory or a store)",
                directory.display()
            ),
            Self::Format { directory, found } => write!(
                f,
                "{}: the store has format {found:?} (expected {:?})",
                directory.display(),
                crate::keys::FORMAT
            ),
            Self::Damaged { directory, what } => {
                write!(f, "{}: the store is damaged: {what}", directory.display())
            }
            Self::Lost { directory, batches } => write!(
                f,
                "{}: the store has lost its last {batches} batches of commits, which were acknowledged; \
                 `accept_loss` goes on without them, and ends the sessions that were in it",
                directory.display()
            ),
            Self::Io { directory, error } => write!(f, "{}: {error}", directory.display()),
            Self::Option(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LocalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
