//! [`LogWriter`]: the store's view of a session, or of the server itself.

use std::sync::PoisonError;

use rejoin_core::drive::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use rejoin_store::{Checkpoint, Fence};

use super::act::Key;
use super::handover::Handed;
use super::told::Callbacks;

/// A writer of the log: its key, its epoch, and the number of its last commit.
#[derive(Debug)]
pub(crate) struct LogWriter {
    pub(crate) key: Key,
    pub(crate) epoch: u64,
    /// The last commit of this epoch. Only the committer changes it.
    w: AtomicU64,
    /// The last attachment that the store knows. Later touches name it.
    attachment: AtomicU64,
    /// Number of frames to the session that the server itself has queued and that were not applied yet.
    said: AtomicUsize,
    /// Whether the record has ended, or is about to.
    ended: AtomicBool,
    /// A position in the log at which the next fold may begin, once the client has acknowledged all frames before it.
    pub(super) next_checkpoint: Mutex<Option<Checkpoint>>,
    /// The progress of the callbacks, as the log records it so far. Only the follower changes it.
    callbacks: Mutex<Callbacks>,
    /// For a session of an earlier process: the proof of its token, which this process does not know until the client presents it.
    proof: Option<[u8; 32]>,
    /// `on_connect` is due, and was not called in this process.
    owes_connect: AtomicBool,
    /// The callback for the loss of an earlier process's socket is due.
    owes_loss: AtomicBool,
    /// Another server has the session, or the store has lost it.
    has_moved: AtomicBool,
    /// With [`Durability::Handover`](super::Durability::Handover).
    handed: Option<Box<Handed>>,
}

impl LogWriter {
    pub(crate) fn new(key: Key, epoch: u64, w: u64, attachment: u64) -> Self {
        Self {
            key,
            epoch,
            w: AtomicU64::new(w),
            attachment: AtomicU64::new(attachment),
            said: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            next_checkpoint: Mutex::new(None),
            callbacks: Mutex::default(),
            proof: None,
            owes_connect: AtomicBool::new(false),
            owes_loss: AtomicBool::new(false),
            has_moved: AtomicBool::new(false),
            handed: None,
        }
    }

    pub(super) fn with_proof(self, proof: [u8; 32]) -> Self {
        Self { proof: Some(proof), ..self }
    }

    /// Proof of a token that this process does not know.
    pub(crate) fn proof(&self) -> Option<&[u8; 32]> {
        self.proof.as_ref()
    }

    pub(super) fn with_callbacks(self, callbacks: Callbacks) -> Self {
        Self { callbacks: Mutex::new(callbacks), ..self }
    }

    pub(super) fn with_handed(self, handed: Option<Handed>) -> Self {
        Self { handed: handed.map(Box::new), ..self }
    }

    /// The progress of the session's export; `None` without `Durability::Handover`.
    pub(crate) fn handed(&self) -> Option<&Handed> {
        self.handed.as_deref()
    }

    /// The progress of the callbacks.
    pub(crate) fn callbacks(&self) -> MutexGuard<'_, Callbacks> {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records which callbacks are due because the session's earlier process ended before they returned.
    pub(super) fn owe(&self, connect: bool, loss: bool) {
        self.owes_connect.store(connect, Ordering::SeqCst);
        self.owes_loss.store(loss, Ordering::SeqCst);
    }

    /// Takes the due callbacks: `on_connect`, and the loss of the socket.
    pub(crate) fn take_owed(&self) -> (bool, bool) {
        (self.owes_connect.swap(false, Ordering::SeqCst), self.owes_loss.swap(false, Ordering::SeqCst))
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

    /// Counts a frame that the server itself queues for the session, unless the count has reached `most`.
    pub(super) fn note_said(&self, most: usize) -> bool {
        let next = |said| (said < most).then_some(said + 1);
        self.said.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
    }

    /// Whether frames that the server itself has queued for the session were not applied yet.
    pub(super) fn has_said(&self) -> bool {
        self.said.load(Ordering::SeqCst) > 0
    }

    /// Records that a frame of the server itself was applied.
    pub(super) fn note_sent(&self) {
        // A frame of an earlier process was not counted here.
        self.said.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |said| said.checked_sub(1)).ok();
    }

    /// Records that the store refuses the session's commits: another server owns it, or it is lost.
    pub(super) fn set_moved(&self) {
        self.end();
        self.has_moved.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_moved(&self) -> bool {
        self.has_moved.load(Ordering::SeqCst)
    }

    /// Whether the store has recorded that the session's window has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.callbacks().is_over
    }

    /// Marks the record as ended. Returns whether it was not ended before.
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
        let writer = LogWriter::new(Key::new(*b"abcdefghijklmnop"), 1, 0, 1);
        *writer.next_checkpoint.lock().unwrap() = Some(Checkpoint { number: 5, ..Checkpoint::default() });
        assert_eq!(writer.take_checkpoint(4), None);
        assert_eq!(writer.take_checkpoint(5).map(|checkpoint| checkpoint.number), Some(5));
        assert_eq!(writer.take_checkpoint(6), None);
    }

    #[test]
    fn said_frames_are_counted_until_they_are_sent() {
        let writer = LogWriter::new(Key::new(*b"abcdefghijklmnop"), 1, 0, 1);
        // A frame of an earlier process, which was not counted.
        writer.note_sent();
        assert_eq!([2, 2, 2].map(|most| writer.note_said(most)), [true, true, false]);
        writer.note_sent();
        assert_eq!([2, 2, 3].map(|most| writer.note_said(most)), [true, false, true]);
        assert!(!writer.note_said(0));
    }

    #[test]
    fn what_is_owed_is_taken_once() {
        let writer = LogWriter::new(Key::new(*b"abcdefghijklmnop"), 1, 0, 1);
        for owed in [(true, false), (false, true)] {
            writer.owe(owed.0, owed.1);
            assert_eq!([writer.take_owed(), writer.take_owed()], [owed, (false, false)]);
        }
    }

    #[test]
    fn fences_count_from_the_last_commit() {
        let writer = LogWriter::new(Key::new(*b"abcdefghijklmnop"), 3, 7, 1);
        assert_eq!(
            [8, 9].map(|w| (writer.next(), Fence { epoch: 3, w })).map(|(is, was)| is == was),
            [true; 2]
        );
        assert_eq!((writer.end(), writer.end(), writer.has_moved()), (true, false, false));
        writer.set_moved();
        assert!(writer.has_moved());
    }
}
