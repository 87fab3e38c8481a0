//! Credentials: clients that have to show fresh ones, and clients that may not stay.

use std::any::Any;
use std::sync::Arc;

use rejoin_core::CloseReason;
use rejoin_core::drive::now;

use super::{Server, User};
use crate::accept::ConnectRequest;
use crate::connection::Connection;
use crate::error::ConnectionError;

/// Defined here because the request's own module does not depend on [`Server`].
impl ConnectRequest {
    /// The server that asks: for what it knows about other connections, such as [`Server::user`].
    ///
    /// # Panics
    /// Never: each request comes from a server.
    pub fn server(&self) -> Server {
        let host = self.host().expect("a request comes from a server");
        let host: Arc<dyn Any + Send + Sync> = host.clone();
        Server::new(host.downcast().expect("the host of a request is its server"))
    }
}

impl Connection {
    /// Has the client show fresh credentials: closes the socket with 3000 `credentials expired`, and suspends the session. rejoin's
    /// clients dial again with fresh credentials and resume; `ConnectFn` decides on that request. Returns `false` if no socket is
    /// attached: the next one needs `ConnectFn` anyway. Without a [resume window](crate::Builder::resume_window) the session ends.
    pub fn reauthenticate(&self) -> bool {
        self.session().command(|session| session.expire_credentials(now()))
    }

    /// Ends the session at once with 3003 `forbidden`, as [`Server::kick`] does with 1000: rejoin's clients report it and do not
    /// reconnect. Returns `false` if the session has already ended. Refuse the client's next request in `ConnectFn`: a client of
    /// another make may send one.
    pub fn forbid(&self) -> bool {
        let forbidden = self.end(CloseReason::Forbidden);
        self.server().shared.forget(self);
        forbidden
    }
}

impl User {
    /// Has the user's clients show fresh credentials, as [`Connection::reauthenticate`] does, for example after a change of the
    /// password. Returns the number of sockets that were closed.
    pub fn reauthenticate(&self) -> usize {
        self.connections().iter().filter(|connection| connection.reauthenticate()).count()
    }

    /// Ends all sessions of the user with 3003, as [`Connection::forbid`] does. Returns their number.
    pub fn forbid(&self) -> usize {
        self.connections().iter().filter(|connection| connection.forbid()).count()
    }
}

impl Server {
    /// Has a user's clients show fresh credentials: [`User::reauthenticate`].
    ///
    /// ```
    /// # use rejoin_server::Server;
    /// # fn example(server: Server) {
    /// // The password of "ada" has changed: tokens that were issued before must not stay connected.
    /// let closed = server.reauthenticate("ada");
    /// # let _ = closed;
    /// # }
    /// ```
    pub fn reauthenticate(&self, user: &str) -> usize {
        self.user(user).reauthenticate()
    }

    /// Ends the session with this ID at once with 3003 `forbidden`: its client may not stay, and does not reconnect
    /// ([`Connection::forbid`]). For a user see [`User::forbid`], for any other audience forbid each of its
    /// [connections](Self::connections).
    ///
    /// # Errors
    /// As [`Self::kick`].
    #[allow(clippy::unused_async, reason = "like `kick`, it may ask other nodes later")]
    pub async fn forbid(&self, id: &str) -> Result<(), ConnectionError> {
        let connection = self.connection(id).ok_or(ConnectionError::NotFound)?;
        if connection.forbid() { Ok(()) } else { Err(ConnectionError::NotFound) }
    }
}
