//! Presence: who is in a room, and whether they are there.

use std::fmt;

use rejoin_core::Payload;

use super::Server;
use crate::connection::{Connection, Presence};

/// A member of a room, as [`Server::members`] found it: a snapshot.
#[derive(Clone)]
pub struct Member {
    connection: Connection,
    user: Option<String>,
    presence: Presence,
    data: Option<Payload>,
}

impl Server {
    /// Returns the members of a room, suspended ones included, in the order in which they connected: their identity, whether they are
    /// attached, and their presence. Empty for an unknown room. A session that has ended is not listed, even if its callbacks still
    /// run.
    ///
    /// Each entry is a snapshot of one connection; connections may come and go while the list is made. To maintain a list, take it in
    /// [`on_join`](crate::Builder::on_join), and update it in the callbacks that follow. Costs a visit to each member: for the number
    /// alone use [`Self::member_count`].
    ///
    /// ```
    /// # use rejoin_server::Server;
    /// # fn example(server: &Server) {
    /// for member in server.members("lobby") {
    ///     let state = if member.presence().is_attached() { "here" } else { "away" };
    ///     println!("{} ({:?}) is {state}", member.id(), member.user());
    /// }
    /// # }
    /// ```
    pub fn members(&self, room: &str) -> Vec<Member> {
        let connections = self.connections(room).into_iter();
        let members = connections.filter_map(|connection| {
            let presence = connection.whereabouts()?;
            Some(Member { user: connection.user(), presence, data: connection.presence(), connection })
        });
        members.collect()
    }
}

impl Member {
    /// The connection's ID.
    pub fn id(&self) -> &str {
        self.connection.id()
    }

    /// The name of its user; `None` if it has none.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether it has a socket.
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// Its presence: see [`Connection::set_presence`].
    pub fn data(&self) -> Option<&Payload> {
        self.data.as_ref()
    }

    /// The connection, which may have changed since.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id())
            .field("user", &self.user)
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}
