//! [`Scope`]: what a handler says while it runs.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError};

use rejoin_core::drive::sync::Mutex;

use super::act::Act;

/// Collects what a handler says, through whichever handle, until it returns: it is committed together with the number of the frame
/// that the handler has handled. What the handler spawns is no part of it.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Which server it belongs to: a handler may use another one, too.
    server: usize,
    acts: Mutex<Vec<Act>>,
}

thread_local! {
    /// The scope of the handler that this thread polls.
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// Puts the scope back that was there before, also after a panic.
struct Restore(Option<Arc<Scope>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Scope {
    pub(crate) fn new(server: usize) -> Arc<Self> {
        Arc::new(Self { server, acts: Mutex::default() })
    }

    /// Runs `poll` in this scope.
    pub(crate) fn enter<T>(self: &Arc<Self>, poll: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        poll()
    }

    /// The scope of the handler that this thread polls, if it is one of this server.
    pub(crate) fn current(server: usize) -> Option<Arc<Self>> {
        CURRENT.with_borrow(|current| current.clone().filter(|scope| scope.server == server))
    }

    pub(crate) fn push(&self, act: Act) {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner).push(act);
    }

    /// Takes what was said since the last call.
    pub(crate) fn take(&self) -> Vec<Act> {
        std::mem::take(&mut *self.acts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
