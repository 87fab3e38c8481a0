//! [`Builder::ask_timeout`].

use std::time::Duration;

use super::Builder;

impl Builder {
    /// Sets how long a question may wait for its answer ([`Connection::ask`](crate::Connection::ask)), unless the call overrides it.
    /// Default: 30 s; more than 0. Allow for the time that a reconnect takes.
    pub fn ask_timeout(mut self, timeout: Duration) -> Self {
        self.options.ask_timeout = timeout;
        self
    }
}
