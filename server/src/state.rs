//! [`ServerState`]: whether a server accepts newcomers.

use std::fmt;

use serde::Serialize;

/// The state of a server ([`Server::state`](crate::Server::state)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerState {
    /// It accepts every connection.
    Running,
    /// [`Server::drain`](crate::Server::drain) was called: newcomers are refused, and sockets are closed.
    Draining,
    /// [`Server::shutdown`](crate::Server::shutdown) was called: every request is refused, and every session ends.
    ShutDown,
}

impl ServerState {
    /// The variant's name in snake case, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Draining => "draining",
            Self::ShutDown => "shut_down",
        }
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
