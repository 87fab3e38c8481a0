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
    /// Whether the server is about to leave its sessions to the store. If so, no further callback begins.
    is_stopping: AtomicBool,
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

/// The progress of a session's export.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    state: Mutex<HandoverState>,
    /// Whether the running callback is to be dropped, because the server cannot wait for it.
    is_interrupted: AtomicBool,
}

#[derive(Debug, Default)]
struct HandoverState {
    /// Number of requests that are about to attach a socket.
    resuming: usize,
    /// Number of such requests so far.
    resumes: u64,
    /// Whether the session has lost its socket since the last request, and its callbacks have returned.
    rests: bool,
    /// Whether the export is in the store, or queued.
    is_exported: bool,
    /// Whether the session has changed since the export in a way that the log does not record.
    is_outdated: bool,
    /// The callback that was dropped before it returned.
    interrupted: Option<Interrupted>,
}

/// The reason for the call of an unfinished callback.
#[derive(Debug, Clone)]
pub(crate) enum Interrupted {
    Message(Frame),
    Change(Change),
}

impl Handed {
    /// For a session that an earlier process has exported.
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

    /// Records that the session has lost its socket and its callbacks have returned, unless a request came after `resumes`. Returns
    /// whether the session needs an export.
    pub(crate) fn rest(&self, resumes: u64, has_changed: bool) -> bool {
        let mut state = self.lock();
        if state.resumes != resumes {
            return false;
        }
        state.rests = true;
        state.is_outdated |= has_changed;
        !state.is_exported || state.is_outdated
    }

    /// Records a change that the log does not contain. Returns whether the session needs an export.
    pub(super) fn set_outdated(&self) -> bool {
        let mut state = self.lock();
        state.is_outdated = true;
        state.rests
    }

    /// If the session may be exported now, returns the number of requests and the interrupted callback.
    pub(super) fn may_export(&self) -> Option<(u64, Option<Interrupted>)> {
        let state = self.lock();
        let is_due = state.rests && state.resuming == 0 && (!state.is_exported || state.is_outdated);
        is_due.then(|| (state.resumes, state.interrupted.clone()))
    }

    /// Queues an export, unless a request came after `resumes`.
    pub(super) fn export(&self, resumes: u64, queue: impl FnOnce()) {
        let mut state = self.lock();
        if state.resumes == resumes {
            (state.is_exported, state.is_outdated) = (true, false);
            // Under the lock, so that a request that comes now invalidates the export behind it in the queue.
            queue();
        }
    }

    /// Whether the store has the session, or will have it once the queue is committed.
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

    /// Records that a callback was dropped before it returned.
    pub(crate) fn note_interrupted(&self, interrupted: Interrupted) {
        self.lock().interrupted = Some(interrupted);
    }

    /// Records that a request is about to attach a socket.
    pub(super) fn begin_resume(&self) {
        let mut state = self.lock();
        state.resuming += 1;
        state.resumes += 1;
        state.rests = false;
    }

    /// Records that the request has attached its socket, or has failed.
    pub(super) fn end_resume(&self) {
        self.lock().resuming -= 1;
    }

    /// Queues the invalidation of the export, if there is one. Returns whether there is.
    pub(super) fn void(&self, queue: impl FnOnce()) -> bool {
        let mut state = self.lock();
        let is_exported = std::mem::take(&mut state.is_exported);
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
