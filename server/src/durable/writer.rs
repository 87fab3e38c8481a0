//! [`Writer`]: a session, or the server itself, as the store knows it.

use std::sync::PoisonError;

use rejoin_core::drive::sync::Mutex;
use rejoin_core::drive::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use rejoin_store::{Checkpoint, Fence};

use super::act::Key;

/// A writer of the log: its key, its epoch, and the number of its last commit.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) key: Key,
    pub(crate) epoch: u64,
    /// The last commit of this epoch. Only the committer changes it.
    w: AtomicU64,
    /// Which attachment the store knows: a later touch names it.
    attachment: AtomicU64,
    /// Number of frames that the server itself has said to the session, and that have not come out of the log.
    said: AtomicUsize,
    /// The record has ended, or is about to.
    ended: AtomicBool,
    /// A place of the log at which the next fold may begin, once the client has acknowledged what came before.
    pub(super) next_checkpoint: Mutex<Option<Checkpoint>>,
}

impl Writer {
    pub(crate) fn new(key: Key, epoch: u64, w: u64, attachment: u64) -> Self {
        Self {
            key,
            epoch,
            w: AtomicU64::new(w),
            attachment: AtomicU64::new(attachment),
            said: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            next_checkpoint: Mutex::new(None),
        }
    }

    /// The fence of the next commit.
    pub(super) fn next(&self) -> Fence {
        Fence { epoch: self.epoch, w: self.w.fetch_add(1, Ordering::SeqCst) + 1 }
    }

    pub(crate) fn attachment(&self) -> u64 {
        self.attachment.load(Ordering::SeqCst)
    }

    pub(crate) fn set_attachment(&self, attachment: u64) {
        self.attachment.store(attachment, Ordering::SeqCst);
    }

    /// Counts a frame that the server itself says to the session, unless there are as many as `most`.
    pub(super) fn note_said(&self, most: usize) -> bool {
        let next = |said| (said < most).then_some(said + 1);
        self.said.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// A frame that the server itself has said has come out of the log.
    pub(super) fn note_sent(&self) {
        // One of an earlier life was not counted here.
        self.said.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |said| said.checked_sub(1)).ok();
    }

    /// Marks the record as ended. Returns whether it was not.
    pub(crate) fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::SeqCst)
    }

    /// Takes the next checkpoint if the client has acknowledged everything up to `acknowledged` and that suffices.
    pub(super) fn take_checkpoint(&self, acknowledged: u64) -> Option<Checkpoint> {
        let mut next = self.next_checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        next.take_if(|checkpoint| checkpoint.number <= acknowledged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_waits_for_the_client() {
        let writer = Writer::new(Key::new(*b"abcdefghijklmnop"), 1, 0, 1);
        *writer.next_checkpoint.lock().unwrap() = Some(Checkpoint { number: 5, ..Checkpoint::default() });
        assert_eq!(writer.take_checkpoint(4), None);
        assert_eq!(writer.take_checkpoint(5).map(|checkpoint| checkpoint.number), Some(5));
        assert_eq!(writer.take_checkpoint(6), None);
    }
}
