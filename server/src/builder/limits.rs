//! The options that limit what clients may take.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::Builder;

/// Each of these limits is off by default, and costs next to nothing then.
impl Builder {
    /// Sets the number of sessions of the server, including suspended ones. At the limit a newcomer is refused with 503 and
    /// `Retry-After`, after `ConnectFn` has accepted it. Default: none; at least 1. Costs an atomic addition for each session.
    ///
    /// A resume is never refused: its session counts already. Nor is a newcomer that [replaces](crate::DuplicateId::Replace) a
    /// session, whose place it takes.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// let server = Server::builder(connect)
    ///     .max_connections(50_000)
    ///     .max_connections_per_user(10)
    ///     .max_connections_per_address(200)
    ///     .build()?;
    /// # let _ = server;
    /// # Ok::<(), rejoin_server::ConfigError>(())
    /// ```
    pub fn max_connections(mut self, sessions: usize) -> Self {
        self.options.limits.connections = sessions;
        self
    }

    /// Sets the number of sessions of one [user](crate::Identity::with_user), as [`Self::max_connections`] does for all; a newcomer is
    /// refused with 429 and `Retry-After`, and [`Connection::set_user`](crate::Connection::set_user) returns `false`. Default: none; at
    /// least 1. Sessions without a user do not count.
    pub fn max_connections_per_user(mut self, sessions: usize) -> Self {
        self.options.limits.connections_per_user = sessions;
        self
    }

    /// Sets the number of sessions that one address opened, as [`Self::max_connections`] does for all; a newcomer is refused with
    /// 429 and `Retry-After`. Default: none; at least 1. Costs about 100 bytes for each session.
    ///
    /// IPv6 addresses count by their first 64 bits, which is the smallest network that providers assign. The address is the peer's,
    /// if the listener knows it, or what [`Self::client_address`] finds. Many users may share an address, in companies and in
    /// mobile networks: choose a high limit. A session counts for the address that opened it, also after a resume from another.
    pub fn max_connections_per_address(mut self, sessions: usize) -> Self {
        self.options.limits.connections_per_address = sessions;
        self
    }

    /// Sets how to find the client's address behind a proxy, for [`Self::max_connections_per_address`]: in a header that the
    /// proxy sets. `None` stands for the peer's address. Default: always the peer's. A second call replaces the first; a panic
    /// counts as `None`.
    ///
    /// Clients can send any header. Read only what your own proxy has added: of `X-Forwarded-For` that is the last address.
    ///
    /// ```
    /// # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
    /// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
    /// let server = Server::builder(connect)
    ///     .max_connections_per_address(200)
    ///     .client_address(|headers| {
    ///         let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    ///         last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
    ///     })
    ///     .build()?;
    /// # let _ = server;
    /// # Ok::<(), rejoin_server::ConfigError>(())
    /// ```
    pub fn client_address(
        mut self,
        find: impl Fn(&HeaderMap) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.options.limits.client_address = Some(Arc::new(find));
        self
    }

    /// Sets the number of rooms that have members, or keep a [history](Self::history) without them. At the limit a connection cannot join a room that does not exist
    /// ([`JoinError::ServerFull`](crate::JoinError::ServerFull)), and a newcomer to such a room is refused with 503 and `Retry-After`.
    /// Default: none; at least 1.
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.options.limits.rooms = rooms;
        self
    }

    /// Sets the number of rooms of one connection, its home room included. At the limit it cannot join another
    /// ([`JoinError::TooManyRooms`](crate::JoinError::TooManyRooms)), and a newcomer that `ConnectFn` assigns more rooms is refused with
    /// 403. Default: none; at least 1.
    pub fn max_rooms_per_connection(mut self, rooms: usize) -> Self {
        self.options.limits.rooms_per_connection = rooms;
        self
    }

    /// Sets the number of members of a room, including suspended ones. At the limit no other connection can join
    /// ([`JoinError::RoomFull`](crate::JoinError::RoomFull)), and a newcomer to the room is refused with 503 and `Retry-After`. Default:
    /// none; at least 1.
    pub fn max_members(mut self, connections: usize) -> Self {
        self.options.limits.members = connections;
        self
    }
}
