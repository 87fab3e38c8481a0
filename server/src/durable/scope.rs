//! [`Scope`]: collects the acts of a running handler.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use rejoin_core::drive::sync::{Mutex, MutexGuard};

use super::act::Act;
use super::writer::LogWriter;

/// Collects the acts of a handler, through any handle, until it returns. They are committed together with the number of the frame that
/// the handler has handled. Tasks that the handler spawns are not part of it.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The server that the scope belongs to. A handler may use another server, too.
    server: usize,
    /// The writer of the session whose handler this is.
    pub(crate) writer: Arc<LogWriter>,
    said: Mutex<Words>,
}

/// The acts of a scope.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) acts: Vec<Act>,
    /// The state of the session, if it was set.
    pub(crate) state: Option<Bytes>,
    /// The number of the frame that is being handled.
    input: Option<u64>,
}

thread_local! {
    /// The scope of the handler that this thread polls.
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// Restores the previous scope, also after a panic.
struct Restore(Option<Arc<Scope>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Scope {
    pub(crate) fn new(server: usize, writer: Arc<LogWriter>) -> Arc<Self> {
        Arc::new(Self { server, writer, said: Mutex::default() })
    }

    /// Runs `poll` in this scope.
    pub(crate) fn enter<T>(self: &Arc<Self>, poll: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        poll()
    }

    /// The scope of the handler that this thread polls, if it belongs to this server.
    pub(crate) fn current(server: usize) -> Option<Arc<Self>> {
        CURRENT.with_borrow(|current| current.clone().filter(|scope| scope.server == server))
    }

    pub(crate) fn push(&self, act: Act) {
        self.lock().acts.push(act);
    }

    /// Sets the state of the handler's session.
    pub(crate) fn set_state(&self, state: Bytes) {
        self.lock().state = Some(state);
    }

    /// Sets the number of the frame that is being handled.
    pub(crate) fn set_input(&self, input: Option<u64>) {
        self.lock().input = input;
    }

    /// The number of the frame that is being handled.
    pub(crate) fn input(&self) -> Option<u64> {
        self.lock().input
    }

    /// Takes the acts since the last call. No frame is being handled any more.
    pub(crate) fn take(&self) -> Words {
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Words> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
