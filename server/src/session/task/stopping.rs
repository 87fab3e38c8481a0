//! Stops a session's task when the server leaves the session to the store in its current state
//! ([`Durability::Handover`](crate::Durability::Handover)).

use super::SessionTask;

impl SessionTask {
    /// Whether the session waits for a socket in the next process, which continues its callbacks.
    pub(super) fn is_stopped(&self) -> bool {
        let Some(kept) = &self.kept else { return false };
        let is_between = || self.calls.may_rest() && !self.calls.is_due(&self.connection);
        self.callback.is_none()
            && kept.is_stopping(&self.connection)
            && (kept.is_interrupted() || is_between())
    }

    /// Drops the running callback if the server does not wait for it.
    pub(super) fn interrupt(&mut self) {
        if self.callback.is_some()
            && let Some(kept) = &mut self.kept
            && kept.is_interrupted()
            && kept.is_stopping(&self.connection)
        {
            self.callback = None;
            self.stopwatch = None;
            kept.note_interrupted();
            self.count_returned();
        }
    }
}
