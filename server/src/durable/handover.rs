//! [`Durability::Handover`](super::Durability::Handover): a session is in the memory of its process while it has a socket, and in the
//! store while it waits for one.
//!
//! What is said to an audience, joins, leaves, users and presence go through the log as always. Inputs are counted in memory, and
//! what is sent to a session that has a socket goes straight into it. When the session has lost its socket and its last callback
//! has returned, the follower [exports](super::export) it between two entries of the log; what is sent to it from then on goes
//! through the log, too. A resume makes the export void in the store before it is answered.

use std::fmt;
use std::sync::PoisonError;

use rejoin_core::Frame;
use rejoin_core::drive::sync::atomic::{AtomicBool, Ordering};
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
    /// The server is about to leave its sessions to the store: no callback begins any more.
    is_stopping: AtomicBool,
}

impl Handover {
    /// Lets the follower export a session.
    pub(crate) fn ask(&self, key: Key) {
        self.lock().push(key);
        self.asked.notify_one();
    }

    /// Waits until a session is to be exported.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Takes some of the sessions that wait.
    pub(super) fn take(&self, most: usize) -> Vec<Key> {
        let mut waiting = self.lock();
        let count = waiting.len().min(most);
        let taken = waiting.drain(..count).collect();
        if !waiting.is_empty() {
            self.asked.notify_one();
        }
        taken
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Key>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a session is with its export.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    state: Mutex<HandoverState>,
    /// The callback that runs is to be dropped: the server cannot wait for it.
    is_interrupted: AtomicBool,
}

#[derive(Debug, Default)]
struct HandoverState {
    /// Number of requests that may attach a socket at any moment.
    resuming: usize,
    /// Number of such requests so far.
    resumes: u64,
    /// Since the last of them the session has lost its socket, and its callbacks have returned.
    rests: bool,
    /// The export is in the store, or is queued.
    is_exported: bool,
    /// Something has changed since that the log does not have.
    is_outdated: bool,
    /// Whose callback was dropped before it returned.
    interrupted: Option<Interrupted>,
}

/// What a callback was called for that has not returned.
#[derive(Debug, Clone)]
pub(crate) enum Interrupted {
    Message(Frame),
    Change(Change),
}

impl Handed {
    /// Of a session whose export an earlier process has written.
    pub(super) fn of_exported() -> Self {
        Self {
            state: Mutex::new(HandoverState { rests: true, is_exported: true, ..HandoverState::default() }),
            ..Self::default()
        }
    }

    /// Number of requests so far that may have attached a socket.
    pub(crate) fn resumes(&self) -> u64 {
        self.lock().resumes
    }

    /// The session has lost its socket, and its callbacks have returned, unless there was a request since `resumes`. Returns whether
    /// it is to be exported.
    pub(crate) fn rest(&self, resumes: u64, has_changed: bool) -> bool {
        let mut state = self.lock();
        if state.resumes != resumes {
            return false;
        }
        state.rests = true;
        state.is_outdated |= has_changed;
        !state.is_exported || state.is_outdated
    }

    /// Something of the session has changed that the log does not have. Returns whether it is to be exported.
    pub(super) fn set_outdated(&self) -> bool {
        let mut state = self.lock();
        state.is_outdated = true;
        state.rests
    }

    /// Whether the session may be exported now: then the number of requests, and what was interrupted.
    pub(super) fn may_export(&self) -> Option<(u64, Option<Interrupted>)> {
        let state = self.lock();
        let is_due = state.rests && state.resuming == 0 && (!state.is_exported || state.is_outdated);
        is_due.then(|| (state.resumes, state.interrupted.clone()))
    }

    /// Queues an export, unless there was a request since.
    pub(super) fn export(&self, resumes: u64, queue: impl FnOnce()) {
        let mut state = self.lock();
        if state.resumes == resumes {
            (state.is_exported, state.is_outdated) = (true, false);
            // Under the lock: a request that comes now queues behind it that it is void.
            queue();
        }
    }

    /// Whether the store has the session, or will have it with what is queued.
    pub(super) fn is_exported(&self) -> bool {
        let state = self.lock();
        state.is_exported && state.resuming == 0
    }

    pub(super) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// A callback was dropped before it returned.
    pub(crate) fn note_interrupted(&self, interrupted: Interrupted) {
        self.lock().interrupted = Some(interrupted);
    }

    /// A request is about to attach a socket.
    pub(super) fn begin_resume(&self) {
        let mut state = self.lock();
        state.resuming += 1;
        state.resumes += 1;
        state.rests = false;
    }

    /// It has attached one, or will not.
    pub(super) fn end_resume(&self) {
        self.lock().resuming -= 1;
    }

    /// Queues that the export is void, if there is one. Returns whether there is.
    pub(super) fn void(&self, queue: impl FnOnce()) -> bool {
        let mut state = self.lock();
        let is_exported = std::mem::take(&mut state.is_exported);
        if is_exported {
            // Under the lock, as an export.
            queue();
        }
        is_exported
    }

    fn lock(&self) -> MutexGuard<'_, HandoverState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that may attach a socket to a session: meanwhile it is not exported.
pub(crate) struct Resuming(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Resuming {
    /// Calls `end` when the request has attached its socket, or will not.
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
        (handed.may_export().is_some(), handed.is_exported())
    }

    #[test]
    fn a_session_is_exported_while_it_rests_and_no_request_resumes_it() {
        let handed = Handed::default();
        assert_eq!(of(&handed), (false, false), "it has a socket");
        assert!(handed.rest(0, false));
        assert_eq!(of(&handed), (true, false));
        handed.export(0, || ());
        assert_eq!(of(&handed), (false, true));
        assert!(!handed.rest(0, false), "nothing has changed since");
        assert!(handed.rest(0, true) && handed.set_outdated());
        assert_eq!(of(&handed), (true, true));
        handed.export(0, || ());

        handed.begin_resume();
        assert_eq!(of(&handed), (false, false));
        assert!(handed.void(|| ()) && !handed.void(|| panic!("there is no export any more")));
        assert!(!handed.set_outdated() && !handed.rest(0, true), "that was before the request");
        handed.export(0, || panic!("so was that"));
        assert!(handed.rest(1, false));
        assert_eq!(of(&handed), (false, false), "a socket may come at any moment");
        handed.end_resume();
        assert_eq!(
            handed.may_export().map(|(resumes, interrupted)| (resumes, interrupted.is_some())),
            Some((1, false))
        );
        assert_eq!(of(&Handed::of_exported()), (false, true));
    }
}
