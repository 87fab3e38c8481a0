//! [`Durability::Handover`](super::Durability::Handover): a session is in its process's memory while it has a socket, and in the store
//! while it waits for one.
//!
//! Broadcasts, joins, leaves, users and presence always go through the log. Inputs are counted in memory, and a frame to a session with
//! a socket goes directly into its send buffer. When the session has lost its socket and its last callback has returned, the follower
//! [exports](super::export) it between two entries of the log. From then on, frames to it go through the log, too. A resume invalidates
//! the export in the store before the server answers the request.

use std::fmt;
use std::sync::PoisonError;

use rejoin_core::Frame;
use rejoin_core::drive::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rejoin_core::drive::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::session::changes::Change;

use super::act::Key;

/// The sessions that wait to be exported.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    waiting: Mutex<Vec<Key>>,
    /// Wakes the follower.
    asked: Notify,
}

impl Handover {
    /// Requests the export of a session.
    pub(crate) fn ask(&self, key: Key) {
        self.lock().push(key);
        self.asked.notify_one();
    }

    /// Waits until a session needs an export.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Takes up to `most` of the waiting sessions.
    pub(super) fn take(&self, most: usize) -> Vec<Key> {
        let mut waiting = self.lock();
        let count = waiting.len().min(most);
        let taken = waiting.drain(..count).collect();
        if !waiting.is_empty() {
            self.asked.notify_one();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Key>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The progress of a session's export.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    state: Mutex<HandoverState>,
    /// Whether the running callback is to be dropped, because the server cannot wait for it.
    is_interrupted: AtomicBool,
    /// The number of the last act that the session's handlers have queued; 0 if there is none.
    last_said: AtomicU64,
}

#[derive(Debug, Default)]
struct HandoverState {
    /// Number of requests that are about to attach a socket.
    resuming: usize,
    /// Number of requests and of tasks of the session so far: each of them may change the session.
    stirs: u64,
    /// Whether the session has no socket, and no task that may call its callbacks.
    rests: bool,
    /// Number of changes that the log does not record.
    changes: u64,
    /// The number of changes in the export that is in the store, or queued; `None` without one.
    exported: Option<u64>,
    /// The callback that was dropped before it returned.
    interrupted: Option<Interrupted>,
}

/// The reason for the call of an unfinished callback.
#[derive(Debug, Clone)]
pub(crate) enum Interrupted {
    Message(Frame),
    Change(Change),
}

/// What the follower has to know for an export.
#[derive(Debug)]
pub(super) struct Due {
    stirs: u64,
    changes: u64,
    pub(super) interrupted: Option<Interrupted>,
}

impl HandoverState {
    fn is_due(&self) -> bool {
        self.exported != Some(self.changes)
    }
}

impl Handed {
    /// For a session that an earlier process has exported.
    pub(super) fn of_exported() -> Self {
        Self {
            state: Mutex::new(HandoverState { rests: true, exported: Some(0), ..HandoverState::default() }),
            ..Self::default()
        }
    }

    /// Number of requests and tasks so far.
    pub(crate) fn stirs(&self) -> u64 {
        self.lock().stirs
    }

    /// Records that the session has a task, which may call its callbacks. It is not exported until the task rests.
    pub(crate) fn begin_task(&self) {
        let mut state = self.lock();
        state.stirs += 1;
        state.rests = false;
    }

    /// Records that the session has lost its socket and its callbacks have returned, unless a request or another task came after
    /// `stirs`. Returns whether the session needs an export.
    pub(crate) fn rest(&self, stirs: u64, has_changed: bool) -> bool {
        let mut state = self.lock();
        // Also for the next task, which may have nothing to call.
        state.changes += u64::from(has_changed);
        if state.stirs != stirs {
            return false;
        }
        state.rests = true;
        state.is_due()
    }

    /// Records a change that the log does not contain. Returns whether the session needs an export.
    pub(super) fn note_change(&self) -> bool {
        let mut state = self.lock();
        state.changes += 1;
        state.rests
    }

    /// Returns what an export needs to know, if the session may be exported now. Called before the follower looks at the session.
    pub(super) fn due(&self) -> Option<Due> {
        let state = self.lock();
        let is_due = state.rests && state.resuming == 0 && state.is_due();
        is_due.then(|| Due {
            stirs: state.stirs,
            changes: state.changes,
            interrupted: state.interrupted.clone(),
        })
    }

    /// Queues an export, unless a request or a task came meanwhile.
    pub(super) fn export(&self, due: &Due, queue: impl FnOnce()) {
        let mut state = self.lock();
        if state.stirs == due.stirs {
            // A change that came meanwhile has requested another export.
            state.exported = Some(due.changes);
            // Under the lock, so that a request that comes now invalidates the export behind it in the queue.
            queue();
        }
    }

    /// Whether the store has the session as it is, or will have it once the queue is committed.
    pub(super) fn is_exported(&self) -> bool {
        let state = self.lock();
        state.rests && state.resuming == 0 && !state.is_due()
    }

    /// Records that a handler of the session has queued an act of the server, which has this number.
    pub(super) fn note_said(&self, number: u64) {
        self.last_said.store(number, Ordering::SeqCst);
    }

    /// The number of the last act that the session's handlers have queued; 0 if there is none.
    pub(super) fn last_said(&self) -> u64 {
        self.last_said.load(Ordering::SeqCst)
    }

    pub(super) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Records that a callback was dropped before it returned.
    pub(crate) fn note_interrupted(&self, interrupted: Interrupted) {
        self.lock().interrupted = Some(interrupted);
    }

    /// Records that a request is about to attach a socket.
    pub(super) fn begin_resume(&self) {
        let mut state = self.lock();
        state.resuming += 1;
        state.stirs += 1;
        state.rests = false;
    }

    /// Records that the request has attached its socket, or has failed.
    pub(super) fn end_resume(&self) {
        self.lock().resuming -= 1;
    }

    /// Queues the invalidation of the export, if there is one. Returns whether there is.
    pub(super) fn void(&self, queue: impl FnOnce()) -> bool {
        let mut state = self.lock();
        let is_exported = state.exported.take().is_some();
        if is_exported {
            // Under the lock, for the same reason as in `export`.
            queue();
        }
        is_exported
    }

    fn lock(&self) -> MutexGuard<'_, HandoverState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that may attach a socket to a session. The session is not exported while it exists.
pub(crate) struct Resuming(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Resuming {
    /// Calls `end` when the request has attached its socket, or has failed.
    pub(super) fn new(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Resuming {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|end| end());
    }
}

impl fmt::Debug for Resuming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resuming").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it may be exported, and whether it is.
    fn of(handed: &Handed) -> (bool, bool) {
        (handed.due().is_some(), handed.is_exported())
    }

    fn export(handed: &Handed) {
        handed.export(&handed.due().expect("it rests"), || ());
    }

    #[test]
    fn a_session_is_exported_while_it_rests_and_no_request_resumes_it() {
        let handed = Handed::default();
        assert_eq!(of(&handed), (false, false), "it has a socket");
        assert!(handed.rest(0, false));
        assert_eq!(of(&handed), (true, false));
        export(&handed);
        assert_eq!(of(&handed), (false, true));
        assert!(!handed.rest(0, false), "nothing has changed since");
        assert!(handed.rest(0, true) && handed.note_change());
        assert_eq!(of(&handed), (true, false), "the store has it as it was before");
        let due = handed.due().unwrap();
        export(&handed);

        handed.begin_resume();
        assert_eq!(of(&handed), (false, false));
        assert!(handed.void(|| ()) && !handed.void(|| panic!("there is no export any more")));
        assert!(!handed.note_change() && !handed.rest(0, true), "that was before the request");
        handed.export(&due, || panic!("so was that"));
        assert!(handed.rest(1, false));
        assert_eq!(of(&handed), (false, false), "a socket may come at any moment");
        handed.end_resume();
        assert!(handed.due().is_some_and(|due| due.interrupted.is_none()));
        assert_eq!(of(&Handed::of_exported()), (false, true));
    }

    #[test]
    fn a_session_is_not_exported_while_it_has_a_task() {
        let handed = Handed::of_exported();
        for task in [1, 2] {
            handed.begin_task();
            assert_eq!(of(&handed), (false, false), "task {task} may call a callback");
        }
        assert!(!handed.rest(1, true), "the task before");
        assert!(handed.rest(2, false), "what the task before has changed");
        export(&handed);
        handed.begin_task();
        assert!(!handed.note_change(), "a callback sets the state");
        assert!(handed.rest(3, false));
        let due = handed.due().unwrap();
        handed.note_change();
        handed.export(&due, || ());
        assert_eq!(of(&handed), (true, false), "it has changed while the follower looked at it");
        let due = handed.due().unwrap();
        handed.begin_task();
        handed.export(&due, || panic!("its task may have changed it"));
    }
}
