//! The files beside the trees: format, lock, and the mark of the last batch.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::LocalError;
use crate::keys::{FORMAT, FORMAT_1};

/// Marks a directory whose creation has begun. Nothing in it was acknowledged.
const BEGUN: &str = "rejoin-store-local begun";

/// The lock of an open directory. The operating system releases it when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(directory: &Path) -> Result<Self, LocalError> {
        let io = LocalError::io(directory);
        let path = directory.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(&io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(LocalError::Locked {
                    directory: directory.to_owned(),
                    process: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(&io)?;
        Ok(Self { _file: file })
    }
}

/// The folder of the trees.
pub(crate) fn trees(directory: &Path) -> PathBuf {
    directory.join("trees")
}

fn sync_directory(directory: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn write_format(directory: &Path, text: &str) -> std::io::Result<()> {
    let new = directory.join("format.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(new, directory.join("format"))?;
    sync_directory(directory)
}

/// The format of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectoryFormat {
    /// There is no store: it has to be created.
    Missing,
    Current,
    /// [`FORMAT_1`], whose values this version reads.
    Format1,
}

/// Checks the format of a directory. The caller holds the lock.
pub(crate) fn check_format(directory: &Path) -> Result<DirectoryFormat, LocalError> {
    let io = LocalError::io(directory);
    let text = match fs::read(directory.join("format")) {
        Ok(text) => String::from_utf8_lossy(&text).trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let ours = ["lock", "format.new"];
            let mut names = fs::read_dir(directory).map_err(&io)?;
            let is_foreign =
                names.any(|file| file.is_ok_and(|file| !ours.iter().any(|name| file.file_name() == *name)));
            if is_foreign {
                return Err(LocalError::NotAStore { directory: directory.to_owned() });
            }
            BEGUN.to_owned()
        }
        Err(error) => return Err(io(error)),
    };
    match &*text {
        FORMAT => Ok(DirectoryFormat::Current),
        FORMAT_1 => Ok(DirectoryFormat::Format1),
        BEGUN => Ok(DirectoryFormat::Missing),
        _ => Err(LocalError::Format {
            directory: directory.to_owned(),
            found: text.chars().take(60).collect(),
        }),
    }
}

/// Begins to create a store, after removing the remains of an earlier attempt.
pub(crate) fn begin(directory: &Path) -> Result<(), LocalError> {
    let io = LocalError::io(directory);
    write_format(directory, BEGUN).map_err(&io)?;
    match fs::remove_dir_all(trees(directory)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
        _ => FormatMark::write_new(directory),
    }
}

/// Marks the store as created, or as one of this format.
pub(crate) fn finish(directory: &Path) -> Result<(), LocalError> {
    write_format(directory, FORMAT).map_err(LocalError::io(directory))
}

/// The number of the last acknowledged batch, in a file beside the trees. The journal alone cannot distinguish a torn end, which was
/// never acknowledged, from a lost one.
#[derive(Debug)]
pub(crate) struct FormatMark {
    file: File,
    pub(crate) batch: u64,
}

/// A checksum of the number, so that a file of zeros or a truncated one is not a valid mark.
fn check(batch: u64) -> u64 {
    (batch ^ 0x6a6f_696e_6d61_726b).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn encode(batch: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&batch.to_le_bytes());
    bytes[8..].copy_from_slice(&check(batch).to_le_bytes());
    bytes
}

impl FormatMark {
    fn write_new(directory: &Path) -> Result<(), LocalError> {
        let write = || {
            let mut file = File::create(directory.join("mark"))?;
            file.write_all(&encode(0))?;
            file.sync_all()
        };
        write().map_err(LocalError::io(directory))
    }

    pub(crate) fn open(directory: &Path) -> Result<Self, LocalError> {
        let mut bytes = Vec::new();
        let mut open = || {
            let mut file = OpenOptions::new().read(true).write(true).open(directory.join("mark"))?;
            file.read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(file)
        };
        let file = match open() {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LocalError::damaged(directory, "the file `mark` is missing"));
            }
            Err(error) => return Err(LocalError::io(directory)(error)),
        };
        let batch = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if bytes != encode(batch) {
            return Err(LocalError::damaged(directory, "the file `mark` has no number"));
        }
        Ok(Self { file, batch })
    }

    /// Records that a batch is in the journal. Writes 16 bytes in one call, so that a killed process has written all of them or none.
    pub(crate) fn set(&mut self, batch: u64) -> std::io::Result<()> {
        write_begin(&self.file, &encode(batch))?;
        self.batch = batch;
        Ok(())
    }
}

/// Writes to the begin of a file, in one call.
#[cfg(unix)]
fn write_begin(file: &File, bytes: &[u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn write_begin(mut file: &File, bytes: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}
