//! [`Ends`]: the callers that wait for the end of a session.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use rejoin_core::drive::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// The callers that wait for the end of a session, by its number. They are kept outside the sessions: few sessions have any, and
/// a suspended one stays small.
#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<HashMap<u64, Arc<Notify>>>);

impl Ends {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notified when this session ends. If it has ended already, no notification follows, so the caller enables the notification,
    /// checks, and calls [`Self::tell`] itself to remove the entry again.
    pub(crate) fn of(&self, number: u64) -> Arc<Notify> {
        self.lock().entry(number).or_default().clone()
    }

    /// Notifies the callers that wait for this session. The session must be marked as ended before: a caller that comes later
    /// finds no entry, creates one, and then relies on that mark.
    pub(crate) fn tell(&self, number: u64) {
        let waiting = self.lock().remove(&number);
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}
