//! [`LimitOptions`]: the limits as [`Builder`](crate::Builder) collects them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use crate::error::ConfigError;

type ClientAddress = Arc<dyn Fn(&HeaderMap) -> Option<IpAddr> + Send + Sync>;

/// The limits of a server. [`usize::MAX`] stands for none.
#[derive(Clone)]
pub(crate) struct LimitOptions {
    pub(crate) connections: usize,
    pub(crate) connections_per_user: usize,
    pub(crate) connections_per_address: usize,
    /// Finds the client's address in the headers that a proxy has set.
    pub(crate) client_address: Option<ClientAddress>,
    pub(crate) rooms: usize,
    pub(crate) rooms_per_connection: usize,
    pub(crate) members: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            connections: usize::MAX,
            connections_per_user: usize::MAX,
            connections_per_address: usize::MAX,
            client_address: None,
            rooms: usize::MAX,
            rooms_per_connection: usize::MAX,
            members: usize::MAX,
        }
    }
}

impl LimitOptions {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("max_connections", self.connections),
            ("max_connections_per_user", self.connections_per_user),
            ("max_connections_per_address", self.connections_per_address),
            ("max_rooms", self.rooms),
            ("max_rooms_per_connection", self.rooms_per_connection),
            ("max_members", self.members),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            None => Ok(()),
            Some((option, _)) => {
                Err(ConfigError { option, value: "0".into(), range: "at least 1, or no such limit" })
            }
        }
    }
}

impl fmt::Debug for LimitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitOptions")
            .field("connections", &self.connections)
            .field("connections_per_user", &self.connections_per_user)
            .field("connections_per_address", &self.connections_per_address)
            .field("client_address", &self.client_address.is_some())
            .field("rooms", &self.rooms)
            .field("rooms_per_connection", &self.rooms_per_connection)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
