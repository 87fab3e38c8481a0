//! Users: several connections under one name.

use std::fmt;
use std::sync::Arc;

use rejoin_core::{CloseReason, Frame};

use super::Server;
use crate::connection::Connection;
use crate::durable::say;
use crate::error::BroadcastError;
use crate::fanout::audience::Audience;
use crate::limits::limit::Limit;

/// A user: all connections with one [name](crate::Identity::with_user). Cheap to clone. The handle needs no connection to exist:
/// each call looks up those of the moment.
#[derive(Clone)]
pub struct User {
    server: Server,
    name: Arc<str>,
}

impl Server {
    /// The user with this name, who may have no connection.
    ///
    /// ```
    /// # use rejoin_server::{Frame, Server};
    /// # async fn example(server: Server, frame: Frame) -> Result<(), rejoin_server::BroadcastError> {
    /// let ada = server.user("ada");
    /// if !ada.is_online() {
    ///     println!("she is away");
    /// }
    /// ada.send(&frame)?; // to all of her devices
    /// ada.kick().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn user(&self, name: &str) -> User {
        User { server: self.clone(), name: name.into() }
    }

    /// Returns the names of all users that have connections, in no particular order.
    pub fn users(&self) -> Vec<String> {
        self.shared.realm.users.names().into_iter().map(|name| String::from(&*name)).collect()
    }
}

impl User {
    /// The user's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's connections, suspended ones included, in the order in which they began.
    pub fn connections(&self) -> Vec<Connection> {
        self.server.connections(Audience::user(&self.name))
    }

    /// Whether a connection of the user has a socket at this moment.
    pub fn is_online(&self) -> bool {
        self.connections().iter().any(Connection::is_attached)
    }

    /// Queues a frame for all connections of the user, as [`Server::broadcast`] does, and returns their number.
    ///
    /// # Errors
    /// Fails as [`Server::broadcast`] does.
    pub fn send(&self, frame: &Frame) -> Result<usize, BroadcastError> {
        self.server.broadcast(Audience::user(&self.name), frame)
    }

    /// Ends all sessions of the user at once, as [`Server::kick`] does. Returns their number.
    pub async fn kick(&self) -> usize {
        let mut kicked = 0;
        for connection in self.connections() {
            kicked += usize::from(connection.end(CloseReason::Kicked));
            self.server.shared.forget(&connection);
        }
        kicked
    }
}

/// Users are a matter of the server, which [`Connection`]'s own module does not depend on.
impl Connection {
    /// The name of the connection's user; `None` if it has none, or has ended.
    pub fn user(&self) -> Option<String> {
        self.handle().user().map(|name| String::from(&*name))
    }

    /// Sets the user of the connection, for example when its client signs in during the session; `None` removes it. Returns
    /// `false` and changes nothing if the connection has ended or is closing, or if the user has too many others
    /// ([`max_connections_per_user`](crate::Builder::max_connections_per_user)). The client of a later resume has to be the same user, if `ConnectFn`
    /// returns one.
    pub fn set_user(&self, name: Option<&str>) -> bool {
        let shared = &self.server().shared;
        if let (Some(log), Some(writer)) = (&shared.durable, self.handle().writer()) {
            return self.is_open() && say::user(log, writer, name);
        }
        let is_set = shared.set_user(self, name.filter(|name| !name.is_empty()), None);
        if !is_set && self.is_open() {
            shared.reached(Limit::ConnectionsPerUser);
        }
        is_set
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}
