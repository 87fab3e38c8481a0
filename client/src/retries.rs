//! [`Retries`]: counts the reconnects in a row that have failed.

use std::sync::Arc;

use rejoin_core::{DropReason, Session, SessionIdentity};

/// The number of reconnects in a row that failed, including the one under way. It is 0 for a new connection: its first socket is
/// not a reconnect.
#[derive(Debug)]
pub(crate) struct Retries {
    count: u32,
    /// The number that may fail; `None` is unlimited.
    max: Option<u32>,
    /// The session of the last socket that ended; `None` in plain mode.
    last_session: Option<Arc<SessionIdentity>>,
}

impl Retries {
    pub(crate) fn new(max: Option<u32>) -> Self {
        Self { count: 0, max, last_session: None }
    }

    /// Counts a reconnect that begins.
    pub(crate) fn begin(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// Notes the end of a socket with an open session. The reconnect that opened it has succeeded if the socket lasted, or if it
    /// resumed the session and the network then lost it. If a server that opens a session only to end it counted as a success,
    /// the client would come back forever.
    pub(crate) fn judge(&mut self, session: &Session, lasted: bool) {
        let closed = matches!(session.dropped(), Some(DropReason::Closed(_) | DropReason::SessionLost));
        let identity = session.identity().cloned();
        let token = |identity: &Option<Arc<SessionIdentity>>| identity.as_ref().map(|has| has.token.clone());
        let resumed = token(&identity) == token(&self.last_session);
        self.last_session = identity;
        if lasted || (resumed && !closed) {
            self.count = 0;
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The number that failed, if no further one may fail.
    pub(crate) fn exhausted(&self) -> Option<u32> {
        self.max.is_some_and(|max| self.count >= max).then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_saturates() {
        let mut retries = Retries { count: u32::MAX - 1, ..Retries::new(None) };
        for _ in 0..3 {
            retries.begin();
        }
        assert_eq!((retries.count(), retries.exhausted()), (u32::MAX, None));
    }

    #[test]
    fn limit_is_the_number_of_failures() {
        let mut retries = Retries::new(Some(2));
        retries.begin();
        assert_eq!(retries.exhausted(), None);
        retries.begin();
        assert_eq!((retries.count(), retries.exhausted()), (2, Some(2)));
    }
}
