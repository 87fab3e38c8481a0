//! [`Retries`]: how many reconnects in a row have failed.

use std::sync::Arc;

use rejoin_core::{DropReason, Session, SessionIdentity};

/// Reconnects in a row that failed, and the one under way. A new connection has none: its first socket is no reconnect.
#[derive(Debug)]
pub(crate) struct Retries {
    count: u32,
    /// The number that may fail; `None` is unlimited.
    max: Option<u32>,
    /// The session of the last socket that ended; none in plain mode.
    last_session: Option<Arc<SessionIdentity>>,
}

impl Retries {
    pub(crate) fn new(max: Option<u32>) -> Self {
        Self { count: 0, max, last_session: None }
    }

    /// A reconnect begins.
    pub(crate) fn begin(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// A socket with an open session has ended. The reconnect that brought it has succeeded if the socket lasted, or if it
    /// resumed the session and the network then lost it. A server that opens a session only to end it is no better than one
    /// that refuses: if that counted as a success, the client would come back for ever.
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

    /// How many failed, where no more may.
    pub(crate) fn exhausted(&self) -> Option<u32> {
        self.max.is_some_and(|max| self.count >= max).then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_no_further_than_it_can() {
        let mut retries = Retries { count: u32::MAX - 1, ..Retries::new(None) };
        for _ in 0..3 {
            retries.begin();
        }
        assert_eq!((retries.count(), retries.exhausted()), (u32::MAX, None));
    }

    #[test]
    fn as_many_reconnects_fail_as_may() {
        let mut retries = Retries::new(Some(2));
        retries.begin();
        assert_eq!(retries.exhausted(), None);
        retries.begin();
        assert_eq!((retries.count(), retries.exhausted()), (2, Some(2)));
    }
}
